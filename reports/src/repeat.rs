//! Two runs of the same on one machine: do they say the same?
//!
//! What is held against each other is what tables claim: the ratio of each stack to the first of its table, and which
//! of two stacks is the better one. Figures themselves may move from run to run with the machine; a claim may not.

use std::collections::BTreeMap;

use crate::{
    dir::Run,
    noise::Noise,
    panel::Panel,
    places::Comparisons,
    row::Role,
    stats::{self, LogRatio},
    summary::{Cell, Question},
    table::{self, Headline, Part, is_ranked},
};

mod same;

pub use same::Refusal;

/// The share of run-to-run intervals that should contain 1: what each of them covers.
pub const AIM: f64 = stats::CONFIDENCE;

/// What two runs say of the same tables.
#[derive(Debug)]
pub struct Repeat {
    /// One for each table that both runs have.
    pub tables: Vec<RepeatedTable>,
    /// How many cells could not be held against each other, by reason and stack.
    pub left_out: BTreeMap<LeftOut, BTreeMap<String, usize>>,
    /// Programs whose files differ between the two runs, by path: then it is not the same that was measured.
    pub changed_programs: Vec<String>,
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
    /// The stack that the others are held against: the first of the first run's table that is ranked in both.
    pub reference: String,
    /// The other stacks.
    pub ratios: Vec<RepeatedRatio>,
    /// Pairs of stacks that differ significantly in at least one of the runs.
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
        let changed_programs = same::changed_programs(first, second);
        let mut repeat = Self { tables: Vec::new(), left_out: BTreeMap::new(), changed_programs, noise: Vec::new() };
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
        for panel in part.panels(&first.meta.stacks) {
            let [asked, asked_again] = runs.map(|(run, part)| part.of_panel(panel, &run.meta.stacks));
            for (question, cells) in &asked {
                let again = asked_again.iter().find(|(other, _)| other == question);
                let cells_again = again.map_or(&[][..], |(_, cells)| cells);
                let pair = Pair { headline: part.headline, cells: [cells, cells_again], floors };
                let title = title(panel, part, question);
                self.tables.extend(pair.repeated(title, &mut self.left_out));
            }
        }
    }
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
    /// `None` where not even two stacks are ranked in both runs.
    fn repeated(
        &self,
        title: String,
        left_out: &mut BTreeMap<LeftOut, BTreeMap<String, usize>>,
    ) -> Option<RepeatedTable> {
        let mut leave_out = |why, stack: &str| {
            *left_out.entry(why).or_default().entry(stack.to_owned()).or_default() += 1;
        };
        let standings = self.standings(&mut leave_out);
        let (reference, others) = standings.split_first()?;
        let mut ratios = Vec::new();
        for other in others {
            let ratio = |run: usize| {
                let cell = |standing: &Standing| self.headline.by_block(self.cells[run][standing.at[run]]);
                LogRatio::paired(cell(other), cell(reference))
            };
            match (ratio(0), ratio(1)) {
                (Some(a), Some(b)) => {
                    let stack = other.stack.to_owned();
                    ratios.push(RepeatedRatio { stack, in_run: [a, b], change: b.minus(&a) });
                }
                _ => leave_out(LeftOut::FewBlocks, other.stack),
            }
        }
        let (ordered_pairs, reversed_pairs) = self.orders(&standings);
        let reference = reference.stack.to_owned();
        let headline = self.headline;
        (!ratios.is_empty()).then_some(RepeatedTable {
            title,
            headline,
            reference,
            ratios,
            ordered_pairs,
            reversed_pairs,
        })
    }

    /// The stacks that are ranked in both runs, in the order of the first one's table.
    fn standings(&self, leave_out: &mut impl FnMut(LeftOut, &str)) -> Vec<Standing<'c>> {
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

    /// How many pairs differ significantly in a run, and which of them the other way round in the other.
    fn orders(&self, standings: &[Standing]) -> (usize, Vec<(String, String)>) {
        let comparisons = [0, 1].map(|run| Comparisons::of(self.cells[run], self.headline, self.floors[run]));
        // In one run: whether the one is better than the other, as its table would have it.
        let is_better = |run: usize, one: &Standing, other: &Standing| {
            comparisons[run].is_better_by_pairs(one.at[run], other.at[run]) == Some(true)
        };
        let (mut ordered, mut reversed) = (0, Vec::new());
        for (index, one) in standings.iter().enumerate() {
            for other in &standings[index + 1..] {
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
