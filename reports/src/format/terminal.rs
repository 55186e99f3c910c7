//! Tables for a terminal.

use std::ops::Range;

use comfy_table::{Cell, CellAlignment, LineStyle, Table as Grid, presets};

use crate::{
    dir::Run,
    heading,
    number::NONE,
    table::{self, FaultTable, Figure, Headline, Holding, Line, Note, Overview, OverviewLine, Section, Table},
};

/// Prose is broken here; the tables fit 120 columns by themselves.
const WIDTH: usize = 110;
/// Columns up to this index hold words and stand left; figures stand right.
const NAME_COLUMN: usize = 1;

/// An overview of at most so many columns has room for words beside them.
const ROOMY_COLUMNS: usize = 4;
/// Words beside an overview's figures are cut here.
const WORDS_WIDTH: usize = 17;
/// What an overview's columns may be wide.
const COLUMN_WIDTH: usize = 10;

/// Draws a run.
pub fn draw(run: &Run) -> String {
    let mut text = String::new();
    let sections = table::sections(run);
    for section in &sections {
        draw_section(&mut text, section);
    }
    if run.rows.is_empty() {
        text.push_str("There are no rows: the run ended before its first trial did.\n\n");
    }
    for line in heading::reading(run, &sections) {
        text.push_str(&wrapped("", &line));
    }
    text.push('\n');
    for line in heading::provenance(run) {
        text.push_str(&wrapped("", &line));
    }
    for warning in &run.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

fn draw_section(text: &mut String, section: &Section) {
    text.push_str(&format!("{}\n{}\n", section.title, "═".repeat(section.title.chars().count())));
    for fact in &section.facts {
        text.push_str(&wrapped("", fact));
    }
    text.push('\n');
    for panel in &section.panels {
        let name = panel.panel.title();
        text.push_str(&format!("{name}\n{}\n", "─".repeat(name.chars().count())));
        text.push_str(&wrapped("", panel.panel.sentence()));
        text.push('\n');
        // The points of a curve would fill screens; report.md has them. A single point has no curve that would show it.
        for table in panel.tables.iter().filter(|_| !section.is_stepped || panel.overviews.is_empty()) {
            draw_table(text, table);
        }
        for overview in &panel.overviews {
            text.push_str(&format!("{}\n{}\n", overview.title, overview_grid(overview)));
        }
        if !panel.overviews.is_empty() {
            text.push_str(&wrapped("", heading::overview()));
            text.push('\n');
        }
        if !panel.not_carried.is_empty() {
            text.push_str(&format!("{}\n", heading::NOT_CARRIED));
            panel.not_carried.iter().for_each(|line| text.push_str(&wrapped("  ", line)));
            text.push('\n');
        }
        for table in &panel.faults {
            draw_faults(text, table);
        }
        if !panel.faults.is_empty() {
            text.push_str(&wrapped("", heading::faults()));
            text.push('\n');
        }
    }
    draw_holdings(text, &section.holdings);
}

fn draw_holdings(text: &mut String, holdings: &[Holding]) {
    if holdings.is_empty() {
        return;
    }
    let mut grid = Grid::new();
    grid.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    grid.set_header(["stack", "cold start", "threads", "PSS", "per idle connection"]);
    for held in holdings {
        let figures = [&held.cold_start, &held.threads, &held.pss, &held.idle_connection].map(Figure::words);
        grid.add_row([&held.name].into_iter().chain(&figures));
    }
    let name = heading::HOLDINGS;
    text.push_str(&format!("{name}\n{}\n{}", "─".repeat(name.chars().count()), drawn(grid, 1..5)));
    text.push_str(&wrapped("", heading::holdings()));
    text.push('\n');
}

fn draw_table(text: &mut String, table: &Table) {
    text.push_str(&format!("{} (by {})\n", table.title, table.headline.words()));
    text.push_str(&grid(table));
    text.push('\n');
    if !table.ceilings.is_empty() {
        text.push_str(&wrapped("  ceiling: ", &table.ceilings));
    }
    if !table.schedule.is_empty() {
        text.push_str(&wrapped("  ", &table.schedule));
    }
    draw_notes(text, &table.notes);
    if !table.repeated.is_empty() {
        text.push_str(&wrapped("  ", &table.repeated));
    }
    text.push('\n');
}

fn draw_faults(text: &mut String, table: &FaultTable) {
    let mut grid = empty_grid();
    let columns = table.columns.iter().map(|column| narrow(column));
    grid.set_header(["stack".to_owned()].into_iter().chain(columns).chain(["verdict".to_owned()]));
    for line in &table.lines {
        let note = line.note.map(|number| format!(" [{number}]")).unwrap_or_default();
        let verdict = format!("{}{note}", line.verdict);
        grid.add_row([&line.name].into_iter().chain(&line.figures).chain([&verdict]));
    }
    text.push_str(&format!("{}: what it did\n{}", table.title, drawn(grid, 1..table.columns.len() + 1)));
    draw_notes(text, &table.notes);
    text.push('\n');
}

fn draw_notes(text: &mut String, notes: &[Note]) {
    for (index, note) in notes.iter().enumerate() {
        let words = format!("{}: {}", note.stacks.join(", "), note.text);
        text.push_str(&wrapped(&format!("  [{}] ", index + 1), &words));
    }
}

/// Few columns leave room for what a stack is made of.
fn overview_grid(overview: &Overview) -> String {
    let is_roomy = overview.columns.len() <= ROOMY_COLUMNS;
    let words = |line: &OverviewLine| match is_roomy {
        true => vec![line.name.clone(), cut(&line.http), cut(&line.redis), line.bridged.to_owned()],
        false => vec![line.name.clone()],
    };
    let mut grid = empty_grid();
    let names = if is_roomy { &["stack", "HTTP", "store client", "bridged"][..] } else { &["stack"] };
    let columns = overview.columns.iter().map(|column| narrow(column));
    grid.set_header(names.iter().map(|name| (*name).to_owned()).chain(columns));
    for line in &overview.lines {
        grid.add_row(words(line).iter().chain(&line.cells));
    }
    drawn(grid, names.len()..names.len() + overview.columns.len())
}

/// A heading broken at commas, and at blanks where a part is still too wide.
fn narrow(heading: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for part in heading.split(", ") {
        lines.push(String::new());
        for word in part.split(' ') {
            let line = lines.last_mut().expect("a line was pushed just now");
            if line.is_empty() {
                line.push_str(word);
            } else if line.chars().count() + word.chars().count() < COLUMN_WIDTH {
                line.push_str(&format!(" {word}"));
            } else {
                lines.push(word.to_owned());
            }
        }
    }
    lines.join("\n")
}

fn cut(words: &str) -> String {
    match words.char_indices().nth(WORDS_WIDTH) {
        Some((end, _)) => format!("{}…", words[..end].trim_end()),
        None => words.to_owned(),
    }
}

fn grid(table: &Table) -> String {
    let mut grid = empty_grid();
    let mark =
        |headline, words: &str| if table.headline == headline { format!("{words} ◂") } else { words.to_owned() };
    let times_best = table.has_ratios.then(|| "× best".to_owned());
    let names = ["#".to_owned(), "stack".to_owned()].into_iter().chain(times_best);
    grid.set_header(names.chain([
        mark(Headline::Rate, "requests/s"),
        "% of\nceiling,\nreq per\nCPU-s".to_owned(),
        if table.is_open { "from due\np50, p99".to_owned() } else { "queueing\np50, p99".to_owned() },
        mark(Headline::CpuPerRequest, "server\nµs/req"),
        "store,\nclient\nµs/req".to_owned(),
        "peak RSS\nswitches".to_owned(),
        "verdict".to_owned(),
    ]));
    for line in &table.lines {
        grid.add_row(cells(line, table));
    }
    let last = grid.column_count() - 1;
    drawn(grid, NAME_COLUMN + 1..last)
}

/// A grid in the style of all of them.
pub(super) fn empty_grid() -> Grid {
    let mut grid = Grid::new();
    grid.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    grid
}

/// The lines of a grid, the given columns aligned to the right.
pub(super) fn drawn(mut grid: Grid, figures: Range<usize>) -> String {
    for (index, column) in grid.column_iter_mut().enumerate() {
        // The space that stands for the missing vertical line is the second of two between columns.
        column.set_padding((0, 1));
        if figures.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = grid.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat()
}

/// What qualifies a name, a figure or a verdict goes to a second line: beside it, the table would not fit.
fn cells(line: &Line, table: &Table) -> Vec<Cell> {
    let two_lines = |text: &str, more: &[&str]| {
        let more: Vec<&str> = more.iter().copied().filter(|part| !part.is_empty() && *part != NONE).collect();
        Cell::new(format!("{text}\n{}", more.join(" ")).trim_end())
    };
    let figure = |figure: &Figure| two_lines(&figure.median, &[figure.range.as_deref().unwrap_or_default()]);
    let (verdict, argument) = split_at_bracket(&line.verdict);
    // What the other trials were called stands in report.md: here a table has to fit a terminal.
    let share = line.verdict_share.as_deref().unwrap_or_default().split(',').next().unwrap_or_default();
    let note = line.note.map(|number| format!("[{number}]")).unwrap_or_default();
    let (name, role) = split_at_bracket(&line.name);
    let mut cells =
        vec![Cell::new(line.rank.map(|rank| rank.to_string()).unwrap_or_default()), two_lines(name, &[role, line.how])];
    cells.extend(table.has_ratios.then(|| figure(&line.times_best)));
    cells.extend([
        figure(&line.rate),
        two_lines(&line.ceiling_percent.median, &[&line.per_cpu_second.median]),
        percentiles(line),
        figure(&line.server_us),
        two_lines(&line.store_us.median, &[&line.client_us.median]),
        two_lines(&line.rss.median, &[&line.switches.median]),
        two_lines(verdict, &[argument, share, &note]),
    ]);
    cells
}

/// On how many of the trials they rest is rarely to be said, and has a third line then.
fn percentiles(line: &Line) -> Cell {
    let p99 = (line.p99.median != NONE).then_some(line.p99.median.as_str());
    let lines = [Some(line.p50.median.as_str()), p99, line.p99.range.as_deref()];
    Cell::new(lines.into_iter().flatten().collect::<Vec<_>>().join("\n"))
}

fn split_at_bracket(text: &str) -> (&str, &str) {
    let (head, tail) = text.split_at(text.find('(').unwrap_or(text.len()));
    (head.trim_end(), tail)
}

/// Breaks a sentence at spaces; lines after the first are indented as far as `first` reaches.
pub(super) fn wrapped(first: &str, text: &str) -> String {
    let indent = " ".repeat(first.chars().count());
    let (mut out, mut line) = (String::new(), first.to_owned());
    let mut is_fresh = true;
    for word in text.split(' ') {
        if !is_fresh && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line.clone_from(&indent);
            is_fresh = true;
        }
        if !is_fresh {
            line.push(' ');
        }
        line.push_str(word);
        is_fresh = false;
    }
    out + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dir::Run, row::Row, sample};

    #[test]
    fn a_curve_of_one_point_is_drawn_as_a_table() {
        let at = |step: u32| Row { step: Some(step), ..sample::row("tokio") };
        let drawn = |rows: Vec<Row>| {
            draw(&Run { meta: sample::meta(), rows, latencies: Default::default(), warnings: Vec::new() })
        };
        let headline = "(by server CPU";
        let one = drawn(vec![at(0)]);
        assert!(one.contains("verdict") && one.contains("tokio"), "{one}");
        assert!(!drawn(vec![at(0), at(1)]).contains(headline));
        assert!(one.contains(headline), "{one}");
    }
}
