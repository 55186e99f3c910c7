//! A condition held against the figures of a step.

use std::collections::BTreeMap;

use stackload::{result::ErrorKind, threshold::error_percent};

use super::{
    evidence::{Load, Step},
    finding::{Finding, Missing, Point, Reading, Standing},
    need::{Condition, Limit, Quantity},
};
use crate::{
    dir::Run,
    latency::Observed,
    row::{Row, Verdict},
    summary::Spread,
    table::{one_line, verdict_word},
};

/// A closed loop that came this near to its ceiling was not held back by the server.
const AT_CEILING: f64 = 0.99;

/// A step that is asked.
pub(super) struct Asked<'s, 'r> {
    pub step: &'s Step<'r>,
    pub run: &'r Run,
    /// Whether the need says how many errors are too many.
    pub allows_errors: bool,
}

/// Who is to blame for what a step did not reach, by its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    Stack,
    /// Client, store or machine: a figure that is too bad is not the stack's.
    Others,
}

fn blame(verdict: Verdict) -> Blame {
    match verdict {
        Verdict::ClientLimited
        | Verdict::StoreLate
        | Verdict::Noisy
        | Verdict::PeerLimitedClient
        | Verdict::PeerLimitedStore
        | Verdict::PeerLimitedBoth => Blame::Others,
        _ => Blame::Stack,
    }
}

impl Asked<'_, '_> {
    /// That a stack did not do its work here; none where it did.
    pub fn unsound(&self) -> Option<Finding> {
        let verdict = self.step.cell.verdict;
        let is_unsound = match verdict {
            Verdict::Failed | Verdict::Starved | Verdict::Impossible => true,
            Verdict::Errors => !self.allows_errors,
            _ => false,
        };
        is_unsound.then(|| {
            let trials = match self.step.cell.trials {
                1 => String::new(),
                all => format!(" in {} of {all} trials", self.step.cell.verdict_trials),
            };
            let note = format!("{}{trials}: {}", verdict_word(verdict), one_line(&self.step.cell.reason));
            Finding { condition: None, standing: Standing::Missed, reading: None, note }
        })
    }

    /// What the step says of a limit.
    pub fn finding(&self, limit: &Limit) -> Finding {
        let cell = &self.step.cell;
        let unrecorded = || Unknown::unrecorded(limit.quantity);
        let of_spread = |spread: Option<Spread>| spread.map(Reading::of).ok_or_else(unrecorded);
        let reading = match limit.quantity {
            Quantity::Rate => return self.rate(limit),
            Quantity::Percentile(percent) => self.percentile(percent),
            Quantity::Cpu if cell.verdict == Verdict::Noisy => Err(self.disturbed()),
            Quantity::Cpu => of_spread(cell.server_us),
            Quantity::Rss => of_spread(cell.rss_bytes),
            Quantity::Idle => of_spread(cell.idle_connection_bytes),
            Quantity::Errors => self.errors().ok_or_else(unrecorded),
            Quantity::Threads => of_spread(self.threads()),
            Quantity::ColdStart => of_spread(Spread::of(self.good().filter_map(|row| Some(row.cold_start_ms? * 1e3)))),
        };
        match reading {
            Ok(reading) => judged(limit, reading),
            Err(unknown) => unknown.finding(limit),
        }
    }

    /// The server's threads.
    pub fn threads(&self) -> Option<Spread> {
        Spread::of(self.good().map(|row| row.server.threads as f64))
    }

    /// Trials with figures.
    fn good(&self) -> impl Iterator<Item = &Row> {
        self.step.rows.iter().copied().filter(|row| row.verdict != Verdict::Failed)
    }

    fn disturbed(&self) -> Unknown {
        let cell = &self.step.cell;
        let reason = match one_line(&cell.reason) {
            reason if reason.is_empty() => String::new(),
            reason => format!(" ({reason})"),
        };
        Unknown { missing: Missing::Again, note: format!("{} at {}{reason}", verdict_word(cell.verdict), self.load()) }
    }

    /// `20,000/s`.
    fn load(&self) -> String {
        self.step.load.offered().map_or_else(|| "its maximum".to_owned(), |rate| Quantity::Rate.show(rate))
    }

    /// What was carried. In an open loop it is the rate that was offered, where all of it was; where it was not, and in a
    /// closed one, it is the rate of answers.
    fn rate(&self, limit: &Limit) -> Finding {
        let cell = &self.step.cell;
        let Some(answers) = cell.rate else { return Unknown::unrecorded(limit.quantity).finding(limit) };
        let Some(offered) = self.step.load.offered() else { return self.closed_rate(limit, answers) };
        let carried: Vec<Option<bool>> = self.good().map(|row| row.offered.and_then(|o| o.is_carried)).collect();
        let (times, trials) = (carried.iter().filter(|carried| **carried == Some(true)).count(), carried.len());
        if carried.contains(&None) {
            let note = format!("whether {} was carried is not recorded", self.load());
            return Unknown { missing: Missing::Rate, note }.finding(limit);
        }
        if times == trials {
            let value = Point::exactly(offered);
            return judged(limit, Reading { value, ends: (value, value), trials });
        }
        if blame(cell.verdict) == Blame::Others {
            return self.disturbed().finding(limit);
        }
        let reading = Reading::of(answers);
        match (times, limit.holds(answers.max)) {
            (0, false) => found(limit, reading, Standing::Missed, format!("of the {} offered", self.load())),
            (0, true) => {
                let note = format!("of the {} offered it carries {}", self.load(), Quantity::Rate.show(answers.median));
                Unknown { missing: Missing::Rate, note }.finding(limit)
            }
            _ => {
                let note = format!("({} was carried in {times} of {trials} trials)", self.load());
                found(limit, reading, Standing::Straddling, note)
            }
        }
    }

    /// A server whose own CPUs were full shows in a closed loop about the most it does; any other, some rate that it does.
    fn closed_rate(&self, limit: &Limit, answers: Spread) -> Finding {
        let cell = &self.step.cell;
        let reading = Reading::of(answers);
        let is_at_ceiling = cell.ceiling_share.is_some_and(|share| share.max >= AT_CEILING);
        let is_full = cell.verdict == Verdict::Ok && !is_at_ceiling;
        let note = match (cell.verdict, reading.standing(limit)) {
            (Verdict::Noisy, _) => return self.disturbed().finding(limit),
            (_, Standing::Met) => return judged(limit, reading),
            (_, standing) if is_full => return found(limit, reading, standing, "with its CPUs full".to_owned()),
            (Verdict::Ok, _) => "it reached the ceiling of this run, which is below the rate".to_owned(),
            (verdict, _) => {
                format!("it did not reach the rate, and that need not be its own doing ({})", verdict_word(verdict))
            }
        };
        Unknown { missing: Missing::Rate, note }.finding(limit)
    }

    /// A percentile of the merged histograms, with those of the trials.
    fn percentile(&self, percent: f64) -> Result<Reading, Unknown> {
        if self.step.load == Load::Closed {
            let note = "a closed loop shows queueing at saturation and no latency".to_owned();
            return Err(Unknown { missing: Missing::Rate, note });
        }
        if blame(self.step.cell.verdict) == Blame::Others {
            return Err(self.disturbed());
        }
        let answered: Vec<&Row> = self.good().filter(|row| row.requests > 0).collect();
        let latencies = &self.run.latencies;
        let read: Vec<(&Row, &Observed)> =
            answered.into_iter().filter_map(|row| Some((row, latencies.get(row.raw.as_ref()?)?))).collect();
        let is_carried = |row: &Row| row.offered.and_then(|offered| offered.is_carried) != Some(false);
        let of = |observed: &Observed, is_carried: bool| {
            let exact = observed.quantile(percent / 100.0)?;
            // Where a rate was not carried, a queue grew as long as the window lasted.
            Some(Point { value: exact.us, is_lower_bound: exact.is_lower_bound || !is_carried })
        };
        let trials = read.iter().filter_map(|(row, observed)| of(observed, is_carried(row))).collect();
        let merged = Observed::merged(read.iter().map(|(_, observed)| *observed));
        let value = merged.and_then(|merged| of(&merged, read.iter().all(|(row, _)| is_carried(row))));
        let note = "no result file of its trials could be read".to_owned();
        value.and_then(|value| Reading::merged(value, trials)).ok_or(Unknown { missing: Missing::Again, note })
    }

    /// Errors for each hundred requests. A status above 399 that was to be expected is none.
    fn errors(&self) -> Option<Reading> {
        let count = |row: &Row| -> BTreeMap<ErrorKind, u64> {
            let kind = |(name, count): (&String, &u64)| {
                let kind: ErrorKind = serde_json::from_value(name.as_str().into()).ok()?;
                (kind != ErrorKind::Status).then_some((kind, *count))
            };
            row.errors.iter().filter_map(kind).collect()
        };
        let trials = self.good().map(|row| Point::exactly(error_percent(&count(row), row.requests_total))).collect();
        let mut all: BTreeMap<ErrorKind, u64> = BTreeMap::new();
        for (kind, errors) in self.good().flat_map(count) {
            *all.entry(kind).or_default() += errors;
        }
        let answered = self.good().map(|row| row.requests_total).sum();
        Reading::merged(Point::exactly(error_percent(&all, answered)), trials)
    }
}

/// What keeps a condition from being told.
#[derive(Debug)]
struct Unknown {
    missing: Missing,
    note: String,
}

impl Unknown {
    fn unrecorded(quantity: Quantity) -> Self {
        Self { missing: Missing::Again, note: format!("{} is not recorded", quantity.name()) }
    }

    fn finding(self, limit: &Limit) -> Finding {
        let condition = Some(Condition::Limit(limit.clone()));
        Finding { condition, standing: Standing::Unknown(self.missing), reading: None, note: self.note }
    }
}

/// What is found where there is a figure.
fn found(limit: &Limit, reading: Reading, standing: Standing, note: String) -> Finding {
    Finding { condition: Some(Condition::Limit(limit.clone())), standing, reading: Some(reading), note }
}

/// The same, as the figure alone tells.
fn judged(limit: &Limit, reading: Reading) -> Finding {
    let standing = reading.standing(limit);
    let name = limit.quantity.name();
    let note = match standing {
        Standing::Unknown(_) => {
            format!("{name} is {}, which may be any longer", reading.shown(|value| limit.show(value)))
        }
        _ => String::new(),
    };
    found(limit, reading, standing, note)
}
