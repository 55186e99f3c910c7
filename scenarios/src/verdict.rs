//! Verdicts: what a trial's figures may be used for. A pure function of what was seen.
//!
//! # Layout
//! - [`noise`]: whether others used the machine.

use std::time::Duration;

use stackbench_reports::row::Verdict;
use stackload::find::LAG_US_MAX;
use stackload::result::{ClientVerdictKind, CpuTicks, ErrorKind, LoadResult, Second};

use crate::store::DelayReport;

pub(crate) mod noise;

/// A server whose CPUs were busy for this share of the window decided the throughput itself.
const SATURATED: f64 = 0.95;
/// Peers whose CPUs were busy for this share of the window decided it instead.
const PEERS_SATURATED: f64 = 0.90;
/// A throughput this close to its ceiling could not have been higher.
const AT_CEILING: f64 = 0.99;
/// … and this close, with nobody saturated, it is the delay that shows.
const NEAR_CEILING: f64 = 0.95;
/// Of two peers on shared CPUs, one that used this share of their time is named alone.
const DOMINANT_PEER: f64 = 0.65;
/// Lateness of the store that matters: this share of the delay and …
const STORE_LATE_SHARE: f64 = 0.05;
/// … this much in absolute terms.
const STORE_LATE_US: f64 = 2_000.0;
/// Difference between the first and the last third of a window that makes it unsteady.
const UNSTEADY: f64 = 0.05;

/// Everything a verdict rests on.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The client's result.
    pub result: &'a LoadResult,
    /// CPUs of the server, of the store and of the client; empty for "any".
    pub cpus: &'a crate::placement::Cpus,
    /// The least an answer of this request can take, by the store's delays.
    pub least: Duration,
    /// What the store measured of its delays, for the commands of this request.
    pub delays: &'a [DelayReport],
    /// What the store's delays, and the size of a pool, let this cell reach, per second.
    pub delay_ceiling: Option<f64>,
    /// What a server reached that does nothing, per second.
    pub null_ceiling: Option<f64>,
    /// CPU seconds of the store in the window; `None` if it is not ours to measure.
    pub store_cpu_s: Option<f64>,
    /// CPU seconds of those who played the fault of the step; none where nothing went wrong.
    pub helpers_cpu_s: Option<f64>,
    /// CPU seconds of the server in the window.
    pub server_cpu_s: f64,
}

/// A verdict and its reason: one sentence that says what was seen and, where something can be done, what; empty for `ok`.
pub type Judgement = (Verdict, String);

/// Judges a trial. The order is from what spoils everything to what spoils a rank only.
pub fn judge(evidence: &Evidence) -> Judgement {
    errors(evidence)
        .or_else(|| starved(evidence))
        .or_else(|| impossible(evidence))
        // A disturbed machine makes stores late; a late store does not disturb a machine.
        .or_else(|| noise::noisy(evidence))
        .or_else(|| store_late(evidence))
        .or_else(|| lagging(evidence))
        .or_else(|| faulty(evidence))
        .or_else(|| unsteady(evidence))
        .unwrap_or_else(|| limit(evidence))
}

/// A window in which something goes wrong on purpose is unsteady on purpose, and what was carried of what was offered is
/// told by the effect.
fn faulty(evidence: &Evidence) -> Option<Judgement> {
    evidence.helpers_cpu_s.map(|_| (Verdict::Ok, String::new()))
}

/// What went wrong. A status above 399 is no error by itself: the client was told which status to expect, and counts any
/// other as unexpected.
pub fn error_counts(result: &LoadResult) -> impl Iterator<Item = (&ErrorKind, &u64)> {
    result.errors.iter().filter(|(kind, _)| **kind != ErrorKind::Status)
}

/// Of these, requests that got no answer; the others got one that was not to be expected.
pub fn unanswered_counts(result: &LoadResult) -> impl Iterator<Item = (&ErrorKind, &u64)> {
    error_counts(result).filter(|(kind, _)| !matches!(kind, ErrorKind::UnexpectedStatus | ErrorKind::UnexpectedBody))
}

fn errors(evidence: &Evidence) -> Option<Judgement> {
    let result = evidence.result;
    // Under a fault, refusing is what a server should do; how often it did is told by the effect.
    let counts: Vec<(&ErrorKind, &u64)> = match evidence.helpers_cpu_s {
        None => error_counts(result).collect(),
        Some(_) => unanswered_counts(result).collect(),
    };
    // Connections that starve may time out as well; `starved` says more.
    if counts.is_empty() || result.verdict.kind == ClientVerdictKind::Starved {
        return None;
    }
    let kinds: Vec<String> = counts.into_iter().map(|(kind, n)| format!("{n} × {}", kebab(kind))).collect();
    Some((Verdict::Errors, format!("{} in {} answers", kinds.join(", "), evidence.result.requests_total)))
}

fn kebab(kind: &ErrorKind) -> String {
    serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn starved(evidence: &Evidence) -> Option<Judgement> {
    if evidence.result.verdict.kind != ClientVerdictKind::Starved {
        return None;
    }
    let (connections, load) = (&evidence.result.connections, &evidence.result.load);
    let served = connections.answers.iter().filter(|answers| **answers > 0).count();
    Some((
        Verdict::Starved,
        format!(
            "serves {served} of {} connections and starves {}; the oldest request waited {:.1} s",
            load.connections,
            connections.starved.max(connections.never_answered),
            evidence.result.censored.age_max_us as f64 / 1e6
        ),
    ))
}

fn impossible(evidence: &Evidence) -> Option<Judgement> {
    let (min, least) = (evidence.result.latency_us.min, evidence.least.as_micros() as u64);
    (evidence.result.latency_us.count > 0 && min < least).then(|| {
        let what = "answers before the store does";
        (Verdict::Impossible, format!("{what}: the fastest answer took {min} µs, the store's delay is {least} µs"))
    })
}

fn store_late(evidence: &Evidence) -> Option<Judgement> {
    // Without a delay there is none to be late on: what a fault adds for a while is its own.
    if evidence.least.is_zero() {
        return None;
    }
    let delay_us = evidence.least.as_micros() as f64;
    let late = evidence.delays.iter().map(|delay| delay.late_us_p99).fold(0.0, f64::max);
    (late > STORE_LATE_US && late > STORE_LATE_SHARE * delay_us).then(|| {
        (
            Verdict::StoreLate,
            format!("the store was late by {:.1} ms (p99) on a delay of {:.0} ms", late / 1e3, delay_us / 1e3),
        )
    })
}

/// Busy time of CPUs, in seconds.
pub fn busy_s(cpus: &[CpuTicks]) -> f64 {
    cpus.iter().map(|cpu| seconds(cpu.user + cpu.system + cpu.irq + cpu.steal)).sum()
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn lagging(evidence: &Evidence) -> Option<Judgement> {
    let late_us = evidence.result.schedule?.lag_us.p99;
    (late_us > LAG_US_MAX).then(|| {
        let text = format!("the client sent {:.1} ms (p99) later than it could have", late_us as f64 / 1e3);
        (Verdict::ClientLimited, format!("{text}; more client threads or CPUs, or a lower rate"))
    })
}

fn unsteady(evidence: &Evidence) -> Option<Judgement> {
    // The last entry may be a fraction of a second.
    let whole = evidence.result.per_second.len().min(evidence.result.window_s.floor() as usize);
    if whole < 2 {
        return None;
    }
    // Two seconds have no thirds but a first and a last one.
    let end = (whole / 3).max(1);
    let rate = |part: &[Second]| part.iter().map(|second| second.requests).sum::<u64>() as f64 / end as f64;
    let seconds = &evidence.result.per_second[..whole];
    let (first, last) = (rate(&seconds[..end]), rate(&seconds[whole - end..]));
    ((last - first).abs() > UNSTEADY * first.max(last)).then(|| {
        let part = if whole < 3 { "second" } else { "third" };
        let text = format!("{first:.0}/s in the first {part} of the window, {last:.0}/s in the last");
        (Verdict::Unsteady, format!("{text}; lengthen the warm-up or the window"))
    })
}

/// Who or what bounded the throughput. An offered rate that was carried bounds it by itself.
fn limit(evidence: &Evidence) -> Judgement {
    let result = evidence.result;
    let (Some(schedule), Some(is_carried)) = (result.schedule, result.is_carried()) else {
        return limit_of_server(evidence);
    };
    if is_carried {
        return (Verdict::Ok, String::new());
    }
    let (offered, carried) = (schedule.rate_from, result.requests as f64 / result.window_s);
    let (verdict, reason) = limit_of_server(evidence);
    let why = if reason.is_empty() { String::new() } else { format!("; {reason}") };
    (verdict, format!("offered {offered:.0}/s, carried {carried:.0}/s{why}"))
}

fn limit_of_server(evidence: &Evidence) -> Judgement {
    let rate = evidence.result.requests as f64 / evidence.result.window_s;
    let share_of = |ceiling: Option<f64>| ceiling.map_or(0.0, |ceiling| rate / ceiling);
    let server = server_share(evidence);
    if server >= SATURATED {
        return (Verdict::Ok, String::new());
    }
    let of_delays = share_of(evidence.delay_ceiling);
    if of_delays >= NEAR_CEILING && (of_delays >= AT_CEILING || peers(evidence).is_none()) {
        let text = format!("{:.1} % of the ceiling that the store's delay sets", 100.0 * of_delays);
        return (Verdict::LatencyBound, text);
    }
    if share_of(evidence.null_ceiling) >= AT_CEILING {
        return (Verdict::Ok, String::new());
    }
    if let Some(judgement) = peers(evidence) {
        return judgement;
    }
    if evidence.result.verdict.kind == ClientVerdictKind::ClientLimited {
        return (Verdict::ClientLimited, evidence.result.verdict.reason.clone());
    }
    let text = format!("the server's CPUs were {:.0} % busy and no ceiling was reached", 100.0 * server);
    (Verdict::Idle, format!("{text}; something else holds it back (locks, too small a pool, waiting)"))
}

/// How busy the server's CPUs were, of the time that the hypervisor gave them; where others may use them too, how much of
/// them the server itself used.
fn server_share(evidence: &Evidence) -> f64 {
    if !evidence.cpus.server_is_alone() {
        return evidence.server_cpu_s / (evidence.result.window_s * evidence.cpus.of_server().len() as f64);
    }
    busy_share(evidence, &evidence.cpus.server)
}

/// Whether client or store, on their CPUs or on all, left too little to the others.
fn peers(evidence: &Evidence) -> Option<Judgement> {
    let cpus = evidence.cpus;
    let apart = !cpus.server.is_empty() && !cpus.store.is_empty() && !cpus.peers_share();
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let text = |who: &str, share: f64| format!("the CPUs of {who} were {} busy, the server's were not", percent(share));
    if apart {
        let (client, store) = (busy_share(evidence, &cpus.client), busy_share(evidence, &cpus.store));
        return match (client >= PEERS_SATURATED, store >= PEERS_SATURATED) {
            (true, true) => Some((Verdict::PeerLimitedBoth, text("client and store", client.min(store)))),
            (true, false) => Some((Verdict::PeerLimitedClient, text("the client", client))),
            (false, true) => Some((Verdict::PeerLimitedStore, text("the store", store))),
            (false, false) => None,
        };
    }
    let shared = if cpus.client.is_empty() { &cpus.allowed } else { &cpus.client };
    let busy = busy_share(evidence, shared);
    (busy >= PEERS_SATURATED).then(|| {
        let (client_s, store_s) = (evidence.result.client.cpu_s, evidence.store_cpu_s.unwrap_or_default());
        let share = client_s / (client_s + store_s).max(f64::MIN_POSITIVE);
        let whose = if cpus.client.is_empty() { "all CPUs were" } else { "the CPU of client and store was" };
        let text =
            format!("{whose} {} busy ({} of what the two used went to the client)", percent(busy), percent(share));
        match share {
            share if share >= DOMINANT_PEER => (Verdict::PeerLimitedClient, text),
            share if share <= 1.0 - DOMINANT_PEER => (Verdict::PeerLimitedStore, text),
            _ => (Verdict::PeerLimitedBoth, text),
        }
    })
}

/// Mean busy share of a set of CPUs.
fn busy_share(evidence: &Evidence, set: &[u32]) -> f64 {
    let of_set: Vec<f64> = evidence.result.cpus.iter().filter(|c| set.contains(&c.cpu)).map(CpuTicks::busy).collect();
    if of_set.is_empty() { 0.0 } else { of_set.iter().sum::<f64>() / of_set.len() as f64 }
}

#[cfg(test)]
pub(crate) mod tests;
