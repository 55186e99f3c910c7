//! What two runs stand on: machine and method, which have to be the same, and programs and source, which may change.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Machines,
    pairs::{self, Missing, Pairs},
};
use crate::{
    differing::{Changes, MACHINE, differing},
    dir::Run,
    run::{GitMeta, RunMeta, StoreKind, StoreMeta},
    stats,
    table::placement_word,
};

/// The programs that measure. Where they change, it is not the stacks alone that do.
const INSTRUMENTS: [&str; 3] = ["stackbench", "stackload", "fake-redis"];

/// Without a noise floor, a machine whose speed differs by more than this is named in front: by as much a rate may change
/// within a window before the window is called unsteady.
const SPEED_ALIKE: f64 = 0.05;

/// Something that is not the same in two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub what: String,
    /// In the baseline and in the new run, in words.
    pub values: [String; 2],
}

impl Difference {
    pub(super) fn of(what: &str, values: [String; 2]) -> Option<Self> {
        (values[0] != values[1]).then(|| Self { what: what.to_owned(), values })
    }

    /// `what: … in A, … in B`.
    pub fn words(&self) -> String {
        let [a, b] = &self.values;
        format!("{}: {a} in A, {b} in B", self.what)
    }
}

/// Why two runs cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another machine, store or placement.
    #[error(
        "the runs were not made on the same ground: {}; their figures may differ by that alone. To see them side by side \
         all the same, labelled so: --across-machines",
        .0.iter().map(Difference::words).collect::<Vec<_>>().join("; ")
    )]
    Ground(Vec<Difference>),
    /// No cell is in both.
    #[error("the runs have no cell in common: {}", .0.words())]
    NothingInCommon(Difference),
    /// Searches for capacity that asked for different things.
    #[error("the searches differ in their objective: {}; a capacity is one at its objective alone", .0.words())]
    Objective(Difference),
}

/// What two runs stand on, and what changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// Machine, placement and store, as far as they differ; only where that was asked for.
    pub grounds: Vec<Difference>,
    /// What changed.
    pub changed: Changed,
    /// How fast the machine was; none where one of the runs does not say.
    pub speed: Option<Speed>,
    /// When the run began, if both directories hold one and the same.
    pub one_run: Option<String>,
    /// How many cells only the baseline has, and only the new run.
    pub one_run_only: [Missing; 2],
}

impl Basis {
    /// `floor` is the noise floor of CPU per request, as a log-ratio.
    ///
    /// # Errors
    /// When the runs were made on different ground and that was not asked for, or have no cell in common.
    pub(super) fn of(runs: [&Run; 2], pairs: &Pairs, machines: Machines, floor: Option<f64>) -> Result<Self, Refusal> {
        let grounds = grounds(runs, pairs);
        if machines == Machines::Same && !grounds.is_empty() {
            return Err(Refusal::Ground(grounds));
        }
        if pairs.common.is_empty() {
            let values = runs.map(pairs::measured);
            return Err(Refusal::NothingInCommon(Difference { what: "rows of".to_owned(), values }));
        }
        Ok(Self {
            grounds,
            changed: Changed::between(runs.map(|run| &run.meta)),
            speed: Speed::of(runs, floor),
            one_run: one_run(runs),
            one_run_only: pairs.one_run_only.clone(),
        })
    }
}

/// Whether both directories hold one run: then it is an edit that is seen, and no measurement.
fn one_run([a, b]: [&Run; 2]) -> Option<String> {
    let key = |run: &Run| (run.meta.started.clone(), run.meta.seed, run.meta.command.clone());
    (key(a) == key(b)).then(|| a.meta.started.clone())
}

/// Machine, placement, CPUs and store, as far as they differ.
fn grounds(runs: [&Run; 2], pairs: &Pairs) -> Vec<Difference> {
    let metas = runs.map(|run| &run.meta);
    let machine = MACHINE
        .iter()
        .filter_map(|(what, of)| Difference::of(&format!("the machine ({what})"), metas.map(|meta| of(&meta.machine))));
    let method = [
        Difference::of("placement", metas.map(|meta| placement_word(meta.placement).to_owned())),
        Difference::of("the store", metas.map(|meta| store(&meta.store))),
    ];
    let cpus = pairs.common.iter().find_map(|pair| Difference::of("the CPUs of each process", pair.cpus_unlike()?));
    let mut found: Vec<Difference> = machine.chain(method.into_iter().flatten()).collect();
    // Another placement binds to other CPUs; once is enough.
    if metas[0].placement == metas[1].placement {
        found.extend(cpus);
    }
    found
}

fn store(store: &StoreMeta) -> String {
    let StoreMeta { name, kind, url, .. } = store;
    match (kind, url) {
        (StoreKind::Embedded, _) => name.clone(),
        (StoreKind::Spawn, _) => format!("{name}, started by the harness"),
        (StoreKind::Url, url) => format!("{name} at {}", url.as_deref().unwrap_or("an unknown URL")),
    }
}

/// What may change between two runs, because it is what they are compared for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Revision, compiler, profile and the like.
    pub settings: Vec<Difference>,
    /// Programs and files.
    pub files: Changes,
    /// Those of the programs that measure.
    pub instruments: Vec<String>,
}

impl Changed {
    /// Between the two runs.
    pub fn between(metas: [&RunMeta; 2]) -> Self {
        let [a, b] = metas;
        let plain = [
            Difference::of("revision", metas.map(|meta| revision(&meta.git))),
            Difference::of("Cargo.lock (SHA-256)", metas.map(|meta| hash(meta.lock_sha256.as_deref()))),
            Difference::of(
                "build profile",
                metas.map(|meta| format!("{} ({})", meta.profile.name, meta.profile.settings)),
            ),
            Difference::of("allocator", metas.map(|meta| meta.allocator.clone())),
        ];
        let mut settings: Vec<Difference> = plain.into_iter().flatten().collect();
        settings.extend(named("version of", &a.versions, &b.versions, Unknown::IsNoChange));
        settings.extend(named("store setting", &a.store.config, &b.store.config, Unknown::IsNoChange));
        settings.extend(named("environment variable", &a.environment, &b.environment, Unknown::IsUnset));
        let files = Changes::of(a, b);
        let is_instrument = |path: &&String| INSTRUMENTS.iter().any(|name| path.rsplit('/').next() == Some(name));
        let instruments = files.programs.iter().filter(is_instrument).cloned().collect();
        Self { settings, files, instruments }
    }
}

/// What a value that only one run has says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// Nothing: the run is older, or did not need it.
    IsNoChange,
    /// That it was not set in the other.
    IsUnset,
}

fn named(what: &str, a: &BTreeMap<String, String>, b: &BTreeMap<String, String>, unknown: Unknown) -> Vec<Difference> {
    let found = differing(a, b);
    let only = if unknown == Unknown::IsUnset { found.one_run_only } else { Vec::new() };
    let names: BTreeSet<String> = found.changed.into_iter().chain(only).collect();
    let value =
        |of: &BTreeMap<String, String>, name: &str| of.get(name).cloned().unwrap_or_else(|| "not set".to_owned());
    names
        .iter()
        .filter_map(|name| Difference::of(&format!("{what} {name}"), [value(a, name), value(b, name)]))
        .collect()
}

fn revision(git: &GitMeta) -> String {
    let Some(revision) = &git.revision else { return "outside a repository".to_owned() };
    let changes = if git.dirty == Some(true) { " with local changes" } else { "" };
    format!("{}{changes}", hash(Some(revision)))
}

/// Enough of a hash to tell it from another.
fn hash(hash: Option<&str>) -> String {
    hash.map_or_else(|| "not known".to_owned(), |hash| hash.get(..12).unwrap_or(hash).to_owned())
}

/// Whether the machine, or all stacks together, changed by more than the noise floor, a log-ratio.
pub fn is_notable(times: f64, floor: Option<f64>) -> bool {
    times.ln().abs() > floor.unwrap_or(SPEED_ALIKE)
}

/// How fast the machine itself was, by the fixed piece of work beside each trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// What it took, in milliseconds: the median in each run.
    pub took_ms: [f64; 2],
    /// Whether the two differ by more than the noise floor.
    pub is_notable: bool,
}

impl Speed {
    /// None where one of the runs did not measure it. `floor` is the noise floor of CPU per request, as a log-ratio.
    pub fn of(runs: [&Run; 2], floor: Option<f64>) -> Option<Self> {
        let [a, b] = runs.map(|run| {
            let mut took_ms: Vec<f64> = run.rows.iter().filter_map(|row| row.yardstick_ms).flatten().collect();
            took_ms.sort_by(f64::total_cmp);
            stats::median(&took_ms).filter(|ms| *ms > 0.0)
        });
        let took_ms = [a?, b?];
        let is_notable = is_notable(took_ms[1] / took_ms[0], floor);
        Some(Self { took_ms, is_notable })
    }

    /// What the work took in the new run over what it took in the baseline.
    pub fn times(&self) -> f64 {
        self.took_ms[1] / self.took_ms[0]
    }
}
