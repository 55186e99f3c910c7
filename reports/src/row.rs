//! A row: one trial of one cell, as a line of `rows.jsonl`.
//!
//! Rows are the door between the harness and the reports. The format is closed (an unknown field is an error); the raw
//! result file of the client, named by [`Row::raw`], holds what a row only sums up.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

mod fault;

pub use fault::{Beside, FaultEffect};

/// Name and version of the format of `run.json` and `rows.jsonl` together.
pub const SCHEMA: &str = "stackbench-run/1";

/// One trial of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Scenario's name.
    pub scenario: String,
    /// Stack's name.
    pub stack: String,
    /// Which name of an A/A pair this is: 2 for the second; null for the first, which is the stack's own and that of every
    /// ordinary row.
    pub twin: Option<u8>,
    /// What the stack is in the suite.
    pub role: Role,
    /// Request's name, for example `cache_hit`.
    pub request: String,
    /// Which mode answered.
    pub mode: Mode,
    /// Step of the load, counted from 0; null for scenarios of one step.
    pub step: Option<u32>,
    /// Block in which this trial ran, from 1. Every cell of a scenario runs once in each block.
    pub trial: u32,
    /// This trial was `noisy` and was measured again: it is kept, but left out of every table. False in runs made before
    /// trials were repeated.
    #[serde(default)]
    pub repeated: bool,
    /// Which CPUs the processes might use.
    pub placement: Placement,
    /// Store in words: `embedded`, `redis 7.0.15`, …
    pub store_name: String,
    /// What the figures may be used for.
    pub verdict: Verdict,
    /// The verdict's reason in one sentence that says what was seen; empty for `ok`.
    pub reason: String,
    /// Why the trial failed; null unless `verdict` is `failed`.
    pub error: Option<String>,
    /// Answers in the window.
    pub requests: u64,
    /// Answers in warm-up and window.
    pub requests_total: u64,
    /// Requests sent and not answered when the client stopped.
    pub in_flight_at_end: u64,
    /// Answers per second over the window.
    pub requests_per_sec: f64,
    /// What this cell could reach at most, per second; null if nothing bounds it but the machine and no ceiling was
    /// measured.
    pub ceiling_per_sec: Option<f64>,
    /// Where the ceiling comes from, in words: `2000 connections / 200.1 ms`, `null server`, …; null with the ceiling.
    pub ceiling_source: Option<String>,
    /// What an open loop offered; null in a closed one, and in runs older than the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<Offered>,
    /// What a fault did in the window; null where there was none, and in runs older than the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultEffect>,
    /// The client's occupancy ρ.
    pub occupancy: f64,
    /// Raw latencies: from just before the first byte is written.
    pub latency_us: Latency,
    /// Errors by kind, warm-up included.
    pub errors: BTreeMap<String, u64>,
    /// Cost of the server's process tree in the window.
    pub server: Cost,
    /// Cost of the store's process tree; all zero if the harness did not start it.
    pub store: Cost,
    /// Cost of the client.
    pub client: Cost,
    /// Busy time of all CPUs of the machine, per answer, in microseconds; what the three
    /// costs do not explain are other programs, interrupts and the error of sampling by clock ticks.
    pub box_us_per_request: f64,
    /// From the start of the server's process to its first answer, in milliseconds; null for failed trials and in runs
    /// older than the field.
    #[serde(default)]
    pub cold_start_ms: Option<f64>,
    /// Resident memory of the server's process tree that each idle connection takes, in bytes: measured once for each
    /// stack and number of connections, on a server process of its own, right after the trial that carries it. Null in
    /// all other rows.
    #[serde(default)]
    pub idle_connection_bytes: Option<f64>,
    /// Commands the store saw in the whole trial, the harness's own left out.
    pub store_commands: BTreeMap<String, u64>,
    /// Connections that never finished a request.
    pub never_answered: u64,
    /// Server workers.
    pub workers: u32,
    /// Blocking threads, and blocking store connections.
    pub pool: u32,
    /// Connections of the load.
    pub connections: u32,
    /// CPU time in milliseconds that a fixed piece of work took on the server's CPU, right before the load and right after
    /// it; null in runs older than the field, and where the kernel forbade the binding.
    #[serde(default)]
    pub yardstick_ms: Option<[f64; 2]>,
    /// Length of the warm-up before the window, in seconds; null in runs older than the field.
    #[serde(default)]
    pub warmup_s: Option<f64>,
    /// Length of the window, in seconds.
    pub window_s: f64,
    /// When the trial began, RFC 3339, UTC.
    pub started: String,
    /// CPUs each process was bound to, by `server`, `store` and `client`; empty lists when free.
    pub cpus: BTreeMap<String, Vec<u32>>,
    /// Command lines, by `server`, `store` and `client`.
    pub commands: BTreeMap<String, Vec<String>>,
    /// SHA-256 of the server's program file, in hexadecimal; null if it could not be read.
    pub server_sha256: Option<String>,
    /// The client's result file, relative to the run directory; null if there is none.
    pub raw: Option<String>,
    /// The client's wrk report, relative to the run directory; null if there is none.
    pub wrk: Option<String>,
}

/// Why a line is no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}{}: {why}", in_field(field))]
pub struct NoRow {
    /// Where in the line, from 1.
    pub column: usize,
    /// The field, as a path (`server.threads`); empty where the line as a whole is none.
    pub field: String,
    /// Why.
    pub why: String,
}

fn in_field(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!(", field `{field}`") }
}

impl Row {
    /// Reads a line of `rows.jsonl`.
    ///
    /// # Errors
    /// When it is no row of this version; names column and field. Which line it is, the caller knows.
    pub fn parse(line: &[u8]) -> Result<Self, NoRow> {
        let mut json = serde_json::Deserializer::from_slice(line);
        let row = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            NoRow::new(if path == "." { String::new() } else { path }, error.inner())
        })?;
        json.end().map_err(|error| NoRow::new(String::new(), &error))?;
        Ok(row)
    }

    /// Which trial of a run this is a row of.
    pub fn slot(&self) -> Slot {
        Slot {
            scenario: self.scenario.clone(),
            stack: self.stack.clone(),
            twin: self.twin,
            request: self.request.clone(),
            mode: self.mode,
            step: self.step,
            trial: self.trial,
            placement: self.placement,
            store_name: self.store_name.clone(),
        }
    }
}

impl NoRow {
    /// The parser sees one line and calls it the first; that is taken off.
    fn new(field: String, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        Self { column: error.column(), field, why: text.strip_suffix(&place).unwrap_or(&text).to_owned() }
    }
}

/// A trial of a run: a cell in a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    scenario: String,
    stack: String,
    twin: Option<u8>,
    request: String,
    mode: Mode,
    step: Option<u32>,
    trial: u32,
    placement: Placement,
    store_name: String,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, stack, request, .. } = self;
        let mode = match self.mode {
            Mode::Sync => "sync",
            Mode::Async => "async",
        };
        write!(f, "`{scenario} {stack} {request} {mode}")?;
        if let Some(step) = self.step {
            write!(f, " step {step}")?;
        }
        if let Some(twin) = self.twin {
            write!(f, " A/A {twin}")?;
        }
        write!(f, " block {}`", self.trial)
    }
}

/// What an open loop offered, and how well the client kept to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offered {
    /// Requests per second that were asked for.
    pub per_sec: f64,
    /// Requests that fell due in the window, sent in it or never.
    pub due: u64,
    /// Requests that were due and never sent, because no connection was free.
    pub unsent: u64,
    /// Whether it was carried: whether 99 % of what fell due was answered, give or take what chance does; null in runs older
    /// than the field.
    #[serde(default)]
    pub is_carried: Option<bool>,
    /// Latencies from the instants at which the requests were due.
    pub latency_us: Latency,
    /// How much later than it could the client sent, in microseconds: the median, …
    pub lag_us_p50: u64,
    /// … and the 99th percentile.
    pub lag_us_p99: u64,
}

/// Percentiles of latency, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Smallest.
    pub min: u64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

/// What a process tree used in the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// CPU time per answer, in microseconds, by the kernel's per-process CPU clock.
    pub cpu_us_per_request: f64,
    /// CPU time, in seconds.
    pub cpu_s: f64,
    /// User part; indicative (tick-sampled).
    pub cpu_user_s: f64,
    /// Kernel part; indicative (tick-sampled).
    pub cpu_sys_s: f64,
    /// Peak resident set, in bytes.
    pub rss_peak_bytes: u64,
    /// Proportional set size right after the window, in bytes: what processes share is divided among them. Null where the
    /// kernel does not say, and in runs older than the field.
    #[serde(default)]
    pub pss_bytes: Option<u64>,
    /// Threads at the end of the window.
    pub threads: u64,
    /// Context switches per answer.
    pub context_switches_per_request: f64,
}

/// What a stack is in the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// One of the compared.
    Stack,
    /// Does nothing but answer: what client and machine can do at most.
    Ceiling,
    /// Does the work with nothing around it: what the job costs at least.
    Floor,
    /// Cheats on purpose, so that the suite can show that it notices.
    Trap,
}

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// `/sync/…`: the blocking store client.
    Sync,
    /// `/async/…`: the asynchronous store client.
    Async,
}

/// Which CPUs the processes might use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// The server alone on its CPUs; workers = those CPUs. At steps over workers it has as many CPUs as they say, where need
    /// be those of client and store as well: [`Row::cpus`] tells.
    Pinned,
    /// No binding; workers = CPUs of the machine. At steps over workers the server alone is bound, to as many CPUs.
    Free,
}

/// What a row's figures may be used for. Only [`Verdict::Ok`] and [`Verdict::LatencyBound`] enter a rank on speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The throughput is the server's own.
    Ok,
    /// The delay's or the pool's ceiling was reached and nobody was saturated.
    LatencyBound,
    /// The client's CPUs were saturated by others than the server.
    #[serde(rename = "peer-limited(client)")]
    PeerLimitedClient,
    /// The store's CPUs were.
    #[serde(rename = "peer-limited(store)")]
    PeerLimitedStore,
    /// Client and store share CPUs, and these were saturated.
    #[serde(rename = "peer-limited(both)")]
    PeerLimitedBoth,
    /// The load client was too late to see answers in time.
    ClientLimited,
    /// The store answered later than its delays say.
    StoreLate,
    /// Nobody was busy, and no ceiling explains it.
    Idle,
    /// Connections went without answers.
    Starved,
    /// Answers came sooner than the store could have answered.
    Impossible,
    /// Errors occurred.
    Errors,
    /// The first and the last third of the window differ.
    Unsteady,
    /// The machine was disturbed.
    Noisy,
    /// No figure: the reason is in [`Row::error`].
    Failed,
}
