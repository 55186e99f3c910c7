//! A search for the highest rate that each stack carries within an objective: the contents of `capacity.json`.
//!
//! It stands beside `run.json` and `rows.jsonl`, whose rows are its trials, and is written after each of them, so that a
//! search that was interrupted or killed shows how far it came. The format is closed: an unknown field is an error.

use std::{fs, io, path::Path};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::row::{Mode, Row};

mod table;

pub use table::{COLUMNS, Line, Table, breaking_pause, facts, reading, tables};

/// The file in a run directory.
pub const CAPACITY_FILE: &str = "capacity.json";
/// Name and version of the format.
pub const SCHEMA: &str = "stackbench-capacity/1";

/// All searches of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// [`SCHEMA`].
    pub schema: String,
    /// The conditions that had to hold, as they were given.
    pub objective: String,
    /// How it was searched.
    pub settings: Settings,
    /// One for each stack, request and mode, in the order of the files.
    pub searches: Vec<Search>,
}

/// How it was searched: the same for every stack, so that all try the same rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The rate that was tried first, per second.
    pub start_per_sec: f64,
    /// No lower rate was tried.
    pub least_per_sec: f64,
    /// No higher rate was tried.
    pub most_per_sec: f64,
    /// By what share the upper bound may be above the lower.
    pub precision: f64,
    /// How often each bound was tried; the majority counts.
    pub confirmations: u32,
    /// After so many trials that count a search was given up.
    pub trials_max: u32,
    /// How many noisy trials of a search were made again at most.
    pub repeats_max: u32,
}

/// One search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Scenario's name.
    pub scenario: String,
    /// Stack's name.
    pub stack: String,
    /// Request's name.
    pub request: String,
    /// Its mode.
    pub mode: Mode,
    /// The highest rate that met the objective below every one that missed it, per second; null if none did.
    pub lower_per_sec: Option<f64>,
    /// The lowest rate that missed it; null if none did.
    pub upper_per_sec: Option<f64>,
    /// Who set the upper bound; null where there is none.
    pub upper_set_by: Option<SetBy>,
    /// How it ended.
    pub ended: Ended,
    /// Why it failed; null unless it did.
    pub error: Option<String>,
    /// Its trials, in their order.
    pub trials: Vec<Trial>,
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Not yet; it stays so where the run was interrupted. The bounds are those so far.
    UnderWay,
    /// With two bounds, each confirmed.
    Converged,
    /// The objective was met at every rate, up to the most that was to be tried.
    MetUpToMost,
    /// It was missed at every rate, down to the least that was to be tried.
    MissedDownToLeast,
    /// There were too many trials before the bounds were certain.
    NotConverged,
    /// The server did not do its work.
    Failed,
}

/// Who kept a rate from meeting the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetBy {
    /// The stack.
    Stack,
    /// The load client, which sent too late or had no CPU left: the stack may carry more.
    Client,
    /// The store: likewise.
    Store,
    /// Both, on CPUs that they share: likewise.
    ClientAndStore,
}

/// One trial of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// [`Row::trial`] of its row, from 1.
    pub number: u32,
    /// What the files of the trial are called after, in `raw/` and `logs/`.
    pub label: String,
    /// The rate that was offered, per second.
    pub per_sec: f64,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether the machine was disturbed.
    pub noisy: bool,
    /// Who is to blame for a miss; null otherwise.
    pub missed_by: Option<SetBy>,
    /// What was seen, where it was not met; empty otherwise.
    pub why: String,
}

/// What came of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The objective was met.
    Met,
    /// It was missed.
    Missed,
    /// The machine was disturbed: it does not count and was made again.
    Repeated,
    /// The server did not do its work.
    Failed,
}

impl Outcome {
    /// As `capacity.json` spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Repeated => "repeated",
            Self::Failed => "failed",
        }
    }
}

impl Search {
    /// Whether a row is of this search.
    pub fn has(&self, row: &Row) -> bool {
        let own = (&self.scenario, &self.stack, &self.request, self.mode);
        (&row.scenario, &row.stack, &row.request, row.mode) == own
    }

    /// The trials at a rate that count.
    pub fn trials_at(&self, per_sec: f64) -> impl Iterator<Item = &Trial> {
        let counts = |trial: &&Trial| matches!(trial.outcome, Outcome::Met | Outcome::Missed);
        self.trials.iter().filter(counts).filter(move |trial| trial.per_sec == per_sec)
    }

    /// It carries at least this, per second.
    pub fn carries_least(&self) -> f64 {
        self.lower_per_sec.unwrap_or_default()
    }

    /// It carries less than this. A bound that others have set bounds the stack in nothing.
    pub fn carries_most(&self) -> f64 {
        let is_own = self.upper_set_by == Some(SetBy::Stack);
        self.upper_per_sec.filter(|_| is_own).unwrap_or(f64::INFINITY)
    }

    /// Whether its bounds are certain enough to be held against others.
    pub fn is_certain(&self) -> bool {
        match self.ended {
            Ended::Converged | Ended::MetUpToMost => true,
            // Where it was not the stack that missed, nothing is known of it.
            Ended::MissedDownToLeast => self.upper_set_by == Some(SetBy::Stack),
            Ended::UnderWay | Ended::NotConverged | Ended::Failed => false,
        }
    }

    /// How it ended, in words.
    pub fn ended_word(&self) -> &'static str {
        match self.ended {
            Ended::UnderWay => "not finished",
            Ended::Converged => "converged",
            Ended::MetUpToMost => "met everywhere",
            Ended::MissedDownToLeast => "met nowhere",
            Ended::NotConverged => "did not converge",
            Ended::Failed => "failed",
        }
    }

    /// Who set the upper bound: whoever most of the trials that missed it there blame; of as many, the stack last.
    pub fn blamed_for_upper(&self) -> Option<SetBy> {
        let mut blamed: Vec<SetBy> = self.trials_at(self.upper_per_sec?).filter_map(|trial| trial.missed_by).collect();
        blamed.sort_unstable();
        let times = |who: &SetBy| blamed.iter().filter(|other| *other == who).count();
        blamed.iter().max_by_key(|who| times(who)).copied()
    }
}

/// Reads the searches of a run directory; `None` if it is one of another kind.
///
/// # Errors
/// When the file cannot be read or is not what its format says; names file and field.
pub fn load(dir: &Path) -> Result<Option<Capacity>> {
    let path = dir.join(CAPACITY_FILE);
    let named = || path.display().to_string();
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", named()))?,
    };
    let mut json = serde_json::Deserializer::from_slice(&text);
    let capacity: Capacity = serde_path_to_error::deserialize(&mut json)
        .with_context(|| format!("{} is not what its format says", named()))?;
    let found = &capacity.schema;
    ensure!(found == SCHEMA, "{}: this is `{found}`, and this program reads `{SCHEMA}`", named());
    Ok(Some(capacity))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A search whose trials came out as told: rate, outcome, who is to blame.
    pub(crate) fn search(stack: &str, bounds: (f64, f64), trials: &[(f64, Option<SetBy>)]) -> Search {
        let trial = |(index, (per_sec, missed_by)): (usize, &(f64, Option<SetBy>))| Trial {
            number: index as u32 + 1,
            label: format!("cache-{stack}-cache_set-async-{}", index + 1),
            per_sec: *per_sec,
            outcome: if missed_by.is_some() { Outcome::Missed } else { Outcome::Met },
            noisy: false,
            missed_by: *missed_by,
            why: if missed_by.is_some() { "p99<20ms: it is 35.20ms".to_owned() } else { String::new() },
        };
        let mut search = Search {
            scenario: "cache".to_owned(),
            stack: stack.to_owned(),
            request: "cache_set".to_owned(),
            mode: Mode::Async,
            lower_per_sec: Some(bounds.0),
            upper_per_sec: Some(bounds.1),
            upper_set_by: None,
            ended: Ended::Converged,
            error: None,
            trials: trials.iter().enumerate().map(trial).collect(),
        };
        search.upper_set_by = search.blamed_for_upper();
        search
    }

    /// All of them together.
    pub(crate) fn capacity(searches: Vec<Search>) -> Capacity {
        let settings = Settings {
            start_per_sec: 5_000.0,
            least_per_sec: 10.0,
            most_per_sec: 1e6,
            precision: 0.05,
            confirmations: 3,
            trials_max: 48,
            repeats_max: 12,
        };
        Capacity { schema: SCHEMA.to_owned(), objective: "p99<20ms".to_owned(), settings, searches }
    }

    #[test]
    fn what_was_written_is_read_back_and_a_run_of_another_kind_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).unwrap(), None);
        let written = capacity(vec![search("may", (5_000.0, 10_000.0), &[(5_000.0, None)])]);
        fs::write(dir.path().join(CAPACITY_FILE), serde_json::to_string(&written).unwrap()).unwrap();
        assert_eq!(load(dir.path()).unwrap(), Some(written));
    }

    #[test]
    fn a_damaged_file_is_named_with_the_field() {
        let dir = tempfile::tempdir().unwrap();
        let text = serde_json::to_string(&capacity(Vec::new())).unwrap();
        for (from, to, told) in
            [("\"precision\"", "\"precisoin\"", "precisoin"), (SCHEMA, "stackbench-capacity/9", "/9")]
        {
            fs::write(dir.path().join(CAPACITY_FILE), text.replace(from, to)).unwrap();
            let error = format!("{:#}", load(dir.path()).unwrap_err());
            assert!(error.contains(CAPACITY_FILE) && error.contains(told), "{error}");
        }
    }

    #[test]
    fn an_upper_bound_is_whose_most_trials_there_say() {
        let (stack, client) = (Some(SetBy::Stack), Some(SetBy::Client));
        let blamed = |at_upper: [Option<SetBy>; 3]| {
            let trials: Vec<_> = at_upper.into_iter().map(|by| (2.0, by)).chain([(1.0, None), (4.0, client)]).collect();
            search("may", (1.0, 2.0), &trials).upper_set_by
        };
        assert_eq!(blamed([stack, client, stack]), stack);
        assert_eq!(blamed([client, client, stack]), client);
        assert_eq!(blamed([client, None, stack]), client, "in doubt it is not held against the stack");
    }
}
