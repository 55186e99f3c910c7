//! The table for the first screen of a document: every stack under the main request of the main scenario, and the command
//! that made it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

use super::terminal::wrapped;
use crate::{
    command,
    dir::Run,
    heading,
    panel::Panel,
    row::{Mode, Role, Row},
    run::StackMeta,
    stats::{self, median},
    summary::{Cell, Question},
    table::{self, Figure, Headline, Line, PanelTables, Part, Section, Table, is_ranked, verdict_word},
};

/// Draws the table of a run in GitHub's Markdown.
///
/// The main scenario is the first without steps in whose store nothing delays, because waiting hides what a request costs;
/// where there is none, the first without steps. Its main request is the first, `async` where it has that.
///
/// # Errors
/// When the run has no rows, or steps in every scenario.
pub fn draw(run: &Run) -> Result<String> {
    ensure!(!run.rows.is_empty(), "no trial of the run has ended");
    let parts = table::parts(run);
    let index = main_part(&parts).context(
        "every scenario of the run has steps, and this table has one figure for each stack; take a run of a scenario \
         without, such as cache-nodelay",
    )?;
    let sections = table::sections(run);
    let shown = Shown::of(&parts[index], &sections[index], run);
    Ok(shown.table() + &wrapped("", &shown.legend()))
}

fn main_part(parts: &[Part]) -> Option<usize> {
    let is_flat = |part: &Part| part.asked.iter().all(|(question, _)| question.step.is_none());
    let is_undelayed = |part: &Part| part.meta.is_some_and(|meta| meta.delays.is_empty());
    let flat: Vec<usize> = (0..parts.len()).filter(|index| is_flat(&parts[*index])).collect();
    flat.iter().copied().find(|index| is_undelayed(&parts[*index])).or(flat.first().copied())
}

/// What the table is made from.
struct Shown<'r> {
    run: &'r Run,
    part: &'r Part<'r>,
    section: &'r Section,
    /// What it is ordered by, …
    main: &'r Question,
    /// … and the same request in the other mode, if it has one.
    other: Option<&'r Question>,
    panels: Vec<Stacks<'r>>,
}

/// The stacks of one panel.
struct Stacks<'r> {
    panel: Panel,
    /// In the order of the main table, and after these what only the other has.
    stacks: Vec<Stack<'r>>,
}

/// A cell and how its table shows it.
#[derive(Debug, Clone, Copy)]
struct Entry<'r> {
    cell: &'r Cell,
    line: &'r Line,
}

/// A stack under the two questions; it answers at least one of them.
#[derive(Debug, Clone, Copy)]
struct Stack<'r> {
    /// One of the two, for what they have in common.
    any: Entry<'r>,
    main: Option<Entry<'r>>,
    other: Option<Entry<'r>>,
}

impl Stack<'_> {
    fn is_reference(&self) -> bool {
        matches!(self.any.cell.role, Role::Ceiling | Role::Floor)
    }
}

impl<'r> Stacks<'r> {
    fn of(panel: Panel, main: &[Entry<'r>], other: &[Entry<'r>]) -> Self {
        let of_stack = |entries: &[Entry<'r>], any: Entry| {
            entries.iter().copied().find(|entry| entry.cell.stack == any.cell.stack)
        };
        let only_other = other.iter().filter(|entry| of_stack(main, **entry).is_none());
        let stack = |any: &Entry<'r>| Stack { any: *any, main: of_stack(main, *any), other: of_stack(other, *any) };
        Self { panel, stacks: main.iter().chain(only_other).map(stack).collect() }
    }
}

impl<'r> Shown<'r> {
    fn of(part: &'r Part<'r>, section: &'r Section, run: &'r Run) -> Self {
        let (first, _) = &part.asked[0];
        let in_mode = |mode| {
            part.asked.iter().map(|(question, _)| question).find(|q| q.request == first.request && q.mode == mode)
        };
        let main = in_mode(Mode::Async).unwrap_or(first);
        let other = in_mode(Mode::Sync).filter(|sync| *sync != main);
        let stacks = |panel: &'r PanelTables| {
            let entries = |question| entries(question, panel, part, run);
            Stacks::of(panel.panel, &entries(main), &other.map(entries).unwrap_or_default())
        };
        Self { run, part, section, main, other, panels: section.panels.iter().map(stacks).collect() }
    }

    fn stacks(&self) -> impl Iterator<Item = &Stack<'r>> {
        self.panels.iter().flat_map(|panel| &panel.stacks)
    }

    fn has_ratios(&self) -> bool {
        self.stacks().any(|stack| stack.main.is_some_and(|entry| entry.line.times_best.range.is_some()))
    }

    fn table(&self) -> String {
        let columns = self.columns();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let rules: String = columns.iter().map(|(_, rule)| *rule).collect();
        let mut text = format!("| {} |\n|{rules}\n", names.join(" | "));
        let heading = |words: &str| format!("| *{words}* |{}\n", " |".repeat(columns.len() - 1));
        for panel in &self.panels {
            text.push_str(&heading(&panel.panel.title().to_lowercase()));
            panel
                .stacks
                .iter()
                .filter(|stack| !stack.is_reference())
                .for_each(|stack| text.push_str(&self.line(stack)));
        }
        // They are the same in every panel.
        let of_first = self.panels.first().map_or(&[][..], |panel| &panel.stacks);
        let references: String =
            of_first.iter().filter(|stack| stack.is_reference()).map(|stack| self.line(stack)).collect();
        if !references.is_empty() {
            text.push_str(&(heading("references") + &references));
        }
        text + "\n"
    }

    /// Names and rules.
    fn columns(&self) -> Vec<(String, &'static str)> {
        let (words, figure) = (":--|", "--:|");
        let first = match self.part.headline {
            Headline::CpuPerRequest => "server CPU µs per request",
            Headline::Rate => "requests per second",
        };
        let mut columns = vec![(first, words), ("HTTP", words), ("store client", words), ("#", figure)];
        columns.extend(self.has_ratios().then_some(("× best", figure)));
        let (main, other) = (self.title(self.main), self.other.map(|other| self.title(other)));
        columns.extend([(main.as_str(), figure), ("requests per CPU-s", figure), ("verdict", words)]);
        columns.extend(other.as_deref().map(|other| (other, figure)));
        columns.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect()
    }

    fn line(&self, stack: &Stack) -> String {
        let Stack { any, main, other } = stack;
        let meta = self.run.meta.stacks.iter().find(|meta| meta.name == any.cell.stack);
        let word = |of: fn(&StackMeta) -> &str| meta.map_or_else(String::new, |meta| of(meta).to_owned());
        let none = || Figure::none().words();
        let of_main = |of: &dyn Fn(&Line) -> String| main.map_or_else(none, |entry| of(entry.line));
        let rank = main.and_then(|entry| entry.line.rank).map(|rank| rank.to_string());
        let mut cells = vec![any.line.name.clone(), word(|meta| &meta.http), word(|meta| &meta.redis)];
        cells.push(rank.unwrap_or_default());
        cells.extend(self.has_ratios().then(|| of_main(&|line| line.times_best.words())));
        cells.push(main.map_or_else(none, |entry| self.figure(entry, Column::Main)));
        cells.extend([of_main(&|line| line.per_cpu_second.median.clone()), of_main(&verdict)]);
        let of_other = || other.map_or_else(none, |entry| self.figure(entry, Column::Other));
        cells.extend(self.other.is_some().then(of_other));
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    }

    /// In brackets, if it may not be ranked; marked, if the stack bridges the mode.
    fn figure(&self, Entry { cell, line }: Entry, column: Column) -> String {
        let figure = match self.part.headline {
            Headline::CpuPerRequest => &line.server_us,
            Headline::Rate => &line.rate,
        };
        if figure == &Figure::none() {
            return figure.words();
        }
        let is_sound = cell.role != Role::Stack || is_ranked(cell, self.part.headline);
        let range = figure.range.as_ref().map(|range| format!(" {range}")).unwrap_or_default();
        let words = match (is_sound, column) {
            (true, Column::Main) => format!("**{}**{range}", figure.median),
            (true, Column::Other) => format!("{}{range}", figure.median),
            (false, _) => format!("({}{range})", figure.median),
        };
        if line.how == "bridged" { words + " b" } else { words }
    }

    /// `hit, async`: without what the names of all requests begin with.
    fn title(&self, question: &Question) -> String {
        let names: BTreeSet<&str> = self.part.asked.iter().map(|(asked, _)| asked.request.as_str()).collect();
        let prefix = question.request.split_once('_').map_or("", |(first, _)| first);
        let is_shared =
            names.len() > 1 && names.iter().all(|name| name.split_once('_').is_some_and(|(p, _)| p == prefix));
        let own = if is_shared { &question.request[prefix.len() + 1..] } else { &question.request };
        table::title(&Question { request: own.to_owned(), ..question.clone() }, None)
    }

    fn legend(&self) -> String {
        let meta = &self.run.meta;
        let machine = &meta.machine;
        let source = match (&meta.git.revision, meta.git.dirty) {
            (Some(revision), Some(true)) => format!("revision `{}` with local changes", heading::short(revision)),
            (Some(revision), _) => format!("revision `{}`", heading::short(revision)),
            (None, _) => "a revision that is not known".to_owned(),
        };
        let date = meta.started.split('T').next().unwrap_or_default();
        let kernel: Vec<&str> = machine.kernel.split_whitespace().take(2).collect();
        let cpus = match (machine.is_virtual, machine.cpus) {
            (Some(true), cpus) => format!("{cpus} virtual CPUs"),
            (_, cpus) => format!("{cpus} CPUs"),
        };
        let mut sentences = vec![format!(
            "{}, from `{}` at {source} on {date}: {}, {cpus}, {}.",
            self.spread(),
            command::line(&meta.command),
            machine.cpu_model,
            kernel.join(" ")
        )];
        sentences.extend(heading::setting(self.part.meta, &self.rows(), ""));
        sentences.push(self.order());
        sentences.push(self.section.noise.sentence());
        sentences.push(self.verdicts());
        let has_references = self.stacks().any(Stack::is_reference);
        let references = "Ceiling and floor are references and may be beaten by a stack that saves system calls.";
        sentences.extend(has_references.then(|| references.to_owned()));
        sentences.join(" ")
    }

    /// `Medians of 8 blocks and their 99.2 % intervals`.
    fn spread(&self) -> String {
        let spreads = self.stacks().filter_map(|stack| self.part.headline.figure(stack.main?.cell));
        let trials: BTreeSet<usize> = spreads.map(|spread| spread.trials).collect();
        let most = trials.last().copied().unwrap_or_default();
        let up_to = if trials.len() > 1 { "up to " } else { "" };
        match most {
            0 => "No figure".to_owned(),
            1 => "One block".to_owned(),
            few if few < stats::TRIALS_MIN => format!("Medians of {up_to}{few} blocks and their ranges"),
            _ => {
                let coverage = crate::number::percent(median::coverage(most, median::rank(most)));
                format!("Medians of {up_to}{most} blocks and their {coverage} % intervals")
            }
        }
    }

    fn order(&self) -> String {
        let (main, headline) = (self.title(self.main), self.part.headline.words());
        let of_column = match self.has_ratios() {
            true => "places (#), × best (ratios within blocks, with simultaneous 95 % intervals)",
            false => "places (#)",
        };
        let shown = || self.stacks().flat_map(|stack| [stack.main, stack.other]).flatten();
        let is_bracketed = |cell: &Cell| {
            let headline = self.part.headline;
            cell.role == Role::Stack && !is_ranked(cell, headline) && headline.figure(cell).is_some()
        };
        let brackets = shown().any(|entry| is_bracketed(entry.cell));
        let bridged = shown().any(|entry| entry.line.how == "bridged");
        format!(
            "Ordered by {headline} of *{main}*; {of_column} and requests per CPU-s are of that column{}{}.",
            if bridged { ", b is bridged" } else { "" },
            if brackets { ", what stands in round brackets may not be ranked" } else { "" }
        )
    }

    /// The trials that the figures rest on.
    fn rows(&self) -> Vec<&'r Row> {
        let is_shown = |row: &&&Row| {
            let question = Question::of(row);
            !row.repeated && (question == *self.main || Some(&question) == self.other)
        };
        self.part.rows.iter().filter(is_shown).copied().collect()
    }

    /// ``Verdicts of its 24 trials: 20 `ok`, 4 `noisy`.``
    fn verdicts(&self) -> String {
        let rows = self.rows();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        rows.iter().for_each(|row| *counts.entry(verdict_word(row.verdict)).or_default() += 1);
        let mut ordered: Vec<(&str, usize)> = counts.into_iter().collect();
        ordered.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let words: Vec<String> = ordered.iter().map(|(verdict, count)| format!("{count} `{verdict}`")).collect();
        format!("Verdicts of its {} trials: {}.", rows.len(), words.join(", "))
    }
}

/// The cells of a question with the lines of its table: tables are in the order of the questions, and their lines in that
/// of the cells.
fn entries<'r>(question: &Question, tables: &'r PanelTables, part: &'r Part, run: &'r Run) -> Vec<Entry<'r>> {
    let asked = part.of_panel(tables.panel, &run.meta.stacks);
    let found = asked.iter().zip(&tables.tables).find(|((asked, _), _)| *asked == question);
    let entries = |((_, cells), table): (&(_, Vec<&'r Cell>), &'r Table)| {
        cells.iter().zip(&table.lines).map(|(cell, line)| Entry { cell, line }).collect()
    };
    found.map(entries).unwrap_or_default()
}

/// `ok (5 of 8)`; what the other trials were called stands in report.md.
fn verdict(line: &Line) -> String {
    match line.verdict_share.as_ref().and_then(|share| share.split(',').next()) {
        Some(share) => format!("{} ({share})", line.verdict),
        None => line.verdict.clone(),
    }
}

/// Which of the two columns of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// The one that the table is ordered by.
    Main,
    /// That of the other mode.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{row::Verdict, sample};

    fn run(rows: Vec<Row>) -> Run {
        Run { meta: sample::meta(), rows, latencies: BTreeMap::new(), warnings: Vec::new() }
    }

    fn row(stack: &str, request: &str, mode: Mode) -> Row {
        Row { request: request.to_owned(), mode, ..sample::row(stack) }
    }

    fn line<'t>(table: &'t str, stack: &str) -> &'t str {
        table.lines().find(|line| line.starts_with(&format!("| {stack} |"))).unwrap()
    }

    #[test]
    fn both_modes_of_the_first_request_are_columns_and_bridged_ones_are_marked() {
        let rows = [Mode::Sync, Mode::Async].map(|mode| row("tokio", "cache_hit", mode));
        let table = draw(&run([rows.to_vec(), vec![row("tokio", "cache_set", Mode::Async)]].concat())).unwrap();
        assert!(table.starts_with(
            "| server CPU µs per request | HTTP | store client | # | hit, async | requests per CPU-s | verdict | hit, sync |"
        ));
        assert_eq!(line(&table, "tokio"), "| tokio | hyper | redis |  | **30.0** | 33,333 | ok | 30.0 b |");
        assert!(table.contains("b is bridged") && !table.contains("round brackets"), "{table}");
    }

    #[test]
    fn a_stack_that_answers_only_the_other_mode_is_there() {
        let mut rows = vec![row("tokio", "cache_hit", Mode::Async), row("tokio", "cache_hit", Mode::Sync)];
        rows.push(row("gevent", "cache_hit", Mode::Sync));
        let table = draw(&run(rows)).unwrap();
        assert_eq!(line(&table, "gevent"), "| gevent |  |  |  | – | – | – | 30.0 |");
    }

    #[test]
    fn what_may_not_be_ranked_is_in_brackets() {
        let starved = Row { verdict: Verdict::Starved, ..row("tokio", "cache_hit", Mode::Async) };
        let table = draw(&run(vec![starved])).unwrap();
        assert!(line(&table, "tokio").contains("| (30.0) | 33,333 | starved |"), "{table}");
        assert!(table.contains("round brackets may not be ranked"), "{table}");
    }

    #[test]
    fn a_scenario_without_delay_comes_before_one_with() {
        let mut run = run(vec![row("tokio", "cache_set", Mode::Async)]);
        let mut fast = run.meta.scenarios[0].clone();
        (fast.name, fast.delays) = ("fast".to_owned(), BTreeMap::new());
        run.meta.scenarios.push(fast);
        run.rows.push(Row { scenario: "fast".to_owned(), ..row("may", "cache_set", Mode::Async) });
        let table = draw(&run).unwrap();
        assert!(table.contains("| may |") && !table.contains("| tokio |"), "{table}");
        assert!(table.replace('\n', " ").contains("Store: embedded, no added delay."), "{table}");
    }

    #[test]
    fn a_run_of_steps_alone_has_no_such_table() {
        let mut run = run(vec![Row { step: Some(0), ..sample::row("tokio") }]);
        run.meta.scenarios[0].steps = vec![sample::step("5000/s")];
        let error = draw(&run).unwrap_err().to_string();
        assert!(error.contains("every scenario of the run has steps") && error.contains("cache-nodelay"), "{error}");
    }
}
