//! What a run holds that a need can be asked of: of each request and mode, every stack with the steps it was measured at.

use crate::{
    capacity::{Capacity, Search},
    cells::{CellKey, NamedCell, cells},
    dir::Run,
    row::{Mode, Role, Row},
    run::ScenarioMeta,
    summary::Cell,
};

/// One request in one mode of a scenario, over one store, in one placement, and with one setting of all that its steps vary
/// but the rate: another delay or another number of connections asks another question.
#[derive(Debug)]
pub(super) struct Question<'r> {
    pub scenario: String,
    pub request: String,
    pub mode: Mode,
    /// What its steps set beside the rate, in words; mostly empty.
    pub setting: String,
    pub meta: Option<&'r ScenarioMeta>,
    pub stacks: Vec<Evidence<'r>>,
}

/// A stack.
#[derive(Debug)]
pub(super) struct Evidence<'r> {
    pub stack: String,
    pub steps: Vec<Step<'r>>,
    /// The search that the steps are trials of.
    pub search: Option<&'r Search>,
}

/// A step with what its trials say.
#[derive(Debug)]
pub(super) struct Step<'r> {
    /// What it sets, in words.
    pub title: String,
    pub load: Load,
    /// The trials that count.
    pub rows: Vec<&'r Row>,
    pub cell: Cell,
}

/// What was asked of a server, per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Load {
    /// As much as it answered.
    Closed,
    /// What all stacks were offered there.
    Common(f64),
    /// What this stack alone was offered, as a share of its own maximum; the least over the trials.
    Own(f64),
}

impl Load {
    pub fn offered(self) -> Option<f64> {
        match self {
            Self::Closed => None,
            Self::Common(rate) | Self::Own(rate) => Some(rate),
        }
    }
}

impl Question<'_> {
    pub fn is_open(&self) -> bool {
        self.stacks.iter().flat_map(|stack| &stack.steps).any(|step| step.load != Load::Closed)
    }

    pub fn rows(&self) -> Vec<&Row> {
        self.stacks.iter().flat_map(|stack| &stack.steps).flat_map(|step| step.rows.iter().copied()).collect()
    }
}

/// Everything that can be asked of a run. References and traps are no candidates, a second name is none of its own, and
/// what is measured while something goes wrong on purpose answers another question.
pub(super) fn questions<'r>(run: &'r Run, searches: Option<&'r Capacity>) -> Vec<Question<'r>> {
    match searches {
        Some(searches) => of_searches(run, searches),
        None => of_cells(run),
    }
}

fn of_cells(run: &Run) -> Vec<Question<'_>> {
    let is_asked =
        |named: &NamedCell| named.key.role == Role::Stack && named.key.twin.is_none() && named.cell.fault.is_none();
    let mut groups: Vec<(String, Vec<NamedCell>)> = Vec::new();
    for named in cells(run).into_iter().filter(is_asked) {
        let set = setting(&named.key, run);
        let is_same =
            |(of, group): &&mut (String, Vec<NamedCell>)| *of == set && is_one_question(&group[0].key, &named.key);
        match groups.iter_mut().find(is_same) {
            Some((_, group)) => group.push(named),
            None => groups.push((set, vec![named])),
        }
    }
    groups.into_iter().map(|(setting, group)| question(run, setting, group)).collect()
}

/// What the step of a cell sets beside the rate: `pool 64`.
fn setting(key: &CellKey, run: &Run) -> String {
    let step = || key.scenario(run)?.steps.get(key.step? as usize);
    let rate = step().and_then(|step| step.rate.as_deref());
    let title = key.step_title(run);
    title.split(", ").filter(|part| Some(*part) != rate).collect::<Vec<&str>>().join(", ")
}

fn is_one_question(a: &CellKey, b: &CellKey) -> bool {
    (&a.scenario, a.placement, &a.store) == (&b.scenario, b.placement, &b.store)
        && (&a.request, a.mode) == (&b.request, b.mode)
}

fn question<'r>(run: &'r Run, setting: String, group: Vec<NamedCell<'r>>) -> Question<'r> {
    let CellKey { scenario, request, mode, .. } = group[0].key.clone();
    let loads: Vec<Option<Load>> = group.iter().map(|named| load(named, &group)).collect();
    let mut stacks: Vec<Evidence> = Vec::new();
    for (named, load) in group.into_iter().zip(loads) {
        let NamedCell { key, rows, cell } = named;
        let title = key.step_title(run);
        let rows = rows.into_iter().filter(|row| !row.repeated).collect();
        let step = load.map(|load| Step { title, load, rows, cell });
        match stacks.iter_mut().find(|stack| stack.stack == key.stack) {
            Some(stack) => stack.steps.extend(step),
            None => stacks.push(Evidence { stack: key.stack, steps: step.into_iter().collect(), search: None }),
        }
    }
    let meta = run.meta.scenarios.iter().find(|meta| meta.name == scenario);
    Question { scenario, request, mode, setting, meta, stacks }
}

/// What a cell was asked for. One whose trials all failed does not say; it was what the others were, where they were all
/// asked for the same.
fn load(named: &NamedCell, group: &[NamedCell]) -> Option<Load> {
    let beside = group.iter().filter(|other| other.key.step == named.key.step);
    let offered: Vec<f64> = beside.filter_map(|other| other.cell.offered).flat_map(|o| [o.min, o.max]).collect();
    let Some(first) = offered.first() else { return Some(Load::Closed) };
    let is_common = offered.iter().all(|rate| *rate == *first);
    match (is_common, named.cell.offered) {
        (true, _) => Some(Load::Common(*first)),
        (false, own) => own.map(|own| Load::Own(own.min)),
    }
}

/// Every rate that a search has tried is a step.
fn of_searches<'r>(run: &'r Run, searches: &'r Capacity) -> Vec<Question<'r>> {
    let mut questions: Vec<Question> = Vec::new();
    for search in &searches.searches {
        let rows: Vec<&Row> = run.rows.iter().filter(|row| search.has(row) && !row.repeated).collect();
        if rows.first().is_some_and(|row| row.role != Role::Stack) {
            continue;
        }
        let evidence = Evidence { stack: search.stack.clone(), steps: tried(search, &rows, run), search: Some(search) };
        let is_same = |question: &&mut Question| {
            (&question.scenario, &question.request, question.mode) == (&search.scenario, &search.request, search.mode)
        };
        match questions.iter_mut().find(is_same) {
            Some(question) => question.stacks.push(evidence),
            None => questions.push(Question {
                scenario: search.scenario.clone(),
                request: search.request.clone(),
                mode: search.mode,
                setting: String::new(),
                meta: run.meta.scenarios.iter().find(|meta| meta.name == search.scenario),
                stacks: vec![evidence],
            }),
        }
    }
    questions
}

fn tried<'r>(search: &Search, rows: &[&'r Row], run: &'r Run) -> Vec<Step<'r>> {
    let mut rates: Vec<f64> = search.trials.iter().map(|trial| trial.per_sec).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let step = |rate: f64| {
        let numbers: Vec<u32> =
            search.trials.iter().filter(|trial| trial.per_sec == rate).map(|trial| trial.number).collect();
        let rows: Vec<&Row> = rows.iter().copied().filter(|row| numbers.contains(&row.trial)).collect();
        let cell = Cell::of(&rows, &run.latencies)?.weighed_by(&run.rows);
        // All searches begin at one rate and try the same ones, as far as they try any.
        Some(Step { title: String::new(), load: Load::Common(rate), rows, cell })
    };
    rates.into_iter().filter_map(step).collect()
}
