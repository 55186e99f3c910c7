//! Which cells of two runs are the same cell.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cells::{self, CellKey, NamedCell},
    differing::{self, delays},
    dir::Run,
    number,
    row::{Mode, Placement, Role},
    run::ScenarioMeta,
};

use super::Machines;

/// By how much the rates may differ that two runs offered at a share of each stack's own maximum, which every run measures
/// anew: as much as a rate may change within a window before the window is called unsteady.
const OFFERED_ALIKE: f64 = 0.05;

/// A cell in one of the runs.
pub struct Side<'r> {
    pub run: &'r Run,
    pub named: NamedCell<'r>,
}

/// A cell in both of them.
pub struct Pair<'r> {
    pub sides: [Side<'r>; 2],
}

/// How many cells only one run has, by scenario and stack.
pub type Missing = BTreeMap<String, BTreeMap<String, usize>>;

/// The cells of two runs.
pub struct Pairs<'r> {
    /// Those of both, in the order of the baseline, with the stacks of one question next to each other.
    pub common: Vec<Pair<'r>>,
    /// Those of only the baseline, and of only the new run.
    pub one_run_only: [Missing; 2],
}

/// What makes a cell the same in two runs. Steps are known by what they set, because a step that is put before others
/// changes their numbers and not them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    scenario: String,
    /// Placement and store; nothing where runs of different ones are to be compared.
    over: Option<(Placement, String)>,
    request: String,
    mode: Mode,
    role: Role,
    stack: String,
    step: String,
}

impl Identity {
    fn of(key: &CellKey, run: &Run, machines: Machines) -> Self {
        Self {
            scenario: key.scenario.clone(),
            over: (machines == Machines::Same).then(|| (key.placement, key.store.clone())),
            request: key.request.clone(),
            mode: key.mode,
            role: key.role,
            stack: key.stack.clone(),
            step: step_name(key, run),
        }
    }
}

/// What the step sets; with its number where another sets the same.
fn step_name(key: &CellKey, run: &Run) -> String {
    let title = key.step_title(run);
    let alike = key.scenario(run).map_or(0, |meta| meta.steps.iter().filter(|step| step.title == title).count());
    if alike > 1 { format!("{title}, step {}", key.step.unwrap_or_default()) } else { title }
}

impl<'r> Pairs<'r> {
    /// Second names of A/A pairs are for the noise floor alone.
    pub fn of(runs: [&'r Run; 2], machines: Machines) -> Self {
        let [a, b] = runs.map(|run| {
            let ordinary = cells::cells(run).into_iter().filter(|named| named.key.twin.is_none());
            ordinary.map(|named| (Identity::of(&named.key, run, machines), named)).collect::<Vec<_>>()
        });
        let mut b: BTreeMap<Identity, NamedCell> = b.into_iter().collect();
        let (mut common, mut only_a) = (Vec::new(), Missing::new());
        for (identity, named) in a {
            match b.remove(&identity) {
                Some(other) => {
                    common.push(Pair { sides: [Side { run: runs[0], named }, Side { run: runs[1], named: other }] })
                }
                None => count(&mut only_a, &named.key),
            }
        }
        let mut only_b = Missing::new();
        b.values().for_each(|named| count(&mut only_b, &named.key));
        // Stable: within a question the order stays that of the cells.
        common.sort_by(|one, other| one.question().cmp(&other.question()));
        Self { common, one_run_only: [only_a, only_b] }
    }
}

fn count(missing: &mut Missing, key: &CellKey) {
    *missing.entry(key.scenario.clone()).or_default().entry(key.stack.clone()).or_default() += 1;
}

impl Pair<'_> {
    /// What stands together in one table, in the order of tables.
    pub fn question(&self) -> (usize, Placement, &str, &str, Mode, Option<u32>) {
        let Side { run, named } = &self.sides[0];
        let key = &named.key;
        let position = run.meta.scenarios.iter().position(|scenario| scenario.name == key.scenario);
        (position.unwrap_or(usize::MAX), key.placement, &key.store, &key.request, key.mode, key.step)
    }

    /// Why the two are not the same load, in words; none where they are.
    pub fn unlike(&self, machines: Machines) -> Option<String> {
        let [a, b] = self.sides.each_ref().map(|side| side.terms(machines));
        let mut differing = a.into_iter().zip(b).filter(|((_, one), (_, other))| one != other);
        differing.next().map(|((what, one), (_, other))| format!("{what}: {one} in A, {other} in B"))
    }

    /// Why the two were not offered the same, in words; none where they were, and in a closed loop.
    pub fn offered_unlike(&self) -> Option<String> {
        let [a, b] = self.sides.each_ref().map(|side| side.named.cell.offered.map(|offered| offered.median));
        let (a, b) = (a?, b?);
        ((b / a).ln().abs() > OFFERED_ALIKE)
            .then(|| format!("offered: {}/s in A, {}/s in B", number::rate(a), number::rate(b)))
    }

    /// The CPUs of the processes in both runs, where they are not the same.
    pub fn cpus_unlike(&self) -> Option<[String; 2]> {
        // Of a worker's step, and of any other, they are the same in every trial.
        let of_side = |side: &Side| side.named.rows.first().map_or_else(String::new, |row| differing::cpus(row));
        let [a, b] = self.sides.each_ref().map(of_side);
        (a != b).then_some([a, b])
    }
}

impl Side<'_> {
    /// What was asked of the cell and how, each under its name: what has to be the same in both runs.
    fn terms(&self, machines: Machines) -> Vec<(&'static str, String)> {
        let key = &self.named.key;
        let Some(meta) = key.scenario(self.run) else { return Vec::new() };
        let step = key.step.and_then(|step| meta.steps.get(step as usize));
        let workers = step.and_then(|step| step.workers).unwrap_or(meta.workers);
        let mut terms = vec![
            ("request", path(meta, key)),
            ("delays", delays(step.map_or(&meta.delays, |step| &step.delays))),
            ("rate", step.and_then(|step| step.rate.clone()).unwrap_or_else(|| "the scenario's".to_owned())),
            ("connections", step.map_or(meta.connections, |step| step.connections).to_string()),
            ("window", number::seconds(meta.duration_s)),
            ("warm-up", number::seconds(step.map_or(meta.warmup_s, |step| step.warmup_s))),
            ("pool", step.map_or(meta.pool, |step| step.pool).to_string()),
        ];
        // As many as CPUs, if nobody says otherwise: of another machine they are another number.
        if machines == Machines::Same {
            terms.push(("workers", workers.to_string()));
        }
        terms
    }
}

fn path(meta: &ScenarioMeta, key: &CellKey) -> String {
    let request = meta.requests.iter().find(|request| request.name == key.request && request.mode == key.mode);
    request.map_or_else(|| key.request.clone(), |request| format!("{} {}", request.method, request.path))
}

/// The scenarios of a run that have rows, by name.
pub fn measured(run: &Run) -> String {
    let names: BTreeSet<&str> = run.rows.iter().map(|row| row.scenario.as_str()).collect();
    differing::listed(names.into_iter().map(str::to_owned))
}
