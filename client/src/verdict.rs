//! What the client itself thinks of a run.

use serde::Serialize;

use crate::cli::Options;
use crate::extended::Extended;
use crate::latency::Distribution;
use crate::outcome::Outcome;
use crate::result::{ClientVerdict, ClientVerdictKind, ErrorKind};
use crate::units::format_time_us;

/// The event loop may be late by this share of the median latency.
const TURN_SHARE_MAX: f64 = 0.10;

/// Requests of the open loop may be sent this much late, or by the share above of the median latency.
const LAG_MAX_US: u64 = 1000;

/// A thread that uses more of its CPU than this has nothing left to be faster with.
const THREAD_BUSY_MAX: f64 = 0.95;

/// Judges a run. Whoever expects a status of 400 or above does not want it counted as an error.
pub fn judge(outcome: &Outcome, raw: &Distribution, options: &Options) -> ClientVerdict {
    let reasons = [
        (ClientVerdictKind::Starved, starved(outcome)),
        (ClientVerdictKind::Errors, errors(outcome, options.expect_status.is_some())),
        (ClientVerdictKind::ClientLimited, client_limited(outcome, raw, options.spins)),
    ];
    let worst = reasons.into_iter().find_map(|(kind, reason)| Some(ClientVerdict { kind, reason: reason? }));
    worst.unwrap_or(ClientVerdict { kind: ClientVerdictKind::Ok, reason: String::new() })
}

/// Connections that waited for an answer, or for being established, when the run ended, and had for too long: see
/// [`crate::result::Connections::starved`].
fn starved(outcome: &Outcome) -> Option<String> {
    let connections = &outcome.connections;
    if connections.starved == 0 {
        return None;
    }
    let mut reason = format!(
        "of {} connections, {} never had an answer and {} were left waiting at the end",
        connections.answers.len(),
        connections.never_answered,
        connections.starved
    );
    if let Some(oldest_us) = outcome.ages_us.last() {
        reason += &format!(", the oldest request for {}", format_time_us(Extended::from(*oldest_us)).trim_end());
    }
    if outcome.starved_connecting > 0 {
        reason += &format!("; {} of them were still being established", outcome.starved_connecting);
    }
    Some(reason)
}

fn errors(outcome: &Outcome, expects_status: bool) -> Option<String> {
    let counted = |kind: &ErrorKind| !(expects_status && *kind == ErrorKind::Status);
    let kinds: Vec<String> = outcome
        .errors_total
        .as_map()
        .iter()
        .filter(|(kind, _)| counted(kind))
        .map(|(kind, count)| format!("{} {count}", kind_name(*kind)))
        .collect();
    (!kinds.is_empty()).then(|| kinds.join(", "))
}

fn client_limited(outcome: &Outcome, raw: &Distribution, spins: bool) -> Option<String> {
    if !spins && outcome.busiest_thread >= THREAD_BUSY_MAX {
        let percent = outcome.busiest_thread * 100.0;
        return Some(format!("an event loop used {percent:.1} % of its CPU: more threads (-t) or CPUs may go faster"));
    }
    let (turn_us, median_us) = (outcome.turns.p99, raw.percentile(50.0));
    let lag_us = outcome.lags.value_at_quantile(0.99);
    if !outcome.lags.is_empty() && lag_us > LAG_MAX_US.max((median_us as f64 * TURN_SHARE_MAX) as u64) {
        return Some(format!(
            "one request in a hundred was sent {} or more after it was due, though a connection was free",
            format_time_us(Extended::from(lag_us)).trim_end()
        ));
    }
    let is_late = raw.count() > 0 && turn_us as f64 > median_us as f64 * TURN_SHARE_MAX;
    is_late.then(|| {
        format!(
            "99th percentile of the event loop's turn is {turn_us} us, above a tenth of the median latency of \
             {median_us} us"
        )
    })
}

/// The name of a kind of error or verdict, as in the result file.
pub fn kind_name(kind: impl Serialize) -> String {
    let name = serde_json::to_value(kind).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}
