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
    table::{self, Figure, Headline, Line, Part, Section, is_ranked, verdict_word},
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
    panels: Vec<Lines<'r>>,
}

/// The lines of one panel.
struct Lines<'r> {
    panel: Panel,
    main: Vec<(&'r Cell, &'r Line)>,
    other: BTreeMap<&'r str, (&'r Cell, &'r Line)>,
}

impl<'r> Shown<'r> {
    fn of(part: &'r Part<'r>, section: &'r Section, run: &'r Run) -> Self {
        let (first, _) = &part.asked[0];
        let in_mode = |mode| {
            part.asked.iter().map(|(question, _)| question).find(|q| q.request == first.request && q.mode == mode)
        };
        let main = in_mode(Mode::Async).unwrap_or(first);
        let other = in_mode(Mode::Sync).filter(|sync| *sync != main);
        let lines = |panel: &'r table::PanelTables| {
            // Tables are in the order of the questions, and their lines in that of the cells.
            let asked = part.of_panel(panel.panel, &run.meta.stacks);
            let of = |question: &Question| -> Vec<(&'r Cell, &'r Line)> {
                let found = asked.iter().zip(&panel.tables).find(|((asked, _), _)| *asked == question);
                found.map(|((_, cells), table)| cells.iter().copied().zip(&table.lines).collect()).unwrap_or_default()
            };
            let other = other.map(of).unwrap_or_default();
            let other = other.into_iter().map(|(cell, line)| (cell.stack.as_str(), (cell, line))).collect();
            Lines { panel: panel.panel, main: of(main), other }
        };
        Self { run, part, section, main, other, panels: section.panels.iter().map(lines).collect() }
    }

    fn lines(&self) -> impl Iterator<Item = (&'r Cell, &'r Line)> {
        self.panels.iter().flat_map(|panel| panel.main.iter().copied())
    }

    fn has_ratios(&self) -> bool {
        self.lines().any(|(_, line)| line.times_best.range.is_some())
    }

    fn table(&self) -> String {
        let first = match self.part.headline {
            Headline::CpuPerRequest => "server CPU µs per request",
            Headline::Rate => "requests per second",
        };
        let mut columns =
            vec![(first.to_owned(), ":--|"), ("HTTP".to_owned(), ":--|"), ("store client".to_owned(), ":--|")];
        columns.push(("#".to_owned(), "--:|"));
        columns.extend(self.has_ratios().then(|| ("× best".to_owned(), "--:|")));
        columns.push((self.title(self.main), "--:|"));
        columns.extend([("requests per CPU-s".to_owned(), "--:|"), ("verdict".to_owned(), ":--|")]);
        columns.extend(self.other.map(|other| (self.title(other), "--:|")));
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let rules: String = columns.iter().map(|(_, rule)| *rule).collect();
        let mut text = format!("| {} |\n|{rules}\n", names.join(" | "));
        let heading = |words: &str| format!("| *{words}* |{}\n", " |".repeat(columns.len() - 1));
        let is_reference = |(cell, _): &&(&Cell, &Line)| matches!(cell.role, Role::Ceiling | Role::Floor);
        for panel in &self.panels {
            text.push_str(&heading(&panel.panel.title().to_lowercase()));
            panel
                .main
                .iter()
                .filter(|line| !is_reference(line))
                .for_each(|line| text.push_str(&self.line(*line, panel)));
        }
        // They are the same in every panel.
        let references: Vec<String> = self
            .panels
            .first()
            .into_iter()
            .flat_map(|panel| panel.main.iter().filter(is_reference).map(|line| self.line(*line, panel)))
            .collect();
        if !references.is_empty() {
            text.push_str(&(heading("references") + &references.concat()));
        }
        text + "\n"
    }

    fn line(&self, (cell, line): (&Cell, &Line), panel: &Lines) -> String {
        let stack = self.run.meta.stacks.iter().find(|stack| stack.name == cell.stack);
        let word = |of: fn(&StackMeta) -> &str| stack.map_or_else(String::new, |stack| of(stack).to_owned());
        let mut cells = vec![line.name.clone(), word(|stack| &stack.http), word(|stack| &stack.redis)];
        cells.push(line.rank.map(|rank| rank.to_string()).unwrap_or_default());
        cells.extend(self.has_ratios().then(|| line.times_best.words()));
        cells.push(self.figure(cell, line, Figures::Main));
        cells.push(line.per_cpu_second.median.clone());
        let share = line.verdict_share.as_ref().and_then(|share| share.split(',').next());
        cells.push(
            verdict_word(cell.verdict).to_owned() + &share.map(|share| format!(" ({share})")).unwrap_or_default(),
        );
        let other = panel.other.get(cell.stack.as_str());
        let of_other =
            || other.map_or_else(|| Figure::none().words(), |(cell, line)| self.figure(cell, line, Figures::Other));
        cells.extend(self.other.is_some().then(of_other));
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    }

    /// In brackets, if it may not be ranked; marked, if the stack bridges the mode.
    fn figure(&self, cell: &Cell, line: &Line, which: Figures) -> String {
        let figure = match self.part.headline {
            Headline::CpuPerRequest => &line.server_us,
            Headline::Rate => &line.rate,
        };
        if figure == &Figure::none() {
            return figure.words();
        }
        let is_sound = cell.role != Role::Stack || is_ranked(cell, self.part.headline);
        let range = figure.range.as_ref().map(|range| format!(" {range}")).unwrap_or_default();
        let words = match (is_sound, which) {
            (true, Figures::Main) => format!("**{}**{range}", figure.median),
            (true, Figures::Other) => format!("{}{range}", figure.median),
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
        let has_references = self.lines().any(|(cell, _)| matches!(cell.role, Role::Ceiling | Role::Floor));
        let references = "Ceiling and floor are references and may be beaten by a stack that saves system calls.";
        sentences.extend(has_references.then(|| references.to_owned()));
        sentences.join(" ")
    }

    /// `Medians of 8 blocks and their 99.2 % intervals`.
    fn spread(&self) -> String {
        let spreads = self.lines().filter_map(|(cell, _)| self.part.headline.figure(cell));
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
        let shown = || self.panels.iter().flat_map(|panel| panel.main.iter().chain(panel.other.values()));
        let is_bracketed = |cell: &Cell| {
            let headline = self.part.headline;
            cell.role == Role::Stack && !is_ranked(cell, headline) && headline.figure(cell).is_some()
        };
        let brackets = shown().any(|(cell, _)| is_bracketed(cell));
        let bridged = shown().any(|(_, line)| line.how == "bridged");
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

/// Which of the two columns of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figures {
    /// The one that the table is ordered by.
    Main,
    /// That of the other mode.
    Other,
}
