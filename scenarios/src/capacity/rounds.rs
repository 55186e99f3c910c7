//! The searches of a run side by side: in each round every search that is under way makes one trial, in an order shuffled by
//! the seed. So whatever the machine does in the course of the run, it does to all stacks alike.

use std::fs;

use anyhow::{Context, Result};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use stackbench_reports::{
    Capacity,
    capacity::{CAPACITY_FILE, Ended, Outcome, Search as Record, SetBy, Trial as TrialRecord},
    number,
    row::{Row, Verdict},
};
use stackload::{
    find::{self, Missed},
    result::LoadResult,
    search::{Found, Next, Search},
    threshold::Threshold,
};

use super::{options::of_search, trial_time};
use crate::{
    meta::Prepared,
    plan::{Cell, Course},
    progress::Progress,
    rundir::RunDir,
    store::Store,
    trial::{Attempt, Bench, Trial},
};

/// What most searches take, to say how long a run is about: four doublings, five bisections, six confirmations.
pub const TRIALS_TYPICAL: u32 = 16;

/// What is searched, and with what.
pub struct Rounds<'a> {
    pub bench: &'a Bench<'a>,
    pub course: &'a Course,
    /// One for each search.
    pub cells: Vec<Cell>,
    pub prepared: &'a [Prepared<'a>],
    pub objective: &'a [Threshold],
    pub seed: u64,
}

/// A search under way.
struct UnderWay {
    /// Index of its cell and of its record.
    index: usize,
    search: Search,
    /// How many more noisy trials may be made again.
    repeats_left: u32,
}

/// Where trials come from and go to.
struct Desk<'d, 's> {
    store: &'d mut Store<'s>,
    dir: &'d mut RunDir,
    progress: Progress,
}

impl Rounds<'_> {
    /// The records of searches that are to begin.
    pub fn searches(&self) -> Vec<Record> {
        let record = |cell: &Cell| Record {
            scenario: self.course.scenario.name.clone(),
            stack: self.prepared[cell.stack].stack.name.clone(),
            request: self.course.scenario.requests[cell.request].name.clone(),
            mode: cell.mode,
            lower_per_sec: None,
            upper_per_sec: None,
            upper_set_by: None,
            ended: Ended::UnderWay,
            error: None,
            trials: Vec::new(),
        };
        self.cells.iter().map(record).collect()
    }

    /// Searches, and writes what is found after each trial.
    ///
    /// # Errors
    /// [`crate::interrupt::Interrupted`], or what keeps rows from being written.
    pub fn measure(&self, found: &mut Capacity, store: &mut Store, dir: &mut RunDir) -> Result<()> {
        let settings = of_search(&found.settings);
        let repeats_left = found.settings.repeats_max;
        let begin = |index| UnderWay { index, search: Search::new(settings), repeats_left };
        let mut under_way: Vec<UnderWay> = (0..self.cells.len()).map(begin).collect();
        let trials = under_way.len() * TRIALS_TYPICAL as usize;
        let time = trial_time(self.course) * u32::try_from(trials)?;
        let mut desk = Desk { store, dir, progress: Progress::start(trials, time) };
        desk.dir.write_json(CAPACITY_FILE, found)?;
        let measured = self.rounds(&mut under_way, found, &mut desk);
        desk.progress.finish();
        measured
    }

    fn rounds(&self, under_way: &mut Vec<UnderWay>, found: &mut Capacity, desk: &mut Desk) -> Result<()> {
        // Every round has an order of its own, which depends on nothing but the seed and who is left.
        let mut random = StdRng::seed_from_u64(self.seed);
        while !under_way.is_empty() {
            under_way.shuffle(&mut random);
            for one in &mut *under_way {
                let record = &mut found.searches[one.index];
                let Next::Try(rate) = one.search.next() else { continue };
                let line = self.trial(one, rate, record, desk)?;
                settle(&one.search, record);
                desk.dir.write_json(CAPACITY_FILE, found)?;
                desk.progress.advance(&line, left(found));
            }
            under_way.retain(|one| found.searches[one.index].ended == Ended::UnderWay);
        }
        Ok(())
    }

    /// Makes the next trial of a search and takes note of what came of it. A line for the terminal.
    fn trial(&self, one: &mut UnderWay, rate: f64, record: &mut Record, desk: &mut Desk) -> Result<String> {
        let (cell, prepared) = (self.cells[one.index], &self.prepared[self.cells[one.index].stack]);
        let scenario = &self.course.steps[cell.step].scenario;
        let number = u32::try_from(record.trials.len())? + 1;
        let trial = Trial {
            scenario,
            step: None,
            stack: prepared.stack,
            twin: None,
            version: &prepared.version,
            request: &scenario.requests[cell.request],
            mode: cell.mode,
            // Every trial has a number of its own, and one that is made again another.
            block: number,
            attempt: Attempt::First,
            workers: self.bench.workers(scenario),
            rate: Ok(Some(rate)),
            beside_rate: None,
            // Of those that count, the n-th of every search has the same instants; so has one that is made again.
            arrival_seed: self.seed.wrapping_add(u64::from(one.search.trials())),
            null_rate: None,
            server_sha256: prepared.sha256.clone(),
            weighs_connections: false,
        };
        let label = trial.label();
        desk.progress.begin(&label);
        let mut row = trial.run(self.bench, desk.store)?;
        if row.verdict == Verdict::Failed {
            // On a full disk every trial would fail, and none of it would be the stack's fault.
            desk.dir.require_room()?;
        }
        row.repeated = row.verdict == Verdict::Noisy && one.repeats_left > 0;
        one.repeats_left -= u32::from(row.repeated);
        desk.dir.append(&row)?;
        let judged = self.judge(&row)?;
        match judged.outcome {
            Outcome::Met => one.search.tell(rate, true),
            Outcome::Missed => one.search.tell(rate, false),
            Outcome::Repeated => {}
            Outcome::Failed => (record.ended, record.error) = (Ended::Failed, Some(judged.why.clone())),
        }
        let line = format!("{label}: {}", told(rate, &judged, &row));
        let Judged { outcome, missed_by, why } = judged;
        let noisy = row.verdict == Verdict::Noisy;
        record.trials.push(TrialRecord { number, label, per_sec: rate, outcome, noisy, missed_by, why });
        Ok(line)
    }

    /// What came of a trial.
    fn judge(&self, row: &Row) -> Result<Judged> {
        let without = |outcome, why: &str| Ok(Judged { outcome, missed_by: None, why: why.to_owned() });
        match (row.verdict, &row.raw) {
            (Verdict::Failed, _) | (_, None) => {
                return without(Outcome::Failed, row.error.as_deref().unwrap_or_default());
            }
            // What answers before its store did not do the work that is offered.
            (Verdict::Impossible, _) => return without(Outcome::Failed, &row.reason),
            (Verdict::Noisy, _) if row.repeated => return without(Outcome::Repeated, &row.reason),
            _ => {}
        }
        let raw = self.bench.out.join(row.raw.as_deref().unwrap_or_default());
        let result = fs::read(&raw).map_err(Into::into).and_then(|text| LoadResult::parse(&text));
        let result = result.with_context(|| format!("cannot read {}", raw.display()))?;
        // An objective that says nothing of errors allows none.
        let allows_errors = self.objective.iter().any(Threshold::is_of_errors);
        let missed = find::missed(self.objective, &result)?.or_else(|| {
            (row.verdict == Verdict::Errors && !allows_errors).then(|| Missed::ByServer(row.reason.clone()))
        });
        let Some(missed) = missed else { return without(Outcome::Met, "") };
        let by = blamed(&missed, row.verdict);
        let why = match by {
            SetBy::Stack => missed.to_string(),
            _ if row.reason.is_empty() => missed.to_string(),
            _ => format!("{missed}; {}", row.reason),
        };
        Ok(Judged { outcome: Outcome::Missed, missed_by: Some(by), why })
    }
}

/// What came of a trial.
struct Judged {
    outcome: Outcome,
    missed_by: Option<SetBy>,
    why: String,
}

/// Who kept a rate from meeting the objective.
fn blamed(missed: &Missed, verdict: Verdict) -> SetBy {
    match (missed, verdict) {
        (Missed::ByClient(_), _) | (_, Verdict::ClientLimited | Verdict::PeerLimitedClient) => SetBy::Client,
        (_, Verdict::PeerLimitedStore | Verdict::StoreLate) => SetBy::Store,
        (_, Verdict::PeerLimitedBoth) => SetBy::ClientAndStore,
        _ => SetBy::Stack,
    }
}

/// Takes over what a search knows by now.
fn settle(search: &Search, record: &mut Record) {
    (record.lower_per_sec, record.upper_per_sec) = search.bounds();
    record.upper_set_by = record.blamed_for_upper();
    if record.ended != Ended::UnderWay {
        return;
    }
    record.ended = match search.next() {
        Next::Try(_) => Ended::UnderWay,
        Next::Done(Found::Between { .. }) => Ended::Converged,
        Next::Done(Found::MetUpTo(_)) => Ended::MetUpToMost,
        Next::Done(Found::MissedDownTo(_)) => Ended::MissedDownToLeast,
        Next::Done(Found::NotConverged { .. }) => Ended::NotConverged,
    };
}

/// How many trials are still to come, as far as can be told: one that has taken longer than most takes one more.
fn left(found: &Capacity) -> usize {
    let under_way = found.searches.iter().filter(|search| search.ended == Ended::UnderWay);
    under_way.map(|search| (TRIALS_TYPICAL as usize).saturating_sub(search.trials.len()).max(1)).sum()
}

fn told(rate: f64, judged: &Judged, row: &Row) -> String {
    let rate = format!("{}/s", number::rate(rate));
    match judged.outcome {
        Outcome::Met => {
            let p99_us = row.offered.map_or(row.latency_us.p99, |offered| offered.latency_us.p99) as f64;
            let (p99, cost) = (number::duration_us(p99_us), number::cpu_us(row.server.cpu_us_per_request));
            format!("{rate} met: p99 {p99} from due, {cost} µs CPU per request")
        }
        Outcome::Missed => format!("{rate} missed: {}", judged.why),
        Outcome::Repeated => format!("{rate} noisy: {} (will be measured again)", judged.why),
        Outcome::Failed => format!("{rate} failed: {}", judged.why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_client_or_store_kept_from_being_met_is_not_held_against_the_stack() {
        let by_server = |verdict| blamed(&Missed::ByServer("p99<20ms: it is 35ms".to_owned()), verdict);
        assert_eq!([Verdict::Ok, Verdict::Starved, Verdict::Idle].map(by_server), [SetBy::Stack; 3]);
        assert_eq!([Verdict::ClientLimited, Verdict::PeerLimitedClient].map(by_server), [SetBy::Client; 2]);
        assert_eq!([Verdict::PeerLimitedStore, Verdict::StoreLate].map(by_server), [SetBy::Store; 2]);
        assert_eq!(by_server(Verdict::PeerLimitedBoth), SetBy::ClientAndStore);
        assert_eq!(blamed(&Missed::ByClient("late".to_owned()), Verdict::Noisy), SetBy::Client);
    }
}
