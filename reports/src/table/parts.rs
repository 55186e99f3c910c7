//! A run in parts: what stands together under one heading, asked question by question.

use crate::{
    dir::Run,
    noise,
    panel::{self, Panel},
    row::{Placement, Row},
    run::{ScenarioMeta, StackMeta},
    summary::{Cell, Question},
};

use super::Headline;

/// One scenario over one store in one placement.
#[derive(Debug)]
pub struct Part<'r> {
    /// Scenario's name.
    pub scenario: &'r str,
    /// Store in words.
    pub store: &'r str,
    /// Which CPUs the processes might use.
    pub placement: Placement,
    /// What the run says of the scenario.
    pub meta: Option<&'r ScenarioMeta>,
    /// The rows that its tables are made from; those of the second names of A/A pairs are not among them.
    pub rows: Vec<&'r Row>,
    /// What its tables are ordered by.
    pub headline: Headline,
    /// Its questions in the order of the scenario, and what the trials of every stack say to each.
    pub asked: Vec<(Question, Vec<Cell>)>,
}

impl<'r> Part<'r> {
    /// The panels that some compared stack is of.
    pub fn panels(&self, stacks: &[StackMeta]) -> Vec<Panel> {
        panel::in_run(stacks, &self.rows)
    }

    /// The questions of one panel, and its cells in the order of their table.
    pub fn of_panel(&self, panel: Panel, stacks: &[StackMeta]) -> Vec<(&Question, Vec<&Cell>)> {
        let of_panel = self.asked.iter().map(|(question, cells)| {
            let mut cells: Vec<&Cell> = cells.iter().filter(|cell| panel.shows(stacks, cell)).collect();
            super::order(&mut cells, self.headline);
            (question, cells)
        });
        of_panel.collect()
    }
}

/// Scenario, store and placement.
type Key<'r> = (&'r str, &'r str, Placement);

/// A run's parts in the order of its scenarios.
pub fn parts(run: &Run) -> Vec<Part<'_>> {
    let mut grouped: Vec<(Key, Vec<&Row>)> = Vec::new();
    for row in noise::ordinary(&run.rows) {
        let key = (row.scenario.as_str(), row.store_name.as_str(), row.placement);
        match grouped.iter_mut().find(|(other, _)| *other == key) {
            Some((_, rows)) => rows.push(row),
            None => grouped.push((key, vec![row])),
        }
    }
    let position = |name: &str| run.meta.scenarios.iter().position(|s| s.name == name).unwrap_or(usize::MAX);
    grouped.sort_by_key(|((scenario, ..), _)| position(scenario));
    grouped
        .into_iter()
        .map(|((scenario, store, placement), rows)| {
            let meta = run.meta.scenarios.iter().find(|meta| meta.name == scenario);
            let headline = Headline::choose(&run.meta.machine, placement);
            let mut asked = Vec::new();
            for question in questions(&rows, meta) {
                let cells = cells(&question, &rows, run);
                asked.push((question, cells));
            }
            Part { scenario, store, placement, meta, rows, headline, asked }
        })
        .collect()
}

/// What was asked, in the order of the scenario; what it does not know of comes last.
fn questions(rows: &[&Row], meta: Option<&ScenarioMeta>) -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    for row in rows {
        let question = Question::of(row);
        if !questions.contains(&question) {
            questions.push(question);
        }
    }
    let position = |question: &Question| {
        let requests = meta.map_or(&[][..], |meta| &meta.requests);
        requests.iter().position(|r| r.name == question.request && r.mode == question.mode).unwrap_or(usize::MAX)
    };
    questions.sort_by_key(|question| (position(question), question.clone()));
    questions
}

/// What the trials of every stack say to one question.
fn cells(question: &Question, rows: &[&Row], run: &Run) -> Vec<Cell> {
    let mut groups: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in rows.iter().copied().filter(|row| &Question::of(row) == question) {
        match groups.iter_mut().find(|(stack, _)| *stack == row.stack) {
            Some((_, trials)) => trials.push(row),
            None => groups.push((&row.stack, vec![row])),
        }
    }
    let cells = groups.iter().filter_map(|(_, trials)| Cell::of(trials, &run.latencies));
    cells.map(|cell| cell.weighed_by(&run.rows)).collect()
}
