//! `stackbench run --resume DIR`: takes up a run that was ended before it was complete. Everything that decides what is
//! measured comes from its `run.json`, and what has changed since then is a reason to refuse: rows of one run are there to
//! be compared.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf, absolute},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use stackbench_reports::{
    Row, RunMeta,
    run::{MachineInfo, ScenarioMeta},
};

use crate::{
    kept::{Kept, RowsFile, Slot},
    meta::redacted,
    run::RunArgs,
    rundir::RunDir,
    say,
    setup::{PlacementArg, SharedArgs},
    store::StoreKind,
    trial::Bench,
};

/// What to do about a run that cannot be resumed any more.
const REMEDY: &str = "all trials of a run share programs, files and machine; put it back, or begin a new run";

/// An earlier part of a run, opened to go on with it.
#[derive(Debug)]
pub struct Earlier {
    /// The options it was begun with.
    pub args: RunArgs,
    /// Its directory, locked.
    pub dir: RunDir,
    /// What it recorded.
    pub begun: Begun,
}

/// What an earlier part of a run has recorded.
#[derive(Debug)]
pub struct Begun {
    /// `run.json`.
    pub meta: RunMeta,
    /// `rows.jsonl`.
    pub rows: RowsFile,
}

impl Earlier {
    /// Opens the directory of a run. What `given` says beside `--resume` must be what the run was begun with; a URL of the
    /// same store with its password, which is not recorded, is taken over.
    ///
    /// # Errors
    /// When it is no run, is complete, or is under way; when a file of it is damaged or of another version; and when the
    /// command line asks for something else.
    pub fn open(path: &Path, given: &RunArgs) -> Result<Self> {
        let dir = RunDir::reopen(path)?;
        let meta = stackbench_reports::RunDir::load_meta(dir.path()).context("--resume")?;
        ensure!(
            meta.command.get(1).is_none_or(|verb| verb != "capacity"),
            "--resume {}: a search for capacity cannot be resumed; begin it again, with --seed {} to offer the same instants",
            path.display(),
            meta.seed
        );
        let rows = RowsFile::read(dir.path())?;
        let (made, planned) = (rows.made(), meta.plan.trials);
        // One that was killed between its last row and its end is taken up to be ended.
        let is_complete = made >= planned && meta.ended.is_some();
        ensure!(!is_complete, "--resume {}: the run is complete: all {planned} trials are there", path.display());
        let mut args = recorded(&meta).context("--resume")?;
        agree(given, &args, dir.path())
            .with_context(|| format!("--resume: the run was begun with `{}`", meta.command.join(" ")))?;
        if matches!(given.shared.redis, StoreKind::Url(_)) {
            args.shared.redis.clone_from(&given.shared.redis);
        }
        Ok(Self { args, dir, begun: Begun { meta, rows } })
    }
}

impl Begun {
    /// What the whole run is to record from now on, and what is there of it already. `now` is what it would record if it
    /// began now, `all` are its trials.
    ///
    /// # Errors
    /// When what the rows rest on has changed since, or when there are rows of other trials among them.
    pub fn go_on(&self, now: &RunMeta, bench: &Bench, all: &HashSet<Slot>) -> Result<(RunMeta, Kept)> {
        unchanged(&self.meta, now).context("--resume")?;
        if let Some(row) = self.rows.first() {
            let cpus = cpus_of(row, now, bench);
            ensure!(row.cpus == cpus, "--resume: the placement was {:?} and would now be {cpus:?}; {REMEDY}", row.cpus);
        }
        let kept = Kept::new(&self.rows, all)?;
        if self.rows.cut_off_bytes > 0 {
            let (name, bytes) = (self.rows.name(), self.rows.cut_off_bytes);
            say!("{name}: the last row was cut off in the middle ({bytes} bytes): dropped, and measured again");
        }
        let mut meta = RunMeta { ended: None, ..self.meta.clone() };
        meta.resumed.push(now.started.clone());
        Ok((meta, kept))
    }
}

/// The CPUs that each process would have now where a row was measured.
fn cpus_of(row: &Row, now: &RunMeta, bench: &Bench) -> BTreeMap<String, Vec<u32>> {
    let scenario = now.scenarios.iter().find(|scenario| scenario.name == row.scenario);
    let step = scenario.and_then(|scenario| scenario.steps.get(row.step? as usize));
    match step.and_then(|step| step.workers) {
        Some(workers) => bench.cpus.with_server_on(workers).by_process(),
        None => bench.cpus.by_process(),
    }
}

/// The options of a recorded command line, its relative paths made absolute.
fn recorded(meta: &RunMeta) -> Result<RunArgs> {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }
    let verb = meta.command.get(1).map(String::as_str);
    ensure!(verb == Some("run"), "run.json: `{}` is no run", meta.command.join(" "));
    // The verb stands where a program's name would.
    let line = Line::try_parse_from(&meta.command[1..]);
    let line = line.with_context(|| format!("run.json: `{}` is not understood", meta.command.join(" ")))?;
    let base = meta.directory.as_deref().map(Path::new).context("run.json does not say where its paths start from")?;
    Ok(with_paths_from(base, line.run))
}

/// The same options with the paths of scenarios and stacks starting from a folder.
fn with_paths_from(base: &Path, args: RunArgs) -> RunArgs {
    let scenario = |name: String| match Path::new(&name).extension() {
        Some(extension) if extension == "toml" => base.join(name).display().to_string(),
        _ => name,
    };
    let stacks_dir = args.shared.stacks_dir.map(|dir| base.join(dir));
    RunArgs {
        scenarios: args.scenarios.into_iter().map(scenario).collect(),
        shared: SharedArgs { stacks_dir, ..args.shared },
        ..args
    }
}

/// Makes sure that a command line says nothing else than the recorded one; it may say less.
fn agree(given: &RunArgs, recorded: &RunArgs, dir: &Path) -> Result<()> {
    let given = with_paths_from(&absolute(".")?, given.clone());
    let same_dir = |out: &PathBuf| out.canonicalize().is_ok_and(|out| out == dir);
    let url = |kind: &StoreKind| redacted(&[kind.to_string()]);
    let agrees = [
        ("SCENARIO", given.scenarios.is_empty() || given.scenarios == recorded.scenarios),
        ("--stacks", given.shared.stacks.is_empty() || given.shared.stacks == recorded.shared.stacks),
        ("--stacks-dir", given.shared.stacks_dir.is_none() || given.shared.stacks_dir == recorded.shared.stacks_dir),
        ("--trials", given.trials.is_none() || given.trials == recorded.trials),
        ("--publish", !given.publish || recorded.publish),
        ("--duration", given.duration.is_none() || given.duration == recorded.duration),
        (
            "--connections",
            given.shared.connections.is_none() || given.shared.connections == recorded.shared.connections,
        ),
        ("--out", given.shared.out.as_ref().is_none_or(same_dir)),
        (
            "--redis",
            given.shared.redis == StoreKind::Embedded || url(&given.shared.redis) == url(&recorded.shared.redis),
        ),
        ("--workers", given.shared.workers.is_none() || given.shared.workers == recorded.shared.workers),
        ("--pool", given.shared.pool.is_none() || given.shared.pool == recorded.shared.pool),
        (
            "--placement",
            given.shared.placement == PlacementArg::Pinned || given.shared.placement == recorded.shared.placement,
        ),
        ("--seed", given.shared.seed.is_none() || given.shared.seed == recorded.shared.seed),
        ("--quick", !given.quick || recorded.quick),
        ("--no-aa", !given.no_aa || recorded.no_aa),
    ];
    match agrees.iter().find(|(_, agrees)| !agrees) {
        Some((flag, _)) => bail!("{flag} says something else; leave it out"),
        None => Ok(()),
    }
}

/// Makes sure that everything figures rest on is what it was.
fn unchanged(then: &RunMeta, now: &RunMeta) -> Result<()> {
    for (what, then, now) in [("program", &then.binaries, &now.binaries), ("file", &then.inputs, &now.inputs)] {
        if let Some(path) = differing(then, now) {
            bail!("the {what} {path} is not what it was when the run began; {REMEDY}");
        }
    }
    // A program that is not one file of ours, such as an interpreter's script, still says its version.
    if let Some(name) = differing(&then.versions, &now.versions) {
        bail!("{name} is not of the version that it was of when the run began; {REMEDY}");
    }
    if let Some(name) = differing(&then.environment, &now.environment) {
        bail!("the environment's {name} is not what it was when the run began; {REMEDY}");
    }
    for ((what, then), (_, now)) in traits(&then.machine).into_iter().zip(traits(&now.machine)) {
        ensure!(then == now, "the machine's {what} was `{then}` when the run began and is `{now}` now; {REMEDY}");
    }
    let store = |meta: &RunMeta| (meta.store.kind, meta.store.name.clone());
    ensure!(store(then) == store(now), "the store was {} and is {} now; {REMEDY}", then.store.name, now.store.name);
    let names = |meta: &RunMeta| meta.stacks.iter().map(|stack| stack.name.clone()).collect::<Vec<_>>().join(", ");
    ensure!(names(then) == names(now), "the stacks were {} and are {} now; {REMEDY}", names(then), names(now));
    for (then, now) in then.scenarios.iter().zip(&now.scenarios) {
        // What the store alone can do was measured when the scenario began, and is not measured again.
        let now = &ScenarioMeta { store_ceiling: then.store_ceiling.clone(), ..now.clone() };
        ensure!(then == now, "the scenario `{}` is not what it was when the run began; {REMEDY}", then.name);
    }
    let (planned, plan) = (then.plan.trials, now.plan.trials);
    ensure!(then.plan == now.plan, "the run was planned with {planned} trials and would now have {plan}; {REMEDY}");
    Ok(())
}

/// The first path whose hash is another, or that only one of the two has.
fn differing<'m>(then: &'m BTreeMap<String, String>, now: &'m BTreeMap<String, String>) -> Option<&'m String> {
    then.keys().chain(now.keys()).find(|path| then.get(*path) != now.get(*path))
}

/// What of a machine decides its figures and can be compared: its load is another at any moment.
fn traits(machine: &MachineInfo) -> [(&'static str, String); 7] {
    [
        ("name", machine.host.clone()),
        ("processor", machine.cpu_model.clone()),
        ("number of CPUs", machine.cpus.to_string()),
        ("number of cores", machine.physical_cores.to_string()),
        ("kernel", machine.kernel.clone()),
        ("governor", machine.governor.clone().unwrap_or_default()),
        ("net.core.somaxconn", machine.somaxconn.to_string()),
    ]
}

#[cfg(test)]
mod tests;
