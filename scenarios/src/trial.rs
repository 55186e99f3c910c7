//! One trial: a fresh server, verified, measured, stopped, and its row.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use stackbench_reports::row::{Cost, Latency, Mode, Offered, Placement, Row, Verdict};
use stackload::result::{LatencySummary, LoadResult, ProcessUsage};

use crate::{
    conformance::StoreControl,
    fault::effect::effect,
    guard::Guard,
    idle,
    interrupt::{Interrupt, Interrupted},
    meta::redacted,
    placement::Cpus,
    scenario::{Request, SPARE_CONNECTIONS, Scenario, What, mode_word},
    server::{Server, ServerStart},
    stack::{Placeholders, Stack, UsesStore},
    store::{DelayReport, Store, work_counts},
    verdict::{self, Evidence},
    verify::Verifier,
    yardstick::Yardstick,
};

/// The client's name for the server's process tree …
const WATCH_SERVER: &str = "server";
/// … and for the store's.
const WATCH_STORE: &str = "store";

/// What all trials of a run share.
#[derive(Debug)]
pub struct Bench<'a> {
    /// The workspace.
    pub root: &'a Path,
    /// Folder of its programs.
    pub bin: &'a Path,
    /// The run directory.
    pub out: &'a Path,
    /// Placement asked for.
    pub placement: Placement,
    /// The CPUs it came to.
    pub cpus: &'a Cpus,
    /// The guard.
    pub guard: &'a Guard,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// What the machine's speed is told by.
    pub yardstick: &'a Yardstick,
}

impl Bench<'_> {
    /// Workers of a server under a scenario.
    pub fn workers(&self, scenario: &Scenario) -> u32 {
        scenario.server.workers.unwrap_or_else(|| self.cpus.server_workers())
    }

    /// The CPUs of each party under a scenario.
    pub fn cpus_for(&self, scenario: &Scenario) -> Cpus {
        scenario.server.cpus.map_or_else(|| self.cpus.clone(), |cpus| self.cpus.with_server_on(cpus))
    }
}

/// Whether a trial is made for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It is.
    First,
    /// The first one was disturbed.
    Again,
}

/// One trial to be made.
#[derive(Debug)]
pub struct Trial<'a> {
    /// Its scenario, options of the command line and settings of the step applied.
    pub scenario: &'a Scenario,
    /// The step's number, if the scenario has steps.
    pub step: Option<u32>,
    /// Its stack.
    pub stack: &'a Stack,
    /// Which of its names, as [`Row::twin`] has it.
    pub twin: Option<u8>,
    /// What the stack says of its version, or why it says nothing.
    pub version: &'a Result<String, String>,
    /// What is asked.
    pub request: &'a Request,
    /// In which mode.
    pub mode: Mode,
    /// Its block, from 1.
    pub block: u32,
    /// Whether it was made before.
    pub attempt: Attempt,
    /// Server workers.
    pub workers: u32,
    /// Requests offered per second; none in a closed loop; an error where that cannot be told.
    pub rate: Result<Option<f64>, String>,
    /// Requests that a second client offers per second, where the fault of the step is one.
    pub beside_rate: Option<f64>,
    /// Of the instants at which they are due.
    pub arrival_seed: u64,
    /// What the null server reached at this cell in this block, if it was measured and is worth something.
    pub null_rate: Option<f64>,
    /// SHA-256 of the server's program.
    pub server_sha256: Option<String>,
    /// Whether this trial is followed by a look at what idle connections take.
    pub weighs_connections: bool,
}

mod load;

use load::Loaded;

/// What measuring a cell yields before it is judged.
struct Measured {
    loaded: Loaded,
    counts: BTreeMap<String, u64>,
    reports: BTreeMap<String, DelayReport>,
}

impl Trial<'_> {
    /// `cache-tokio-cache_hit-async-1`: names the files of this trial. Where there are steps, `-step3` stands before the
    /// block; `-twin` after it is the second name of an A/A pair, and `-again` a trial that is repeated.
    pub fn label(&self) -> String {
        let mode = mode_word(self.mode);
        let step = self.step.map(|step| format!("-step{step}")).unwrap_or_default();
        // After the number, where no name can be mistaken for them.
        let twin = if self.twin.is_some() { "-twin" } else { "" };
        let again = if self.attempt == Attempt::Again { "-again" } else { "" };
        let (scenario, stack, request) = (&self.scenario.name, &self.stack.name, &self.request.name);
        format!("{scenario}-{stack}-{request}-{mode}{step}-{}{twin}{again}", self.block)
    }

    /// Runs the trial. Whatever goes wrong with the stack becomes a row of verdict `failed`.
    ///
    /// # Errors
    /// [`Interrupted`] only.
    pub fn run(&self, bench: &Bench, store: &mut Store) -> Result<Row, Interrupted> {
        let mut row = self.blank_row(bench, store);
        match self.measure(bench, store, &mut row) {
            Ok(()) => Ok(row),
            Err(error) if error.is::<Interrupted>() => Err(Interrupted),
            // A system call that the signal cut short fails in words of its own, and is nobody's fault.
            Err(_) if bench.interrupt.is_raised() => Err(Interrupted),
            Err(error) => {
                let failed = self.blank_row(bench, store);
                // What is known of how it was run stays; figures do not.
                let (started, commands, raw, wrk) = (row.started, row.commands, row.raw, row.wrk);
                Ok(Row { error: Some(format!("{error:#}")), started, commands, raw, wrk, ..failed })
            }
        }
    }

    fn measure(&self, bench: &Bench, store: &mut Store, row: &mut Row) -> Result<()> {
        let uses_store = self.stack.store == UsesStore::Redis;
        if let Err(error) = self.version {
            bail!("no version, no measurement: {error}");
        }
        if let Err(error) = &self.rate {
            bail!("{error}");
        }
        store.revive().context("the store is gone and cannot be started again")?;
        if uses_store {
            store.set_delays(&BTreeMap::new())?;
            store.forget_keys()?;
        }
        let mut server = self.start_server(bench, store, self.log(bench, "server"))?;
        row.commands.insert("server".into(), redacted(&server.command));
        let cold_start_ms = server.cold_start.as_secs_f64() * 1e3;
        let verifier = Verifier { addr: server.addr, request: self.request, mode: self.mode };
        if uses_store {
            verifier.before_loading(store)?;
            store.load_keys().context("cannot load the store's keys")?;
        }
        verifier.exact_answer()?;
        store.set_delays(&self.scenario.store.delays)?;
        store.reset_counts()?;
        let speed = || bench.yardstick.measure(&bench.cpus.server).map(|took| took.as_secs_f64() * 1e3);
        let before = speed();
        let loaded = self.load(bench, store, &server, row);
        let after = speed();
        // A server or a store that died under load makes the client's result meaningless; say the cause, not the effect.
        if let Some(death) = server.death() {
            bail!("{death}");
        }
        if let Some(death) = store.death() {
            bail!("{death}");
        }
        let loaded = loaded?;
        self.stop_server(server)?;
        let counts = work_counts(&store.command_counts()?);
        let reports = store.delay_reports()?;
        self.fill(bench, row, &Measured { loaded, counts, reports })?;
        row.cold_start_ms = Some(cold_start_ms);
        row.yardstick_ms = before.zip(after).map(|(before, after)| [before, after]);
        if self.weighs_connections {
            row.idle_connection_bytes = self.weigh_connections(bench, store);
        }
        Ok(())
    }

    /// Memory of an idle connection, on a server process of its own, which the measured one's state cannot blur. What
    /// keeps a server from being weighed, Ctrl-C included, stands in its log: the trial has its figures and keeps them.
    fn weigh_connections(&self, bench: &Bench, store: &Store) -> Option<f64> {
        let log = self.log(bench, "idle");
        let weighed = self
            .start_server(bench, store, log.clone())
            .and_then(|server| idle::connection_bytes(server, self.scenario.load.connections, bench.interrupt));
        weighed
            .inspect_err(|error| {
                let told = fs::OpenOptions::new().create(true).append(true).open(log);
                // Without its reason the missing figure is only less well explained.
                let _ = told.and_then(|mut file| writeln!(file, "idle connections were not weighed: {error:#}"));
            })
            .ok()
    }

    fn start_server(&self, bench: &Bench, store: &Store, log: PathBuf) -> Result<Server> {
        Server::start(ServerStart {
            stack: self.stack,
            placeholders: Placeholders {
                bin: bench.bin.to_owned(),
                root: bench.root.to_owned(),
                listen: String::new(),
                redis: store.url().to_owned(),
                workers: self.workers,
                pool: self.scenario.server.pool,
                max_connections: self.scenario.connections() + SPARE_CONNECTIONS,
            },
            cpus: &bench.cpus.server,
            log,
            guard: bench.guard,
            interrupt: bench.interrupt,
        })
    }

    /// A stack that says it cannot stop gracefully need not; what it leaves behind is its fault all the same.
    fn stop_server(&self, server: Server) -> Result<()> {
        match self.stack.deviations.iter().any(|name| name == crate::run::STOPS_ON_SIGTERM) {
            true => server.end(),
            false => server.stop(),
        }
    }

    fn log(&self, bench: &Bench, who: &str) -> PathBuf {
        bench.out.join("logs").join(format!("{}.{who}.log", self.label()))
    }

    fn delay_ceiling(&self, reports: &BTreeMap<String, DelayReport>) -> Option<(f64, String)> {
        let least = self.least();
        if least.is_zero() {
            return None;
        }
        let mean_us = |(command, n): (&String, &u64)| reports.get(command).map(|report| report.mean_us * *n as f64);
        let measured_us: f64 = self.request.store.iter().filter_map(mean_us).sum();
        let delay_us = if measured_us > 0.0 { measured_us } else { least.as_micros() as f64 };
        let (connections, pool) = (self.scenario.load.connections, self.scenario.server.pool);
        let (parallel, what) = match self.stack.is_pool_bounded(self.mode) && pool < connections {
            true => (pool, "blocking connections"),
            false => (connections, "connections"),
        };
        let source = format!("{parallel} {what} / {:.2} ms", delay_us / 1e3);
        Some((f64::from(parallel) * 1e6 / delay_us, source))
    }

    /// The least an answer can take, by the store's delays.
    fn least(&self) -> Duration {
        match self.stack.store {
            UsesStore::Redis => self.scenario.delay_of(self.request),
            UsesStore::None => Duration::ZERO,
        }
    }

    /// The store must have seen exactly the commands that the answers imply.
    fn compare_counts(&self, measured: &Measured) -> Result<()> {
        // What is tried again, refused or lost with the store that counted it cannot be told from the answers.
        if self.stack.store == UsesStore::None || measured.loaded.played.is_some() {
            return Ok(());
        }
        let result = &measured.loaded.result;
        // An answer that was an error may or may not have reached the store, on either side of the count.
        let slack: u64 = verdict::error_counts(result).map(|(_, n)| n).sum();
        for (command, per_answer) in &self.request.store {
            let seen = measured.counts.get(command).copied().unwrap_or_default();
            let least = per_answer * result.requests_total.saturating_sub(slack);
            let most = per_answer * (result.requests_total + result.in_flight_at_end + slack);
            let answers = result.requests_total;
            ensure!(
                seen >= least,
                "answers without touching the store: {answers} answers, but only {seen} {command} at the store"
            );
            ensure!(seen <= most, "asks the store too often: {seen} {command} at the store for {answers} answers");
        }
        let others = measured.counts.iter().filter(|(command, _)| !self.request.store.contains_key(*command));
        let others: Vec<String> = others.map(|(command, n)| format!("{n} × {command}")).collect();
        ensure!(others.is_empty(), "sends commands that no request implies: {}", others.join(", "));
        Ok(())
    }

    fn fill(&self, bench: &Bench, row: &mut Row, measured: &Measured) -> Result<()> {
        let Loaded { result, played } = &measured.loaded;
        self.compare_counts(measured)?;
        let watched = |name: &str| result.watched.get(name).map(|tree| tree.total);
        let server = watched(WATCH_SERVER).context("the result holds no cost of the server")?;
        let delay_ceiling = self.delay_ceiling(&measured.reports);
        let of_request = self.request.store.keys().filter_map(|command| measured.reports.get(command));
        let delays: Vec<DelayReport> = of_request.copied().collect();
        row.offered = offered(result);
        row.fault = played.as_ref().map(|played| effect(result, played, self.request.status)).transpose()?;
        let is_store_whole = !self.scenario.fault.is_some_and(|fault| fault.what == What::StoreKilled);
        let store_usage = watched(WATCH_STORE).filter(|_| is_store_whole);
        let evidence = Evidence {
            result,
            cpus: bench.cpus,
            least: self.least(),
            delays: &delays,
            delay_ceiling: delay_ceiling.as_ref().map(|(rate, _)| *rate),
            null_ceiling: self.null_rate,
            store_cpu_s: store_usage.map(|store| store.cpu_s),
            helpers_cpu_s: played.as_ref().map(|played| played.helpers_cpu_s),
            server_cpu_s: server.cpu_s,
        };
        (row.verdict, row.reason) = verdict::judge(&evidence);
        row.error = None;
        let bound = row.offered.as_ref().map(|offered| (offered.per_sec, "the offered rate"));
        let null = self.null_rate.map(|rate| (rate, "null server in the same block"));
        (row.ceiling_per_sec, row.ceiling_source) = lowest(delay_ceiling, [bound, null]).unzip();
        row.requests = result.requests;
        row.requests_total = result.requests_total;
        row.in_flight_at_end = result.in_flight_at_end;
        row.requests_per_sec = result.requests as f64 / result.window_s;
        row.occupancy = result.occupancy;
        row.latency_us = latency(&result.latency_us);
        row.errors = serde_json::from_value(serde_json::to_value(&result.errors)?)?;
        row.server = cost(&server, result.requests);
        row.store = cost(&store_usage.unwrap_or_default(), result.requests);
        row.client = cost(&result.client, result.requests);
        row.box_us_per_request = per_request(verdict::busy_s(&result.cpus) * 1e6, result.requests);
        row.store_commands = measured.counts.clone();
        row.never_answered = result.connections.never_answered;
        row.window_s = result.window_s;
        Ok(())
    }

    /// A row without figures, which is what a failed trial stays.
    fn blank_row(&self, bench: &Bench, store: &Store) -> Row {
        Row {
            scenario: self.scenario.name.clone(),
            stack: self.stack.name.clone(),
            twin: self.twin,
            role: self.stack.role,
            request: self.request.name.clone(),
            mode: self.mode,
            step: self.step,
            trial: self.block,
            repeated: false,
            placement: bench.placement,
            store_name: store.name().to_owned(),
            verdict: Verdict::Failed,
            reason: String::new(),
            error: None,
            requests: 0,
            requests_total: 0,
            in_flight_at_end: 0,
            requests_per_sec: 0.0,
            ceiling_per_sec: None,
            ceiling_source: None,
            offered: None,
            fault: None,
            occupancy: 0.0,
            latency_us: Latency::default(),
            errors: BTreeMap::new(),
            server: Cost::default(),
            store: Cost::default(),
            client: Cost::default(),
            box_us_per_request: 0.0,
            cold_start_ms: None,
            idle_connection_bytes: None,
            store_commands: BTreeMap::new(),
            never_answered: 0,
            workers: self.workers,
            pool: self.scenario.server.pool,
            connections: self.scenario.load.connections,
            yardstick_ms: None,
            warmup_s: Some(self.scenario.warmup().as_secs_f64()),
            window_s: 0.0,
            started: jiff::Timestamp::now().to_string(),
            cpus: bench.cpus.by_process(),
            commands: BTreeMap::from([("store".to_owned(), redacted(store.command()))]),
            server_sha256: self.server_sha256.clone(),
            raw: None,
            wrk: None,
        }
    }
}

/// What can be reached at most, and why: the lowest of what the store's delays allow, what is offered and what the null
/// server reaches.
fn lowest(delay_ceiling: Option<(f64, String)>, others: [Option<(f64, &str)>; 2]) -> Option<(f64, String)> {
    let others = others.into_iter().flatten().map(|(rate, source)| (rate, source.to_owned()));
    delay_ceiling.into_iter().chain(others).min_by(|a, b| a.0.total_cmp(&b.0))
}

/// What an open loop offered.
fn offered(result: &LoadResult) -> Option<Offered> {
    let schedule = result.schedule?;
    Some(Offered {
        per_sec: schedule.rate_from,
        due: result.due()?,
        unsent: result.censored.unsent,
        is_carried: result.is_carried(),
        latency_us: latency(result.latency_corrected_us.as_ref()?),
        lag_us_p50: schedule.lag_us.p50,
        lag_us_p99: schedule.lag_us.p99,
    })
}

fn latency(of: &LatencySummary) -> Latency {
    Latency { min: of.min, mean: of.mean, p50: of.p50, p90: of.p90, p99: of.p99, p999: of.p999, max: of.max }
}

fn cost(usage: &ProcessUsage, requests: u64) -> Cost {
    Cost {
        cpu_us_per_request: per_request(usage.cpu_s * 1e6, requests),
        cpu_s: usage.cpu_s,
        cpu_user_s: usage.user_s,
        cpu_sys_s: usage.sys_s,
        rss_peak_bytes: usage.rss_peak_bytes,
        pss_bytes: usage.pss_bytes,
        threads: usage.threads,
        context_switches_per_request: per_request(usage.context_switches as f64, requests),
    }
}

fn per_request(total: f64, requests: u64) -> f64 {
    if requests == 0 { 0.0 } else { total / requests as f64 }
}

#[cfg(test)]
mod tests;
