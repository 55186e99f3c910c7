//! Searches for capacity, for a terminal and in Markdown.

use super::{
    markdown::bullets,
    terminal::{drawn, empty_grid, wrapped},
};
use crate::{
    capacity::{self, COLUMNS, Capacity, Line, Table},
    dir::Run,
    heading,
};

/// Columns of figures, which stand right; words stand left.
const FIGURES: std::ops::Range<usize> = 2..COLUMNS.len() - 1;
/// What is said where there is no table.
const NONE: &str = "There are no searches: the run ended before its first trial did.";

/// Draws them for a terminal.
pub fn terminal(capacity: &Capacity, run: &Run) -> String {
    let mut text = String::new();
    capacity::facts(run).iter().for_each(|fact| text.push_str(&wrapped("", fact)));
    let tables = capacity::tables(capacity, run);
    for table in &tables {
        text.push_str(&format!("\n{}\n{}", table.title, grid(table)));
        table.notes.iter().for_each(|note| text.push_str(&wrapped("  ", note)));
    }
    if tables.is_empty() {
        text.push_str(&format!("{NONE}\n"));
    }
    text.push('\n');
    let prose = capacity::reading(capacity, run).into_iter().chain(heading::provenance(run));
    prose.for_each(|line| text.push_str(&wrapped("", &line)));
    run.warnings.iter().for_each(|warning| text.push_str(&format!("warning: {warning}\n")));
    text
}

fn grid(table: &Table) -> String {
    let mut grid = empty_grid();
    grid.set_header(COLUMNS);
    for line in &table.lines {
        let mut cells = line.cells();
        // What qualifies the end goes to a second line: beside it, the table would not fit.
        let last = cells.len() - 1;
        cells[last] = cells[last].replace("; ", ";\n");
        grid.add_row(cells);
    }
    drawn(grid, FIGURES)
}

/// Draws them in GitHub's Markdown.
pub fn markdown(capacity: &Capacity, run: &Run) -> String {
    let mut text = format!("# stackbench: capacity at `{}`\n\n", capacity.objective);
    bullets(&mut text, heading::provenance(run).iter().map(String::as_str));
    bullets(&mut text, capacity::facts(run).iter().map(String::as_str));
    let tables = capacity::tables(capacity, run);
    tables.iter().for_each(|table| draw_table(&mut text, table));
    if tables.is_empty() {
        text.push_str(&format!("{NONE}\n\n"));
    }
    text.push_str("## How to read this\n\n");
    bullets(&mut text, capacity::reading(capacity, run).iter().map(String::as_str));
    if !run.warnings.is_empty() {
        text.push_str("## What could not be read\n\n");
        bullets(&mut text, run.warnings.iter().map(String::as_str));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn draw_table(text: &mut String, table: &Table) {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    text.push_str(&format!("## {}\n\n", table.title));
    text.push_str(&row(&COLUMNS.map(|column| column.replace('\n', " "))));
    let rules = (0..COLUMNS.len()).map(|index| if FIGURES.contains(&index) { "--:|" } else { ":--|" });
    text.push_str(&format!("|{}\n", rules.collect::<String>()));
    let cells = |line: &Line| line.cells().map(|cell| cell.replace('|', "\\|"));
    table.lines.iter().for_each(|line| text.push_str(&row(&cells(line))));
    text.push('\n');
    if !table.notes.is_empty() {
        bullets(text, table.notes.iter().map(String::as_str));
    }
}
