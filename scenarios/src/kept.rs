//! What an earlier part of a run has left: the rows that are there, and so the trials that are missing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt, fs, io,
    path::Path,
};

use anyhow::{Context, Result, anyhow, ensure};
use stackbench_reports::{
    dir::ROWS_FILE,
    row::{Mode, Role, Row, Verdict},
};

use crate::{
    plan::{Cell, Course, Lineup, cells},
    scenario::mode_word,
};

/// Which trial of a run: a cell in a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    scenario: String,
    stack: String,
    twin: Option<u8>,
    request: String,
    mode: Mode,
    step: Option<u32>,
    block: u32,
}

impl Slot {
    /// That of a cell.
    pub fn new(course: &Course, lineup: &Lineup, cell: Cell, block: u32) -> Self {
        Self {
            scenario: course.scenario.name.clone(),
            stack: lineup.stacks[cell.stack].name.clone(),
            twin: cell.twin,
            request: course.scenario.requests[cell.request].name.clone(),
            mode: cell.mode,
            step: course.steps[cell.step].number,
            block,
        }
    }

    /// That of a row.
    fn of(row: &Row) -> Self {
        Self {
            scenario: row.scenario.clone(),
            stack: row.stack.clone(),
            twin: row.twin,
            request: row.request.clone(),
            mode: row.mode,
            step: row.step,
            block: row.trial,
        }
    }

    /// Every trial of a run, repeated ones once.
    pub fn all(courses: &[Course], lineup: &Lineup) -> HashSet<Self> {
        let of_course = |course| {
            let cells = cells(course, lineup);
            let blocks = 1..=course.scenario.run.trials;
            blocks.flat_map(move |block| {
                cells.clone().into_iter().map(move |cell| Self::new(course, lineup, cell, block))
            })
        };
        courses.iter().flat_map(of_course).collect()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.scenario, self.stack, self.request, mode_word(self.mode))?;
        if let Some(step) = self.step {
            write!(f, " step {step}")?;
        }
        if let Some(twin) = self.twin {
            write!(f, " A/A {twin}")?;
        }
        write!(f, " block {}", self.block)
    }
}

/// How far a trial has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has no row.
    Missing,
    /// It was disturbed, its row says that it is measured again, and it has not been.
    ToRepeat,
    /// There is nothing left to do.
    Done,
}

/// The rows of an earlier part of a run; none, for a run that begins.
#[derive(Debug, Default)]
pub struct Kept {
    rows: Vec<Row>,
    states: HashMap<Slot, State>,
}

impl Kept {
    /// Makes sure that rows are those of a run, each with the line it stands in.
    ///
    /// # Errors
    /// When a row belongs to no trial of the run or to one that has its row already; names file and line.
    pub fn new(file: &RowsFile, all: &HashSet<Slot>) -> Result<Self> {
        let mut kept = Self::default();
        for (line, row) in &file.rows {
            let slot = Slot::of(row);
            let place = || format!("{}:{line}", file.name);
            ensure!(all.contains(&slot), "{}: this run has no trial `{slot}`; remove the line to go on", place());
            let state = if row.repeated { State::ToRepeat } else { State::Done };
            let before = kept.state(&slot);
            let follows = matches!((before, state), (State::Missing, _) | (State::ToRepeat, State::Done));
            ensure!(follows, "{}: a second row of `{slot}`; remove one of the two to go on", place());
            kept.states.insert(slot, state);
            kept.rows.push(row.clone());
        }
        Ok(kept)
    }

    /// How far a trial has come.
    pub fn state(&self, slot: &Slot) -> State {
        self.states.get(slot).copied().unwrap_or(State::Missing)
    }

    /// Trials with nothing left to do.
    pub fn done(&self) -> usize {
        self.states.values().filter(|state| **state == State::Done).count()
    }

    /// Whether some row failed.
    pub fn has_failures(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Failed)
    }

    /// The rows of a block.
    fn of_block<'k>(&'k self, scenario: &'k str, block: u32) -> impl Iterator<Item = &'k Row> {
        self.rows.iter().filter(move |row| row.scenario == scenario && row.trial == block)
    }

    /// The stacks whose idle connections were weighed, each with how many.
    pub fn weighed(&self) -> impl Iterator<Item = (&str, u32)> {
        let counts = |row: &&Row| row.idle_connection_bytes.is_some() && !row.repeated;
        self.rows.iter().filter(counts).map(|row| (row.stack.as_str(), row.connections))
    }

    /// How many trials of a block were measured again, or are to be.
    pub fn repeated(&self, scenario: &str, block: u32) -> usize {
        self.of_block(scenario, block).filter(|row| row.repeated).count()
    }

    /// What each stack reached in a block.
    pub fn reached(&self, scenario: &str, block: u32) -> Reached {
        let mut reached = Reached::default();
        self.of_block(scenario, block).for_each(|row| reached.learn(row));
        reached
    }

    /// What the null server reached in a block, by step, request and mode.
    pub fn null_rates(&self, scenario: &str, block: u32) -> NullRates {
        let mut rates = NullRates::default();
        self.of_block(scenario, block).for_each(|row| rates.learn(row));
        rates
    }
}

/// What each stack reached in a block.
#[derive(Debug, Default)]
pub struct Reached(BTreeMap<ReachedBy, f64>);

/// Stack, second name, step, request and mode.
type ReachedBy = (String, Option<u8>, Option<u32>, String, Mode);

impl Reached {
    /// Takes note of a row, if it has figures; a later one of the same trial counts instead.
    pub fn learn(&mut self, row: &Row) {
        if row.verdict != Verdict::Failed {
            let key = (row.stack.clone(), row.twin, row.step, row.request.clone(), row.mode);
            self.0.insert(key, row.requests_per_sec);
        }
    }

    /// What it reached there, if it has been measured.
    pub fn get(&self, stack: &str, twin: Option<u8>, step: Option<u32>, request: &str, mode: Mode) -> Option<f64> {
        self.0.get(&(stack.to_owned(), twin, step, request.to_owned(), mode)).copied()
    }
}

/// What the null server reached in a block, by step, request and mode.
#[derive(Debug, Default)]
pub struct NullRates(BTreeMap<(Option<u32>, String, Mode), f64>);

impl NullRates {
    /// Takes note of a row, if it is a ceiling's and nothing spoilt it; a later one of the same trial counts instead.
    /// One that was slower than it could have been would have stacks reach a ceiling that is none.
    pub fn learn(&mut self, row: &Row) {
        let is_spoilt = matches!(
            row.verdict,
            Verdict::Failed
                | Verdict::Errors
                | Verdict::Starved
                | Verdict::Impossible
                | Verdict::Noisy
                | Verdict::Unsteady
        );
        if row.role == Role::Ceiling && !is_spoilt {
            self.0.insert((row.step, row.request.clone(), row.mode), row.requests_per_sec);
        }
    }

    /// What it reached there, if that is known.
    pub fn get(&self, step: Option<u32>, request: &str, mode: Mode) -> Option<f64> {
        self.0.get(&(step, request.to_owned(), mode)).copied()
    }
}

/// `rows.jsonl` as an earlier part of the run has left it.
#[derive(Debug)]
pub struct RowsFile {
    name: String,
    /// The rows, each with its line, from 1.
    rows: Vec<(usize, Row)>,
    /// Bytes up to the end of the last whole line.
    pub whole_bytes: u64,
    /// Bytes after it: a row that was cut off in the middle of its write.
    pub cut_off_bytes: u64,
}

impl RowsFile {
    /// Reads the rows of a run directory. A run that was ended before its first row has none.
    ///
    /// # Errors
    /// When a line that was written whole is no row of this version; names file and line.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(ROWS_FILE);
        let name = path.display().to_string();
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            bytes => bytes.with_context(|| format!("cannot read {name}"))?,
        };
        // Each row is written with its line's end at once: what has none was cut off.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let mut rows = Vec::new();
        for (index, line) in bytes[..whole].split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let row = Row::parse(line).map_err(|why| {
                anyhow!("{name}:{}: this is no row ({why}); remove the line to measure that trial again", index + 1)
            })?;
            rows.push((index + 1, row));
        }
        Ok(Self { name, rows, whole_bytes: whole as u64, cut_off_bytes: (bytes.len() - whole) as u64 })
    }

    /// Its path, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Rows of trials that are done.
    pub fn made(&self) -> u64 {
        self.rows.iter().filter(|(_, row)| !row.repeated).count() as u64
    }

    /// Some row of it, if there is one.
    pub fn first(&self) -> Option<&Row> {
        self.rows.first().map(|(_, row)| row)
    }
}

#[cfg(test)]
mod tests;
