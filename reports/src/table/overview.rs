//! Overviews: every stack of a panel under every question of a scenario, one figure each.

use std::collections::BTreeSet;

use crate::{
    number::NONE,
    row::{Mode, Role, Verdict},
    run::{ScenarioMeta, StackMeta},
    summary::{Cell, Question},
};

use super::{
    Headline, is_ranked, marked_name,
    measure::{CARRIED, CEILING, CPU, DUE_P50, DUE_P99, GENERATOR, IDLE_CONNECTION, LAG, Measure, RATE, RSS, SWITCHES},
    mode_word,
    scaling::Scaling,
    step_title,
};

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

/// A question with its cells.
type Point<'q, 'c> = (&'q Question, Vec<&'c Cell>);

/// The overviews of a panel. Without steps there is one, of the headline, over all requests and modes. With steps there
/// is one for each request, mode and figure, over the steps: the curve is what such a scenario is for.
pub fn overviews(
    asked: &[Point],
    stacks: &[StackMeta],
    meta: Option<&ScenarioMeta>,
    headline: Headline,
) -> Vec<Overview> {
    if asked.len() < 2 {
        return Vec::new();
    }
    let points: Vec<&Point> = asked.iter().collect();
    if has_no_steps(asked) {
        let main = headline_measure(headline);
        return vec![Columns::new(&points, request_and_mode, stacks, headline).of_measure(main, "")];
    }
    let mut curves: Vec<(&str, Mode)> = Vec::new();
    for (question, _) in asked {
        if !curves.contains(&(&question.request, question.mode)) {
            curves.push((&question.request, question.mode));
        }
    }
    let of_curve = |(request, mode): (&str, Mode)| {
        let points: Vec<&Point> = asked.iter().filter(|(q, _)| q.request == request && q.mode == mode).collect();
        curve(&points, &format!("{request}, {}: ", mode_word(mode)), stacks, meta, headline)
    };
    curves.into_iter().flat_map(of_curve).collect()
}

/// The rates of every stack under all requests and modes; none where there are steps, whose curves say more.
pub fn rates(asked: &[Point], stacks: &[StackMeta], headline: Headline) -> Option<Overview> {
    let points: Vec<&Point> = asked.iter().collect();
    let is_flat = !points.is_empty() && has_no_steps(asked);
    is_flat.then(|| Columns::new(&points, request_and_mode, stacks, headline).of_measure(&RATE, ""))
}

fn has_no_steps(asked: &[Point]) -> bool {
    asked.iter().all(|(question, _)| question.step.is_none())
}

fn request_and_mode(question: &Question) -> String {
    format!("{}, {}", question.request, mode_word(question.mode))
}

/// The overviews over the steps of one request in one mode.
fn curve(
    points: &[&Point],
    of: &str,
    stacks: &[StackMeta],
    meta: Option<&ScenarioMeta>,
    headline: Headline,
) -> Vec<Overview> {
    let columns = Columns::new(points, |q| step_title(q.step.unwrap_or_default(), meta), stacks, headline);
    let cells = || points.iter().flat_map(|(_, cells)| cells);
    let is_open = cells().any(|cell| cell.is_open);
    let crowds: BTreeSet<u32> = cells().map(|cell| cell.connections).collect();
    let pace: &[&Measure] = match headline {
        Headline::CpuPerRequest => &[&CPU, &RATE],
        Headline::Rate => &[&RATE, &CPU],
    };
    let questions: Vec<&Question> = points.iter().map(|(question, _)| *question).collect();
    let scaling = Scaling::over(&questions, meta).map(|scaling| columns.of_scaling(&scaling, of));
    let limits: &[&Measure] = match is_open {
        true => &[&CARRIED, &DUE_P50, &DUE_P99, &LAG, &GENERATOR],
        false => &[&CEILING],
    };
    let idle = (crowds.len() > 1).then_some(&IDLE_CONNECTION);
    let held = [&RSS].into_iter().chain(idle).chain([&SWITCHES]);
    let pace = pace.iter().map(|measure| columns.of_measure(measure, of));
    let is_known = |measure: &&Measure| cells().any(|cell| (measure.shown)(cell).is_some());
    let rest = limits.iter().copied().chain(held).filter(is_known).map(|measure| columns.of_measure(measure, of));
    pace.chain(scaling).chain(rest).collect()
}

fn headline_measure(headline: Headline) -> &'static Measure {
    match headline {
        Headline::CpuPerRequest => &CPU,
        Headline::Rate => &RATE,
    }
}

/// The same stacks under several questions.
struct Columns<'a> {
    titles: Vec<String>,
    cells: Vec<&'a [&'a Cell]>,
    stacks: &'a [StackMeta],
    headline: Headline,
}

impl<'a> Columns<'a> {
    fn new(
        points: &[&'a Point<'a, 'a>],
        title: impl Fn(&Question) -> String,
        stacks: &'a [StackMeta],
        headline: Headline,
    ) -> Self {
        let titles = points.iter().map(|(question, _)| title(question)).collect();
        let cells = points.iter().map(|(_, cells)| cells.as_slice()).collect();
        Self { titles, cells, stacks, headline }
    }

    fn of_measure(&self, measure: &Measure, of: &str) -> Overview {
        self.overview(format!("{of}{}", measure.title), |column, stack| {
            measure.of(find(self.cells[column], stack)?, self.headline)
        })
    }

    fn of_scaling(&self, scaling: &Scaling, of: &str) -> Overview {
        let title = format!("{of}times its rate with {}", scaling.fewest_in_words());
        self.overview(title, |column, stack| scaling.shown(&self.cells, column, stack))
    }

    /// A figure for each column and stack.
    fn overview(&self, title: String, figure: impl Fn(usize, &str) -> Option<String>) -> Overview {
        let lines = ordered(&self.cells, self.headline).into_iter().map(|example| {
            let stack = self.stacks.iter().find(|stack| stack.name == example.stack);
            let word = |of: fn(&StackMeta) -> &str| stack.map_or_else(String::new, |stack| of(stack).to_owned());
            let shown = |(column, cells): (usize, &&[&Cell])| {
                let has_failed = || find(cells, &example.stack).is_some_and(|cell| cell.verdict == Verdict::Failed);
                let absence = || if has_failed() { "failed" } else { NONE }.to_owned();
                figure(column, &example.stack).unwrap_or_else(absence)
            };
            OverviewLine {
                name: marked_name(example),
                http: word(|stack| &stack.http),
                redis: word(|stack| &stack.redis),
                bridged: bridged(stack),
                cells: self.cells.iter().enumerate().map(shown).collect(),
            }
        });
        Overview { title, lines: lines.collect(), columns: self.titles.clone() }
    }
}

fn find<'c>(column: &[&'c Cell], stack: &str) -> Option<&'c Cell> {
    column.iter().copied().find(|cell| cell.stack == stack)
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
