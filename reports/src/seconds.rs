//! Second by second: what each trial's window looked like from inside, as CSV for plots.
//!
//! Neighbouring seconds depend on each other, so no statistics are made from them.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;
use stackload::{
    censored::decode,
    result::{LoadModel, LoadResult, Second},
};

use crate::{
    dir::{LoadError, RunDir},
    format::csv_of,
    row::{Mode, Placement, Row},
};

/// The seconds of a run.
#[derive(Debug)]
pub struct Seconds {
    /// A line for each second of each trial, below the names of the columns.
    pub csv: String,
    /// Which result files could not be read, and why.
    pub warnings: Vec<String>,
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
    /// Reads a run directory. A result file that cannot be read is a warning, because the others are still good.
    ///
    /// # Errors
    /// When the directory is no run.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        let run = RunDir::load_rows(dir)?;
        let (mut lines, mut warnings) = (Vec::new(), run.warnings);
        for row in &run.rows {
            let Some(raw) = &row.raw else { continue };
            match of_trial(row, &dir.join(raw)) {
                Ok(seconds) => lines.extend(seconds),
                Err(error) => warnings.push(format!("{}: {error:#}; its seconds are missing", dir.join(raw).display())),
            }
        }
        Ok(Self { csv: csv_of(lines.into_iter()), warnings })
    }
}

fn of_trial<'r>(row: &'r Row, raw: &Path) -> Result<Vec<Line<'r>>> {
    let result = LoadResult::parse(&fs::read(raw)?)?;
    let latency_from = match result.load.model {
        LoadModel::Open => "due",
        LoadModel::Closed => "sent",
    };
    let line = |(second, of_second): (usize, &Second)| {
        let latencies = decode(&of_second.latency).with_context(|| format!("second {second}"))?;
        let percentile = |q| (!latencies.is_empty()).then(|| latencies.value_at_quantile(q));
        Ok(Line {
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
            answers: of_second.requests,
            errors: of_second.errors,
            latency_from,
            p50_us: percentile(0.5),
            p99_us: percentile(0.99),
        })
    };
    (1..).zip(&result.per_second).map(line).collect()
}
