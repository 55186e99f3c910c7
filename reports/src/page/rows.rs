//! The lines of the page's table.

use crate::{
    dir::Run,
    latency::Percentile,
    noise::Noise,
    number,
    panel::Panel,
    places::Comparisons,
    row::{Placement, Role, Row, Verdict},
    run::ScenarioMeta,
    summary::{Cell, Question, Spread},
    table::{self, Figure, Headline, Part},
};

/// A cell as it stands in one panel: a stack of both panels stands in the page twice.
pub struct PageCell<'r> {
    /// Which of the run's [`Part`]s.
    pub section: usize,
    pub panel: Panel,
    pub placement: Placement,
    pub question: &'r Question,
    pub meta: Option<&'r ScenarioMeta>,
    pub cell: &'r Cell,
    pub place: Option<usize>,
    pub rows: Vec<&'r Row>,
}

/// All cells in the order of the tables.
pub fn cells<'r>(run: &'r Run, parts: &'r [Part<'r>]) -> Vec<PageCell<'r>> {
    let mut found = Vec::new();
    for (section, part) in parts.iter().enumerate() {
        let floor = Noise::of(run, part.headline).floor;
        for panel in part.panels(&run.meta.stacks) {
            for (question, cells) in part.of_panel(panel, &run.meta.stacks) {
                let places = Comparisons::of(&cells, part.headline, floor).places();
                let named = |(cell, place): (&&'r Cell, Option<usize>)| PageCell {
                    section,
                    panel,
                    placement: part.placement,
                    question,
                    meta: part.meta,
                    cell,
                    place,
                    rows: trials(part, question, &cell.stack),
                };
                found.extend(cells.iter().zip(places).map(named));
            }
        }
    }
    found
}

fn trials<'r>(part: &Part<'r>, question: &Question, stack: &str) -> Vec<&'r Row> {
    let is_own = |row: &&Row| {
        row.stack == stack && row.step == question.step && row.mode == question.mode && row.request == question.request
    };
    part.rows.iter().copied().filter(is_own).collect()
}

impl PageCell<'_> {
    /// Whether what a request costs may be ranked.
    pub fn has_sound_cost(&self) -> bool {
        Headline::CpuPerRequest.ranks(self.cell.verdict)
    }

    /// Whether the rate is the server's own. One that was offered and carried is what it is, whoever else was busy.
    pub fn has_sound_rate(&self) -> bool {
        Headline::Rate.ranks(self.cell.verdict) || (self.cell.is_carried == Some(true) && self.has_sound_latency())
    }

    /// Whether latencies may be held against the stack.
    pub fn has_sound_latency(&self) -> bool {
        !matches!(self.cell.verdict, Verdict::ClientLimited | Verdict::StoreLate) && self.has_sound_cost()
    }
}

/// A column of figures or words that the table can be sorted by.
pub struct Column {
    pub title: &'static str,
    pub is_number: bool,
}

const fn words(title: &'static str) -> Column {
    Column { title, is_number: false }
}

const fn number(title: &'static str) -> Column {
    Column { title, is_number: true }
}

/// In the order of the template; the figures are those of [`figures`].
pub const COLUMNS: [Column; 19] = [
    words("stack"),
    words("scenario"),
    words("panel"),
    words("request"),
    words("mode"),
    words("placement"),
    words("step"),
    number("place"),
    number("requests/s"),
    number("% of ceiling"),
    number("offered/s"),
    number("% carried"),
    number("server CPU µs/request"),
    number("p50"),
    number("p99"),
    number("p99.9"),
    number("peak RSS"),
    number("per idle connection"),
    words("verdict"),
];

/// A line of the table.
pub struct TableRow<'r> {
    pub section: usize,
    pub scenario: &'r str,
    pub stack: &'r str,
    pub name: String,
    pub is_reference: bool,
    pub panel: &'static str,
    pub request: &'r str,
    pub mode: &'static str,
    pub placement: &'static str,
    pub step: String,
    /// For sorting; empty without steps.
    pub step_order: String,
    pub figures: Vec<ShownFigure>,
    pub verdict: &'static str,
    pub is_doubtful: bool,
    /// How many trials have which verdict, where they differ.
    pub share: String,
    pub reason: String,
    pub trials: Vec<Trial<'r>>,
}

/// A figure of a line.
pub struct ShownFigure {
    pub text: String,
    pub spread: String,
    /// For sorting; empty where there is none.
    pub value: String,
    pub is_sound: bool,
}

/// A trial, and where to find all of it. What is not known is empty.
pub struct Trial<'r> {
    pub block: u32,
    pub raw: &'r str,
    pub wrk: &'r str,
    pub verdict: &'static str,
    pub is_repeated: bool,
    pub started: &'r str,
    pub sha256: &'r str,
    pub commands: Vec<(&'r str, String)>,
}

impl<'r> TableRow<'r> {
    pub fn of(named: &PageCell<'r>, parts: &'r [Part<'r>]) -> Self {
        let PageCell { section, panel, question, cell, .. } = *named;
        Self {
            section,
            scenario: parts[section].scenario,
            stack: &cell.stack,
            name: table::role_name(&cell.stack, cell.role),
            is_reference: cell.role != Role::Stack,
            panel: panel.key(),
            request: &question.request,
            mode: table::mode_word(question.mode),
            placement: table::placement_word(named.placement),
            step: question.step.map(|step| table::step_title(step, named.meta)).unwrap_or_default(),
            step_order: question.step.map(|step| step.to_string()).unwrap_or_default(),
            figures: figures(named),
            verdict: table::verdict_word(cell.verdict),
            is_doubtful: !named.has_sound_rate(),
            share: table::verdict_share(cell).unwrap_or_default(),
            reason: table::one_line(&cell.reason),
            trials: named.rows.iter().map(|row| Trial::of(row)).collect(),
        }
    }
}

fn figures(named: &PageCell) -> Vec<ShownFigure> {
    let cell = named.cell;
    let (rate, cost, latency) = (named.has_sound_rate(), named.has_sound_cost(), named.has_sound_latency());
    let spread = |spread: Option<Spread>, show: fn(f64) -> String, is_sound| {
        let figure = Figure::with_range(spread, show);
        ShownFigure::new(figure, spread.map(|spread| spread.median), is_sound)
    };
    let percentile = |percentile: Option<Percentile>| {
        ShownFigure::new(Figure::percentile(percentile, cell.merged), percentile.map(|p| p.us), latency)
    };
    let place = Figure { median: named.place.map_or_else(|| number::NONE.to_owned(), |p| p.to_string()), range: None };
    vec![
        ShownFigure::new(place, named.place.map(|place| place as f64), true),
        spread(cell.rate, number::rate, rate),
        spread(cell.ceiling_share, number::percent, rate),
        spread(cell.offered, number::rate, true),
        spread(cell.carried_share, number::percent, rate),
        spread(cell.server_us, number::cpu_us, cost),
        percentile(cell.p50),
        percentile(cell.p99),
        percentile(cell.p999),
        spread(cell.rss_bytes, number::bytes, true),
        spread(cell.idle_connection_bytes, number::bytes, true),
    ]
}

impl ShownFigure {
    fn new(figure: Figure, value: Option<f64>, is_sound: bool) -> Self {
        Self {
            text: figure.median,
            spread: figure.range.unwrap_or_default(),
            value: value.map(|value| value.to_string()).unwrap_or_default(),
            // What is not there is not in parentheses.
            is_sound: is_sound || value.is_none(),
        }
    }
}

impl<'r> Trial<'r> {
    fn of(row: &'r Row) -> Self {
        Self {
            block: row.trial,
            raw: row.raw.as_deref().unwrap_or_default(),
            wrk: row.wrk.as_deref().unwrap_or_default(),
            verdict: table::verdict_word(row.verdict),
            is_repeated: row.repeated,
            started: &row.started,
            sha256: row.server_sha256.as_deref().unwrap_or_default(),
            commands: row.commands.iter().map(|(name, command)| (name.as_str(), command.join(" "))).collect(),
        }
    }
}
