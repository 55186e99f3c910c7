//! From a run to its result.

use crate::cli::{Options, VERSION_LINE};
use crate::engine::arrivals::Arrival;
use crate::engine::{Plan, Schedule};
use crate::latency::Distribution;
use crate::outcome::{Outcome, encode, hdr_of, turns};
use crate::result::{
    ArrivalKind, ClientVerdict, Histograms, LoadModel, LoadResult, LoadShape, SCHEMA, ScheduleAccount,
};

/// The whole account of a run.
pub fn assemble(
    options: &Options,
    plan: &Plan,
    command: Vec<String>,
    outcome: &Outcome,
    raw: &Distribution,
    verdict: ClientVerdict,
) -> LoadResult {
    let window = &outcome.window;
    let corrected = outcome.corrected.as_ref().map(|latencies| latencies.distribution(u64::MAX));
    let encoded = |distribution: &Distribution| encode(&hdr_of(distribution.counts().iter().copied()));
    LoadResult {
        schema: SCHEMA.to_owned(),
        version: VERSION_LINE.to_owned(),
        command,
        url: options.url_text.clone(),
        load: shape(options, plan),
        window_started_unix_us: window.opened_unix_us,
        window_s: seconds(window.length_ns()),
        requests: outcome.requests,
        requests_total: outcome.requests_total,
        in_flight_at_end: outcome.in_flight,
        bytes: outcome.bytes,
        statuses: outcome.statuses.clone(),
        errors: outcome.errors_total.as_map().clone(),
        latency_us: raw.summary(),
        latency_corrected_us: corrected.as_ref().map(Distribution::summary),
        schedule: schedule(plan, outcome),
        histograms: Histograms { raw: encoded(raw), corrected: corrected.as_ref().map(encoded) },
        censored: outcome.censored(),
        connections: outcome.connections.clone(),
        occupancy: outcome.occupancy,
        per_second: outcome.per_second.clone(),
        per_interval: outcome.per_interval.clone(),
        event_loop_turn_us: outcome.turns,
        client: window.client,
        watched: window.watched.clone(),
        others_cpu_s: window.others_cpu_s,
        cpus: window.cpus.clone(),
        verdict,
    }
}

fn shape(options: &Options, plan: &Plan) -> LoadShape {
    LoadShape {
        model: if plan.schedule == Schedule::Closed { LoadModel::Closed } else { LoadModel::Open },
        threads: options.threads,
        connections: options.connections,
        depth: plan.batch.depth(),
        duration_s: seconds(options.duration_ns),
        warmup_s: seconds(options.warmup_ns),
        spread_s: seconds(options.spread_ns),
        spins: options.spins,
        timeout_s: seconds(options.timeout_ns),
    }
}

fn schedule(plan: &Plan, outcome: &Outcome) -> Option<ScheduleAccount> {
    let Schedule::Open { rate, arrival, seed } = plan.schedule else { return None };
    Some(ScheduleAccount {
        rate_from: rate.from,
        rate_to: rate.to,
        ramp_s: seconds(rate.over_ns),
        arrival: match arrival {
            Arrival::Constant => ArrivalKind::Constant,
            Arrival::Poisson => ArrivalKind::Poisson,
        },
        seed,
        due: Some(outcome.due),
        lag_us: turns(&outcome.lags),
    })
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
