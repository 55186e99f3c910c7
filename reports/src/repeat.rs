//! Two runs of the same on one machine: do they say the same?
//!
//! What is held against each other is what tables claim: the ratio of each stack to the first of its table, and which
//! of two stacks is the better one. Figures themselves may move from run to run with the machine; a claim may not.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    dir::Run,
    noise::Noise,
    panel::Panel,
    places::Comparisons,
    row::Role,
    stats::{self, Blocks, LogRatio},
    summary::{Cell, Question},
    table::{self, Headline, Part, is_ranked},
};

mod same;

pub use crate::differing::Changes;
pub use same::Refusal;

/// The share of run-to-run intervals that should contain 1: what each of them covers.
pub const AIM: f64 = stats::CONFIDENCE;

/// The stack that the others are held against where both runs have it: the dear one that runs measure under two names.
/// Chosen before there are figures, because the best of a run is in part the luckiest, and falls back in the next.
const REFERENCE: &str = "tokio";

/// What two runs say of the same tables.
#[derive(Debug)]
pub struct Repeat {
    /// One for each table that both runs have.
    pub tables: Vec<RepeatedTable>,
    /// How many cells could not be held against each other, by reason and stack.
    pub left_out: BTreeMap<LeftOut, BTreeMap<String, usize>>,
    /// Programs and files that are not the same in both runs: then it is not the measuring alone that differs.
    pub changes: Changes,
    /// What two names of one stack say, in each run, by figure.
    pub noise: Vec<[Noise; 2]>,
}

/// One question of one panel.
#[derive(Debug)]
pub struct RepeatedTable {
    /// Panel, scenario, request and mode.
    pub title: String,
    /// The figure that is compared.
    pub headline: Headline,
    /// The stack that the others are held against: `tokio`, or the first by name, of those that are ranked in both
    /// runs and have blocks enough.
    pub reference: String,
    /// The other stacks. A ratio of two stacks that stand in both panels is in the first of the two tables alone.
    pub ratios: Vec<RepeatedRatio>,
    /// Pairs of stacks that differ significantly in at least one of the runs; those of both panels in the first alone.
    pub ordered_pairs: usize,
    /// Those of them that differ significantly the other way round in the other run: the better one of the first run,
    /// then the worse.
    pub reversed_pairs: Vec<(String, String)>,
}

/// One stack's ratio to the reference.
#[derive(Debug)]
pub struct RepeatedRatio {
    /// Stack's name.
    pub stack: String,
    /// In each run.
    pub in_run: [LogRatio; 2],
    /// The second run's above the first's. The two say the same where its interval holds 0: the ratio of the ratios may
    /// be 1.
    pub change: LogRatio,
}

/// Why a cell was not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// A verdict forbids it in one of the runs.
    NotRanked,
    /// Fewer than [`stats::TRIALS_MIN`] blocks have both the stack and the reference.
    FewBlocks,
    /// The other run did not measure the stack.
    OneRunOnly,
}

impl Repeat {
    /// Holds two runs against each other.
    ///
    /// # Errors
    /// When they are not two runs of the same on one machine, or have too little in common to say anything.
    pub fn of(first: &Run, second: &Run) -> Result<Self, Refusal> {
        same::ensure(first, second)?;
        let changes = Changes::of(&first.meta, &second.meta);
        let mut repeat = Self { tables: Vec::new(), left_out: BTreeMap::new(), changes, noise: Vec::new() };
        let parts = table::parts(second);
        let mut headlines: Vec<Headline> = Vec::new();
        for part in table::parts(first) {
            let key = |part: &Part| (part.scenario.to_owned(), part.store.to_owned(), part.placement);
            let other = parts.iter().find(|other| key(other) == key(&part));
            let other = other.ok_or_else(|| Refusal::not_measured(&part))?;
            if !headlines.contains(&part.headline) {
                headlines.push(part.headline);
            }
            repeat.add([(first, &part), (second, other)]);
        }
        repeat.noise = headlines.iter().map(|figure| [first, second].map(|run| Noise::of(run, *figure))).collect();
        if repeat.intervals() == 0 {
            return Err(Refusal::Nothing { few_blocks: repeat.left_out.contains_key(&LeftOut::FewBlocks) });
        }
        Ok(repeat)
    }

    /// How many ratios were compared from run to run.
    pub fn intervals(&self) -> usize {
        self.tables.iter().map(|table| table.ratios.len()).sum()
    }

    /// In how many of them the interval of the ratio of the ratios contains 1.
    pub fn containing_one(&self) -> usize {
        self.tables.iter().map(RepeatedTable::containing_one).sum()
    }

    /// How many pairs differ significantly in at least one of the runs.
    pub fn ordered_pairs(&self) -> usize {
        self.tables.iter().map(|table| table.ordered_pairs).sum()
    }

    /// How many of them differ significantly the other way round in the other.
    pub fn reversed_pairs(&self) -> usize {
        self.tables.iter().map(|table| table.reversed_pairs.len()).sum()
    }

    fn add(&mut self, runs: [(&Run, &Part); 2]) {
        let [(first, part), _] = runs;
        let floors = runs.map(|(run, part)| Noise::of(run, part.headline).floor);
        let mut counted: BTreeMap<&Question, Counted> = BTreeMap::new();
        for panel in part.panels(&first.meta.stacks) {
            let [asked, asked_again] = runs.map(|(run, part)| part.of_panel(panel, &run.meta.stacks));
            for (question, cells) in &asked {
                let again = asked_again.iter().find(|(other, _)| other == question);
                let cells_again = again.map_or(&[][..], |(_, cells)| cells);
                let pair = Pair { headline: part.headline, cells: [cells, cells_again], floors };
                let title = title(panel, part, question);
                self.tables.extend(pair.repeated(title, counted.entry(*question).or_default()));
            }
        }
        for (why, stack) in counted.into_values().flat_map(|counted| counted.left_out) {
            *self.left_out.entry(why).or_default().entry(stack).or_default() += 1;
        }
    }
}

/// What was counted of one question. Some stacks stand in both panels, and what is said of them in the second table is
/// the same cells once more.
#[derive(Debug, Default)]
struct Counted {
    ratios: BTreeSet<[String; 2]>,
    pairs: BTreeSet<[String; 2]>,
    left_out: BTreeSet<(LeftOut, String)>,
}

/// A key for a pair whichever of the two comes first.
fn unordered(one: &str, other: &str) -> [String; 2] {
    [one.min(other).to_owned(), one.max(other).to_owned()]
}

impl RepeatedTable {
    /// How many ratios may be the same in both runs.
    pub fn containing_one(&self) -> usize {
        self.ratios.iter().filter(|ratio| ratio.change.may_be_zero()).count()
    }
}

fn title(panel: Panel, part: &Part, question: &Question) -> String {
    format!("{}: {}, {}", panel.title(), part.scenario, table::title(question, part.meta))
}

/// The cells of one table in both runs.
struct Pair<'c> {
    headline: Headline,
    cells: [&'c [&'c Cell]; 2],
    floors: [Option<f64>; 2],
}

/// A stack that is ranked in both runs: where it stands in each of the two tables.
#[derive(Clone, Copy)]
struct Standing<'c> {
    stack: &'c str,
    at: [usize; 2],
}

impl<'c> Pair<'c> {
    /// `None` where no two stacks can be compared in both runs, or all that can were counted already.
    fn repeated(&self, title: String, counted: &mut Counted) -> Option<RepeatedTable> {
        let standings = self.standings(&mut counted.left_out);
        let reference = self.reference(&standings)?;
        let mut ratios = Vec::new();
        for other in standings.iter().filter(|other| other.stack != reference.stack) {
            let ratio = |run: usize| LogRatio::paired(self.blocks(other, run), self.blocks(&reference, run));
            match (ratio(0), ratio(1)) {
                (Some(a), Some(b)) if counted.ratios.insert(unordered(other.stack, reference.stack)) => {
                    let stack = other.stack.to_owned();
                    ratios.push(RepeatedRatio { stack, in_run: [a, b], change: b.minus(&a) });
                }
                (Some(_), Some(_)) => {}
                _ => _ = counted.left_out.insert((LeftOut::FewBlocks, other.stack.to_owned())),
            }
        }
        let (ordered_pairs, reversed_pairs) = self.orders(&standings, &mut counted.pairs);
        let is_new = !ratios.is_empty() || ordered_pairs > 0;
        let (reference, headline) = (reference.stack.to_owned(), self.headline);
        is_new.then_some(RepeatedTable { title, headline, reference, ratios, ordered_pairs, reversed_pairs })
    }

    /// Chosen by names, and by how many blocks there are: by no figure.
    fn reference(&self, standings: &[Standing<'c>]) -> Option<Standing<'c>> {
        let has_few = |of: &Standing| [0, 1].iter().any(|run| self.blocks(of, *run).len() < stats::TRIALS_MIN);
        standings.iter().copied().min_by_key(|of| (has_few(of), of.stack != REFERENCE, of.stack))
    }

    fn blocks(&self, of: &Standing, run: usize) -> &Blocks {
        self.headline.by_block(self.cells[run][of.at[run]])
    }

    /// The stacks that are ranked in both runs, in the order of the first one's table.
    fn standings(&self, left_out: &mut BTreeSet<(LeftOut, String)>) -> Vec<Standing<'c>> {
        let mut leave_out = |why, stack: &str| _ = left_out.insert((why, stack.to_owned()));
        let [cells, again] = self.cells;
        let is_stack = |cell: &&Cell| cell.role == Role::Stack;
        let position = |stack: &str| again.iter().position(|cell| cell.stack == stack);
        let mut found = Vec::new();
        for (index, cell) in cells.iter().copied().enumerate().filter(|(_, cell)| is_stack(cell)) {
            match position(&cell.stack) {
                None => leave_out(LeftOut::OneRunOnly, &cell.stack),
                Some(other) if is_ranked(cell, self.headline) && is_ranked(again[other], self.headline) => {
                    found.push(Standing { stack: &cell.stack, at: [index, other] });
                }
                Some(_) => leave_out(LeftOut::NotRanked, &cell.stack),
            }
        }
        let is_new = |cell: &&Cell| cells.iter().all(|known| known.stack != cell.stack);
        for cell in again.iter().copied().filter(is_stack).filter(is_new) {
            leave_out(LeftOut::OneRunOnly, &cell.stack);
        }
        found
    }

    /// How many pairs differ significantly in a run, and which of them the other way round in the other; of those that
    /// were not counted yet.
    fn orders(&self, standings: &[Standing], counted: &mut BTreeSet<[String; 2]>) -> (usize, Vec<(String, String)>) {
        let comparisons = [0, 1].map(|run| Comparisons::of(self.cells[run], self.headline, self.floors[run]));
        // In one run: whether the one is better than the other, as its table would have it.
        let is_better = |run: usize, one: &Standing, other: &Standing| {
            comparisons[run].is_better_by_pairs(one.at[run], other.at[run]) == Some(true)
        };
        let (mut ordered, mut reversed) = (0, Vec::new());
        for (index, one) in standings.iter().enumerate() {
            for other in &standings[index + 1..] {
                if !counted.insert(unordered(one.stack, other.stack)) {
                    continue;
                }
                let one_is_better = [0, 1].map(|run| is_better(run, one, other));
                let other_is_better = [0, 1].map(|run| is_better(run, other, one));
                ordered += usize::from(one_is_better.contains(&true) || other_is_better.contains(&true));
                let names = |better: &Standing, worse: &Standing| (better.stack.to_owned(), worse.stack.to_owned());
                match (one_is_better, other_is_better) {
                    ([true, _], [_, true]) => reversed.push(names(one, other)),
                    ([_, true], [true, _]) => reversed.push(names(other, one)),
                    _ => {}
                }
            }
        }
        (ordered, reversed)
    }
}

#[cfg(test)]
mod tests;
