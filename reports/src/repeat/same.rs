//! Whether two runs are two runs of the same.

use crate::{
    differing::{self, MACHINE, Told, delays, listed},
    dir::Run,
    number,
    run::{RequestMeta, ScenarioMeta},
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
    run.rows.first().map_or_else(|| "none".to_owned(), differing::cpus)
}

fn names(scenarios: &[ScenarioMeta]) -> String {
    let mut names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    names.sort_unstable();
    names.join(", ")
}

fn request(request: &RequestMeta) -> String {
    format!("{} {}", request.method, request.path)
}
