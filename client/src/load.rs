//! Driving load from Rust.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! let result = stackload::load::Load::new("http://127.0.0.1:8080/")?
//!     .connections(100)
//!     .duration(Duration::from_secs(5))
//!     .rate(2000.0)
//!     .run()?;
//! println!("{} requests, p99 {} us", result.requests, result.latency_corrected_us.unwrap().p99);
//! # anyhow::Ok(())
//! ```

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::cli::{Options, Refusal, parse};
use crate::engine::arrivals::{Arrival, Rate};
use crate::engine::hooks::Hooks;
use crate::engine::{Address, Budget, Plan, Role, Schedule};
use crate::http::request::Batch;
use crate::reach;
use crate::result::LoadResult;
use crate::result_file;
use crate::run::{self, Signals};
use crate::script::Script;
use crate::tls::{self, Trust};
use crate::verdict;

/// Load on one URL: wrk's defaults, but for one thread, and what is set.
#[derive(Debug)]
pub struct Load {
    options: Options,
    batch: Option<Batch>,
    hooks: Vec<Box<dyn Hooks>>,
}

impl Load {
    /// On this URL.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(url: &str) -> Result<Self> {
        match parse(["-t1", "--", url].map(Into::into)) {
            Ok(options) => Ok(Self { options, batch: None, hooks: Vec::new() }),
            Err(Refusal::Message(message) | Refusal::Usage { message: Some(message), .. }) => bail!(message),
            Err(Refusal::Usage { message: None, .. }) => bail!("'{url}' is no URL"),
        }
    }

    /// So many connections.
    pub fn connections(mut self, connections: u32) -> Self {
        self.options.connections = connections;
        self
    }

    /// On so many event loops, each on a thread.
    pub fn threads(mut self, threads: u32) -> Self {
        self.options.threads = threads;
        self
    }

    /// For so long.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.options.duration_ns = nanoseconds(duration);
        self
    }

    /// After so much load that is not counted.
    pub fn warmup(mut self, warmup: Duration) -> Self {
        self.options.warmup_ns = nanoseconds(warmup);
        self
    }

    /// Answers that take longer are timeouts.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout_ns = nanoseconds(timeout);
        self
    }

    /// In the open loop, so many requests per second.
    pub fn rate(mut self, per_second: f64) -> Self {
        self.options.schedule =
            Schedule::Open { rate: Rate::constant(per_second), arrival: Arrival::Constant, seed: 0 };
        self
    }

    /// With another schedule.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.options.schedule = schedule;
        self
    }

    /// Without ever sleeping: each thread keeps a CPU busy.
    pub fn spinning(mut self) -> Self {
        self.options.spins = true;
        self
    }

    /// Sending this instead of a GET of the URL.
    pub fn batch(mut self, batch: Batch) -> Self {
        self.batch = Some(batch);
        self
    }

    /// With hooks: one for each thread.
    pub fn hooks(mut self, hooks: Vec<Box<dyn Hooks>>) -> Self {
        self.hooks = hooks;
        self
    }

    /// Runs it to its end. Signals stay the caller's.
    ///
    /// # Errors
    /// When the server cannot be reached, a hook fails, or the kernel refuses what is needed.
    pub fn run(self) -> Result<LoadResult> {
        let Self { options, batch, hooks } = self;
        if !hooks.is_empty() && hooks.len() != options.threads as usize {
            bail!("{} threads need as many hooks, not {}", options.threads, hooks.len());
        }
        options.check().map_err(anyhow::Error::msg)?;
        if batch.as_ref().is_some_and(|batch| batch.asked.is_empty()) {
            bail!("a batch without a request");
        }
        run::raise_descriptor_limit(options.connections, options.threads)?;
        let (mut plan, mut roles) = prepare(&options, None)?;
        if let Some(batch) = batch {
            plan.batch = batch;
        }
        for (role, hooks) in roles.iter_mut().zip(hooks) {
            role.hooks = Some(hooks);
        }
        let plan = Arc::new(plan);
        let outcome = run::run(&plan, roles, &options, &mut Signals::none()?, || ())?.outcome;
        let raw = outcome.latencies.distribution(u64::MAX);
        let verdict = verdict::judge(&outcome, &raw, &options);
        Ok(result_file::assemble(&options, &plan, Vec::new(), &outcome, &raw, verdict))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Finds the server, and what to send to it: what the script says, or a GET.
pub fn prepare(options: &Options, script: Option<&Script>) -> Result<(Plan, Vec<Role>)> {
    let (address, servers) = match &options.unix_socket {
        Some(path) => (reach::find_socket(path)?, Vec::new()),
        None => {
            let servers = reach::find_servers(&options.url, options.timeout_ns)?;
            (Address::Tcp(servers[0]), servers)
        }
    };
    let trust = if options.verify { Trust::Certified } else { Trust::Anyone };
    let tls = options.url.is_tls().then(|| tls::client(&options.url.host, trust)).transpose()?;
    let (roles, batch) = match script {
        Some(script) => {
            let mut arguments = vec![options.url_text.clone()];
            arguments.extend_from_slice(&options.arguments);
            script.roles(options.threads, &servers, &arguments)?
        }
        None => {
            let roles = (0..options.threads).map(|_| Role::default()).collect();
            (roles, Batch::get(&options.url, &options.headers))
        }
    };
    let depth = batch.depth().max(1);
    let plan = Plan {
        address,
        tls,
        batch,
        connections: options.connections,
        threads: options.threads,
        schedule: options.schedule,
        timeout_ns: options.timeout_ns,
        spread_ns: options.spread_ns,
        expect_status: options.expect_status,
        expect_body: options.expect_body.clone(),
        budget: Budget::new(options.requests.map(|requests| requests.div_ceil(u64::from(depth)))),
        has_warmup: options.warmup_ns > 0,
        interval_ns: options.interval_ns,
        spins: options.spins,
        live: None,
    };
    Ok((plan, roles))
}
