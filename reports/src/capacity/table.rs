//! Searches to tables: one for each request and mode in each panel, stacks in the order of their lower bounds.

use stackload::threshold::parse_objective;

use super::{Capacity, Outcome, Search, SetBy};
use crate::{
    dir::Run,
    heading, number,
    panel::{self, Panel},
    row::{Role, Row, Verdict},
    summary::{Cell, Question, Spread},
    table::{self, Figure},
};

/// The searches of one request in one mode and one panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Scenario, request and mode, and the panel.
    pub title: String,
    /// The stacks, the highest lower bound first.
    pub lines: Vec<Line>,
    /// What was seen at the upper bounds, and what went wrong.
    pub notes: Vec<String>,
}

/// A line of a table: what a search has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// One more than the number of stacks that carry more; none for what is not ranked.
    pub place: Option<usize>,
    /// Stack's name; what is no stack says what it is instead.
    pub name: String,
    /// Highest rate that met the objective, per second.
    pub lower: String,
    /// Lowest rate that missed it.
    pub upper: String,
    /// Median latency from due, at the lower bound.
    pub p50: Figure,
    /// 99th percentile there.
    pub p99: Figure,
    /// Server's CPU time per answer there.
    pub server_us: Figure,
    /// The share of a core that the client used there, per cent.
    pub client_percent: Figure,
    /// How many trials were made, noisy ones included.
    pub trials: usize,
    /// How it ended, in words.
    pub ended: String,
}

/// What the columns are called, in the order of [`Line::cells`]; a line break where a narrow table may have one.
pub const COLUMNS: [&str; 10] = [
    "#",
    "stack",
    "lower\nbound/s",
    "upper\nbound/s",
    "p50 there\nfrom due",
    "p99 there\nfrom due",
    "server\nµs/req",
    "client, %\nof a core",
    "trials",
    "how it ended",
];

impl Line {
    /// Its cells.
    pub fn cells(&self) -> [String; COLUMNS.len()] {
        [
            self.place.map(|place| place.to_string()).unwrap_or_default(),
            self.name.clone(),
            self.lower.clone(),
            self.upper.clone(),
            self.p50.words(),
            self.p99.words(),
            self.server_us.words(),
            self.client_percent.words(),
            self.trials.to_string(),
            self.ended.clone(),
        ]
    }
}

/// Store, placement and load, a line each.
pub fn facts(run: &Run) -> Vec<String> {
    // A trial that failed does not say what it offered.
    let rows: Vec<&Row> = run.rows.iter().filter(|row| row.verdict != Verdict::Failed).collect();
    heading::search_facts(run.meta.scenarios.first(), &rows)
}

/// The tables of all searches, in the order of the files.
pub fn tables(capacity: &Capacity, run: &Run) -> Vec<Table> {
    let mut questions: Vec<(&str, Question)> = Vec::new();
    for search in &capacity.searches {
        let question = Question { request: search.request.clone(), mode: search.mode, step: None };
        if !questions.contains(&(&search.scenario, question.clone())) {
            questions.push((&search.scenario, question));
        }
    }
    questions.iter().flat_map(|(scenario, question)| of_question(capacity, run, scenario, question)).collect()
}

/// A search with its rows.
struct Searched<'a> {
    search: &'a Search,
    role: Role,
    /// What its trials at the lower bound say together.
    at_lower: Option<Cell>,
    client_share: Option<Spread>,
}

fn of_question(capacity: &Capacity, run: &Run, scenario: &str, question: &Question) -> Vec<Table> {
    let of_table = |search: &&Search| {
        (search.scenario.as_str(), &search.request, search.mode) == (scenario, &question.request, question.mode)
    };
    let searches: Vec<&Search> = capacity.searches.iter().filter(of_table).collect();
    let rows: Vec<&Row> = run.rows.iter().filter(|row| searches.iter().any(|search| search.has(row))).collect();
    let meta = run.meta.scenarios.iter().find(|meta| meta.name == scenario);
    let stacks = &run.meta.stacks;
    let panels = panel::in_run(stacks, &rows);
    let is_alone = panels.len() == 1;
    let title = |panel: Panel| {
        let panel = if is_alone { String::new() } else { format!(" ({})", panel.title().to_lowercase()) };
        format!("{scenario}: {}{panel}", table::title(question, meta))
    };
    let of_panel = |panel: Panel| {
        let shown = searches
            .iter()
            .map(|search| searched(search, run))
            .filter(|searched| is_alone || panel.shows_stack(stacks, &searched.search.stack, searched.role));
        let mut shown: Vec<Searched> = shown.collect();
        shown.sort_by(|a, b| {
            let (a, b) = (a.search, b.search);
            let by_lower = b.carries_least().total_cmp(&a.carries_least());
            by_lower.then_with(|| b.carries_most().total_cmp(&a.carries_most()))
        });
        Table {
            title: title(panel),
            lines: shown.iter().map(|searched| line(searched, &shown)).collect(),
            notes: shown.iter().flat_map(|searched| notes(searched.search)).collect(),
        }
    };
    panels.into_iter().map(of_panel).collect()
}

fn searched<'a>(search: &'a Search, run: &Run) -> Searched<'a> {
    let numbers: Vec<u32> =
        search.lower_per_sec.map(|rate| search.trials_at(rate).map(|trial| trial.number).collect()).unwrap_or_default();
    let rows: Vec<&Row> = run.rows.iter().filter(|row| search.has(row)).collect();
    let at_lower: Vec<&Row> = rows.iter().copied().filter(|row| numbers.contains(&row.trial)).collect();
    let described = run.meta.stacks.iter().find(|stack| stack.name == search.stack);
    Searched {
        search,
        role: described.map_or(Role::Stack, |stack| stack.role),
        at_lower: Cell::of(&at_lower, &run.latencies),
        client_share: Spread::of(at_lower.iter().map(|row| row.client.cpu_s / row.window_s)),
    }
}

impl Searched<'_> {
    /// Whether its bounds are certain enough for a place.
    fn is_ranked(&self) -> bool {
        self.role == Role::Stack && self.search.is_certain()
    }
}

fn line(searched: &Searched, all: &[Searched]) -> Line {
    let Searched { search, role, at_lower, client_share } = searched;
    let better =
        all.iter().filter(|other| other.is_ranked() && other.search.carries_least() >= search.carries_most()).count();
    let rate = |rate: Option<f64>| rate.map_or_else(|| number::NONE.to_owned(), number::rate);
    let figure = |show: fn(&Cell) -> Figure| at_lower.as_ref().map_or_else(Figure::none, show);
    Line {
        place: searched.is_ranked().then_some(better + 1),
        name: table::role_name(&search.stack, *role),
        lower: rate(search.lower_per_sec),
        upper: rate(search.upper_per_sec),
        p50: figure(|cell| Figure::percentile(cell.p50, cell.merged)),
        p99: figure(|cell| Figure::percentile(cell.p99, cell.merged)),
        server_us: figure(|cell| Figure::median(cell.server_us, number::cpu_us)),
        client_percent: Figure::median(*client_share, number::percent),
        trials: search.trials.len(),
        ended: ended_words(search),
    }
}

fn ended_words(search: &Search) -> String {
    let how = search.ended_word();
    let whose = match search.upper_set_by {
        None | Some(SetBy::Stack) => return how.to_owned(),
        Some(SetBy::Client) => "the client's",
        Some(SetBy::Store) => "the store's",
        Some(SetBy::ClientAndStore) => "client's and store's",
    };
    format!("{how}; the upper bound is {whose}")
}

/// What was seen at the upper bound, why a search failed, and how many of its trials were disturbed.
fn notes(search: &Search) -> Vec<String> {
    let stack = &search.stack;
    let failed = search.error.as_ref().map(|error| format!("{stack} failed: {}", table::one_line(error)));
    let at_upper = search.upper_per_sec.and_then(|upper| {
        let missed = |trial: &&super::Trial| trial.outcome == Outcome::Missed && trial.missed_by == search.upper_set_by;
        let trial = search.trials_at(upper).find(missed)?;
        Some(format!("{stack} at {}/s: {}", number::rate(upper), table::one_line(&trial.why)))
    });
    let repeated = search.trials.iter().filter(|trial| trial.outcome == Outcome::Repeated).count();
    let counted = search.trials.iter().filter(|trial| trial.noisy && trial.outcome != Outcome::Repeated).count();
    let disturbed = (counted > 0).then(|| {
        format!("{stack}: {counted} of its trials count although noisy, after {repeated} that were made again")
    });
    [failed, at_upper, disturbed].into_iter().flatten().collect()
}

/// By how short a pause the objective is missed in one window; none where it says nothing of latency.
///
/// A share of the latencies of a short window is not much time, so that it may be the host's pauses that set a bound.
pub fn breaking_pause(objective: &str, window_s: f64) -> Option<String> {
    let conditions = parse_objective("--objective", objective).ok()?;
    let shortest_s = conditions.iter().filter_map(|one| one.breaking_pause_s(window_s)).min_by(f64::total_cmp)?;
    Some(format!(
        "One pause of {}, whoever makes it, is enough to miss the objective in a window of {}; where the host makes such \
         pauses, bounds are the host's. A longer window (--duration) takes a longer one.",
        number::duration_us(shortest_s * 1e6),
        number::seconds(window_s),
    ))
}

/// How to read the tables.
pub fn reading(capacity: &Capacity, run: &Run) -> Vec<String> {
    let settings = &capacity.settings;
    let tried = format!(
        "Objective: `{}`. Lower bound: the highest rate that met it below every one that missed it; upper bound: the lowest \
         that missed it. Both rest on the majority of up to {} trials, each on a server of its own, and lie at most {} % apart. \
         Every search begins at {}/s, so that all try the same rates, and stays between {} and {}/s.",
        capacity.objective,
        settings.confirmations,
        number::percent(settings.precision),
        number::count(settings.start_per_sec),
        number::count(settings.least_per_sec),
        number::count(settings.most_per_sec),
    );
    let lines = [
        "A rate is missed as well when less than 99 % of what fell due was answered, or when the client itself was late by \
         more than 1 ms (p99). An upper bound that is the client's or the store's is none of the stack, which may carry more.",
        "The place (#) is one more than the number of stacks whose lower bound is not below this one's upper bound: where \
         bounds overlap, nobody is ahead.",
        "Percentiles, server CPU per request and the client's share of a core are those of all trials at the lower bound \
         that count: percentiles of the merged histograms, the others medians.",
        heading::FROM_DUE,
    ];
    let pause = run.meta.scenarios.first().and_then(|meta| breaking_pause(&capacity.objective, meta.duration_s));
    [tried].into_iter().chain(pause).chain(lines.map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        capacity::{
            Ended,
            tests::{capacity, search},
        },
        sample,
    };

    /// The places of searches, by stack.
    fn places(searches: Vec<Search>) -> BTreeMap<String, Option<usize>> {
        let run = Run { meta: sample::meta(), rows: Vec::new(), latencies: BTreeMap::new(), warnings: Vec::new() };
        let tables = tables(&capacity(searches), &run);
        tables.into_iter().flat_map(|table| table.lines).map(|line| (line.name, line.place)).collect()
    }

    fn around(stack: &str, lower: f64, upper: f64, by: SetBy) -> Search {
        search(stack, (lower, upper), &[(lower, None), (upper, Some(by))])
    }

    #[test]
    fn stacks_whose_bounds_overlap_share_a_place() {
        let own = SetBy::Stack;
        let searches = vec![
            around("a", 100.0, 104.0, own),
            around("b", 102.0, 106.0, own),
            around("c", 90.0, 100.0, own),
            around("d", 103.0, 107.0, own),
        ];
        let places: Vec<Option<usize>> = places(searches).into_values().collect();
        assert_eq!(places, [Some(1), Some(1), Some(4), Some(1)], "a bound that two have in common tells them apart");
    }

    #[test]
    fn a_bound_that_others_set_puts_a_stack_behind_nobody_and_nothing_known_is_no_place() {
        let mut unknown = around("c", 5.0, 10.0, SetBy::Client);
        (unknown.lower_per_sec, unknown.ended) = (None, Ended::MissedDownToLeast);
        let mut worst = around("d", 5.0, 10.0, SetBy::Stack);
        (worst.lower_per_sec, worst.ended) = (None, Ended::MissedDownToLeast);
        let fast = around("a", 1_000.0, 1_050.0, SetBy::Stack);
        let places = places(vec![fast, around("b", 50.0, 52.0, SetBy::ClientAndStore), unknown, worst]);
        let places: Vec<Option<usize>> = places.into_values().collect();
        assert_eq!(places, [Some(1), Some(1), None, Some(3)]);
    }
}
