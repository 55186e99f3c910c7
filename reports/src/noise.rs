//! The noise floor: by how much one stack differs from itself when it is measured under two names.
//!
//! Whatever makes two names of one stack differ (the order of trials, memory that lies elsewhere, the machine's mood)
//! makes two stacks differ as well. A smaller difference than that is not the stacks'.

use crate::{
    dir::Run,
    number,
    row::{Placement, Row},
    stats::{Blocks, LogRatio},
    summary::{Cell, Question, Spread},
    table::Headline,
};

/// What the A/A pairs of a run say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Noise {
    /// The stacks whose two names could be held against each other in some cell, in the order of the rows.
    pub stacks: Vec<String>,
    /// Those that were measured under two names as well, and have sound figures under both in no block of any cell.
    pub unsound: Vec<String>,
    /// The largest difference of two names over all cells of the run, as a log-ratio; none where there is no difference.
    pub floor: Option<f64>,
}

/// The rows that tables are made from: those of a stack's own name. Second names of A/A pairs are for the noise floor
/// alone.
pub fn ordinary(rows: &[Row]) -> Vec<&Row> {
    rows.iter().filter(|row| row.twin.is_none()).collect()
}

impl Noise {
    /// Of the figure of a headline. Cells whose verdict forbids to rank that figure say nothing of it.
    pub fn of(run: &Run, headline: Headline) -> Self {
        Self::by(run, |rows| {
            let cell = Cell::of(rows, &Default::default()).filter(|cell| headline.ranks(cell.verdict));
            cell.map(|cell| headline.by_block(&cell).clone()).unwrap_or_default()
        })
    }

    /// Of any figure, which is told by block from the trials of a cell; nothing for one that is not sound.
    pub(crate) fn by(run: &Run, figure: impl Fn(&[&Row]) -> Blocks) -> Self {
        let mut noise = Self::default();
        for (example, question) in twice_measured(&run.rows) {
            let of_cell = |row: &&Row| key(row) == key(example) && Question::of(row) == question;
            let rows: Vec<&Row> = run.rows.iter().filter(of_cell).collect();
            let [one, other] = [None, Some(SECOND)].map(|twin| figures(&rows, twin, &figure));
            match difference(&one, &other) {
                Some(found) => {
                    noise.floor = Some(noise.floor.map_or(found, |floor| floor.max(found)));
                    add(&mut noise.stacks, &example.stack);
                }
                None => add(&mut noise.unsound, &example.stack),
            }
        }
        noise.unsound.retain(|stack| !noise.stacks.contains(stack));
        noise
    }

    /// For a heading.
    pub fn sentence(&self) -> String {
        let Some(floor) = self.floor else { return format!("A/A: {}.", self.absence()) };
        let without = match self.unsound.as_slice() {
            [] => String::new(),
            unsound => format!(" {} had no sound figures under both names.", listed(unsound)),
        };
        let percent = number::percent(floor.exp_m1());
        let stacks = listed(&self.stacks);
        format!("A/A: two names of {stacks} differ by up to {percent} %; no smaller difference is counted.{without}")
    }

    /// Why there is no floor, where there is none.
    pub fn absence(&self) -> String {
        let why = match self.unsound.as_slice() {
            [] => "no stack was measured under two names".to_owned(),
            unsound => format!("no cell of {} has sound figures under both names", listed(unsound)),
        };
        format!("no noise floor was measured: {why}")
    }
}

/// What [`Row::twin`] calls the second name of a stack.
const SECOND: u8 = 2;

/// The cells that have rows under a second name, each by one of these rows.
fn twice_measured(rows: &[Row]) -> Vec<(&Row, Question)> {
    let mut cells: Vec<(&Row, Question)> = Vec::new();
    for row in rows.iter().filter(|row| row.twin == Some(SECOND)) {
        let question = Question::of(row);
        if !cells.iter().any(|(other, asked)| *asked == question && key(other) == key(row)) {
            cells.push((row, question));
        }
    }
    cells
}

/// By how much two names of one stack differ, over the blocks that both have. Places hold the mean of paired log-ratios
/// against the floor, or with few blocks the medians; so the floor is the larger of what the two say, or what the medians
/// say.
fn difference(one: &Blocks, other: &Blocks) -> Option<f64> {
    let common = |of: &Blocks, by: &Blocks| Spread::of(of.iter().filter(|(k, _)| by.contains_key(k)).map(|(_, v)| *v));
    let (of_one, of_other) = (common(one, other)?, common(other, one)?);
    let of_medians = (of_one.median / of_other.median).ln().abs();
    let of_pairs = LogRatio::paired(one, other).map(|ratio| ratio.mean.abs());
    Some(of_pairs.map_or(of_medians, |pairs| pairs.max(of_medians)))
}

/// What makes a cell besides its question.
fn key(row: &Row) -> (&str, &str, &str, Placement) {
    (&row.scenario, &row.stack, &row.store_name, row.placement)
}

/// What the trials under one of the two names say by block, as far as it has a logarithm.
fn figures(rows: &[&Row], twin: Option<u8>, figure: impl Fn(&[&Row]) -> Blocks) -> Blocks {
    let of_name: Vec<&Row> = rows.iter().copied().filter(|row| row.twin == twin).collect();
    let mut blocks = figure(&of_name);
    blocks.retain(|_, figure| *figure > 0.0);
    blocks
}

fn add(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{row::Verdict, sample};

    fn row(stack: &str, twin: Option<u8>, us: f64) -> Row {
        let mut row = Row { twin, ..sample::row(stack) };
        row.server.cpu_us_per_request = us;
        row
    }

    fn noise(rows: Vec<Row>) -> Noise {
        let run = Run { meta: sample::meta(), rows, latencies: BTreeMap::new(), warnings: Vec::new() };
        Noise::of(&run, Headline::CpuPerRequest)
    }

    #[test]
    fn the_floor_is_the_largest_difference_of_medians_over_all_cells() {
        let hit = |row: Row| Row { request: "cache_hit".to_owned(), ..row };
        let noise = noise(vec![
            row("may", None, 100.0),
            row("may", Some(2), 101.0),
            hit(row("may", None, 102.1)),
            hit(row("may", Some(2), 100.0)),
            row("tokio", None, 40.0),
            row("tokio", Some(2), 40.4),
            row("smol", None, 500.0),
        ]);
        assert_eq!(noise.stacks, ["may", "tokio"]);
        assert!((noise.floor.unwrap() - 1.021_f64.ln()).abs() < 1e-12);
        assert_eq!(
            noise.sentence(),
            "A/A: two names of may and tokio differ by up to 2.1 %; no smaller difference is counted."
        );
    }

    /// Costs by block under both names.
    fn of_blocks(one: &[f64], other: &[f64]) -> Vec<Row> {
        let rows = |twin, costs: &[f64]| {
            (1..).zip(costs).map(|(trial, us)| Row { trial, ..row("may", twin, *us) }).collect::<Vec<_>>()
        };
        [rows(None, one), rows(Some(2), other)].concat()
    }

    #[test]
    fn from_six_common_blocks_on_the_floor_is_the_larger_of_pairs_and_medians() {
        let moods = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0];
        // Two names that differ in the outer blocks only: the medians are the same, and the pairs see it.
        let outer = [11.0, 22.0, 30.0, 40.0, 55.0, 66.0];
        let floor = noise(of_blocks(&moods, &outer)).floor.unwrap();
        assert!((floor - 1.1_f64.ln() * 4.0 / 6.0).abs() < 1e-12, "{floor}");
        // In the middle ones only: the medians differ by more than the pairs do on the mean.
        let middle = [10.0, 20.0, 33.0, 44.0, 50.0, 60.0];
        let floor = noise(of_blocks(&moods, &middle)).floor.unwrap();
        assert!((floor - 1.1_f64.ln()).abs() < 1e-12, "{floor}");
    }

    #[test]
    fn below_six_common_blocks_the_floor_is_that_of_the_medians() {
        let floor = noise(of_blocks(&[10.0, 20.0, 30.0], &[11.0, 20.0, 33.0])).floor;
        assert_eq!(floor, Some(0.0));
    }

    #[test]
    fn a_block_that_one_name_lacks_counts_for_neither() {
        let mut rows = of_blocks(&[10.0, 10.0, 10.0, 99.0, 99.0], &[10.0, 10.0, 10.0, 99.0, 99.0]);
        rows.retain(|row| row.twin.is_none() || row.trial < 4);
        assert_eq!(noise(rows.clone()).floor, Some(0.0));
        rows.retain(|row| (row.trial == 1) == row.twin.is_none());
        assert_eq!(noise(rows).floor, None, "no block in common");
    }

    #[test]
    fn a_stack_that_says_nothing_of_noise_is_named_apart() {
        let starved = Row { verdict: Verdict::Starved, ..row("tokio", Some(2), 40.0) };
        let noise = noise(vec![row("may", None, 100.0), row("may", Some(2), 101.0), row("tokio", None, 40.0), starved]);
        assert_eq!(
            (noise.stacks.as_slice(), noise.unsound.as_slice()),
            (&["may".to_owned()][..], &["tokio".to_owned()][..])
        );
        assert!(noise.sentence().ends_with("tokio had no sound figures under both names."), "{}", noise.sentence());
    }

    #[test]
    fn what_may_not_be_ranked_or_was_measured_again_makes_no_noise() {
        let starved = Row { verdict: Verdict::Starved, ..row("may", Some(2), 200.0) };
        let unsound = noise(vec![row("may", None, 100.0), starved]);
        assert_eq!(unsound.floor, None);
        assert_eq!(
            unsound.sentence(),
            "A/A: no noise floor was measured: no cell of may has sound figures under both names."
        );
        let again = Row { repeated: true, verdict: Verdict::Noisy, ..row("may", Some(2), 200.0) };
        let repeated = noise(vec![row("may", None, 100.0), again, row("may", Some(2), 100.0)]);
        assert_eq!(repeated.floor, Some(0.0));
    }

    #[test]
    fn a_run_without_pairs_has_no_floor_and_says_so() {
        let noise = noise(vec![row("may", None, 100.0)]);
        assert_eq!(noise.floor, None);
        assert_eq!(noise.sentence(), "A/A: no noise floor was measured: no stack was measured under two names.");
    }

    #[test]
    fn tables_are_made_from_the_first_name() {
        let rows = [row("may", None, 1.0), row("may", Some(2), 3.0), row("smol", None, 4.0)];
        let costs: Vec<f64> = ordinary(&rows).iter().map(|row| row.server.cpu_us_per_request).collect();
        assert_eq!(costs, [1.0, 4.0]);
    }
}
