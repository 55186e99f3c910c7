//! The result file: everything one run of the load client found out, as JSON.
//!
//! This is the door between the client and whoever reads its results (the harness, the reports, a person with `jq`).
//! The format is closed: an unknown field is an error. Files of older versions stay readable ([`LoadResult::parse`]).

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Name and version of the format. It changes whenever a field goes or means something else, or one comes that a reader
/// has to know of; a field that readers may do without can come alone, with a default for the files that lack it.
pub const SCHEMA: &str = "stackload-result/3";

/// Every version that can be read. Since the first, fields came and none went: what older files lack has a default.
const READABLE: [&str; 3] = ["stackload-result/1", "stackload-result/2", SCHEMA];

/// One run of the client. All instants are monotonic; all figures are of the window unless their name says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadResult {
    /// [`SCHEMA`].
    pub schema: String,
    /// The client's version, as `stackload --version` prints it.
    pub version: String,
    /// The client's command line, program first.
    pub command: Vec<String>,
    /// The URL argument, verbatim.
    pub url: String,
    /// What load was asked for.
    pub load: LoadShape,
    /// Wall-clock time at which the window opened, in microseconds since the Unix epoch. For cross-referencing logs
    /// only.
    pub window_started_unix_us: u64,
    /// Length of the window as it was, in seconds.
    pub window_s: f64,
    /// Answers completed in the window.
    pub requests: u64,
    /// Answers completed in warm-up and window.
    pub requests_total: u64,
    /// Requests written, wholly or in part, and not answered when the run ended.
    pub in_flight_at_end: u64,
    /// Bytes of answers (heads and bodies) read in the window.
    pub bytes: u64,
    /// Answers of the window by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// What went wrong, in warm-up and window, by kind. Kinds that did not occur are absent.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// Raw latencies of the answers completed in the window, from just before the first byte of the request is written
    /// to the last byte of the answer.
    pub latency_us: LatencySummary,
    /// In the open loop, the same answers' latencies from the instants at which their requests were due.
    pub latency_corrected_us: Option<LatencySummary>,
    /// In the open loop, how well the schedule was kept.
    pub schedule: Option<ScheduleAccount>,
    /// The distributions behind the summaries.
    pub histograms: Histograms,
    /// Requests without an answer at the end, by age.
    pub censored: Censored,
    /// Who was served how often.
    pub connections: Connections,
    /// Share of connection-time spent waiting for an answer: the in-window parts of all requests, answered or still in
    /// flight, over connections × window × depth. 1 for a healthy closed loop. An upper bound of 1 holds by
    /// construction, because the parts of a request's life before and after the window are not counted.
    pub occupancy: f64,
    /// One entry per full second of the window; the last may be shorter, or up to 10 ms longer.
    pub per_second: Vec<Second>,
    /// The same in shorter intervals, where `--interval` asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_interval: Option<Series>,
    /// How long one turn of the client's event loops took, from a return of the kernel's wait to the next call of it:
    /// what an answer that is ready may have to wait before the client looks at it.
    pub event_loop_turn_us: TurnSummary,
    /// The client's own cost.
    pub client: ProcessUsage,
    /// Cost of each process tree named by `--watch-tree`, by its name.
    pub watched: BTreeMap<String, TreeUsage>,
    /// CPU seconds of all processes that are neither the client nor watched, kernel threads included: read as the
    /// window opens and closes, in ticks of 10 ms. What ended in the window is taken from the account that its parent keeps
    /// of children, if it keeps one.
    pub others_cpu_s: f64,
    /// Kernel clock ticks of each CPU over the window, from /proc/stat.
    pub cpus: Vec<CpuTicks>,
    /// What the client itself thinks of this run.
    pub verdict: ClientVerdict,
}

impl LoadResult {
    /// Reads a result file of this version or an older one.
    ///
    /// # Errors
    /// When it is of a version that is not known, or is no result file; names the version, or the line and the column.
    pub fn parse(text: &[u8]) -> Result<Self> {
        /// Read first and alone, so that another version is called that instead of an unknown field.
        #[derive(Deserialize)]
        struct Named {
            schema: String,
        }
        let Named { schema } = serde_json::from_slice(text).context("this is no result file")?;
        ensure!(
            READABLE.contains(&schema.as_str()),
            "this is `{schema}`, and this program reads `{}`",
            READABLE.join("`, `")
        );
        serde_json::from_slice(text).with_context(|| format!("this is not what `{schema}` says"))
    }
}

/// Of what fell due, so much must be answered for a rate to count as carried.
const CARRIED: f64 = 0.99;
/// What is in flight at two instants differs by chance by less than this many standard deviations.
const DEVIATIONS: f64 = 3.0;

impl LoadResult {
    /// In the open loop, the requests that fell due in the window. In a file that does not say, those that were sent in it
    /// and those that were due and never sent, which a queue from before the window is among.
    pub fn due(&self) -> Option<u64> {
        let schedule = self.schedule.as_ref()?;
        Some(schedule.due.unwrap_or(schedule.lag_us.count + self.censored.unsent))
    }

    /// In the open loop, whether the rate was carried: whether 99 % of what fell due was answered. Answers to what was in
    /// flight as the window opened stand for those that came after it closed; by how much the two differ by chance (two
    /// Poisson counts whose mean is rate × latency, by Little's law) is not held against the server.
    pub fn is_carried(&self) -> Option<bool> {
        let due = self.due()? as f64;
        let in_flight = self.requests as f64 * self.latency_us.mean / 1e6 / self.window_s;
        let by_chance = DEVIATIONS * (2.0 * in_flight).sqrt();
        Some(self.requests as f64 + by_chance >= CARRIED * due)
    }
}

/// The load that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadShape {
    /// How sends are scheduled.
    pub model: LoadModel,
    /// Event loops, each on an OS thread of its own.
    pub threads: u32,
    /// Connections over all threads.
    pub connections: u32,
    /// Requests in flight per connection.
    pub depth: u32,
    /// Length of the window asked for.
    pub duration_s: f64,
    /// Length of the warm-up before the window.
    pub warmup_s: f64,
    /// Connection i of c sends first at i·spread/c.
    pub spread_s: f64,
    /// Whether the event loops never slept, so that their CPU time says nothing.
    #[serde(default)]
    pub spins: bool,
    /// Latency from which an answer is counted as [`ErrorKind::Timeout`]; also when an attempt to connect is given up.
    /// A request is never given up: one without an answer stays in flight until the run ends.
    pub timeout_s: f64,
}

/// How sends are scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadModel {
    /// Each connection sends its next request when the previous answer is complete.
    Closed,
    /// Requests are due at instants fixed before the run, and sent on any connection that is free.
    Open,
}

/// Requests offered in the open loop, and how well the client kept to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleAccount {
    /// Requests per second at the beginning of the schedule.
    pub rate_from: f64,
    /// And at its end.
    pub rate_to: f64,
    /// Length of the change from one to the other, in seconds; 0 for a single rate.
    pub ramp_s: f64,
    /// How the instants are spread.
    pub arrival: ArrivalKind,
    /// Of the random ones.
    pub seed: u64,
    /// Requests that fell due in the window, sent or not; null in files older than the field.
    #[serde(default)]
    pub due: Option<u64>,
    /// How much later than it could the client sent, in microseconds: from the later of the due instant and the instant
    /// at which the connection became free.
    pub lag_us: TurnSummary,
}

/// How the instants of the open loop are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArrivalKind {
    /// At equal distances.
    Constant,
    /// At exponentially distributed distances.
    Poisson,
}

/// What can go wrong with a connection or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The kernel refused a socket, or connecting failed for another reason than the two below.
    Connect,
    /// Nobody listens there.
    ConnectRefused,
    /// No connection within the timeout.
    ConnectTimeout,
    /// The TLS handshake failed, or what came after it could not be decrypted.
    Tls,
    /// Writing a request failed.
    Write,
    /// Reading an answer failed (reset by the peer, for example).
    Read,
    /// The peer closed before or inside an answer.
    Eof,
    /// Not HTTP, or HTTP that breaks its own rules.
    Protocol,
    /// No answer within the timeout. Counted when the timeout is over, once a batch; the connection goes on waiting,
    /// and an answer that comes after all has its whole time in the distribution. One that never comes is in
    /// [`Censored`].
    Timeout,
    /// A status above 399.
    Status,
    /// A status other than `--expect-status`.
    UnexpectedStatus,
    /// A body that differs from `--expect-body` in length, or, where it was sampled, in bytes.
    UnexpectedBody,
}

/// Moments and percentiles of a latency distribution, in microseconds; all 0 when `count` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencySummary {
    /// Latencies recorded.
    pub count: u64,
    /// Smallest.
    pub min: u64,
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (n − 1).
    pub stdev: f64,
    /// 50th percentile.
    pub p50: u64,
    /// 75th percentile.
    pub p75: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

/// HDR histograms, V2 encoding (uncompressed), base64, values in microseconds, 3 significant digits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histograms {
    /// Latencies as measured.
    pub raw: String,
    /// Latencies from the intended instants; absent in the closed loop, which has none.
    pub corrected: Option<String>,
}

/// Requests without an answer when the run ended. Ages are counted from the instant at which a request was due, which
/// in the closed loop is when it was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Censored {
    /// How many: sent, and in the open loop also those that were due and found no connection.
    pub count: u64,
    /// The latter alone. Files older than the open loop have none.
    #[serde(default)]
    pub unsent: u64,
    /// Age of the youngest, in microseconds; 0 when there is none.
    pub age_min_us: u64,
    /// Median age.
    pub age_median_us: u64,
    /// Age of the oldest.
    pub age_max_us: u64,
    /// HDR V2 histogram of the ages, base64.
    pub ages: String,
}

/// Who was served how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// Answers in the window, per connection, in the order of the connections.
    pub answers: Vec<u64>,
    /// Connections that never finished a request, warm-up included.
    pub never_answered: u64,
    /// Connections whose request was waiting, unanswered, for more than the smaller of timeout and half the window when
    /// the run ended; on one that was answered before, also for more than ten times the median latency of the window,
    /// so that a slow server that serves all in turn starves none. A connection that was that long in being established
    /// counts too.
    pub starved: u64,
    /// Fewest answers of a connection in the window.
    pub answers_min: u64,
    /// Median answers of a connection.
    pub answers_median: u64,
    /// Most answers of a connection.
    pub answers_max: u64,
    /// Jain's fairness index of `answers`: 1 when all are equal, 1/c when one has all; 0 when there were no answers.
    pub jain: f64,
    /// Connections opened, the replacement of closed ones included.
    pub opened: u64,
}

/// One second of the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Second {
    /// Answers.
    pub requests: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Errors of all kinds.
    pub errors: u64,
    /// HDR V2 histogram of the latencies, base64: raw ones in the closed loop, from the intended instants in the open
    /// one.
    pub latency: String,
}

/// The window in intervals that are shorter than a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Length of each; the last may be shorter.
    pub interval_s: f64,
    /// What each held.
    pub intervals: Vec<Second>,
}

/// Times of the client's own: turns of its event loops, or how late it sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnSummary {
    /// How many in the window, over all threads.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Longest.
    pub max: u64,
}

/// What one process used in the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessUsage {
    /// CPU seconds from the kernel's per-process CPU clock; of a tree, also those of the processes that ended in the
    /// window, which are counted in ticks of 10 ms.
    pub cpu_s: f64,
    /// User part, in seconds. Sampled by ticks: indicative only.
    pub user_s: f64,
    /// Kernel part, in seconds. Sampled by ticks: indicative only.
    pub sys_s: f64,
    /// Peak resident set up to the end of the window, in bytes.
    pub rss_peak_bytes: u64,
    /// Proportional set size right after the window, in bytes, the connections of the load still open: memory that processes
    /// share is divided among them, so that it may be added up over a tree. Null where the kernel does not say, and in
    /// files older than the field.
    #[serde(default)]
    pub pss_bytes: Option<u64>,
    /// Threads at the end of the window.
    pub threads: u64,
    /// Context switches, voluntary and not, of the threads that are there at the end of the window. They are read up to
    /// 200 ms before the window opens and again after it has closed; the difference is scaled by window ÷ time between
    /// the two readings. A thread that was not seen at the first reading counts in full; one that has ended is not
    /// counted.
    pub context_switches: u64,
}

/// What a process and its descendants used in the window.
///
/// Of a process that ended in the window, the CPU time is taken from what its parent's account of children gained, less what
/// the process had used before. Both are in ticks of 10 ms, so each such parent and process may be off by a tick or two. A
/// parent that ignores SIGCHLD keeps no such account, and who outlives his parent may be waited for outside the tree: the
/// CPU time of these is not in `total`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeUsage {
    /// The root's process id.
    pub pid: u32,
    /// Sum over the tree (peak resident sets are added up).
    pub total: ProcessUsage,
    /// Processes in the tree at the end of the window.
    pub processes: u64,
    /// Descendants that appeared in the window.
    pub appeared: Vec<u32>,
    /// Descendants that were there when the window opened and vanished in it. Those that came and went within it are not
    /// named, though their CPU time is in `total`.
    pub vanished: Vec<u32>,
    /// False when the root itself was gone at the end of the window; `total` then holds what could still be read.
    pub alive: bool,
}

/// Kernel clock ticks (1/100 s) one CPU spent in each state over the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuTicks {
    /// CPU number.
    pub cpu: u32,
    /// User mode, niced included.
    pub user: u64,
    /// Kernel mode.
    pub system: u64,
    /// Interrupts, hard and soft.
    pub irq: u64,
    /// Idle, waiting for I/O included.
    pub idle: u64,
    /// Taken by the hypervisor.
    pub steal: u64,
}

impl CpuTicks {
    /// Share of the time that the hypervisor gave this CPU in which it was not idle, 0 to 1.
    pub fn busy(&self) -> f64 {
        let busy = self.user + self.system + self.irq;
        let all = busy + self.idle;
        if all == 0 { 0.0 } else { busy as f64 / all as f64 }
    }
}

/// What the client itself thinks of a run, with the reason in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientVerdict {
    /// The kind.
    pub kind: ClientVerdictKind,
    /// One sentence that names the figures it rests on; empty for `ok`.
    pub reason: String,
}

/// Kinds of [`ClientVerdict`], worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientVerdictKind {
    /// Connections went without answers.
    Starved,
    /// Errors occurred.
    Errors,
    /// The client's event loop was late for more than a tenth of the median latency, or sent requests late, or its
    /// threads were saturated.
    ClientLimited,
    /// Nothing to object.
    Ok,
}
