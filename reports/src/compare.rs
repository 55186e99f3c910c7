//! Two runs, cell by cell: the same cells, measured before a change and after it.
//!
//! What [`crate::repeat`] asks of two runs of the same, whether they make the same claims, is not asked here: revisions,
//! programs and settings may differ, and what became of each cell's figures by that is what is told. The trials of two runs
//! have nothing to do with each other, so they are compared unpaired ([`LogRatio::unpaired`](stats::LogRatio::unpaired)),
//! and what differed between the runs as a whole is in every ratio.
//!
//! # Layout
//! - `pairs`: which cells are the same, and whether they were put under the same load.
//! - `quantity`: the figures; `weigh`: which of them a cell has, and whether they are sound; `judge`: whether they differ.
//! - `ground`: machine and method, and what changed.
//! - `regression`: what is worse beyond a threshold.
//! - [`searches`]: two searches for capacity.

use std::collections::BTreeSet;

use crate::{
    dir::Run,
    noise::Noise,
    row::{Role, Row, Verdict},
    stats::{self, Blocks},
    summary::{Cell, Question, Spread},
    table,
};

mod ground;
mod judge;
mod pairs;
mod quantity;
mod regression;
pub mod searches;
mod weigh;

pub use ground::{Basis, Changed, Difference, Refusal, Speed};
use judge::Evidence;
pub use judge::{Finding, Ratio};
pub use pairs::Missing;
use pairs::{Pair, Pairs, Side};
pub use quantity::{QUANTITIES, Quantity};
pub use regression::Regression;
use weigh::Weighed;

/// Whether runs of different machines, stores or placements are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machines {
    /// No: such runs are refused.
    Same,
    /// Yes, and the comparison says so.
    Across,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The figures; by default, where this is empty, cost, rates where they are the server's own, and in open loops p99.
    pub quantities: Vec<Quantity>,
    /// Whether the machine may be another.
    pub machines: Machines,
}

/// What became of the cells of a run.
#[derive(Debug)]
pub struct Comparison {
    /// What the two runs stand on, and what changed.
    pub basis: Basis,
    /// What two names of one stack say in each run, by figure.
    pub noise: Vec<(Quantity, [Noise; 2])>,
    /// The cells that both runs have, by what was asked.
    pub questions: Vec<ComparedQuestion>,
    /// In how many cells the rates of neither run are the server's own, so that by default they are not shown.
    pub rates_left_out: usize,
    /// The trials of each comparison that rests on ranges alone.
    ranges: Vec<[usize; 2]>,
    /// How many comparisons rest on intervals.
    intervals: usize,
}

/// What most stacks did alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CommonMove {
    /// Median of the ratios of cost, of the new run over the baseline.
    pub times: f64,
    /// Over so many cells …
    pub cells: usize,
    /// … of so many stacks.
    pub stacks: usize,
}

/// Of fewer stacks a median is one stack's own ratio.
const COMMON_STACKS_MIN: usize = 3;

/// The cells of one scenario, request, mode and step.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedQuestion {
    /// These, in words.
    pub title: String,
    /// Stack by stack.
    pub cells: Vec<ComparedCell>,
}

/// One cell in both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedCell {
    /// Stack's name.
    pub stack: String,
    /// What it is in the suite.
    pub role: Role,
    /// The verdict in the new run, if it did something wrong that it did not do in the baseline.
    pub newly_broken: Option<Verdict>,
    /// What was seen of that; empty where there is nothing.
    pub why_broken: String,
    /// Of a rate that was offered: whether most trials carried it, in each run.
    pub carried: Option<[bool; 2]>,
    /// Its figures, the most telling first.
    pub lines: Vec<Line>,
}

/// One figure of one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Which.
    pub quantity: Quantity,
    /// Over the trials of the baseline and of the new run.
    pub sides: [Option<Spread>; 2],
    /// The new run's over the baseline's; none where the two cannot be compared.
    pub ratio: Option<Ratio>,
    /// What it comes to.
    pub finding: Finding,
}

impl Comparison {
    /// Compares a run with a baseline.
    ///
    /// # Errors
    /// When they were made on different ground and that was not asked for, or have no cell in common.
    pub fn of(baseline: &Run, new: &Run, options: &Options) -> Result<Self, Refusal> {
        let runs = [baseline, new];
        let pairs = Pairs::of(runs, options.machines);
        let weighed: Vec<Vec<Weighed>> = pairs.common.iter().map(|pair| weigh::weigh(pair, options)).collect();
        let noise = noise(runs, &weighed);
        let is_left_out = |pair: &&Pair| options.quantities.is_empty() && !weigh::has_own_rate(pair);
        let mut comparison = Self {
            basis: Basis::of(runs, &pairs, options.machines, floor(&noise, Quantity::Cpu))?,
            questions: Vec::new(),
            rates_left_out: pairs.common.iter().filter(is_left_out).count(),
            ranges: Vec::new(),
            intervals: 0,
            noise,
        };
        comparison.judge(&pairs.common, weighed, options.machines);
        Ok(comparison)
    }

    /// Every cell that both runs have.
    pub fn cells(&self) -> impl Iterator<Item = &ComparedCell> {
        self.questions.iter().flat_map(|question| &question.cells)
    }

    /// How many comparisons rest on intervals: chance makes any of them a difference with a probability of at most
    /// [`stats::SIGNIFICANCE`].
    pub fn intervals(&self) -> usize {
        self.intervals
    }

    /// How many rest on ranges, and how many of these chance alone makes worse, where nothing differs.
    pub fn ranges(&self) -> (usize, f64) {
        let apart = |[a, b]: &[usize; 2]| stats::chance::ranges_apart(*a, *b) / 2.0;
        (self.ranges.len(), self.ranges.iter().map(apart).sum())
    }

    /// By how much cost moved in most cells at once; none where it moved by no more than the noise floor, or where too few
    /// stacks are there to tell a common move from their own.
    pub fn common_move(&self) -> Option<CommonMove> {
        let of_cell = |cell: &ComparedCell| {
            let line = cell.lines.iter().find(|line| line.quantity == Quantity::Cpu)?;
            Some(line.ratio.filter(|_| line.finding.is_judged())?.times)
        };
        let moved = self.cells().filter(|cell| cell.role == Role::Stack);
        let moved: Vec<(&str, f64)> = moved.filter_map(|cell| Some((cell.stack.as_str(), of_cell(cell)?))).collect();
        let stacks = moved.iter().map(|(stack, _)| stack).collect::<BTreeSet<_>>().len();
        let mut ratios: Vec<f64> = moved.iter().map(|(_, times)| *times).collect();
        ratios.sort_by(f64::total_cmp);
        let times = stats::median(&ratios).filter(|_| stacks >= COMMON_STACKS_MIN)?;
        let is_notable = ground::is_notable(times, floor(&self.noise, Quantity::Cpu));
        is_notable.then_some(CommonMove { times, cells: ratios.len(), stacks })
    }

    /// The p-values of all intervals are corrected together, so every one of them has to be known before the first cell is
    /// judged.
    fn judge(&mut self, pairs: &[Pair], weighed: Vec<Vec<Weighed>>, machines: Machines) {
        let p_values: Vec<f64> = weighed.iter().flatten().filter_map(|weighed| weighed.evidence.p_value()).collect();
        self.intervals = p_values.len();
        let mut corrected = stats::holm(&p_values).into_iter();
        for (pair, weighed) in pairs.iter().zip(weighed) {
            let lines = weighed.into_iter().map(|weighed| {
                let p_value = weighed.evidence.p_value().and_then(|_| corrected.next()).unwrap_or(1.0);
                self.line(weighed, p_value)
            });
            let lines = lines.collect();
            let title = title(pair);
            let cell = compared(pair, lines, machines);
            match self.questions.last_mut().filter(|question| question.title == title) {
                Some(question) => question.cells.push(cell),
                None => self.questions.push(ComparedQuestion { title, cells: vec![cell] }),
            }
        }
    }

    fn line(&mut self, weighed: Weighed, p_value: f64) -> Line {
        let Weighed { quantity, sides, evidence } = weighed;
        let trials = sides.map(|side| side.map_or(0, |spread| spread.trials));
        if matches!(evidence, Evidence::Ranges { .. }) {
            self.ranges.push(trials);
        }
        let floor = floor(&self.noise, quantity).unwrap_or_default();
        let finding = evidence.finding(p_value, floor, quantity.prefers_less(), trials);
        Line { quantity, sides, ratio: evidence.ratio(), finding }
    }
}

impl ComparedCell {
    /// What the stack did wrong in the new run alone.
    pub fn broken_words(&self) -> Option<String> {
        let verdict = table::verdict_word(self.newly_broken?);
        Some(format!("is `{verdict}` in B and was not in A: {}", table::one_line(&self.why_broken)))
    }

    /// Whether an offered rate is carried in one run alone.
    pub fn carriage_words(&self) -> Option<&'static str> {
        match self.carried? {
            [true, false] => Some("carried the offered rate in A and does not in B"),
            [false, true] => Some("carries the offered rate in B and did not in A"),
            [true, true] | [false, false] => None,
        }
    }
}

impl Line {
    /// `server CPU per request is dearer: 17.2 µs → 22.4 µs, B ÷ A 1.304 [1.251–1.360]`, where it differs.
    pub fn words(&self) -> Option<String> {
        let [a, b] = self.sides.map(|side| side.map(|spread| self.quantity.tell(spread.median)));
        let finding = match self.finding {
            Finding::Better => self.quantity.better(),
            Finding::Worse => self.quantity.worse(),
            _ => return None,
        };
        Some(format!("{} is {finding}: {} → {}, B ÷ A {}", self.quantity.words(), a?, b?, self.ratio?.words()))
    }
}

/// Scenario, request, mode and step.
fn title(pair: &Pair) -> String {
    let Side { run, named } = &pair.sides[0];
    let key = &named.key;
    let question = Question { request: key.request.clone(), mode: key.mode, step: key.step };
    format!("{}: {}", key.scenario, table::title(&question, key.scenario(run)))
}

fn compared(pair: &Pair, lines: Vec<Line>, machines: Machines) -> ComparedCell {
    let [a, b] = pair.sides.each_ref().map(|side| &side.named.cell);
    let is_alike = pair.unlike(machines).is_none();
    let broke = is_alike && !weigh::is_broken(a.verdict) && weigh::is_broken(b.verdict);
    ComparedCell {
        stack: b.stack.clone(),
        role: b.role,
        newly_broken: broke.then_some(b.verdict),
        why_broken: if broke { b.reason.clone() } else { String::new() },
        carried: weigh::carried(pair).filter(|_| is_alike),
        lines,
    }
}

/// What A/A pairs say of each figure that is shown, in both runs.
fn noise(runs: [&Run; 2], weighed: &[Vec<Weighed>]) -> Vec<(Quantity, [Noise; 2])> {
    let shown = |quantity: &Quantity| weighed.iter().flatten().any(|weighed| weighed.quantity == *quantity);
    // The speed of the machine is held against that of cost, whatever is shown.
    let quantities = QUANTITIES.iter().map(|(_, quantity)| *quantity);
    quantities
        .filter(|quantity| *quantity == Quantity::Cpu || shown(quantity))
        .map(|quantity| (quantity, runs.map(|run| Noise::by(run, |rows| sound(rows, quantity, run)))))
        .collect()
}

fn sound(rows: &[&Row], quantity: Quantity, run: &Run) -> Blocks {
    let cell = Cell::of(rows, &Default::default()).filter(|cell| quantity.ranks(cell.verdict));
    cell.map(|cell| quantity.by_block(rows, &cell, run)).unwrap_or_default()
}

/// The larger noise floor of the two runs, as a log-ratio; none where neither measured one.
fn floor(noise: &[(Quantity, [Noise; 2])], quantity: Quantity) -> Option<f64> {
    let (_, runs) = noise.iter().find(|(known, _)| *known == quantity)?;
    runs.iter().filter_map(|noise| noise.floor).reduce(f64::max)
}

#[cfg(test)]
mod tests;
