//! What the figures of the page are drawn from: a JSON document inside it.
//!
//! Cells stand in it in the order of the table's lines; a figure's mark leads to the line with its number.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::rows::PageCell;
use crate::{
    dir::Run,
    latency::{Observed, Percentile},
    row::{Role, Row, Verdict},
    run::StepMeta,
    seconds::Seconds,
    summary::{FaultSummary, Recovery, Spread},
    table::{self, Headline, Part},
};

/// Points of a latency distribution for each factor of ten in 1 / (1 − share).
const POINTS_PER_DECADE: i32 = 8;
/// Up to 99.999 %.
const DECADES: i32 = 5;

/// All of it.
#[derive(Serialize)]
pub struct Document<'r> {
    sections: Vec<Section<'r>>,
    cells: Vec<CellData<'r>>,
    series: Vec<Series>,
}

/// One scenario over one store in one placement.
#[derive(Serialize)]
struct Section<'r> {
    scenario: &'r str,
    title: String,
    kind: Kind,
    steps: Vec<Step<'r>>,
    /// Whether its tables are ordered by cost, and not by rate.
    by_cost: bool,
}

/// What the steps of a scenario differ in, which decides on its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// It has none.
    Plain,
    /// In the offered rate.
    Rate,
    /// In connections.
    Connections,
    /// In workers.
    Workers,
    /// In what goes wrong.
    Fault,
    /// In something else, as delays.
    Other,
}

#[derive(Serialize)]
struct Step<'r> {
    title: &'r str,
    connections: u32,
    workers: Option<u32>,
}

#[derive(Serialize)]
struct CellData<'r> {
    section: usize,
    panel: &'static str,
    placement: &'static str,
    request: &'r str,
    mode: &'static str,
    step: Option<u32>,
    stack: &'r str,
    role: Role,
    place: Option<usize>,
    verdict: &'static str,
    trials: usize,
    connections: u32,
    rate: Option<Ends>,
    cost_us: Option<Ends>,
    rss_bytes: Option<Ends>,
    idle_bytes: Option<Ends>,
    offered: Option<Short>,
    carried: Option<bool>,
    p50: Option<Point>,
    p99: Option<Point>,
    sound: Sound,
    fault: Option<Fault>,
    /// Which of [`Document::series`]: a stack of both panels has its own once.
    series: usize,
}

/// Which figures may be held against the stack.
#[derive(Serialize)]
struct Sound {
    rate: bool,
    cost: bool,
    latency: bool,
}

/// Median and what it ranges over: the interval, or the least and the most.
#[derive(Serialize)]
struct Ends(Short, Short, Short);

/// A percentile in microseconds, and whether it is a lower bound.
#[derive(Serialize)]
struct Point(Short, bool);

#[derive(Serialize)]
struct Fault {
    from_s: Short,
    to_s: Short,
    /// None where it was not seen …
    recovered_s: Option<Short>,
    /// … for so long.
    watched_s: Short,
    lost: u64,
    unavailable: Option<Short>,
    p99_before_us: Option<Short>,
    p99_during_us: Option<Short>,
}

/// What a cell looks like from inside.
#[derive(Serialize)]
struct Series {
    /// 1 / (1 − share), microseconds, and whether that is a lower bound; of all trials together.
    percentiles: Vec<(Short, Short, bool)>,
    /// The trial whose seconds these are: the one of the median rate.
    block: Option<u32>,
    /// Answers, and p99 in microseconds.
    seconds: Vec<(u64, Option<u64>)>,
}

/// A number with as many digits as a figure can show.
#[derive(Clone, Copy)]
struct Short(f64);

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rounded = format!("{:.4e}", self.0).parse().unwrap_or(self.0);
        // What is whole is shorter without its `.0`.
        let whole = rounded as i64;
        if whole as f64 == rounded { serializer.serialize_i64(whole) } else { serializer.serialize_f64(rounded) }
    }
}

impl<'r> Document<'r> {
    pub fn of(cells: &[PageCell<'r>], parts: &'r [Part<'r>], run: &'r Run, seconds: &Seconds) -> Self {
        let (mut series, mut known) = (Vec::new(), BTreeMap::new());
        let mut index_of = |cell: &PageCell<'r>| {
            let key = (cell.section, cell.question, cell.cell.stack.as_str());
            *known.entry(key).or_insert_with(|| {
                series.push(Series::of(&cell.rows, run, seconds));
                series.len() - 1
            })
        };
        let cells = cells.iter().map(|cell| CellData::of(cell, index_of(cell))).collect();
        Self { sections: parts.iter().map(Section::of).collect(), cells, series }
    }
}

impl<'r> Section<'r> {
    fn of(part: &'r Part<'r>) -> Self {
        let steps = part.meta.map_or(&[][..], |meta| &meta.steps);
        let step =
            |step: &'r StepMeta| Step { title: &step.title, connections: step.connections, workers: step.workers };
        Self {
            scenario: part.scenario,
            title: part.meta.map_or(part.scenario, |meta| &meta.title).to_owned(),
            kind: Kind::of(part, steps),
            steps: steps.iter().map(step).collect(),
            by_cost: part.headline == Headline::CpuPerRequest,
        }
    }
}

impl Kind {
    fn of(part: &Part, steps: &[StepMeta]) -> Self {
        let differ =
            |figure: fn(&StepMeta) -> Option<u32>| steps.windows(2).any(|two| figure(&two[0]) != figure(&two[1]));
        if part.rows.iter().all(|row| row.step.is_none()) {
            return Self::Plain;
        }
        if part.rows.iter().any(|row| row.fault.is_some()) {
            return Self::Fault;
        }
        if differ(|step| step.workers) {
            return Self::Workers;
        }
        if differ(|step| Some(step.connections)) {
            return Self::Connections;
        }
        let is_open = part.rows.iter().any(|row| row.offered.is_some());
        if is_open { Self::Rate } else { Self::Other }
    }
}

impl<'r> CellData<'r> {
    fn of(named: &PageCell<'r>, series: usize) -> Self {
        let cell = named.cell;
        Self {
            section: named.section,
            panel: named.panel.key(),
            placement: table::placement_word(named.placement),
            request: &named.question.request,
            mode: table::mode_word(named.question.mode),
            step: named.question.step,
            stack: &cell.stack,
            role: cell.role,
            place: named.place,
            verdict: table::verdict_word(cell.verdict),
            trials: cell.trials,
            connections: cell.connections,
            rate: cell.rate.map(Ends::of),
            cost_us: cell.server_us.map(Ends::of),
            rss_bytes: cell.rss_bytes.map(Ends::of),
            idle_bytes: cell.idle_connection_bytes.map(Ends::of),
            offered: cell.offered.map(|spread| Short(spread.median)),
            carried: cell.is_carried,
            p50: cell.p50.map(Point::of),
            p99: cell.p99.map(Point::of),
            sound: Sound {
                rate: named.has_sound_rate(),
                cost: named.has_sound_cost(),
                latency: named.has_sound_latency(),
            },
            fault: cell.fault.as_ref().and_then(|fault| Fault::of(fault, &named.rows)),
            series,
        }
    }
}

impl Ends {
    fn of(spread: Spread) -> Self {
        let (low, high) = spread.interval.map_or((spread.min, spread.max), |interval| (interval.low, interval.high));
        Self(Short(spread.median), Short(low), Short(high))
    }
}

impl Point {
    fn of(percentile: Percentile) -> Self {
        Self(Short(percentile.us), percentile.is_lower_bound)
    }
}

impl Fault {
    /// Its instants are those of the first trial: the scenario sets them, and trials differ by milliseconds.
    fn of(summary: &FaultSummary, rows: &[&Row]) -> Option<Self> {
        let first = rows.iter().find_map(|row| row.fault)?;
        let median = |spread: Option<Spread>| spread.map(|spread| Short(spread.median));
        let (recovered_s, watched_s) = match summary.recovery {
            Recovery::After(seconds) => (Some(Short(seconds)), first.watched_s),
            Recovery::NotWithin(seconds) => (None, seconds),
        };
        Some(Self {
            from_s: Short(first.from_s),
            to_s: Short(first.to_s),
            recovered_s,
            watched_s: Short(watched_s),
            lost: summary.lost,
            unavailable: median(summary.unavailable),
            p99_before_us: median(summary.p99_before),
            p99_during_us: median(summary.p99_during),
        })
    }
}

impl Series {
    fn of(rows: &[&Row], run: &Run, seconds: &Seconds) -> Self {
        let good: Vec<&Row> =
            rows.iter().copied().filter(|row| !row.repeated && row.verdict != Verdict::Failed).collect();
        let observed = Observed::merged(good.iter().filter_map(|row| run.latencies.get(row.raw.as_ref()?)));
        let mut by_rate = good;
        by_rate.sort_by(|a, b| a.requests_per_sec.total_cmp(&b.requests_per_sec));
        let median = by_rate.get(by_rate.len() / 2);
        let of_median = median.and_then(|row| seconds.of(row));
        Self {
            percentiles: observed.as_ref().map(percentiles).unwrap_or_default(),
            block: median.map(|row| row.trial),
            seconds: of_median.map_or_else(Vec::new, |trial| {
                trial.seconds.iter().map(|second| (second.answers, second.p99_us)).collect()
            }),
        }
    }
}

/// As far as there are requests enough to tell one share from the next.
fn percentiles(observed: &Observed) -> Vec<(Short, Short, bool)> {
    let distances = (0..=DECADES * POINTS_PER_DECADE).map(|k| 10_f64.powf(f64::from(k) / f64::from(POINTS_PER_DECADE)));
    let distances: Vec<f64> = distances.take_while(|distance| *distance <= observed.requests() as f64).collect();
    let shares: Vec<f64> = distances.iter().map(|distance| 1.0 - 1.0 / distance).collect();
    let found = observed.quantiles(&shares).into_iter().zip(distances);
    found.filter_map(|(p, distance)| p.map(|p| (Short(distance), Short(p.us), p.is_lower_bound))).collect()
}
