//! Cells to tables: what is shown, in which order and with which notes. How it is drawn is the business of
//! [`crate::format`].

use std::collections::BTreeMap;

use crate::{
    card,
    dir::Run,
    heading,
    latency::{Observed, Percentile},
    number::{self, NONE},
    panel::{self, Panel},
    row::{Mode, Placement, Role, Row, Verdict},
    run::{MachineInfo, ScenarioMeta, StackMeta},
    summary::{Cell, Question, Spread},
};

mod ceilings;
mod holdings;
mod overview;

use ceilings::ceilings;
pub use holdings::Holding;
pub use overview::{Overview, OverviewLine};

/// With this many CPUs, client and store share what the server does not use and are often the limit.
const FEW_CPUS: u32 = 2;
/// A note is a sentence, not a log: a longer one is cut. The row itself keeps all of it.
const NOTE_CHARS_MAX: usize = 400;

/// The figure a table is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headline {
    /// Server's CPU time per answer, least first.
    CpuPerRequest,
    /// Answers per second, most first.
    Rate,
}

impl Headline {
    /// On few CPUs, and wherever the server is bound to its own, throughput says more about the placement than about
    /// the server; what a request costs does not.
    fn choose(machine: &MachineInfo, placement: Placement) -> Self {
        if machine.cpus <= FEW_CPUS || placement == Placement::Pinned { Self::CpuPerRequest } else { Self::Rate }
    }

    fn figure(self, cell: &Cell) -> Option<Spread> {
        match self {
            Self::CpuPerRequest => cell.server_us,
            Self::Rate => cell.rate,
        }
    }

    /// Whether a cell's figure may be ranked. A throughput is the server's own only with two verdicts; what a request
    /// costs is also sound when somebody else set the pace.
    fn ranks(self, verdict: Verdict) -> bool {
        let paced = matches!(
            verdict,
            Verdict::PeerLimitedClient
                | Verdict::PeerLimitedStore
                | Verdict::PeerLimitedBoth
                | Verdict::ClientLimited
                | Verdict::StoreLate
                | Verdict::Unsteady
                | Verdict::Idle
        );
        matches!(verdict, Verdict::Ok | Verdict::LatencyBound) || (self == Self::CpuPerRequest && paced)
    }

    /// Orders figures, best first.
    fn compare(self, a: &Spread, b: &Spread) -> std::cmp::Ordering {
        match self {
            Self::CpuPerRequest => a.median.total_cmp(&b.median),
            Self::Rate => b.median.total_cmp(&a.median),
        }
    }

    /// Whether less is better.
    fn prefers_less(self) -> bool {
        self == Self::CpuPerRequest
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "server CPU per request",
            Self::Rate => "requests per second",
        }
    }
}

/// All tables of one scenario over one store in one placement.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Scenario's name and title.
    pub title: String,
    /// Store, placement and load, a line each.
    pub facts: Vec<String>,
    /// What the scenario shows and what it cannot.
    pub analysis: String,
    /// The panels that have stacks in this run, each with tables of its own.
    pub panels: Vec<PanelTables>,
    /// Whether the scenario has steps: then the overviews are the curves, and each table is one point of them.
    pub is_stepped: bool,
    /// What each stack holds whatever is asked of it; none in runs older than these figures.
    pub holdings: Vec<Holding>,
}

/// The tables of one panel.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelTables {
    /// Which.
    pub panel: Panel,
    /// Every stack under every question, one figure each; none where there is only one question.
    pub overviews: Vec<Overview>,
    /// One for each question.
    pub tables: Vec<Table>,
}

/// The stacks side by side under one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Request and mode.
    pub title: String,
    /// What it is ordered by.
    pub headline: Headline,
    /// Ranked stacks first, then the other stacks, then ceilings and the like.
    pub lines: Vec<Line>,
    /// Where the ceilings come from, in a sentence; empty if there are none.
    pub ceilings: String,
    /// Numbered from 1.
    pub notes: Vec<Note>,
}

/// One stack.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Place in the rank; none where the verdict or the role forbids one, or where one trial gives no range.
    pub rank: Option<usize>,
    /// Stack's name, marked if it is not one of the compared.
    pub name: String,
    /// How it answers the mode: `native` or `bridged`; empty where that is not known or no matter.
    pub how: &'static str,
    /// Answers per second.
    pub rate: Figure,
    /// Per cent of the ceiling.
    pub ceiling_percent: Figure,
    /// Median latency.
    pub p50: Figure,
    /// 99th percentile.
    pub p99: Figure,
    /// Server's CPU per answer.
    pub server_us: Figure,
    /// Store's.
    pub store_us: Figure,
    /// Client's.
    pub client_us: Figure,
    /// What these three leave of the machine's busy time.
    pub unexplained_us: Figure,
    /// Server's peak resident set.
    pub rss: Figure,
    /// Server's context switches per answer.
    pub switches: Figure,
    /// Verdict in a word.
    pub verdict: String,
    /// Trials with that verdict, if not all have it: `2 of 3`.
    pub verdict_share: Option<String>,
    /// Number of its note.
    pub note: Option<usize>,
}

/// A figure as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The median, or a dash.
    pub median: String,
    /// The range over trials, as `[min–max]`, where there were several and it is shown.
    pub range: Option<String>,
}

impl Figure {
    fn with_range(spread: Option<Spread>, show: fn(f64) -> String) -> Self {
        let range = spread.filter(|spread| spread.trials > 1);
        let range = range.map(|spread| format!("[{}–{}]", show(spread.min), show(spread.max)));
        Self { range, ..Self::median(spread, show) }
    }

    fn percentile(percentile: Option<Percentile>) -> Self {
        let show = |percentile: Percentile| {
            let bound = if percentile.is_lower_bound { "≥ " } else { "" };
            format!("{bound}{}", number::duration_us(percentile.us))
        };
        Self { median: percentile.map_or_else(|| NONE.to_owned(), show), range: None }
    }

    fn median(spread: Option<Spread>, show: fn(f64) -> String) -> Self {
        Self { median: spread.map_or_else(|| NONE.to_owned(), |spread| show(spread.median)), range: None }
    }
}

/// Why some stacks have the verdict they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Which stacks.
    pub stacks: Vec<String>,
    /// The reason.
    pub text: String,
}

/// Every table of a run, in the order of its scenarios and their requests.
pub fn sections(run: &Run) -> Vec<Section> {
    let mut keys: Vec<(String, String, Placement)> = Vec::new();
    for row in &run.rows {
        let key = (row.scenario.clone(), row.store_name.clone(), row.placement);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let position = |name: &str| run.meta.scenarios.iter().position(|s| s.name == name).unwrap_or(usize::MAX);
    keys.sort_by_key(|(scenario, ..)| position(scenario));
    keys.iter().map(|key| section(run, key)).collect()
}

fn section(run: &Run, (name, store, placement): &(String, String, Placement)) -> Section {
    let matches = |row: &&Row| &row.scenario == name && &row.store_name == store && row.placement == *placement;
    let rows: Vec<&Row> = run.rows.iter().filter(matches).collect();
    let meta = run.meta.scenarios.iter().find(|scenario| &scenario.name == name);
    let mut questions: Vec<Question> = Vec::new();
    for row in &rows {
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
    let headline = Headline::choose(&run.meta.machine, *placement);
    let asked: Vec<(Question, Vec<Cell>)> =
        questions.into_iter().map(|question| (question.clone(), cells(&question, &rows, &run.latencies))).collect();
    Section {
        title: meta.map_or_else(|| name.clone(), |meta| format!("{name}: {}", meta.title)),
        facts: heading::facts(meta, &rows),
        analysis: meta.map(|meta| meta.analysis.trim().to_owned()).unwrap_or_default(),
        panels: panel::in_run(&run.meta.stacks, &rows)
            .map(|panel| panel_tables(panel, &run.meta.stacks, meta, headline, &asked))
            .collect(),
        is_stepped: rows.iter().any(|row| row.step.is_some()),
        holdings: holdings::holdings(&rows, &run.rows),
    }
}

/// What the trials of every stack say to one question.
fn cells(question: &Question, rows: &[&Row], latencies: &BTreeMap<String, Observed>) -> Vec<Cell> {
    let mut groups: Vec<(&str, Option<u8>, Vec<&Row>)> = Vec::new();
    for row in rows.iter().copied().filter(|row| &Question::of(row) == question) {
        match groups.iter_mut().find(|(stack, twin, _)| *stack == row.stack && *twin == row.twin) {
            Some((.., trials)) => trials.push(row),
            None => groups.push((&row.stack, row.twin, vec![row])),
        }
    }
    groups.iter().filter_map(|(.., trials)| Cell::of(trials, latencies)).collect()
}

fn panel_tables(
    panel: Panel,
    stacks: &[StackMeta],
    meta: Option<&ScenarioMeta>,
    headline: Headline,
    asked: &[(Question, Vec<Cell>)],
) -> PanelTables {
    let of_panel: Vec<(&Question, Vec<&Cell>)> = asked
        .iter()
        .map(|(question, cells)| (question, cells.iter().filter(|cell| panel.shows(stacks, cell)).collect()))
        .collect();
    PanelTables {
        panel,
        overviews: overview::overviews(&of_panel, stacks, meta, headline),
        tables: of_panel.into_iter().map(|(q, cells)| table(q, cells, stacks, meta, headline)).collect(),
    }
}

fn table(
    question: &Question,
    mut cells: Vec<&Cell>,
    stacks: &[StackMeta],
    meta: Option<&ScenarioMeta>,
    headline: Headline,
) -> Table {
    order(&mut cells, headline);
    let ranks = ranks(&cells, headline);
    let mut notes: Vec<Note> = Vec::new();
    let how = |cell: &Cell| {
        let stack = stacks.iter().find(|stack| stack.name == cell.stack);
        stack.filter(|_| cell.role == Role::Stack).map_or("", |stack| card::how(stack, question.mode))
    };
    let lines = cells.iter().zip(ranks).map(|(cell, rank)| line(cell, rank, how(cell), &mut notes)).collect();
    Table { title: title(question, meta), headline, lines, ceilings: ceilings(&cells), notes }
}

/// `cache_hit, sync`, and after a colon what its step sets.
fn title(question: &Question, meta: Option<&ScenarioMeta>) -> String {
    let Question { request, mode, step } = question;
    match step {
        Some(step) => format!("{request}, {}: {}", mode_word(*mode), step_title(*step, meta)),
        None => format!("{request}, {}", mode_word(*mode)),
    }
}

fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Sync => "sync",
        Mode::Async => "async",
    }
}

fn step_title(step: u32, meta: Option<&ScenarioMeta>) -> String {
    let known = meta.and_then(|meta| meta.steps.get(step as usize));
    known.map_or_else(|| format!("step {step}"), |step| step.title.clone())
}

/// Whether a cell takes part in the rank.
pub(crate) fn is_ranked(cell: &Cell, headline: Headline) -> bool {
    cell.role == Role::Stack && headline.ranks(cell.verdict) && headline.figure(cell).is_some()
}

/// Ranked stacks by figure; then the others by figure; then what is not a stack; without a figure last, by name.
fn order(cells: &mut [&Cell], headline: Headline) {
    cells.sort_by(|a, b| {
        let class =
            |cell: &Cell| (cell.role != Role::Stack, !is_ranked(cell, headline), headline.figure(cell).is_none());
        let by_figure = || match (headline.figure(a), headline.figure(b)) {
            (Some(a), Some(b)) => headline.compare(&a, &b),
            _ => std::cmp::Ordering::Equal,
        };
        class(a).cmp(&class(b)).then_with(by_figure).then_with(|| a.label.cmp(&b.label))
    });
}

/// Places of ordered cells. Whose range overlaps the range of the first of a place shares it; one trial has no range,
/// and a place without one would claim more than was seen.
fn ranks(cells: &[&Cell], headline: Headline) -> Vec<Option<usize>> {
    let mut place: Option<(usize, Spread)> = None;
    let places = cells.iter().enumerate().map(|(index, cell)| {
        let spread = headline.figure(cell).filter(|spread| is_ranked(cell, headline) && spread.trials > 1)?;
        let (rank, _) = match place {
            Some((rank, first)) if first.overlaps(&spread) => (rank, first),
            _ => *place.insert((index + 1, spread)),
        };
        Some(rank)
    });
    places.collect()
}

fn line(cell: &Cell, rank: Option<usize>, how: &'static str, notes: &mut Vec<Note>) -> Line {
    let marked = cell.verdict_trials < cell.trials;
    Line {
        rank,
        name: marked_name(cell),
        how,
        rate: Figure::with_range(cell.rate, number::rate),
        ceiling_percent: Figure::median(cell.ceiling_share, number::percent),
        p50: Figure::percentile(cell.p50),
        p99: Figure::percentile(cell.p99),
        server_us: Figure::with_range(cell.server_us, number::cpu_us),
        store_us: Figure::median(cell.store_us, number::cpu_us),
        client_us: Figure::median(cell.client_us, number::cpu_us),
        unexplained_us: Figure::median(cell.unexplained_us, number::cpu_us),
        rss: Figure::median(cell.rss_bytes, number::bytes),
        switches: Figure::median(cell.switches, number::ratio),
        verdict: verdict_word(cell.verdict).to_owned(),
        verdict_share: marked.then(|| format!("{} of {}", cell.verdict_trials, cell.trials)),
        note: note(cell, notes),
    }
}

/// A stack's name; what is none says what it is instead.
fn marked_name(cell: &Cell) -> String {
    role_name(&cell.label, cell.role)
}

fn role_name(label: &str, role: Role) -> String {
    match role {
        Role::Stack => label.to_owned(),
        Role::Ceiling => format!("{label} (ceiling)"),
        Role::Floor => format!("{label} (floor)"),
        Role::Trap => format!("{label} (trap)"),
    }
}

/// Puts a cell's reason under the table, once for all cells that share it.
fn note(cell: &Cell, notes: &mut Vec<Note>) -> Option<usize> {
    let text = one_line(&cell.reason);
    if text.is_empty() {
        return None;
    }
    let index = notes.iter().position(|note| note.text == text).unwrap_or_else(|| {
        notes.push(Note { stacks: Vec::new(), text });
        notes.len() - 1
    });
    notes[index].stacks.push(cell.label.clone());
    Some(index + 1)
}

fn one_line(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match joined.char_indices().nth(NOTE_CHARS_MAX) {
        Some((end, _)) => format!("{} …", &joined[..end]),
        None => joined,
    }
}

/// A verdict as rows and METHODOLOGY.md spell it.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::LatencyBound => "latency-bound",
        Verdict::PeerLimitedClient => "peer-limited(client)",
        Verdict::PeerLimitedStore => "peer-limited(store)",
        Verdict::PeerLimitedBoth => "peer-limited(both)",
        Verdict::ClientLimited => "client-limited",
        Verdict::StoreLate => "store-late",
        Verdict::Idle => "idle",
        Verdict::Starved => "starved",
        Verdict::Impossible => "impossible",
        Verdict::Errors => "errors",
        Verdict::Unsteady => "unsteady",
        Verdict::Noisy => "noisy",
        Verdict::Failed => "failed",
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
