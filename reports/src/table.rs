//! Cells to tables: what is shown, in which order and with which notes. How it is drawn is the business of
//! [`crate::format`].

use std::collections::BTreeSet;

use crate::{
    card,
    dir::Run,
    heading,
    noise::Noise,
    number,
    panel::Panel,
    places::Comparisons,
    row::{Mode, Placement, Role, Verdict},
    run::{MachineInfo, ScenarioMeta, StackMeta},
    stats::Blocks,
    summary::{Cell, Question, Spread},
};

mod ceilings;
mod faults;
mod figure;
mod holdings;
mod measure;
mod overview;
mod parts;
mod published;
mod scaling;
mod schedule;

use ceilings::ceilings;
pub use faults::{FaultLine, FaultTable};
pub use figure::Figure;
pub use holdings::Holding;
pub use overview::{Overview, OverviewLine};
pub(crate) use parts::{Part, parts};
pub use published::{PublishedLine, PublishedTable};

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
    pub(crate) fn choose(machine: &MachineInfo, placement: Placement) -> Self {
        if machine.cpus <= FEW_CPUS || placement == Placement::Pinned { Self::CpuPerRequest } else { Self::Rate }
    }

    /// The figure of a cell.
    pub fn figure(self, cell: &Cell) -> Option<Spread> {
        match self {
            Self::CpuPerRequest => cell.server_us,
            Self::Rate => cell.rate,
        }
    }

    /// The same by block.
    pub fn by_block(self, cell: &Cell) -> &Blocks {
        match self {
            Self::CpuPerRequest => &cell.server_us_by_block,
            Self::Rate => &cell.rate_by_block,
        }
    }

    /// Whether a cell's figure may be ranked. A throughput is the server's own only with two verdicts; what a request
    /// costs is also sound when somebody else set the pace.
    pub fn ranks(self, verdict: Verdict) -> bool {
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
    pub fn prefers_less(self) -> bool {
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
    /// Store and placement in a few words, which tell it from other sections of the same scenario.
    pub conditions: String,
    /// Store, placement and load, a line each.
    pub facts: Vec<String>,
    /// What the scenario shows and what it cannot.
    pub analysis: String,
    /// The panels that have stacks in this run, each with tables of its own.
    pub panels: Vec<PanelTables>,
    /// Whether the scenario has steps: then the overviews are the curves, and each table is one point of them.
    pub is_stepped: bool,
    /// What published studies say of the same work.
    pub published: Vec<PublishedTable>,
    /// What each stack holds whatever is asked of it; none in runs older than these figures.
    pub holdings: Vec<Holding>,
    /// What two names of one stack say of the figure that the tables are ordered by.
    pub noise: Noise,
}

/// The tables of one panel.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelTables {
    /// Which.
    pub panel: Panel,
    /// Every stack under every question, one figure each; none where there is only one question.
    pub overviews: Vec<Overview>,
    /// Every stack's rate under every question, for tables with requests down and stacks across; none where there are
    /// steps.
    pub rates: Option<Overview>,
    /// Which stacks did not carry what they were offered, and what they carried: a line for each question where some did
    /// not.
    pub not_carried: Vec<String>,
    /// What faults did: one for each question in whose trials something went wrong.
    pub faults: Vec<FaultTable>,
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
    /// What was offered and how well the load client kept to it, in a sentence; empty in a closed loop.
    pub schedule: String,
    /// Numbered from 1.
    pub notes: Vec<Note>,
    /// How many trials were measured again, in a sentence; empty if none were.
    pub repeated: String,
    /// Whether some line has a ratio to the best.
    pub has_ratios: bool,
    /// Whether latencies are counted from the instants at which requests were due.
    pub is_open: bool,
    /// On how many trials the figures rest that the table is ordered by; more than one number where stacks differ.
    pub trials: BTreeSet<usize>,
}

/// One stack.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Place; none where the verdict or the role forbids one, or where there are too few trials.
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
    /// The figure that the table is ordered by over that of the best ranked stack, with its interval; a dash where the two
    /// have too few blocks in common.
    pub times_best: Figure,
    /// Store's.
    pub store_us: Figure,
    /// Client's.
    pub client_us: Figure,
    /// Answers per second of the server's CPU time.
    pub per_cpu_second: Figure,
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
    sections_of(run, &parts(run))
}

/// The same of a run whose parts are at hand.
pub(crate) fn sections_of(run: &Run, parts: &[Part]) -> Vec<Section> {
    parts.iter().map(|part| section(run, part)).collect()
}

fn section(run: &Run, part: &Part) -> Section {
    let noise = Noise::of(run, part.headline);
    let basis = Basis { stacks: &run.meta.stacks, meta: part.meta, headline: part.headline, floor: noise.floor };
    let mut facts = heading::facts(part.meta, &part.rows);
    facts.extend(part.meta.and_then(|meta| heading::left_out(meta, run.meta.machine.cpus)));
    facts.push(noise.sentence());
    Section {
        title: part.meta.map_or_else(|| part.scenario.to_owned(), |meta| format!("{}: {}", meta.name, meta.title)),
        conditions: format!("{}, {}", part.store, placement_word(part.placement)),
        facts,
        analysis: part.meta.map(|meta| meta.analysis.trim().to_owned()).unwrap_or_default(),
        panels: part.panels(basis.stacks).into_iter().map(|panel| panel_tables(panel, part, &basis)).collect(),
        is_stepped: part.rows.iter().any(|row| row.step.is_some()),
        published: published::published(part.scenario, part.meta, &part.rows),
        holdings: holdings::holdings(&part.rows, &run.rows),
        noise,
    }
}

/// What all tables of a section have in common.
struct Basis<'r> {
    stacks: &'r [StackMeta],
    meta: Option<&'r ScenarioMeta>,
    headline: Headline,
    /// The run's noise floor, as a log-ratio.
    floor: Option<f64>,
}

fn panel_tables(panel: Panel, part: &Part, basis: &Basis) -> PanelTables {
    let asked = part.of_panel(panel, basis.stacks);
    let is_faultless = |cells: &[&Cell]| cells.iter().all(|cell| cell.fault.is_none());
    let curves: Vec<(&Question, Vec<&Cell>)> = asked.iter().filter(|(_, cells)| is_faultless(cells)).cloned().collect();
    PanelTables {
        panel,
        overviews: overview::overviews(&curves, basis.stacks, basis.meta, basis.headline),
        rates: overview::rates(&curves, basis.stacks, basis.headline),
        not_carried: schedule::not_carried(&curves, basis.meta),
        faults: faults::fault_tables(&asked, basis.meta),
        tables: asked.iter().map(|(question, cells)| table(question, cells, basis)).collect(),
    }
}

/// One question of one panel, the cells in order.
fn table(question: &Question, cells: &[&Cell], basis: &Basis) -> Table {
    let Basis { stacks, meta, headline, floor } = *basis;
    let comparisons = Comparisons::of(cells, headline, floor);
    let mut notes: Vec<Note> = Vec::new();
    let how = |cell: &Cell| {
        let stack = stacks.iter().find(|stack| stack.name == cell.stack);
        stack.filter(|_| cell.role == Role::Stack).map_or("", |stack| card::how(stack, question.mode))
    };
    let ranks = comparisons.places();
    let lines = cells.iter().enumerate().map(|(index, cell)| Line {
        rank: ranks[index],
        how: how(cell),
        times_best: Figure::times_best(&comparisons, index),
        ..line(cell, &mut notes)
    });
    let lines = lines.collect();
    Table {
        title: title(question, meta),
        headline,
        lines,
        has_ratios: (0..cells.len()).any(|index| comparisons.times_best(index).is_some()),
        is_open: cells.iter().any(|cell| cell.is_open),
        ceilings: ceilings(cells),
        schedule: schedule::schedule(cells),
        notes,
        repeated: repeated(cells.iter().map(|cell| cell.repeated).sum()),
        trials: cells.iter().filter_map(|cell| headline.figure(cell)).map(|spread| spread.trials).collect(),
    }
}

/// `3 noisy trials were measured again; both are kept`; empty if there were none.
fn repeated(trials: usize) -> String {
    match trials {
        0 => String::new(),
        1 => "1 noisy trial was measured again; both are kept, and the noisy one is in no figure".to_owned(),
        _ => format!("{trials} noisy trials were measured again; both are kept, and the noisy ones are in no figure"),
    }
}

/// `cache_hit, sync`, and after a colon what its step sets.
pub(crate) fn title(question: &Question, meta: Option<&ScenarioMeta>) -> String {
    let Question { request, mode, step } = question;
    match step {
        Some(step) => format!("{request}, {}: {}", mode_word(*mode), step_title(*step, meta)),
        None => format!("{request}, {}", mode_word(*mode)),
    }
}

pub(crate) fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Sync => "sync",
        Mode::Async => "async",
    }
}

/// A placement as command lines spell it.
pub(crate) fn placement_word(placement: Placement) -> &'static str {
    match placement {
        Placement::Pinned => "pinned",
        Placement::Free => "free",
    }
}

pub(crate) fn step_title(step: u32, meta: Option<&ScenarioMeta>) -> String {
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
        class(a).cmp(&class(b)).then_with(by_figure).then_with(|| a.stack.cmp(&b.stack))
    });
}

/// What a cell says by itself.
fn line(cell: &Cell, notes: &mut Vec<Note>) -> Line {
    Line {
        rank: None,
        name: marked_name(cell),
        how: "",
        rate: Figure::with_range(cell.rate, number::rate),
        ceiling_percent: Figure::median(cell.ceiling_share, number::percent),
        p50: Figure::percentile(cell.p50, cell.merged),
        p99: Figure::percentile(cell.p99, cell.merged),
        server_us: Figure::with_range(cell.server_us, number::cpu_us),
        times_best: Figure::none(),
        store_us: Figure::median(cell.store_us, number::cpu_us),
        client_us: Figure::median(cell.client_us, number::cpu_us),
        per_cpu_second: Figure::median(cell.per_cpu_second, number::rate),
        unexplained_us: Figure::median(cell.unexplained_us, number::cpu_us),
        rss: Figure::median(cell.rss_bytes, number::bytes),
        switches: Figure::median(cell.switches, number::ratio),
        verdict: verdict_word(cell.verdict).to_owned(),
        verdict_share: verdict_share(cell),
        note: note(cell, notes),
    }
}

/// `5 of 8, 2 unsteady, 1 noisy`, where trials differ.
pub(crate) fn verdict_share(cell: &Cell) -> Option<String> {
    let mut share = format!("{} of {}", cell.verdict_trials, cell.trials);
    for (verdict, trials) in &cell.other_verdicts {
        share += &format!(", {trials} {}", verdict_word(*verdict));
    }
    (cell.verdict_trials < cell.trials).then_some(share)
}

/// A stack's name; what is none says what it is instead.
fn marked_name(cell: &Cell) -> String {
    role_name(&cell.stack, cell.role)
}

pub(crate) fn role_name(name: &str, role: Role) -> String {
    match role {
        Role::Stack => name.to_owned(),
        Role::Ceiling => format!("{name} (ceiling)"),
        Role::Floor => format!("{name} (floor)"),
        Role::Trap => format!("{name} (trap)"),
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
    notes[index].stacks.push(cell.stack.clone());
    Some(index + 1)
}

pub(crate) fn one_line(text: &str) -> String {
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
#[path = "table_curve_tests.rs"]
mod curve_tests;
#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
