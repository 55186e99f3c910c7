//! Tables in GitHub's Markdown.

use super::{cards, published};
use crate::{
    dir::Run,
    heading,
    number::NONE,
    table::{self, FaultTable, Figure, Headline, Holding, Line, Note, Overview, Section, Table},
};

/// Draws a run.
pub fn draw(run: &Run) -> String {
    let scenarios: Vec<&str> = run.meta.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    let mut text = format!("# stackbench: {}\n\n", scenarios.join(", "));
    bullets(&mut text, heading::provenance(run).iter().map(String::as_str));
    let sections = table::sections(run);
    for section in &sections {
        draw_section(&mut text, section);
    }
    if run.rows.is_empty() {
        text.push_str("There are no rows: the run ended before its first trial did.\n\n");
    }
    text.push_str("## How to read this\n\n");
    bullets(&mut text, heading::reading(run, &sections).iter().map(String::as_str));
    if !run.meta.stacks.is_empty() {
        cards::draw(&mut text, &run.meta.stacks);
    }
    if !run.warnings.is_empty() {
        text.push_str("## Lines that could not be read\n\n");
        bullets(&mut text, run.warnings.iter().map(String::as_str));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

pub(super) fn bullets<'a>(text: &mut String, lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        text.push_str(&format!("- {line}\n"));
    }
    text.push('\n');
}

fn draw_section(text: &mut String, section: &Section) {
    text.push_str(&format!("## {}\n\n", section.title));
    bullets(text, section.facts.iter().map(String::as_str));
    if !section.analysis.is_empty() {
        text.push_str(&format!("{}\n\n", section.analysis));
    }
    for (index, panel) in section.panels.iter().enumerate() {
        text.push_str(&format!("### {}\n\n{}\n\n", panel.panel.title(), panel.panel.sentence()));
        for overview in &panel.overviews {
            draw_overview(text, overview);
        }
        panel.rates.iter().for_each(|rates| draw_rates(text, rates));
        if !panel.overviews.is_empty() || panel.rates.is_some() {
            text.push_str(&format!("{}\n\n", heading::overview()));
        }
        // Beside the first table of rates, and once.
        if index == 0 {
            section.published.iter().for_each(|table| published::draw(text, table));
        }
        if !panel.not_carried.is_empty() {
            text.push_str(&format!("{}\n\n", heading::NOT_CARRIED));
            bullets(text, panel.not_carried.iter().map(String::as_str));
        }
        for table in &panel.faults {
            draw_faults(text, table);
        }
        if !panel.faults.is_empty() {
            text.push_str(&format!("{}\n\n", heading::faults()));
        }
        for table in &panel.tables {
            draw_table(text, table);
        }
    }
    draw_holdings(text, &section.holdings);
}

fn draw_holdings(text: &mut String, holdings: &[Holding]) {
    if holdings.is_empty() {
        return;
    }
    text.push_str(&format!("### {}\n\n", heading::HOLDINGS));
    text.push_str("| stack | cold start | threads | PSS | memory per idle connection |\n|:--|--:|--:|--:|--:|\n");
    for held in holdings {
        let figures = [&held.cold_start, &held.threads, &held.pss, &held.idle_connection].map(Figure::words);
        text.push_str(&format!("| {} | {} |\n", held.name.replace('|', "\\|"), figures.join(" | ")));
    }
    text.push_str(&format!("\n{}\n\n", heading::holdings()));
}

fn draw_overview(text: &mut String, overview: &Overview) {
    let columns = overview.columns.join(" | ");
    text.push_str(&format!("#### {}\n\n| stack | HTTP | store client | bridged | {columns} |\n", overview.title));
    text.push_str(&format!("|:--|:--|:--|:--|{}\n", "--:|".repeat(overview.columns.len())));
    for line in &overview.lines {
        let words = [&line.name, &line.http, &line.redis, line.bridged].map(|words| words.replace('|', "\\|"));
        text.push_str(&format!("| {} | {} |\n", words.join(" | "), line.cells.join(" | ")));
    }
    text.push('\n');
}

/// Requests down and stacks across, as the studies have it that the scenarios are from.
fn draw_rates(text: &mut String, rates: &Overview) {
    let stacks: Vec<String> = rates.lines.iter().map(|line| line.name.replace('|', "\\|")).collect();
    text.push_str(&format!("#### {}, stacks across\n\n| request | {} |\n", rates.title, stacks.join(" | ")));
    text.push_str(&format!("|:--|{}\n", "--:|".repeat(stacks.len())));
    for (column, question) in rates.columns.iter().enumerate() {
        let cells: Vec<&str> = rates.lines.iter().map(|line| line.cells[column].as_str()).collect();
        text.push_str(&format!("| {question} | {} |\n", cells.join(" | ")));
    }
    text.push('\n');
}

fn draw_faults(text: &mut String, table: &FaultTable) {
    text.push_str(&format!("#### {}: what it did\n\n", table.title));
    text.push_str(&format!("| stack | {} | verdict |\n", table.columns.join(" | ")));
    text.push_str(&format!("|:--|{}:--|\n", "--:|".repeat(table.columns.len())));
    for line in &table.lines {
        let note = line.note.map(|number| format!(" [{number}]")).unwrap_or_default();
        let (name, figures) = (line.name.replace('|', "\\|"), line.figures.join(" | "));
        text.push_str(&format!("| {name} | {figures} | {}{note} |\n", line.verdict));
    }
    text.push('\n');
    draw_notes(text, &table.notes);
}

fn draw_notes(text: &mut String, notes: &[Note]) {
    for (index, note) in notes.iter().enumerate() {
        text.push_str(&format!("{}. {}: {}\n", index + 1, note.stacks.join(", "), note.text));
    }
    if !notes.is_empty() {
        text.push('\n');
    }
}

fn draw_table(text: &mut String, table: &Table) {
    let mark =
        |headline, words: &str| if table.headline == headline { format!("**{words}**") } else { words.to_owned() };
    text.push_str(&format!("#### {} (by {})\n\n", table.title, table.headline.words()));
    let (times_best, rule) = if table.has_ratios { (" × best |", "--:|") } else { ("", "") };
    let latency = if table.is_open { "from due" } else { "queueing" };
    text.push_str(&format!(
        "| # | stack | mode |{times_best} {} | % of ceiling | {latency} p50 | {latency} p99 | {} | requests per \
         server-CPU-second | store µs/req | client µs/req | rest µs/req | peak RSS | switches/req | verdict \
         |\n|--:|:--|:--|{rule}--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|:--|\n",
        mark(Headline::Rate, "requests/s"),
        mark(Headline::CpuPerRequest, "server CPU µs/req"),
    ));
    for line in &table.lines {
        text.push_str(&table_line(line, table));
    }
    text.push('\n');
    if !table.ceilings.is_empty() {
        text.push_str(&format!("Ceiling: {}.\n\n", table.ceilings));
    }
    if !table.schedule.is_empty() {
        text.push_str(&format!("{}\n\n", table.schedule));
    }
    draw_notes(text, &table.notes);
    if !table.repeated.is_empty() {
        text.push_str(&format!("{}.\n\n", table.repeated));
    }
}

fn table_line(line: &Line, table: &Table) -> String {
    let figure = |figure: &Figure, of: Option<Headline>| {
        let is_bold = of == Some(table.headline) && figure.median != NONE;
        let median = if is_bold { format!("**{}**", figure.median) } else { figure.median.clone() };
        figure.range.as_ref().map_or_else(|| median.clone(), |range| format!("{median} {range}"))
    };
    let note = line.note.map(|number| format!(" [{number}]")).unwrap_or_default();
    let share = line.verdict_share.as_ref().map(|share| format!(" ({share})")).unwrap_or_default();
    let mut cells = vec![
        line.rank.map(|rank| rank.to_string()).unwrap_or_default(),
        line.name.replace('|', "\\|"),
        line.how.to_owned(),
    ];
    cells.extend(table.has_ratios.then(|| figure(&line.times_best, None)));
    cells.extend([
        figure(&line.rate, Some(Headline::Rate)),
        figure(&line.ceiling_percent, None),
        figure(&line.p50, None),
        figure(&line.p99, None),
        figure(&line.server_us, Some(Headline::CpuPerRequest)),
        figure(&line.per_cpu_second, None),
        figure(&line.store_us, None),
        figure(&line.client_us, None),
        figure(&line.unexplained_us, None),
        figure(&line.rss, None),
        figure(&line.switches, None),
        format!("{}{share}{note}", line.verdict),
    ]);
    format!("| {} |\n", cells.join(" | "))
}
