//! Two runs, cell by cell: for a terminal, in Markdown and as a page.

use super::{
    markdown::bullets,
    terminal::{drawn, empty_grid, wrapped},
};

use crate::page;

mod sheet;
mod words;

pub use sheet::{Gate, Grid, Heads, Row, Section, Sheet, Tone};
pub use words::share;

/// A way to draw a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal of 120 columns.
    Terminal,
    /// GitHub's Markdown.
    Markdown,
    /// One page for a browser.
    Html,
}

/// Formats by the names that command lines use.
pub const FORMATS: &[(&str, Format)] = &[("text", Format::Terminal), ("md", Format::Markdown), ("html", Format::Html)];

impl Format {
    /// The format of a name of [`FORMATS`].
    pub fn named(name: &str) -> Option<Self> {
        FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// Draws a comparison.
    pub fn draw(self, sheet: &Sheet) -> String {
        match self {
            Self::Terminal => terminal(sheet),
            Self::Markdown => markdown(sheet),
            Self::Html => page::compare::draw(sheet),
        }
    }
}

fn terminal(sheet: &Sheet) -> String {
    let mut text = format!("{}\n{}\n", sheet.title, "═".repeat(sheet.title.chars().count()));
    for alarm in &sheet.alarms {
        text.push_str(&format!("{}\n", wrapped("!! ", alarm)));
    }
    sheet.facts.iter().for_each(|fact| text.push_str(&wrapped("", fact)));
    for section in &sheet.sections {
        text.push_str(&format!("\n{}\n{}\n", section.title, "─".repeat(section.title.chars().count())));
        section.lines.iter().for_each(|line| text.push_str(&wrapped("- ", line)));
        for grid in &section.grids {
            let title = if grid.title.is_empty() { String::new() } else { format!("\n{}\n", grid.title) };
            text.push_str(&format!("{title}{}", lines(grid)));
            grid.notes.iter().for_each(|note| text.push_str(&wrapped("  ", note)));
        }
    }
    text.push('\n');
    sheet.reading.iter().for_each(|line| text.push_str(&wrapped("", line)));
    text
}

fn lines(grid: &Grid) -> String {
    let mut cells = empty_grid();
    cells.set_header(&grid.columns);
    for row in &grid.rows {
        cells.add_row(&row.cells);
    }
    drawn(cells, grid.figures.clone())
}

fn markdown(sheet: &Sheet) -> String {
    let mut text = format!("# {}\n\n", sheet.title);
    for alarm in &sheet.alarms {
        text.push_str(&format!("> **Mind:** {}\n\n", harmless(alarm)));
    }
    lines_of(&mut text, &sheet.facts);
    for section in &sheet.sections {
        text.push_str(&format!("## {}\n\n", section.title));
        if !section.lines.is_empty() {
            lines_of(&mut text, &section.lines);
        }
        section.grids.iter().for_each(|grid| table(&mut text, grid));
    }
    text.push_str("## How to read this\n\n");
    lines_of(&mut text, &sheet.reading);
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn lines_of(text: &mut String, lines: &[String]) {
    let lines: Vec<String> = lines.iter().map(|line| harmless(line)).collect();
    bullets(text, lines.iter().map(String::as_str));
}

/// What begins like a tag would not be shown: names of folders and the last words of a server that failed may.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let is_tag = |next: &char| next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?');
        if character == '<' && rest.peek().is_some_and(is_tag) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

fn table(text: &mut String, grid: &Grid) {
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| harmless(cell).replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    if !grid.title.is_empty() {
        text.push_str(&format!("### {}\n\n", grid.title));
    }
    text.push_str(&row(&grid.columns));
    let rules = (0..grid.columns.len()).map(|index| if grid.figures.contains(&index) { "--:|" } else { ":--|" });
    text.push_str(&format!("|{}\n", rules.collect::<String>()));
    for line in &grid.rows {
        // Nobody sorts out colours in Markdown: what differs is set in bold.
        let mut cells = line.cells.clone();
        if let Some(verdict) = cells.last_mut().filter(|_| line.tone != Tone::Plain) {
            *verdict = format!("**{verdict}**");
        }
        text.push_str(&row(&cells));
    }
    text.push('\n');
    if !grid.notes.is_empty() {
        lines_of(text, &grid.notes);
    }
}

#[cfg(test)]
mod tests;
