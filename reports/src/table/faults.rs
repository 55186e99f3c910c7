//! What faults did: a table for each, the stacks side by side.

use super::{Note, marked_name, note, title, verdict_word};
use crate::{
    number::{self, NONE},
    row::Role,
    run::ScenarioMeta,
    summary::{Cell, FaultSummary, Question, Recovery, Spread},
};

/// The stacks under one fault.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultTable {
    /// Request, mode and fault.
    pub title: String,
    /// Headings of the figures.
    pub columns: Vec<&'static str>,
    /// Those that lost least first, then those that were themselves again soonest.
    pub lines: Vec<FaultLine>,
    /// Numbered from 1.
    pub notes: Vec<Note>,
}

/// One stack.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultLine {
    /// Its name, marked if it is not one of the compared.
    pub name: String,
    /// A figure for each column.
    pub figures: Vec<String>,
    /// Verdict in a word.
    pub verdict: String,
    /// Number of its note.
    pub note: Option<usize>,
}

/// A column.
struct Column {
    heading: &'static str,
    shown: fn(&Cell, &FaultSummary) -> String,
}

const COLUMNS: [Column; 7] = [
    Column { heading: "lost", shown: |_, fault| fault.lost.to_string() },
    Column { heading: "503", shown: |_, fault| figure(fault.unavailable, number::count) },
    Column { heading: "other", shown: |_, fault| figure(fault.unexpected, number::count) },
    Column { heading: "p99 before", shown: |_, fault| figure(fault.p99_before, number::duration_us) },
    Column { heading: "p99 meanwhile", shown: |_, fault| meanwhile(fault) },
    Column { heading: "back after", shown: |_, fault| recovery(fault.recovery) },
    Column { heading: "peak RSS", shown: |cell, _| figure(cell.rss_bytes, number::bytes) },
];
/// Where a second client was the fault, or brought it.
const BESIDE: [Column; 3] = [
    Column { heading: "beside: offered/s", shown: |_, fault| figure(fault.beside_offered, number::rate) },
    Column { heading: "answered/s", shown: |_, fault| figure(fault.beside_answered, number::rate) },
    Column { heading: "its lag p99", shown: |_, fault| figure(fault.beside_lag, number::duration_us) },
];

fn figure(spread: Option<Spread>, show: fn(f64) -> String) -> String {
    spread.map_or_else(|| NONE.to_owned(), |spread| show(spread.median))
}

/// What never came to an end is a lower bound.
fn meanwhile(fault: &FaultSummary) -> String {
    let bound = if matches!(fault.recovery, Recovery::NotWithin(_)) { "≥ " } else { "" };
    fault.p99_during.map_or_else(|| NONE.to_owned(), |spread| format!("{bound}{}", number::duration_us(spread.median)))
}

fn recovery(recovery: Recovery) -> String {
    match recovery {
        Recovery::After(seconds) => format!("{seconds:.1} s"),
        Recovery::NotWithin(seconds) => format!("> {seconds:.1} s"),
    }
}

/// The tables of a panel: one for each question in whose trials something went wrong.
pub fn fault_tables(asked: &[(&Question, Vec<&Cell>)], meta: Option<&ScenarioMeta>) -> Vec<FaultTable> {
    let has_fault = |cells: &[&Cell]| cells.iter().any(|cell| cell.fault.is_some());
    asked.iter().filter(|(_, cells)| has_fault(cells)).map(|(question, cells)| table(question, cells, meta)).collect()
}

fn table(question: &Question, cells: &[&Cell], meta: Option<&ScenarioMeta>) -> FaultTable {
    let has_second = cells.iter().any(|cell| cell.fault.as_ref().is_some_and(|fault| fault.beside_offered.is_some()));
    let columns: Vec<&Column> = COLUMNS.iter().chain(BESIDE.iter().filter(|_| has_second)).collect();
    let mut ordered = cells.to_vec();
    ordered.sort_by(|a, b| key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal));
    let mut notes = Vec::new();
    let lines = ordered.into_iter().map(|cell| FaultLine {
        name: marked_name(cell),
        figures: columns
            .iter()
            .map(|column| cell.fault.as_ref().map_or_else(|| NONE.to_owned(), |fault| (column.shown)(cell, fault)))
            .collect(),
        verdict: verdict_word(cell.verdict).to_owned(),
        note: note(cell, &mut notes),
    });
    let lines = lines.collect();
    FaultTable {
        title: title(question, meta),
        columns: columns.iter().map(|column| column.heading).collect(),
        lines,
        notes,
    }
}

/// What is no stack comes last, and before it what has no figures.
fn key(cell: &Cell) -> (bool, bool, u64, f64, f64) {
    let fault = cell.fault.as_ref();
    let during = fault.and_then(|fault| fault.p99_during).map_or(f64::INFINITY, |spread| spread.median);
    let seconds = fault.map_or(f64::INFINITY, |fault| fault.recovery.seconds());
    (cell.role != Role::Stack, fault.is_none(), fault.map_or(0, |fault| fault.lost), seconds, during)
}
