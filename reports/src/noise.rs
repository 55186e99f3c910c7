//! The noise floor: by how much one stack differs from itself when it is measured under two names.
//!
//! Whatever makes two names of one stack differ (the order of trials, memory that lies elsewhere, the machine's mood)
//! makes two stacks differ as well. A smaller difference than that is not the stacks'.

use std::collections::BTreeSet;

use crate::{
    dir::Run,
    number,
    row::{Placement, Row},
    summary::{Cell, Question},
    table::Headline,
};

/// What the A/A pairs of a run say.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// The stacks that were measured under two names, in the order of the rows.
    pub stacks: Vec<String>,
    /// The largest |ln(median of one name / median of the other)| of the figure that tables are ordered by, over all
    /// cells of the run; none where no cell has a sound figure under both names.
    pub floor: Option<f64>,
}

/// The rows that tables are made from: those of a stack's own name. Names of A/A pairs beyond it are for the noise floor
/// alone; a stack that has nothing but the two names of a pair stands under the first.
pub fn ordinary(rows: &[Row]) -> Vec<&Row> {
    let named: BTreeSet<&str> = rows.iter().filter(|row| row.twin.is_none()).map(|row| row.stack.as_str()).collect();
    let is_ordinary = |row: &&Row| match row.twin {
        None => true,
        Some(1) => !named.contains(row.stack.as_str()),
        Some(_) => false,
    };
    rows.iter().filter(is_ordinary).collect()
}

impl Noise {
    /// Of the figure of a headline. Cells whose verdict forbids to rank that figure say nothing of it.
    pub fn of(run: &Run, headline: Headline) -> Self {
        let mut stacks: Vec<String> = Vec::new();
        let mut cells: Vec<(&Row, Question)> = Vec::new();
        for row in run.rows.iter().filter(|row| row.twin == Some(2)) {
            if !stacks.contains(&row.stack) {
                stacks.push(row.stack.clone());
            }
            let question = Question::of(row);
            if !cells.iter().any(|(other, asked)| *asked == question && key(other) == key(row)) {
                cells.push((row, question));
            }
        }
        let differences = cells.iter().filter_map(|(example, question)| {
            let of_cell = |row: &&Row| key(row) == key(example) && Question::of(row) == *question;
            let rows: Vec<&Row> = run.rows.iter().filter(of_cell).collect();
            let (one, other) = (median(&first_name(&rows), headline)?, median(&named(&rows, Some(2)), headline)?);
            Some((one / other).ln().abs())
        });
        let floor = differences.reduce(f64::max);
        Self { stacks, floor }
    }

    /// For a heading.
    pub fn sentence(&self) -> String {
        let stacks = listed(&self.stacks);
        match self.floor {
            _ if self.stacks.is_empty() => {
                "A/A: no stack was measured under two names, so there is no noise floor.".to_owned()
            }
            None => format!("A/A: no cell of {stacks} has sound figures under both names, so there is no noise floor."),
            Some(floor) => format!(
                "A/A: two names of {stacks} differ by up to {} %; no smaller difference is counted.",
                number::percent(floor.exp_m1())
            ),
        }
    }
}

/// What makes a cell besides its question.
fn key(row: &Row) -> (&str, &str, &str, Placement) {
    (&row.scenario, &row.stack, &row.store_name, row.placement)
}

fn named<'r>(rows: &[&'r Row], twin: Option<u8>) -> Vec<&'r Row> {
    rows.iter().copied().filter(|row| row.twin == twin).collect()
}

fn first_name<'r>(rows: &[&'r Row]) -> Vec<&'r Row> {
    let told = named(rows, Some(1));
    if told.is_empty() { named(rows, None) } else { told }
}

/// Median of a figure that may be ranked and has a logarithm.
fn median(rows: &[&Row], headline: Headline) -> Option<f64> {
    let cell = Cell::of(rows, &Default::default()).filter(|cell| headline.ranks(cell.verdict))?;
    headline.figure(&cell).map(|spread| spread.median).filter(|median| *median > 0.0)
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

    #[test]
    fn a_first_name_may_be_told_and_then_the_stacks_own_rows_are_none_of_the_pair() {
        let noise = noise(vec![row("may", None, 50.0), row("may", Some(1), 100.0), row("may", Some(2), 110.0)]);
        assert!((noise.floor.unwrap() - 1.1_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn what_may_not_be_ranked_or_was_measured_again_makes_no_noise() {
        let starved = Row { verdict: Verdict::Starved, ..row("may", Some(2), 200.0) };
        let unsound = noise(vec![row("may", None, 100.0), starved]);
        assert_eq!(unsound.floor, None);
        assert_eq!(
            unsound.sentence(),
            "A/A: no cell of may has sound figures under both names, so there is no noise floor."
        );
        let again = Row { repeated: true, verdict: Verdict::Noisy, ..row("may", Some(2), 200.0) };
        let repeated = noise(vec![row("may", None, 100.0), again, row("may", Some(2), 100.0)]);
        assert_eq!(repeated.floor, Some(0.0));
    }

    #[test]
    fn a_run_without_pairs_has_no_floor_and_says_so() {
        let noise = noise(vec![row("may", None, 100.0)]);
        assert_eq!(noise.floor, None);
        assert_eq!(noise.sentence(), "A/A: no stack was measured under two names, so there is no noise floor.");
    }

    #[test]
    fn tables_are_made_from_the_first_name() {
        let rows =
            [row("may", None, 1.0), row("may", Some(1), 2.0), row("may", Some(2), 3.0), row("smol", Some(1), 4.0)];
        let costs: Vec<f64> = ordinary(&rows).iter().map(|row| row.server.cpu_us_per_request).collect();
        assert_eq!(costs, [1.0, 4.0]);
    }
}
