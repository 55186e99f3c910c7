//! The page: a run as one HTML file that needs nothing but itself.
//!
//! Tables, cards and prose are in the HTML, so that they are there without scripts; the figures are drawn in the browser from
//! a JSON document inside the page. All text of the run goes through the template's escaping, or through the browser as
//! text: a stack's name or a log line never becomes markup.

use askama::Template;

use crate::{
    card,
    dir::Run,
    heading,
    seconds::Seconds,
    table::{self, FaultTable, PublishedTable},
};

pub mod capacity;
pub mod compare;
mod data;
mod rows;

use data::Document;
use rows::{COLUMNS, Column, TableRow};

/// Of every page.
pub(crate) const STYLE: &str = include_str!("../templates/style.css");
/// Tables that can be sorted.
pub(crate) const TABLES: &str = include_str!("../templates/tables.js");
/// Figures, sorting and filters.
pub(crate) const SCRIPT: &str = concat!(
    include_str!("../templates/tables.js"),
    include_str!("../templates/figures.js"),
    include_str!("../templates/questions.js"),
    include_str!("../templates/report.js")
);
/// What Plot stands on: <https://d3js.org>, 7.9.2, ISC.
pub(crate) const D3: &str = include_str!("../templates/vendor/d3.min.js");
/// The charting library: <https://observablehq.com/plot>, 0.6.17, ISC. It draws SVG, whose marks can be read, styled and
/// counted.
pub(crate) const PLOT: &str = include_str!("../templates/vendor/plot.min.js");

/// Draws a run.
pub fn draw(run: &Run, seconds: &Seconds) -> String {
    let parts = table::parts(run);
    let cells = rows::cells(run, &parts);
    let tables = table::sections_of(run, &parts);
    let page = Page {
        title: title(run),
        provenance: heading::provenance(run),
        warnings: &run.warnings,
        choices: Choices::of(&cells, &tables),
        columns: &COLUMNS,
        rows: cells.iter().map(|cell| TableRow::of(cell, &parts)).collect(),
        reading: heading::reading(run, &tables),
        cards: run.meta.stacks.iter().map(|stack| Card { name: &stack.name, lines: card::lines(stack) }).collect(),
        data: Document::of(&cells, &parts, run, seconds),
        sections: tables.into_iter().map(SectionText::of).collect(),
    };
    page.render().expect("a page is written to memory")
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'r> {
    title: String,
    provenance: Vec<String>,
    warnings: &'r [String],
    choices: Choices,
    columns: &'static [Column],
    rows: Vec<TableRow<'r>>,
    sections: Vec<SectionText>,
    reading: Vec<String>,
    cards: Vec<Card<'r>>,
    data: Document<'r>,
}

fn title(run: &Run) -> String {
    let scenarios: Vec<&str> = run.meta.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    format!("stackbench: {}", scenarios.join(", "))
}

/// What the filters offer.
struct Choices {
    sections: Vec<Choice>,
    panels: Vec<Choice>,
    requests: Vec<String>,
    modes: Vec<String>,
    placements: Vec<String>,
}

struct Choice {
    value: String,
    label: String,
}

impl Choices {
    fn of(cells: &[rows::PageCell], tables: &[table::Section]) -> Self {
        let mut panels: Vec<Choice> = Vec::new();
        for cell in cells {
            if panels.iter().all(|known| known.value != cell.panel.key()) {
                panels.push(Choice { value: cell.panel.key().to_owned(), label: cell.panel.title().to_owned() });
            }
        }
        let section = |(index, section): (usize, &table::Section)| Choice {
            value: index.to_string(),
            label: format!("{} ({})", section.title, section.conditions),
        };
        Self {
            sections: tables.iter().enumerate().map(section).collect(),
            panels,
            requests: distinct(cells.iter().map(|cell| cell.question.request.clone())),
            modes: distinct(cells.iter().map(|cell| table::mode_word(cell.question.mode).to_owned())),
            placements: distinct(cells.iter().map(|cell| table::placement_word(cell.placement).to_owned())),
        }
    }
}

/// Each once, in the order in which they come.
fn distinct(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut found = Vec::new();
    for word in words {
        if !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

/// A scenario in words, its tables of what faults did, and what is published of the same work.
struct SectionText {
    title: String,
    facts: Vec<String>,
    analysis: String,
    faults: Vec<FaultTable>,
    published: Vec<PublishedTable>,
}

impl SectionText {
    fn of(section: table::Section) -> Self {
        let faults = section.panels.into_iter().flat_map(|panel| panel.faults).collect();
        let table::Section { title, facts, analysis, published, .. } = section;
        Self { title, facts, analysis, faults, published }
    }
}

struct Card<'r> {
    name: &'r str,
    lines: Vec<card::Line>,
}

#[cfg(test)]
mod tests;
