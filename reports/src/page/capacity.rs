//! The page of a search for capacity.

use askama::Template;

use crate::{
    capacity::{self, COLUMNS, Capacity, Table},
    dir::Run,
    heading,
};

/// Draws searches.
pub fn draw(capacity: &Capacity, run: &Run) -> String {
    let page = Page {
        capacity,
        provenance: heading::provenance(run),
        facts: capacity::facts(run),
        warnings: &run.warnings,
        columns: COLUMNS.map(|column| column.replace('\n', " ")),
        tables: capacity::tables(capacity, run),
        reading: capacity::reading(capacity, run),
    };
    page.render().expect("a page is written to memory")
}

#[derive(Template)]
#[template(path = "capacity.html")]
struct Page<'r> {
    capacity: &'r Capacity,
    provenance: Vec<String>,
    facts: Vec<String>,
    warnings: &'r [String],
    columns: [String; COLUMNS.len()],
    tables: Vec<Table>,
    reading: Vec<String>,
}
