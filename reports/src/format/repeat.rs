//! Two runs of the same, side by side, for a terminal.

use comfy_table::Table as Grid;

use super::terminal::{drawn, empty_grid, wrapped};
use crate::{
    number,
    repeat::{AIM, Changes, LeftOut, Repeat, RepeatedRatio, RepeatedTable},
    stats::{self, LogRatio},
};

/// Draws what two runs say of the same: a line for each table, the two sums, and every exception by name.
pub fn draw(repeat: &Repeat) -> String {
    let mut text = format!("{}\n", grid(repeat));
    text.push_str(&wrapped("", &intervals(repeat)));
    text.push_str(&wrapped("", &orders(repeat)));
    for line in exceptions(repeat) {
        text.push_str(&wrapped("  ", &line));
    }
    text.push('\n');
    for line in remarks(repeat) {
        text.push_str(&wrapped("", &line));
    }
    text
}

fn grid(repeat: &Repeat) -> String {
    let mut grid: Grid = empty_grid();
    grid.set_header(["table", "held\nagainst", "ratio\nintervals", "contain\n1", "ordered\npairs", "reversed"]);
    let numbers = |numbers: [usize; 4]| numbers.map(|number| number.to_string());
    for table in &repeat.tables {
        let RepeatedTable { title, reference, ratios, ordered_pairs, reversed_pairs, .. } = table;
        let words = [title.clone(), reference.clone()];
        let figures = numbers([ratios.len(), table.containing_one(), *ordered_pairs, reversed_pairs.len()]);
        grid.add_row(words.into_iter().chain(figures));
    }
    let sums = [repeat.intervals(), repeat.containing_one(), repeat.ordered_pairs(), repeat.reversed_pairs()];
    grid.add_row(["all".to_owned(), String::new()].into_iter().chain(numbers(sums)));
    drawn(grid, 2..6)
}

fn intervals(repeat: &Repeat) -> String {
    let (all, good) = (repeat.intervals(), repeat.containing_one());
    let share = number::percent(good as f64 / all as f64);
    let expected = match stats::chance::holding(all) {
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    };
    format!(
        "{good} of {all} run-to-run ratio intervals contain 1: {share} %. Of {all} intervals {expected} are to be expected when \
         nothing but chance differs."
    )
}

fn orders(repeat: &Repeat) -> String {
    format!(
        "{} of {} pairs that differ significantly in a run differ significantly the other way round in the other (aim: none).",
        repeat.reversed_pairs(),
        repeat.ordered_pairs()
    )
}

fn exceptions(repeat: &Repeat) -> Vec<String> {
    let of_table = |table: &RepeatedTable| {
        let moved = table.ratios.iter().filter(|ratio| !ratio.change.may_be_zero()).map(|ratio| moved(ratio, table));
        let reversed = table.reversed_pairs.iter().map(|(better, worse)| {
            format!("{}: {better} is better than {worse} in the first run and worse in the second.", table.title)
        });
        moved.chain(reversed).collect::<Vec<_>>()
    };
    repeat.tables.iter().flat_map(of_table).collect()
}

/// `…: server CPU per request of smol is 1.25 times that of tokio in the first run and 1.31 times in the second: a ratio
/// of 1.048 [1.010–1.087] between the runs.`
fn moved(ratio: &RepeatedRatio, table: &RepeatedTable) -> String {
    let times = |log: f64| number::ratio(log.exp());
    let with_interval = |change: &LogRatio| {
        let (low, high) = change.interval();
        format!("{} [{}–{}]", three_decimals(change.mean), three_decimals(low), three_decimals(high))
    };
    let [first, second] = ratio.in_run;
    format!(
        "{}: {} of {} is {} times that of {} in the first run and {} times in the second: a ratio of {} between the runs.",
        table.title,
        table.headline.words(),
        ratio.stack,
        times(first.mean),
        table.reference,
        times(second.mean),
        with_interval(&ratio.change),
    )
}

/// A ratio near 1 needs more than two decimals to show that it is not.
fn three_decimals(log: f64) -> String {
    format!("{:.3}", log.exp())
}

fn remarks(repeat: &Repeat) -> Vec<String> {
    let mut lines = vec![format!(
        "A ratio interval: by how much a stack's mean log-ratio to the one it is held against differs between the runs \
         ({:.0} %, Student's t with Welch's degrees of freedom). Pairs are ordered as places are: paired, corrected after \
         Holm within the table, beyond the run's noise floor. Two stacks of both panels are counted in the first alone. What is \
         to be expected: the central 95 % of the binomial distribution, as if the intervals were independent; those held \
         against one stack are not quite, and spread a little further.",
        100.0 * AIM
    )];
    for noise in &repeat.noise {
        lines.extend(
            ["First", "Second"].iter().zip(noise).map(|(which, noise)| format!("{which} run. {}", noise.sentence())),
        );
    }
    for (why, stacks) in &repeat.left_out {
        let cells: usize = stacks.values().sum();
        let stacks: Vec<String> = stacks.iter().map(|(stack, cells)| format!("{stack} {cells}")).collect();
        lines.push(format!("Left out, {}: {cells} cells ({}).", reason(*why), stacks.join(", ")));
    }
    let Changes { programs, inputs, one_run_only } = &repeat.changes;
    let warnings = [
        ("these programs are not the same in both runs, so that it is not the measuring alone that differs", programs),
        ("these files are not the same in both runs, and may change what is measured", inputs),
        ("only one of the runs knows these programs and files", one_run_only),
    ];
    let warnings = warnings.iter().filter(|(_, paths)| !paths.is_empty());
    lines.extend(warnings.map(|(what, paths)| format!("Warning: {what}: {}.", paths.join(", "))));
    lines
}

fn reason(why: LeftOut) -> &'static str {
    match why {
        LeftOut::NotRanked => "as a verdict forbids to rank them in one of the runs",
        LeftOut::FewBlocks => "as too few blocks have both them and the stack they are held against",
        LeftOut::OneRunOnly => "as only one of the runs has them",
    }
}
