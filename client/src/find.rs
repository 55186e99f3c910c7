//! `--find-rate`: the highest rate at which an objective is met.

use std::fmt;
use std::sync::Arc;

use anyhow::Result;

use crate::censored::Observed;
use crate::cli::{Options, RATE_MAX};
use crate::engine::Schedule;
use crate::engine::arrivals::{Arrival, Rate};
use crate::load;
use crate::result::LoadResult;
use crate::result_file;
use crate::run::{self, Signals};
use crate::search::{Found, Next, Search, Settings};
use crate::threshold::Threshold;
use crate::verdict;

/// Where the search begins without `-R`.
const START: f64 = 1_000.0;
/// Below a request a second nobody asks how many.
const LEAST: f64 = 1.0;
/// How near the bounds come to each other.
const PRECISION: f64 = 0.05;
/// How often each bound is tried.
const CONFIRMATIONS: u32 = 3;
/// Enough for every rate from the least to the most, with each bound tried again and some that change sides.
const TRIALS_MAX: u32 = 48;
/// A client that sends later than this (99th percentile, microseconds) does not offer what it says.
pub const LAG_US_MAX: u64 = 1_000;
/// Length of the warm-up where none is given: this part of the window's.
const WARMUP_PART: u64 = 4;
/// A window shorter than this share of what was asked for was interrupted.
const WHOLE: f64 = 0.99;

/// One trial of the search.
#[derive(Debug)]
pub struct Trial {
    /// The rate that was offered, per second.
    pub rate: f64,
    /// What came of it.
    pub result: LoadResult,
    /// Why the objective was missed; none if it was met.
    pub missed: Option<Missed>,
}

/// Why a rate does not count as one at which the objective is met; `Display` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missed {
    /// The client did not offer what it was to offer: this says nothing of the server.
    ByClient(String),
    /// The server did not answer what fell due, or not as the objective demands.
    ByServer(String),
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::ByClient(why) | Self::ByServer(why)) = self;
        f.write_str(why)
    }
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ended {
    /// With an answer.
    Found(Found),
    /// By a signal.
    Interrupted,
}

/// Searches, and tells of each trial. Every one has a seed of its own, drawn from the options' in order, so that a search
/// over a system that always does the same always goes the same way.
///
/// # Errors
/// When the server cannot be reached or the kernel refuses what is needed.
pub fn find(
    options: &Options,
    objective: &[Threshold],
    signals: &mut Signals,
    mut told: impl FnMut(u32, &Trial),
) -> Result<Ended> {
    let (start, arrival, seed) = match options.schedule {
        Schedule::Open { rate, arrival, seed } => (rate.to, arrival, seed),
        Schedule::Closed => (START, Arrival::Poisson, 0),
    };
    // Without a warm-up the answers to what is in flight at the end would be missing, and nothing would stand for them.
    let warmup_ns = if options.warmup_ns == 0 { options.duration_ns / WARMUP_PART } else { options.warmup_ns };
    let options = &Options { warmup_ns, ..options.clone() };
    let mut search = Search::new(Settings {
        start,
        least: LEAST,
        most: RATE_MAX,
        precision: PRECISION,
        confirmations: CONFIRMATIONS,
        trials_max: TRIALS_MAX,
    });
    loop {
        let rate = match search.next() {
            Next::Try(rate) => rate,
            Next::Done(found) => return Ok(Ended::Found(found)),
        };
        let seed = seed.wrapping_add(u64::from(search.trials()));
        let schedule = Schedule::Open { rate: Rate::constant(rate), arrival, seed };
        let result = once(&Options { schedule, ..options.clone() }, signals)?;
        if result.window_s < WHOLE * result.load.duration_s {
            return Ok(Ended::Interrupted);
        }
        let missed = missed(objective, &result)?;
        search.tell(rate, missed.is_none());
        told(search.trials(), &Trial { rate, result, missed });
    }
}

/// One run of the load.
fn once(options: &Options, signals: &mut Signals) -> Result<LoadResult> {
    let (plan, roles) = load::prepare(options, None)?;
    let plan = Arc::new(plan);
    let outcome = run::run(&plan, roles, options, signals, || ())?.outcome;
    let raw = outcome.latencies.distribution(u64::MAX);
    let verdict = verdict::judge(&outcome, &raw, options);
    Ok(result_file::assemble(options, &plan, Vec::new(), &outcome, &raw, verdict))
}

/// Why an open loop's run misses an objective: what it asks for does not hold, the rate was not carried, or the client
/// did not keep to it.
///
/// # Errors
/// When the result holds no distributions.
pub fn missed(objective: &[Threshold], result: &LoadResult) -> Result<Option<Missed>> {
    if let Some(schedule) = &result.schedule {
        if schedule.lag_us.p99 > LAG_US_MAX {
            let late_ms = schedule.lag_us.p99 as f64 / 1e3;
            return Ok(Some(Missed::ByClient(format!("the client itself was late by {late_ms:.1} ms (p99)"))));
        }
        if result.is_carried() == Some(false) {
            let due = result.due().unwrap_or_default().max(1);
            let percent = 100.0 * result.requests as f64 / due as f64;
            return Ok(Some(Missed::ByServer(format!("of what fell due {percent:.1} % was answered"))));
        }
    }
    let observed = Observed::of(result)?;
    let broken: Vec<String> = objective.iter().filter_map(|one| one.broken(result, &observed)).collect();
    Ok((!broken.is_empty()).then(|| Missed::ByServer(broken.join("; "))))
}
