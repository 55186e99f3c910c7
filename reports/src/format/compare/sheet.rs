//! A comparison as it is drawn, whatever draws it: words and tables.

use std::{collections::BTreeMap, ops::Range};

use super::words;
use crate::{
    compare::{
        Basis, ComparedCell, ComparedQuestion, Comparison, Finding, Line, Missing, QUANTITIES, Quantity, Regression,
        searches::{ComparedSearch, ComparedSearches, bounds_words},
    },
    number::{self, NONE},
    run::RunMeta,
    summary::Spread,
    table::role_name,
};

/// A comparison, to be drawn from top to bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// What it is.
    pub title: String,
    /// What a reader has to know before the first figure.
    pub alarms: Vec<String>,
    /// Which runs these are.
    pub facts: Vec<String>,
    /// The comparison itself.
    pub sections: Vec<Section>,
    /// How to read it.
    pub reading: Vec<String>,
}

/// What stands under one heading.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Section {
    /// Heading.
    pub title: String,
    /// Sentences, one after the other.
    pub lines: Vec<String>,
    /// Tables, below them.
    pub grids: Vec<Grid>,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// What it is about; empty under a heading that says so.
    pub title: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Which columns hold figures and stand right.
    pub figures: Range<usize>,
    /// Its rows; the last cell of each says what it comes to.
    pub rows: Vec<Row>,
    /// What its notes in brackets refer to.
    pub notes: Vec<String>,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// As many as there are columns.
    pub cells: Vec<String>,
    /// What the last cell says, for who draws it.
    pub tone: Tone,
}

/// Whether something became better or worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Neither, or it cannot be told.
    Plain,
    /// Better.
    Better,
    /// Worse.
    Worse,
}

/// The two runs by the names of their directories, the baseline first.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'r> {
    /// The directories, as they were given.
    pub names: [&'r str; 2],
    /// What they say of themselves.
    pub metas: [&'r RunMeta; 2],
}

/// Beyond which share a difference is a regression, and which ones are.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'r> {
    /// The share.
    pub threshold: f64,
    /// What is beyond it.
    pub regressions: &'r [Regression],
}

impl Sheet {
    /// Of two runs.
    pub fn of(comparison: &Comparison, heads: Heads, gate: Option<Gate>) -> Self {
        let differing = Section { title: "What differs".to_owned(), lines: differences(comparison), grids: Vec::new() };
        let summary = Section {
            title: "All in all".to_owned(),
            lines: words::summary(comparison),
            grids: vec![totals(comparison)],
        };
        let cells = Section {
            title: "Cell by cell".to_owned(),
            lines: Vec::new(),
            grids: comparison.questions.iter().flat_map(grids).collect(),
        };
        let changed = changed(&comparison.basis);
        let sections = [Some(changed), Some(summary), Some(differing), gate.map(regressions), Some(cells)];
        Self {
            title: "stackbench: two runs, cell by cell".to_owned(),
            sections: sections.into_iter().flatten().collect(),
            reading: words::reading(comparison),
            ..head(&comparison.basis, heads, words::common_move(comparison), words::noise(comparison))
        }
    }

    /// Of two searches for capacity.
    pub fn of_searches(compared: &ComparedSearches, heads: Heads, gate: Option<Gate>) -> Self {
        let lines = words::missing(&compared.basis.one_run_only);
        let bounds = Section { title: "Search by search".to_owned(), lines, grids: vec![bounds(&compared.searches)] };
        let sections = [Some(changed(&compared.basis)), gate.map(regressions), Some(bounds)];
        Self {
            title: format!("stackbench: two searches for capacity at `{}`", compared.objective),
            sections: sections.into_iter().flatten().collect(),
            reading: words::reading_searches(),
            ..head(&compared.basis, heads, None, Vec::new())
        }
    }
}

/// What stands above every comparison; `moved` is what a reader has to know beyond what the runs stand on.
fn head(basis: &Basis, heads: Heads, moved: Option<String>, noise: Vec<String>) -> Sheet {
    Sheet {
        title: String::new(),
        alarms: words::alarms(basis).into_iter().chain(moved).collect(),
        facts: words::runs(heads).into_iter().chain(words::speed(basis)).chain(noise).collect(),
        sections: Vec::new(),
        reading: Vec::new(),
    }
}

fn changed(basis: &Basis) -> Section {
    let lines = words::changed(&basis.changed);
    Section { title: "What changed from A to B".to_owned(), lines, grids: Vec::new() }
}

fn regressions(gate: Gate) -> Section {
    let beyond = words::share(gate.threshold);
    let none = vec![format!("No stack is worse by more than noise and more than {beyond}.")];
    let lines: Vec<String> = gate.regressions.iter().map(Regression::words).collect();
    Section {
        title: format!("Regressions beyond {beyond}"),
        lines: if lines.is_empty() { none } else { lines },
        grids: Vec::new(),
    }
}

/// Everything that is more than noise, by name.
fn differences(comparison: &Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    for question in &comparison.questions {
        for cell in &question.cells {
            let carriage = cell.carriage_words().map(str::to_owned);
            let what = cell.lines.iter().filter_map(Line::words).chain(cell.broken_words()).chain(carriage);
            lines.extend(what.map(|what| format!("{}: {} {what}", question.title, role_name(&cell.stack, cell.role))));
        }
    }
    match (lines.is_empty(), comparison.cells().flat_map(|cell| &cell.lines).any(|line| line.finding.is_judged())) {
        (false, _) => lines,
        (true, true) => vec!["Nothing does by more than noise.".to_owned()],
        (true, false) => vec!["It cannot be told; the verdicts below say why.".to_owned()],
    }
}

/// How many cells came to what, figure by figure.
fn totals(comparison: &Comparison) -> Grid {
    let columns = ["figure", "better", "worse", "within noise", "too few trials", "not comparable", "all"];
    let row = |quantity: Quantity| {
        let lines = comparison.cells().flat_map(|cell| &cell.lines).filter(|line| line.quantity == quantity);
        let (mut counts, mut all) = ([0_usize; 5], 0);
        for line in lines {
            all += 1;
            match &line.finding {
                Finding::Better | Finding::Carried([false, true]) => counts[0] += 1,
                Finding::Worse | Finding::Carried([true, false]) => counts[1] += 1,
                Finding::WithinNoise | Finding::Carried(_) => counts[2] += 1,
                Finding::TooFewTrials(_) => counts[3] += 1,
                Finding::NotComparable(_) => counts[4] += 1,
            }
        }
        let figures = counts.iter().chain([&all]).map(usize::to_string);
        let cells = [quantity.words().to_owned()].into_iter().chain(figures).collect();
        (all > 0).then_some(Row { cells, tone: Tone::Plain })
    };
    let quantities = QUANTITIES.iter().map(|(_, quantity)| *quantity);
    Grid {
        title: String::new(),
        columns: columns.map(str::to_owned).to_vec(),
        figures: 1..columns.len(),
        rows: quantities.filter_map(row).collect(),
        notes: Vec::new(),
    }
}

/// One question: for each figure a table, the stacks below each other.
fn grids(question: &ComparedQuestion) -> Vec<Grid> {
    let mut quantities: Vec<Quantity> = Vec::new();
    for line in question.cells.iter().flat_map(|cell| &cell.lines) {
        if !quantities.contains(&line.quantity) {
            quantities.push(line.quantity);
        }
    }
    quantities.into_iter().map(|quantity| grid(question, quantity)).collect()
}

fn grid(question: &ComparedQuestion, quantity: Quantity) -> Grid {
    let mut notes = Notes::default();
    let lines = question.cells.iter().flat_map(|cell| cell.lines.iter().map(move |line| (cell, line)));
    let rows = lines.filter(|(_, line)| line.quantity == quantity).map(|(cell, line)| row(cell, line, &mut notes));
    Grid {
        title: format!("{}: {}", question.title, quantity.title()),
        columns: ["stack", "A", "B", "B ÷ A", "verdict"].map(str::to_owned).to_vec(),
        figures: 1..4,
        rows: rows.collect(),
        notes: notes.lines(),
    }
}

fn row(cell: &ComparedCell, line: &Line, notes: &mut Notes) -> Row {
    let (verdict, tone, why) = words::verdict(line);
    let note = why.map(|why| notes.mark(why, &cell.stack)).unwrap_or_default();
    let [a, b] = line.sides.map(|side| side.map_or_else(|| NONE.to_owned(), |spread| shown(line.quantity, &spread)));
    let ratio = line.ratio.map_or_else(|| NONE.to_owned(), |ratio| ratio.words());
    Row { cells: vec![role_name(&cell.stack, cell.role), a, b, ratio, format!("{verdict}{note}")], tone }
}

/// Reasons below a table, each with the stacks that it is of.
#[derive(Default)]
struct Notes(Vec<(String, Vec<String>)>);

impl Notes {
    /// ` [2]`, the note's mark.
    fn mark(&mut self, why: &str, stack: &str) -> String {
        let index = self.0.iter().position(|(known, _)| known == why).unwrap_or_else(|| {
            self.0.push((why.to_owned(), Vec::new()));
            self.0.len() - 1
        });
        self.0[index].1.push(stack.to_owned());
        format!(" [{}]", index + 1)
    }

    fn lines(&self) -> Vec<String> {
        let line = |(index, (why, stacks)): (usize, &(String, Vec<String>))| {
            format!("[{}] {}: {why}", index + 1, stacks.join(", "))
        };
        self.0.iter().enumerate().map(line).collect()
    }
}

/// `17.2 [16.8–17.9]`: the median, and the range of the trials or, from six on, the interval of the median.
fn shown(quantity: Quantity, spread: &Spread) -> String {
    let median = quantity.show(spread.median);
    if spread.trials < 2 {
        return median;
    }
    let (low, high) = spread.interval.map_or((spread.min, spread.max), |interval| (interval.low, interval.high));
    let (low, high) = (quantity.show(low), quantity.show(high));
    // A unit is said once where both ends have it.
    let low = match (low.split_once(' '), high.split_once(' ')) {
        (Some((value, unit)), Some((_, other))) if unit == other => value.to_owned(),
        _ => low,
    };
    format!("{median} [{low}–{high}]")
}

fn bounds(searches: &[ComparedSearch]) -> Grid {
    let mut notes = Notes::default();
    let row = |search: &ComparedSearch| {
        let note = match &search.finding {
            Finding::NotComparable(why) => notes.mark(why, &search.stack),
            _ => String::new(),
        };
        let [a, b] = search.bounds.map(bounds_words);
        let times = search.times.map_or_else(|| NONE.to_owned(), number::ratio);
        let (name, verdict) = (role_name(&search.stack, search.role), format!("{}{note}", search.verdict()));
        Row { cells: vec![search.question.clone(), name, a, b, times, verdict], tone: words::tone(&search.finding) }
    };
    let rows = searches.iter().map(row).collect();
    Grid {
        title: String::new(),
        columns: ["search", "stack", "A, bounds/s", "B, bounds/s", "B ÷ A", "verdict"].map(str::to_owned).to_vec(),
        figures: 2..5,
        rows,
        notes: notes.lines(),
    }
}

/// Counts of cells, for a sentence.
pub(super) fn counted(missing: &Missing) -> Vec<String> {
    let of_scenario = |(scenario, stacks): (&String, &BTreeMap<String, usize>)| {
        let stacks: Vec<String> = stacks.iter().map(|(stack, cells)| format!("{stack} {cells}")).collect();
        format!("{scenario} ({})", stacks.join(", "))
    };
    missing.iter().map(of_scenario).collect()
}
