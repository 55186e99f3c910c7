//! Second by second: what each trial's window looked like from inside, as CSV for plots.
//!
//! Neighbouring seconds depend on each other, so no statistics are made from them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;
use stackload::{
    censored::decode,
    result::{LoadModel, LoadResult, Second},
};

use crate::{
    format::csv_of,
    row::{Mode, Placement, Row},
};

/// The seconds of a run, by [`Row::raw`], as far as they could be read.
#[derive(Debug, Clone, Default)]
pub struct Seconds(BTreeMap<String, TrialSeconds>);

/// The seconds of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialSeconds {
    /// What the percentiles count from: the instant at which a request was `due`, or was `sent`.
    pub latency_from: &'static str,
    /// In their order; the last may be shorter than a second.
    pub seconds: Vec<OneSecond>,
}

/// A second of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneSecond {
    /// Answers.
    pub answers: u64,
    /// Errors.
    pub errors: u64,
    /// Median latency, in microseconds; none without answers.
    pub p50_us: Option<u64>,
    /// 99th percentile; likewise.
    pub p99_us: Option<u64>,
}

/// A line.
#[derive(Serialize)]
struct Line<'r> {
    scenario: &'r str,
    stack: &'r str,
    /// 2 for the second name of an A/A pair.
    twin: Option<u8>,
    request: &'r str,
    mode: Mode,
    placement: Placement,
    store: &'r str,
    step: Option<u32>,
    trial: u32,
    /// Whether the trial was disturbed and measured again, so that no table has it.
    repeated: bool,
    /// From 1; the last may be shorter than a second.
    second: usize,
    answers: u64,
    errors: u64,
    /// What the percentiles count from: the instant at which a request was `due`, or was `sent`.
    latency_from: &'static str,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
}

impl Seconds {
    /// Adds those of a trial, under the name of its result file.
    pub(crate) fn insert(&mut self, raw: &str, seconds: TrialSeconds) {
        self.0.insert(raw.to_owned(), seconds);
    }

    /// Those of a trial.
    pub fn of(&self, row: &Row) -> Option<&TrialSeconds> {
        self.0.get(row.raw.as_ref()?)
    }

    /// A line for each second of each trial, below the names of the columns; empty without any.
    pub fn csv(&self, rows: &[Row]) -> String {
        csv_of(rows.iter().filter_map(|row| Some((row, self.of(row)?))).flat_map(|(row, trial)| lines(row, trial)))
    }
}

impl TrialSeconds {
    /// Those of a result file.
    ///
    /// # Errors
    /// When a second's histogram is none.
    pub fn of_result(result: &LoadResult) -> Result<Self> {
        let latency_from = match result.load.model {
            LoadModel::Open => "due",
            LoadModel::Closed => "sent",
        };
        let one = |(number, second): (usize, &Second)| {
            let latencies = decode(&second.latency).with_context(|| format!("second {number}"))?;
            let percentile = |q| (!latencies.is_empty()).then(|| latencies.value_at_quantile(q));
            let (answers, errors) = (second.requests, second.errors);
            Ok(OneSecond { answers, errors, p50_us: percentile(0.5), p99_us: percentile(0.99) })
        };
        let seconds = (1..).zip(&result.per_second).map(one).collect::<Result<_>>()?;
        Ok(Self { latency_from, seconds })
    }
}

fn lines<'r>(row: &'r Row, trial: &'r TrialSeconds) -> impl Iterator<Item = Line<'r>> {
    (1..).zip(&trial.seconds).map(|(second, one)| Line {
        scenario: &row.scenario,
        stack: &row.stack,
        twin: row.twin,
        request: &row.request,
        mode: row.mode,
        placement: row.placement,
        store: &row.store_name,
        step: row.step,
        trial: row.trial,
        repeated: row.repeated,
        second,
        answers: one.answers,
        errors: one.errors,
        latency_from: trial.latency_from,
        p50_us: one.p50_us,
        p99_us: one.p99_us,
    })
}
