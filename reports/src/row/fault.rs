//! What a fault did to the requests of a trial.

use serde::{Deserialize, Serialize};

/// A fault and what followed. Instants are seconds of the window, latencies those from the instants at which requests were
/// due. "Before", "during" and "after" are told by when answers came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultEffect {
    /// When it began, …
    pub from_s: f64,
    /// … and when all was as before.
    pub to_s: f64,
    /// Requests of warm-up and window that will never be answered: their connection broke, or they timed out.
    pub lost: u64,
    /// Answers of the window that were 503.
    pub unavailable: u64,
    /// Answers of the window that were neither 503 nor what was to be expected.
    pub unexpected: u64,
    /// 99th percentile before the fault, in microseconds; null without answers, as the others are.
    pub p99_us_before: Option<u64>,
    /// The same from its beginning until recovery, or to the end of the window if there was none.
    pub p99_us_during: Option<u64>,
    /// From its end until the p99 of a second was within a tenth of what it was before, or within what seconds before the
    /// fault differed by; null if that never came.
    pub recovered_s: Option<f64>,
    /// How long that was watched for: from the fault's end to that of the window.
    pub watched_s: f64,
    /// What a second client saw, where the fault was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// A second client's figures, over the fault.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// What it offered, in requests per second.
    pub offered_per_sec: f64,
    /// What was answered of that.
    pub requests_per_sec: f64,
    /// Answers that were 503.
    pub unavailable: u64,
    /// Requests that will never be answered.
    pub lost: u64,
    /// 99th percentile of the latency from the due instants, in microseconds.
    pub p99_us: u64,
    /// How much later than it could it sent (99th percentile, microseconds).
    pub lag_us_p99: u64,
}
