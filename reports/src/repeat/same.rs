//! Whether two runs are two runs of the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    dir::Run,
    number,
    run::{MachineInfo, RequestMeta, RunMeta, ScenarioMeta},
    stats,
    table::{self, Part},
};

/// Why two runs cannot be held against each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Both directories hold the same run.
    #[error("both directories hold one and the same run, started {0}; a repeat needs two")]
    OneRun(String),
    /// Something that has to be the same is not.
    #[error("the runs differ in {what}: {first} in the first, {second} in the second; a repeat has to be of the same")]
    Different {
        /// What differs.
        what: String,
        /// What it is in the first run.
        first: String,
        /// And in the second.
        second: String,
    },
    /// Too few blocks in one of them.
    #[error(
        "a repeat rests on at least {minimum} blocks, and the {which} run has {blocks}; measure it again with `--trials \
         {minimum}` or more",
        minimum = stats::TRIALS_MIN
    )]
    FewBlocks {
        /// Which run, in words.
        which: &'static str,
        /// How many it has.
        blocks: u32,
    },
    /// No table has two stacks that could be compared in both runs.
    #[error("there is nothing to compare: {}", nothing(*.few_blocks))]
    Nothing {
        /// Whether some failed to be compared only because blocks are missing.
        few_blocks: bool,
    },
}

fn nothing(few_blocks: bool) -> String {
    match few_blocks {
        true => format!(
            "no two stacks of a table have {} blocks in common in both runs; some of the trials are missing or failed",
            stats::TRIALS_MIN
        ),
        false => {
            "no table has two stacks that are ranked in both runs; the verdicts in each report.md say why".to_owned()
        }
    }
}

impl Refusal {
    /// The second run lacks what a part of the first is about.
    pub(super) fn not_measured(part: &Part) -> Self {
        let first = format!("{} over {}, {}", part.scenario, part.store, table::placement_word(part.placement));
        Self::Different { what: "what was measured".to_owned(), first, second: "no rows of that".to_owned() }
    }
}

/// Refuses runs that are not two runs of the same on one machine.
pub(super) fn ensure(first: &Run, second: &Run) -> Result<(), Refusal> {
    let (a, b) = (&first.meta, &second.meta);
    let is_one = |key: fn(&Run) -> (&str, u64, &[String])| key(first) == key(second);
    if is_one(|run| (&run.meta.started, run.meta.seed, &run.meta.command)) {
        return Err(Refusal::OneRun(a.started.clone()));
    }
    for (what, of) in MACHINE {
        ensure_equal(&format!("the machine ({what})"), &of(&a.machine), &of(&b.machine))?;
    }
    ensure_equal("placement", table::placement_word(a.placement), table::placement_word(b.placement))?;
    ensure_equal("the CPUs of each process", &cpus(first), &cpus(second))?;
    ensure_equal("the store", &a.store.name, &b.store.name)?;
    ensure_equal("scenarios", &names(&a.scenarios), &names(&b.scenarios))?;
    for scenario in &a.scenarios {
        let other = b.scenarios.iter().find(|other| other.name == scenario.name);
        for (what, of) in SCENARIO {
            let other = other.map(of).unwrap_or_default();
            ensure_equal(&format!("scenario `{}` ({what})", scenario.name), &of(scenario), &other)?;
        }
    }
    for (which, run) in [("first", first), ("second", second)] {
        let blocks = run.rows.iter().map(|row| row.trial).max().unwrap_or_default();
        if (blocks as usize) < stats::TRIALS_MIN {
            return Err(Refusal::FewBlocks { which, blocks });
        }
    }
    Ok(())
}

/// Programs and files that are not the same in both runs, by path. What was measured may differ by them; how much, the
/// ratios show, so they are named and the runs compared all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Programs that both runs know and that differ.
    pub programs: Vec<String>,
    /// Files of scenarios and stacks that both runs know and that differ.
    pub inputs: Vec<String>,
    /// Programs and files that only one of the runs knows.
    pub one_run_only: Vec<String>,
}

impl Changes {
    pub(super) fn of(first: &RunMeta, second: &RunMeta) -> Self {
        let programs = differing(&first.binaries, &second.binaries);
        // Older runs did not record their files, which says nothing of them.
        let are_recorded = !first.inputs.is_empty() && !second.inputs.is_empty();
        let inputs = if are_recorded { differing(&first.inputs, &second.inputs) } else { Differing::default() };
        let one_run_only = [programs.one_run_only, inputs.one_run_only].concat();
        Self { programs: programs.changed, inputs: inputs.changed, one_run_only }
    }
}

/// Paths by whose hashes two runs differ.
#[derive(Default)]
struct Differing {
    changed: Vec<String>,
    one_run_only: Vec<String>,
}

fn differing(first: &BTreeMap<String, String>, second: &BTreeMap<String, String>) -> Differing {
    let paths: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let mut differing = Differing::default();
    for path in paths {
        match (first.get(path), second.get(path)) {
            (Some(one), Some(other)) if one == other => {}
            (Some(_), Some(_)) => differing.changed.push(path.clone()),
            _ => differing.one_run_only.push(path.clone()),
        }
    }
    differing
}

/// Something that has to be the same: its name, and what it is, in words.
type Told<T> = (&'static str, fn(&T) -> String);

/// What tells machines apart, in words and as text. What changes by itself, such as the load, is not of it.
const MACHINE: [Told<MachineInfo>; 7] = [
    ("host", |machine| machine.host.clone()),
    ("processor", |machine| machine.cpu_model.clone()),
    ("CPUs", |machine| machine.cpus.to_string()),
    ("physical cores", |machine| machine.physical_cores.to_string()),
    ("kernel", |machine| machine.kernel.clone()),
    ("governor", |machine| machine.governor.clone().unwrap_or_else(|| "none".to_owned())),
    ("net.core.somaxconn", |machine| machine.somaxconn.to_string()),
];

/// What has to be the same in a scenario. The number of blocks need not.
const SCENARIO: [Told<ScenarioMeta>; 8] = [
    ("requests", |scenario| listed(scenario.requests.iter().map(request))),
    ("delays", |scenario| delays(&scenario.delays)),
    ("steps", |scenario| listed(scenario.steps.iter().map(|step| step.title.clone()))),
    ("connections", |scenario| scenario.connections.to_string()),
    ("window", |scenario| number::seconds(scenario.duration_s)),
    ("warm-up", |scenario| number::seconds(scenario.warmup_s)),
    ("pool", |scenario| scenario.pool.to_string()),
    ("workers", |scenario| scenario.workers.to_string()),
];

fn ensure_equal(what: &str, first: &str, second: &str) -> Result<(), Refusal> {
    if first == second {
        return Ok(());
    }
    Err(Refusal::Different { what: what.to_owned(), first: first.to_owned(), second: second.to_owned() })
}

/// Which CPUs each process was bound to. They are those of the placement, the same in every row.
fn cpus(run: &Run) -> String {
    let of_row = run.rows.first().map(|row| &row.cpus);
    let words = of_row
        .into_iter()
        .flatten()
        .map(|(process, cpus)| format!("{process} {}", listed(cpus.iter().map(u32::to_string))));
    listed(words)
}

fn names(scenarios: &[ScenarioMeta]) -> String {
    let mut names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    names.sort_unstable();
    names.join(", ")
}

fn request(request: &RequestMeta) -> String {
    format!("{} {}", request.method, request.path)
}

fn delays(delays: &BTreeMap<String, String>) -> String {
    listed(delays.iter().map(|(command, delay)| format!("{command} {delay}")))
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
