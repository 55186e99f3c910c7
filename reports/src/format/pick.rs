//! Which stacks meet a need, for a terminal and in Markdown.

use super::{
    markdown::bullets,
    terminal::{drawn, empty_grid, wrapped},
};
use crate::{
    dir::Run,
    heading, number,
    pick::{
        Pick,
        answer::{Answer, At, Candidate},
        finding::{Finding, Reading},
        need::{Limit, Need, Quantity},
    },
    summary::Spread,
};

/// A table must not be wider than this.
const WIDTH: usize = 118;
/// What two columns are apart.
const GAP: usize = 2;
/// Store, placement and load; what else stands above the tables of a run is there.
const FACTS: usize = 3;

/// Groups of stacks that are shown with their figures, as they are headed.
const QUALIFYING: &str = "Qualifies, the cheapest first";
const BORDERLINE: &str = "Borderline: qualifies in some trials and not in others";
/// Those of which a sentence is said.
const LACKING: &str = "Does not qualify, the nearest first";
const UNTOLD: &str = "Cannot be told from this run";

/// A column of figures.
struct Column {
    /// What it shows, and under that the limit.
    header: Vec<String>,
    /// The figure of each stack, and under that what qualifies it.
    cells: Vec<Vec<String>>,
}

/// Draws an answer for a terminal.
pub fn terminal(pick: &Pick, run: &Run) -> String {
    let mut text = String::new();
    for answer in &pick.answers {
        text.push_str(&wrapped("", &answer.sentence()));
    }
    text.push_str(&format!("\nneed: {}\n", pick.need));
    for answer in &pick.answers {
        text.push_str(&format!("\n{}\n{}\n", answer.title, "═".repeat(answer.title.chars().count())));
        answer.facts.iter().take(FACTS).for_each(|fact| text.push_str(&wrapped("", fact)));
        for (title, group) in [(QUALIFYING, &answer.qualifying), (BORDERLINE, &answer.borderline)] {
            draw_figures(&mut text, title, group, &pick.need);
        }
        draw_sentences(&mut text, LACKING, &sentences(&answer.lacking, &pick.need, Candidate::lacks));
        draw_sentences(&mut text, UNTOLD, &sentences(&answer.untold, &pick.need, Candidate::unknown));
        for remedy in &answer.remedies {
            text.push_str(&format!("  To find out, {}:\n    {}\n", remedy.why, remedy.command));
        }
    }
    text.push('\n');
    let prose = pick.reading.iter().cloned().chain(heading::provenance(run));
    prose.for_each(|line| text.push_str(&wrapped("", &line)));
    run.warnings.iter().for_each(|warning| text.push_str(&format!("warning: {warning}\n")));
    text
}

fn draw_figures(text: &mut String, title: &str, group: &[Candidate], need: &Need) {
    if group.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}\n"));
    let names = group.iter().map(|candidate| candidate.stack.chars().count()).max().unwrap_or_default();
    for columns in fitting(&columns(group, need), names) {
        let mut grid = empty_grid();
        let headers = columns.iter().map(|column| column.header.join("\n"));
        grid.set_header(["stack".to_owned()].into_iter().chain(headers));
        for (index, candidate) in group.iter().enumerate() {
            let cells = columns.iter().map(|column| column.cells[index].join("\n"));
            grid.add_row([candidate.stack.clone()].into_iter().chain(cells));
        }
        text.push_str(&drawn(grid, 1..columns.len() + 1));
    }
    for candidate in group {
        let line = format!("{}: {}", candidate.stack, besides(candidate));
        text.push_str(&hanging(&line));
    }
}

/// Columns in as few tables as a terminal has room for, with names of this width before each.
fn fitting(columns: &[Column], names: usize) -> Vec<&[Column]> {
    let (mut tables, mut begin, mut width) = (Vec::new(), 0, names);
    for (index, column) in columns.iter().enumerate() {
        if index > begin && width + GAP + column.width() > WIDTH {
            tables.push(&columns[begin..index]);
            (begin, width) = (index, names);
        }
        width += GAP + column.width();
    }
    tables.push(&columns[begin..]);
    tables
}

impl Column {
    fn width(&self) -> usize {
        let lines = self.header.iter().chain(self.cells.iter().flatten());
        lines.map(|line| line.chars().count()).max().unwrap_or_default()
    }
}

fn draw_sentences(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}\n"));
    lines.iter().for_each(|line| text.push_str(&hanging(line)));
}

/// What is said of stacks, those of which the same is said together.
fn sentences(group: &[Candidate], need: &Need, told: fn(&Candidate) -> String) -> Vec<String> {
    let mut lines: Vec<(Vec<&str>, String)> = Vec::new();
    for candidate in group {
        let words = format!("{}: {}", asked_at(candidate, need), told(candidate));
        match lines.iter_mut().find(|(_, known)| *known == words) {
            Some((stacks, _)) => stacks.push(&candidate.stack),
            None => lines.push((vec![&candidate.stack], words)),
        }
    }
    lines.into_iter().map(|(stacks, words)| format!("{}{words}", stacks.join(", "))).collect()
}

/// A paragraph whose lines after the first stand further in.
fn hanging(line: &str) -> String {
    wrapped("    ", line).replacen("    ", "  ", 1)
}

/// Draws an answer in GitHub's Markdown.
pub fn markdown(pick: &Pick, run: &Run) -> String {
    let mut text = format!("# stackbench: who meets `{}`?\n\n", pick.need);
    for answer in &pick.answers {
        text.push_str(&format!("{}\n\n", answer.sentence()));
    }
    bullets(&mut text, heading::provenance(run).iter().map(String::as_str));
    for answer in &pick.answers {
        markdown_answer(&mut text, answer, &pick.need);
    }
    text.push_str("## How to read this\n\n");
    bullets(&mut text, pick.reading.iter().map(String::as_str));
    if !run.warnings.is_empty() {
        text.push_str("## Lines that could not be read\n\n");
        bullets(&mut text, run.warnings.iter().map(String::as_str));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn markdown_answer(text: &mut String, answer: &Answer, need: &Need) {
    text.push_str(&format!("## {}\n\n", answer.title));
    bullets(text, answer.facts.iter().take(FACTS).map(String::as_str));
    for (title, group) in [(QUALIFYING, &answer.qualifying), (BORDERLINE, &answer.borderline)] {
        if group.is_empty() {
            continue;
        }
        let columns = columns(group, need);
        let headers: Vec<String> = columns.iter().map(|column| column.header.join(" ")).collect();
        text.push_str(&format!("### {title}\n\n| stack | {} | besides |\n", headers.join(" | ")));
        text.push_str(&format!("|:--|{}:--|\n", "--:|".repeat(columns.len())));
        for (index, candidate) in group.iter().enumerate() {
            let cells: Vec<String> = columns.iter().map(|column| column.cells[index].join("<br>")).collect();
            let words = [candidate.stack.clone(), besides(candidate)].map(|words| words.replace('|', "\\|"));
            text.push_str(&format!("| {} | {} | {} |\n", words[0], cells.join(" | "), words[1]));
        }
        text.push('\n');
    }
    let groups = [
        (LACKING, sentences(&answer.lacking, need, Candidate::lacks)),
        (UNTOLD, sentences(&answer.untold, need, Candidate::unknown)),
    ];
    for (title, lines) in groups.iter().filter(|(_, lines)| !lines.is_empty()) {
        text.push_str(&format!("### {title}\n\n"));
        bullets(text, lines.iter().map(String::as_str));
    }
    for remedy in &answer.remedies {
        text.push_str(&format!("To find out, {}:\n\n```sh\n{}\n```\n\n", remedy.why, remedy.command));
    }
}

/// Where a stack was asked, in brackets after a blank; empty where it was asked nowhere.
fn asked_at(candidate: &Candidate, need: &Need) -> String {
    let Some(at) = &candidate.at else { return String::new() };
    let is_above = at.offered_per_sec.zip(need.rate()).is_some_and(|(offered, needed)| offered > needed);
    let nearest = if is_above { ", the nearest step above" } else { "" };
    format!(" ({}{nearest})", at.load())
}

/// What a need limits, then what else it costs.
fn columns(group: &[Candidate], need: &Need) -> Vec<Column> {
    let rate = need.limit_of(Quantity::Rate);
    let first = match rate {
        Some(limit) => of_limit(group, limit),
        None => Column {
            header: vec!["asked at".to_owned()],
            cells: group.iter().map(|one| one.at.as_ref().map_or_else(Vec::new, |at| vec![load(at)])).collect(),
        },
    };
    let limits = need.limits().filter(|limit| limit.quantity != Quantity::Rate).map(|limit| of_limit(group, limit));
    let mut columns: Vec<Column> = [first].into_iter().chain(limits).collect();
    let is_limited = |quantity| need.limit_of(quantity).is_some();
    if !is_limited(Quantity::Cpu) {
        columns.push(of_cost(group, "cpu", Quantity::Cpu, |one| one.cost.cpu_us));
    }
    if let Some(rate) = need.rate() {
        let cores = |one: &Candidate| one.cost.cores.map(number::ratio).into_iter().collect();
        let at = format!("at {}/s", number::rate(rate));
        columns.push(Column { header: vec!["cores".to_owned(), at], cells: group.iter().map(cores).collect() });
    }
    if !is_limited(Quantity::Rss) {
        columns.push(of_cost(group, "peak RSS", Quantity::Rss, |one| one.cost.rss_bytes));
    }
    columns
}

fn of_limit(group: &[Candidate], limit: &Limit) -> Column {
    let cell = |candidate: &Candidate| {
        let Some((finding, reading)) = candidate.finding_of(limit.quantity).and_then(|f| Some((f, f.reading?))) else {
            return vec![number::NONE.to_owned()];
        };
        let load = candidate.at.as_ref().filter(|_| limit.quantity == Quantity::Rate).map(doubts).unwrap_or_default();
        figure(finding, reading, limit).into_iter().chain(load).collect()
    };
    Column { header: vec![limit.quantity.name(), limit.words()], cells: group.iter().map(cell).collect() }
}

/// The figure, its spread, and the margin where there is any.
fn figure(finding: &Finding, reading: Reading, limit: &Limit) -> Vec<String> {
    let margin = finding.margin().filter(|margin| margin.value != 0.0).map(|margin| margin.words(limit));
    [Some(reading.shown(|value| limit.show(value))), reading.spread(|value| limit.show(value)), margin]
        .into_iter()
        .flatten()
        .collect()
}

/// What is to be said of a step beside the rate that was offered there.
fn doubts(at: &At) -> Vec<String> {
    let closed = at.offered_per_sec.is_none().then_some("closed loop");
    let words = closed.into_iter().chain([at.doubt()]).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

fn load(at: &At) -> String {
    at.offered_per_sec.map_or_else(|| "its maximum".to_owned(), |rate| format!("{}/s", number::rate(rate)))
}

fn of_cost(group: &[Candidate], name: &str, quantity: Quantity, of: fn(&Candidate) -> Option<Spread>) -> Column {
    let cell = |candidate: &Candidate| match of(candidate).map(Reading::of) {
        Some(reading) => {
            [Some(reading.shown(|value| quantity.show(value))), reading.spread(|value| quantity.show(value))]
                .into_iter()
                .flatten()
                .collect()
        }
        None => vec![number::NONE.to_owned()],
    };
    Column { header: vec![name.to_owned()], cells: group.iter().map(cell).collect() }
}

/// What a stack brings along beside its figures; what it does not keep in every trial comes first.
fn besides(candidate: &Candidate) -> String {
    let cost = &candidate.cost;
    let threads = cost.threads.map(|threads| format!("{} threads", number::count(threads.median)));
    let panel = (!cost.panel.is_empty()).then(|| match cost.panel.as_str() {
        "both" => "both panels".to_owned(),
        panel => format!("{panel} panel"),
    });
    let upstream = cost.upstream.as_ref().map_or_else(|| "not recorded".to_owned(), Clone::clone);
    let how = (!cost.how.is_empty()).then(|| cost.how.to_owned());
    let words = [how, threads, panel, Some(format!("upstream {upstream}"))].into_iter().flatten();
    let words = words.collect::<Vec<String>>().join(", ");
    match candidate.wavers() {
        wavers if wavers.is_empty() => words,
        wavers => format!("{wavers}; {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::tests::assert_expected,
        pick::tests::{Trial, at, blocks, carrying, costing, judged, picked, run},
        row::Verdict,
        run::StackMeta,
    };

    const NEED: &str = "rate>=20000,p99<20ms,cpu<40us,mode=native";

    /// Stacks of every kind, three trials each.
    fn of_every_kind() -> Run {
        let three = |trial: Trial, ms: [u64; 3]| blocks(&trial, &ms);
        let trials = [
            three(costing(at("may", 20e3, 0), 9.6), [3, 4, 5]),
            three(at("tokio", 20e3, 0), [9, 8, 12]),
            three(at("actix-web", 20e3, 0), [9, 18, 25]),
            three(costing(at("smol", 20e3, 0), 44.0), [9, 10, 11]),
            three(carrying(at("thread-pool", 20e3, 0), 15e3, Verdict::Ok), [500, 600, 700]),
            three(judged(at("axum", 20e3, 0), Verdict::ClientLimited), [9, 9, 9]),
            three(at("compio", 40e3, 0), [90, 91, 92]),
        ];
        let mut run = run(trials.concat());
        run.meta.stacks =
            run.rows.iter().map(|row| StackMeta { name: row.stack.clone(), ..run.meta.stacks[0].clone() }).collect();
        run.meta.stacks.dedup_by(|a, b| a.name == b.name);
        run.meta.plan.trials = run.rows.len() as u64;
        run
    }

    #[test]
    fn a_terminal_shows_who_qualifies_and_what_the_others_lack() {
        let run = of_every_kind();
        assert_expected(&terminal(&picked(&run, NEED), &run), "pick.txt");
    }

    #[test]
    fn markdown_shows_the_same() {
        let run = of_every_kind();
        assert_expected(&markdown(&picked(&run, NEED), &run), "pick.md");
    }

    #[test]
    fn a_need_of_every_field_fits_a_terminal_of_120_columns() {
        let mut run = of_every_kind();
        for row in &mut run.rows {
            // As long as the longest name there is.
            row.stack = format!("{:x<21}", row.stack);
        }
        let need = "rate>=20000,p50<20ms,p90<20ms,p99<20ms,p999<20ms,cpu<40us,rss<200MB,idle<9KiB,errors<1%,threads<9,\
                    coldstart<50ms";
        for line in terminal(&picked(&run, need), &run).lines().filter(|line| !line.starts_with("    stackbench")) {
            assert!(line.chars().count() <= 120, "{} columns: {line}", line.chars().count());
        }
    }
}
