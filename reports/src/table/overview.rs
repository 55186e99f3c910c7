//! Overviews: every stack of a panel under every question of a scenario, one figure each.

use crate::{
    latency::Percentile,
    number::{self, NONE},
    row::{Mode, Role, Verdict},
    run::{ScenarioMeta, StackMeta},
    summary::{Cell, Question, Spread},
};

use super::{Headline, is_ranked, marked_name, mode_word, step_title};

/// One figure of every stack under every question.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// What the figures are.
    pub title: String,
    /// The questions.
    pub columns: Vec<String>,
    /// The stacks: the compared ones by the mean of their ratios to the best of each column, then the others.
    pub lines: Vec<OverviewLine>,
}

/// One stack.
#[derive(Debug, Clone, PartialEq)]
pub struct OverviewLine {
    /// Its name, marked if it is not one of the compared.
    pub name: String,
    /// Library that parses HTTP.
    pub http: String,
    /// Store client.
    pub redis: String,
    /// Modes it bridges, in words.
    pub bridged: &'static str,
    /// A figure for each column. In brackets: it may not be ranked.
    pub cells: Vec<String>,
}

/// A figure that an overview can show.
struct Measure {
    title: &'static str,
    shown: fn(&Cell) -> Option<String>,
}

const CPU: Measure =
    Measure { title: "server CPU µs per request", shown: |cell| median(cell.server_us, number::cpu_us) };
const RATE: Measure = Measure { title: "requests per second", shown: |cell| median(cell.rate, number::rate) };
const CEILING: Measure =
    Measure { title: "% of the ceiling", shown: |cell| median(cell.ceiling_share, number::percent) };
const CARRIED: Measure =
    Measure { title: "% of the offered rate", shown: |cell| median(cell.ceiling_share, number::percent) };
const DUE_P50: Measure =
    Measure { title: "median latency from the due instants", shown: |cell| from_due(cell, cell.p50) };
const DUE_P99: Measure = Measure { title: "p99 latency from the due instants", shown: |cell| from_due(cell, cell.p99) };
const RSS: Measure = Measure { title: "peak RSS", shown: |cell| median(cell.rss_bytes, number::bytes) };
const SWITCHES: Measure =
    Measure { title: "context switches per request", shown: |cell| median(cell.switches, number::ratio) };

fn median(spread: Option<Spread>, show: fn(f64) -> String) -> Option<String> {
    spread.map(|spread| show(spread.median))
}

/// A percentile, where requests were due at instants of their own; in a closed loop it restates throughput.
fn from_due(cell: &Cell, percentile: Option<Percentile>) -> Option<String> {
    let percentile = percentile.filter(|_| cell.is_open)?;
    let bound = if percentile.is_lower_bound { "≥ " } else { "" };
    Some(format!("{bound}{}", number::duration_us(percentile.us)))
}

/// The overviews of a panel. Without steps there is one, of the headline, over all requests and modes. With steps there
/// is one for each request, mode and figure, over the steps: the curve is what such a scenario is for.
pub fn overviews(
    asked: &[(&Question, Vec<&Cell>)],
    stacks: &[StackMeta],
    meta: Option<&ScenarioMeta>,
    headline: Headline,
) -> Vec<Overview> {
    if asked.len() < 2 {
        return Vec::new();
    }
    let main = match headline {
        Headline::CpuPerRequest => CPU,
        Headline::Rate => RATE,
    };
    if asked.iter().all(|(question, _)| question.step.is_none()) {
        let columns = asked.iter().map(|(q, _)| format!("{}, {}", q.request, mode_word(q.mode))).collect();
        let cells: Vec<&[&Cell]> = asked.iter().map(|(_, cells)| cells.as_slice()).collect();
        return vec![overview(&main, main.title.to_owned(), columns, &cells, stacks, headline)];
    }
    let mut curves: Vec<(&str, Mode)> = Vec::new();
    for (question, _) in asked {
        if !curves.contains(&(&question.request, question.mode)) {
            curves.push((&question.request, question.mode));
        }
    }
    let of_curve = |(request, mode): (&str, Mode)| {
        let points: Vec<&(&Question, Vec<&Cell>)> =
            asked.iter().filter(|(q, _)| q.request == request && q.mode == mode).collect();
        let columns: Vec<String> = points.iter().map(|(q, _)| step_title(q.step.unwrap_or_default(), meta)).collect();
        let cells: Vec<&[&Cell]> = points.iter().map(|(_, cells)| cells.as_slice()).collect();
        let is_open = points.iter().any(|(_, cells)| cells.iter().any(|cell| cell.is_open));
        let measures: &[&Measure] = match is_open {
            true => &[&main, &CARRIED, &DUE_P50, &DUE_P99, &RSS, &SWITCHES],
            false => &[&main, &CEILING, &RSS, &SWITCHES],
        };
        let one = |measure: &&Measure| {
            let title = format!("{request}, {}: {}", mode_word(mode), measure.title);
            overview(measure, title, columns.clone(), &cells, stacks, headline)
        };
        measures.iter().map(one).collect::<Vec<_>>()
    };
    curves.into_iter().flat_map(of_curve).collect()
}

fn overview(
    measure: &Measure,
    title: String,
    columns: Vec<String>,
    cells: &[&[&Cell]],
    stacks: &[StackMeta],
    headline: Headline,
) -> Overview {
    let ordered = ordered(cells, headline);
    let lines = ordered.into_iter().map(|example| {
        let stack = stacks.iter().find(|stack| stack.name == example.stack);
        let word = |of: fn(&StackMeta) -> &str| stack.map_or_else(String::new, |stack| of(stack).to_owned());
        OverviewLine {
            name: marked_name(example),
            http: word(|stack| &stack.http),
            redis: word(|stack| &stack.redis),
            bridged: bridged(stack),
            cells: cells.iter().map(|column| shown(find(column, &example.stack), measure, headline)).collect(),
        }
    });
    Overview { title, columns, lines: lines.collect() }
}

fn find<'c>(column: &[&'c Cell], stack: &str) -> Option<&'c Cell> {
    column.iter().copied().find(|cell| cell.stack == stack)
}

fn shown(cell: Option<&Cell>, measure: &Measure, headline: Headline) -> String {
    let Some(cell) = cell else { return NONE.to_owned() };
    match (measure.shown)(cell) {
        None if cell.verdict == Verdict::Failed => "failed".to_owned(),
        None => NONE.to_owned(),
        Some(figure) => {
            let is_sound = cell.role != Role::Stack || is_ranked(cell, headline);
            if is_sound { figure } else { format!("({figure})") }
        }
    }
}

fn bridged(stack: Option<&StackMeta>) -> &'static str {
    match stack.map(|stack| stack.bridged.as_slice()) {
        None | Some([]) => "",
        Some([Mode::Sync]) => "sync",
        Some([Mode::Async]) => "async",
        Some(_) => "both",
    }
}

/// One cell of each stack, the compared ones first and the best of them first of all. A stack that does not answer a
/// question, or may not be ranked there, is placed by the others.
fn ordered<'c>(columns: &[&[&'c Cell]], headline: Headline) -> Vec<&'c Cell> {
    let mut examples: Vec<&Cell> = Vec::new();
    for cell in columns.iter().copied().flatten() {
        if !examples.iter().any(|other| other.stack == cell.stack) {
            examples.push(cell);
        }
    }
    let figure = |column: &[&Cell], stack: &str, is_taken: &dyn Fn(&Cell) -> bool| {
        let cell = find(column, stack).filter(|cell| is_taken(cell))?;
        headline.figure(cell).map(|spread| spread.median).filter(|median| *median > 0.0)
    };
    // Logarithms of the ratios to the best: the order does not depend on the unit of a column, nor on how dear it is.
    let distance = |stack: &str, is_taken: &dyn Fn(&Cell) -> bool| {
        let ratios: Vec<f64> = columns
            .iter()
            .filter_map(|column| {
                let own = figure(column, stack, is_taken)?;
                let all = column.iter().filter_map(|cell| figure(column, &cell.stack, is_taken));
                let best = all.fold(own, |a, b| if headline.prefers_less() { a.min(b) } else { a.max(b) });
                Some((own / best).ln().abs())
            })
            .collect();
        if ratios.is_empty() { f64::INFINITY } else { ratios.iter().sum::<f64>() / ratios.len() as f64 }
    };
    // What may be ranked nowhere stands below the others, in the order of the figures it has.
    let key = |cell: &Cell| {
        let is_stack = |cell: &Cell| cell.role == Role::Stack;
        let ranked = distance(&cell.stack, &|cell| is_ranked(cell, headline));
        (!is_stack(cell), ranked, distance(&cell.stack, &is_stack))
    };
    let mut keyed: Vec<((bool, f64, f64), &Cell)> = examples.into_iter().map(|cell| (key(cell), cell)).collect();
    keyed.sort_by(|((ref_a, ranked_a, all_a), a), ((ref_b, ranked_b, all_b), b)| {
        let by_figures = ranked_a.total_cmp(ranked_b).then(all_a.total_cmp(all_b));
        ref_a.cmp(ref_b).then(by_figures).then_with(|| a.stack.cmp(&b.stack))
    });
    keyed.into_iter().map(|(_, cell)| cell).collect()
}
