//! What every verb that measures begins with: the options they share, and the machine made ready for trials.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::{Args, ValueEnum};
use stackbench_reports::row::Placement;

use crate::{
    guard::Guard,
    interrupt::{Interrupt, Interrupted},
    placement::{self, Cpus},
    plan::Course,
    process,
    root::Places,
    run::{most_connections, raise_descriptors},
    rundir::{self, RunDir},
    scenario::{CONNECTIONS_MAX, DURATION_MAX, DURATION_MIN, POOL_MAX, SPARE_CONNECTIONS, Scenario, WORKERS_MAX},
    store::{Store, StoreKind, StoreStart},
    trial::Bench,
    units::{parse_duration, show_duration},
    yardstick::Yardstick,
};

/// The store's log in a run directory.
pub const STORE_LOG: &str = "store.log";

/// Options of every verb that measures.
#[derive(Debug, Clone, Args)]
pub struct SharedArgs {
    /// Stacks to measure: names, `all`, `default`, or the panels `deployed` and `controlled` [default: `default`]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub stacks: Vec<String>,
    /// A folder with further stacks, beside servers/
    #[arg(long, value_name = "DIR")]
    pub stacks_dir: Option<PathBuf>,
    /// Connections [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = up_to(CONNECTIONS_MAX))]
    pub connections: Option<u32>,
    /// The run directory; it must hold no run yet [default: reports/<UTC>-<host>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The store: embedded, spawn (a redis-server of this machine) or the URL of a Redis of its own
    #[arg(long, value_name = "STORE", default_value = "embedded")]
    pub redis: StoreKind,
    /// Server workers [default: the CPUs the placement gives the server]
    #[arg(long, value_name = "N", value_parser = up_to(WORKERS_MAX))]
    pub workers: Option<u32>,
    /// Blocking threads and blocking store connections of a server [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = up_to(POOL_MAX))]
    pub pool: Option<u32>,
    /// Whether the server has CPUs of its own
    #[arg(long, value_enum, default_value = "pinned")]
    pub placement: PlacementArg,
    /// Seed of the order of cells [default: chosen, printed and recorded]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// [`Placement`] on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlacementArg {
    /// The server alone on its CPUs, workers = those CPUs
    Pinned,
    /// No binding, workers = the machine's CPUs
    Free,
}

/// A length of the window.
pub(crate) fn window(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        duration if (DURATION_MIN..=DURATION_MAX).contains(&duration) => Ok(duration),
        _ => Err(format!("must be between {} and {}", show_duration(DURATION_MIN), show_duration(DURATION_MAX))),
    }
}

/// A number from 1 to `most`.
pub(crate) fn up_to(most: u32) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(most))
}

impl SharedArgs {
    /// The seed, chosen if it was not given.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()))
    }

    /// Puts the settings of the command line into a scenario. One that is given a value is no step any more.
    pub fn apply(&self, scenario: &mut Scenario) {
        if let Some(connections) = self.connections {
            scenario.load.connections = connections;
            scenario.steps.connections.clear();
        }
        if let Some(pool) = self.pool {
            scenario.server.pool = pool;
            scenario.steps.pool.clear();
        }
        if let Some(workers) = self.workers {
            scenario.server.workers = Some(workers);
            scenario.steps.workers.clear();
        }
    }
}

/// The machine made ready for trials: CPUs divided, limits raised, children guarded.
#[derive(Debug)]
pub struct Setup<'a> {
    places: Places,
    redis: &'a StoreKind,
    out: PathBuf,
    placement: Placement,
    cpus: Cpus,
    guard: Guard,
    interrupt: Interrupt,
    yardstick: Yardstick,
}

impl<'a> Setup<'a> {
    /// Makes it ready, and makes the run directory, unless one was opened before.
    ///
    /// # Errors
    /// What of the command line or the machine is not fit for these scenarios.
    pub fn new(
        places: Places,
        args: &'a SharedArgs,
        courses: &[Course],
        opened: Option<RunDir>,
    ) -> Result<(Self, RunDir)> {
        let placement = match args.placement {
            PlacementArg::Pinned => Placement::Pinned,
            PlacementArg::Free => Placement::Free,
        };
        let mut cpus = placement::divide(placement)?;
        if matches!(args.redis, StoreKind::Url(_)) {
            cpus.store.clear();
        }
        // Every process of a trial needs a descriptor for each connection, and inherits the limit of the harness.
        raise_descriptors(most_connections(courses))?;
        places.require("stackload")?;

        let interrupt = Interrupt::install()?;
        process::adopt_orphans()?;
        let dir = match opened {
            Some(dir) => dir,
            None => RunDir::create(&args.out.clone().unwrap_or_else(|| rundir::default_path(&places.root)))?,
        };
        let guard = Guard::start()?;
        if !cpus.client.is_empty() {
            // The harness must not disturb the server it measures.
            placement::bind_this_thread(&cpus.client)?;
        }
        let (redis, out) = (&args.redis, dir.path().to_owned());
        let yardstick = Yardstick::new();
        Ok((Self { places, redis, out, placement, cpus, guard, interrupt, yardstick }, dir))
    }

    /// What all trials share.
    pub fn bench(&self) -> Bench<'_> {
        Bench {
            root: &self.places.root,
            bin: &self.places.bin,
            out: &self.out,
            placement: self.placement,
            cpus: &self.cpus,
            guard: &self.guard,
            interrupt: &self.interrupt,
            yardstick: &self.yardstick,
        }
    }

    /// Starts the store, or finds it; its log has this name.
    ///
    /// # Errors
    /// When it cannot be started or reached.
    pub fn start_store(&self, courses: &[Course], log: &str) -> Result<Store<'_>> {
        if *self.redis == StoreKind::Embedded {
            self.places.require("fake-redis")?;
        }
        let bench = self.bench();
        let steps = courses.iter().flat_map(|course| &course.steps);
        let of = |scenario: &Scenario| scenario.server.pool.max(bench.workers(scenario));
        let most = steps.map(|step| of(&step.scenario)).max().unwrap_or_default();
        Store::start(StoreStart {
            kind: self.redis,
            bin: &self.places.bin,
            cpus: &self.cpus.store,
            log: self.out.join("logs").join(log),
            cwd: &self.out,
            max_connections: most + SPARE_CONNECTIONS,
            guard: &self.guard,
            interrupt: &self.interrupt,
        })
    }

    /// What came of the measuring. Before there is something to keep, an error after a signal is the signal's: a system
    /// call that was cut short fails in words of its own.
    ///
    /// # Errors
    /// As it came, or [`Interrupted`].
    pub fn or_interrupted<T>(&self, ended: Result<T>, dir: &RunDir) -> Result<T> {
        match ended {
            Err(_) if self.interrupt.is_raised() && !dir.has_begun() => Err(Interrupted.into()),
            ended => ended,
        }
    }
}
