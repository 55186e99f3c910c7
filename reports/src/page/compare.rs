//! The page of two runs, cell by cell.

use askama::Template;

use crate::format::compare::{Grid, Row, Sheet, Tone};

/// Draws a comparison.
pub fn draw(sheet: &Sheet) -> String {
    Page { sheet }.render().expect("a page is written to memory")
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Page<'s> {
    sheet: &'s Sheet,
}

impl Grid {
    /// Whether a column stands right.
    fn holds_figures(&self, column: &usize) -> bool {
        self.figures.contains(column)
    }

    /// How a cell is marked. The colour says nothing that the word does not.
    fn class(&self, row: &Row, column: &usize) -> &'static str {
        let is_verdict = column + 1 == self.columns.len();
        match row.tone {
            Tone::Better if is_verdict => "better",
            Tone::Worse if is_verdict => "worse",
            _ if self.holds_figures(column) => "n",
            _ => "",
        }
    }
}
