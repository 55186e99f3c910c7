//! `run.json`: what held for the whole run.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use stackbench_reports::{
    row::SCHEMA,
    run::{PlanMeta, RequestMeta, RunMeta, ScenarioMeta, StackMeta, StepMeta, StoreKind as Kind, StoreMeta},
};

use crate::{
    card, environment,
    interrupt::Interrupted,
    machine,
    plan::{self, Course, Lineup},
    scenario::{Delay, Step, mode_word},
    server,
    stack::{Panel, Placeholders, Stack},
    store::{Store, StoreKind},
    trial::Bench,
    units::show_duration,
};

/// A stack with what was found out about it before the first trial.
#[derive(Debug)]
pub struct Prepared<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// What it says of its version, or why it says nothing.
    pub version: Result<String, String>,
    /// What it says of the settings of its store client, by name.
    pub settings: BTreeMap<String, String>,
    /// Its program file.
    pub program: PathBuf,
    /// SHA-256 of that file; none if it cannot be read.
    pub sha256: Option<String>,
    /// Files that its command line names, such as an interpreter's script.
    pub scripts: Vec<PathBuf>,
}

/// The file behind the first word of a command line: a path from the workspace, or a name that the PATH leads to.
fn program_file(root: &Path, word: &str) -> Option<PathBuf> {
    if word.contains('/') {
        return Some(root.join(word));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(word)).find(|file| file.is_file())
}

/// Asks a stack for its version and reads its program.
///
/// # Errors
/// [`Interrupted`] only: a stack without a version is left to its rows, which then say so.
pub fn prepare<'a>(stack: &'a Stack, bench: &Bench) -> Result<Prepared<'a>> {
    let placeholders = Placeholders {
        bin: bench.bin.to_owned(),
        root: bench.root.to_owned(),
        listen: String::new(),
        redis: String::new(),
        workers: 1,
        pool: 1,
        max_connections: 1,
    };
    let log = bench.out.join("logs").join(format!("{}.version.log", stack.name));
    let version = match server::version(stack, &placeholders, &log, bench.guard, bench.interrupt) {
        Err(error) if error.is::<Interrupted>() => return Err(error),
        version => version.map_err(|error| format!("{error:#}")),
    };
    let words = placeholders.command(&stack.run);
    let program = program_file(bench.root, &words[0]).unwrap_or_else(|| bench.root.join(&words[0]));
    let sha256 = machine::sha256(&program).ok();
    let is_file = |word: &String| bench.root.join(word).is_file();
    let scripts = words[1..].iter().filter(|word| is_file(word)).map(|word| bench.root.join(word)).collect();
    let settings = if version.is_ok() { settings(stack, &placeholders) } else { BTreeMap::new() };
    Ok(Prepared { stack, version, settings, program, sha256, scripts })
}

/// What a program prints below the first line of its version, as `name: value`. It has printed that line a moment ago,
/// so it need not be watched again.
pub fn settings(stack: &Stack, placeholders: &Placeholders) -> BTreeMap<String, String> {
    let words = placeholders.command(&stack.version);
    let mut command = std::process::Command::new(&words[0]);
    command.args(&words[1..]).envs(&stack.env).current_dir(&placeholders.root);
    let Ok(output) = command.output() else { return BTreeMap::new() };
    let text = String::from_utf8_lossy(&output.stdout);
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().skip(1).filter_map(pair).collect()
}

/// Puts together what is known before the first trial.
///
/// # Errors
/// When one of our own programs cannot be read.
pub fn describe(
    bench: &Bench,
    courses: &[Course],
    lineup: &Lineup,
    stacks: &[Prepared],
    store: &mut Store,
    kind: &StoreKind,
    seed: u64,
) -> Result<RunMeta> {
    Ok(RunMeta {
        schema: SCHEMA.to_owned(),
        command: redacted(&env::args().collect::<Vec<_>>()),
        seed,
        started: jiff::Timestamp::now().to_string(),
        ended: None,
        resumed: Vec::new(),
        directory: env::current_dir().ok().map(|dir| dir.display().to_string()),
        placement: bench.placement,
        store: StoreMeta {
            name: store.name().to_owned(),
            kind: match kind {
                StoreKind::Embedded => Kind::Embedded,
                StoreKind::Spawn => Kind::Spawn,
                StoreKind::Url(_) => Kind::Url,
            },
            url: Some(without_password(store.url())),
            command: store.command().to_vec(),
            config: store.config(),
        },
        machine: machine::machine(u32::try_from(bench.cpus.allowed.len()).unwrap_or(u32::MAX)),
        versions: versions(bench, stacks),
        binaries: binaries(bench, store, stacks)?,
        inputs: inputs(bench, courses, stacks)?,
        environment: environment::heeded(),
        git: machine::git(bench.root),
        lock_sha256: machine::sha256(&bench.root.join("Cargo.lock")).ok(),
        profile: machine::profile(bench.root),
        allocator: allocator(stacks),
        scenarios: courses.iter().map(|course| scenario_meta(course, bench.workers(&course.scenario))).collect(),
        stacks: stacks.iter().map(stack_meta).collect(),
        plan: PlanMeta {
            cells: courses.iter().map(|course| plan::cells(course, lineup).len() as u64).sum(),
            trials: courses.iter().map(|course| course.trials(lineup) as u64).sum(),
        },
    })
}

/// A command line as it may be published: the passwords of URLs left out.
pub fn redacted(command: &[String]) -> Vec<String> {
    command.iter().map(|word| without_password(word)).collect()
}

/// A URL, or a word that ends in one, without the user and password before its host.
fn without_password(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, host)) => format!("{scheme}://{host}"),
        None => url.to_owned(),
    }
}

fn versions(bench: &Bench, stacks: &[Prepared]) -> BTreeMap<String, String> {
    let compiler = match env!("STACKBENCH_RUSTFLAGS") {
        "" => env!("STACKBENCH_RUSTC").to_owned(),
        flags => format!("{}, with {flags}", env!("STACKBENCH_RUSTC")),
    };
    let own = [("stackbench", format!("stackbench {}", env!("CARGO_PKG_VERSION"))), ("rustc", compiler)];
    let peers = ["stackload", "fake-redis"].into_iter().filter_map(|program| {
        let path = bench.bin.join(program).display().to_string();
        // The client prints its usage after its version, and exits with 1, as wrk does.
        let line = first_line(&path, &["--version"]).or_else(|| first_line(&path, &["-v"]))?;
        Some((program, line))
    });
    let named = own.into_iter().chain(peers).map(|(name, version)| (name.to_owned(), version));
    let servers = stacks.iter().filter_map(|p| Some((p.stack.name.clone(), p.version.clone().ok()?)));
    named.chain(servers).collect()
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

fn binaries(bench: &Bench, store: &Store, stacks: &[Prepared]) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for program in ["stackbench", "stackload"] {
        let path = bench.bin.join(program);
        found.insert(relative(bench, &path), machine::sha256(&path)?);
    }
    let optional = ["fake-redis", "store-ceiling"].map(|program| bench.bin.join(program));
    // The store as it was started, which may be a program of the machine's.
    let store = store.command().first().and_then(|program| program_file(bench.root, program));
    for path in optional.into_iter().chain(store) {
        found.extend(machine::sha256(&path).ok().map(|hash| (relative(bench, &path), hash)));
    }
    found.extend(stacks.iter().filter_map(|p| Some((relative(bench, &p.program), p.sha256.clone()?))));
    Ok(found)
}

/// Hashes of the files that people wrote for this run: what a resumed run must find unchanged.
fn inputs(bench: &Bench, courses: &[Course], stacks: &[Prepared]) -> Result<BTreeMap<String, String>> {
    let scenarios = courses.iter().map(|course| &course.scenario.file);
    let of_stack = |p: &'_ Prepared<'_>| [&p.stack.file].into_iter().chain(&p.scripts).cloned().collect::<Vec<_>>();
    scenarios
        .cloned()
        .chain(stacks.iter().flat_map(of_stack))
        .map(|file| {
            // One path for a file, wherever it is called from.
            let file = file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
            Ok((relative(bench, &file), machine::sha256(&file)?))
        })
        .collect()
}

fn relative(bench: &Bench, path: &Path) -> String {
    path.strip_prefix(bench.root).unwrap_or(path).display().to_string()
}

/// The allocator every Rust server links, which each names last in its version line: `… (hyper 1.12.0; mimalloc)`.
fn allocator(stacks: &[Prepared]) -> String {
    let rust = stacks.iter().filter(|prepared| prepared.stack.language == "rust");
    let named =
        rust.filter_map(|prepared| Some(prepared.version.as_ref().ok()?.strip_suffix(')')?.rsplit_once("; ")?.1));
    let mut names: Vec<&str> = named.collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { "unknown".to_owned() } else { names.join(", ") }
}

fn scenario_meta(course: &Course, workers: u32) -> ScenarioMeta {
    let Course { scenario, steps } = course;
    let requests = scenario.requests.iter().flat_map(|request| {
        request.modes.iter().map(|&mode| RequestMeta {
            name: request.name.clone(),
            mode,
            method: request.method.clone(),
            path: request.path.replace("{mode}", mode_word(mode)),
        })
    });
    ScenarioMeta {
        name: scenario.name.clone(),
        title: scenario.title.clone(),
        source: scenario.source.clone(),
        analysis: scenario.analysis.trim().to_owned(),
        requests: requests.collect(),
        delays: delays_meta(&scenario.store.delays),
        steps: steps.iter().filter(|step| step.number.is_some()).map(step_meta).collect(),
        workers_left_out: scenario.steps.workers_left_out.clone(),
        connections: scenario.load.connections,
        duration_s: scenario.load.duration.as_secs_f64(),
        warmup_s: scenario.warmup().as_secs_f64(),
        trials: scenario.run.trials,
        pool: scenario.server.pool,
        workers,
        // Measured when its turn comes.
        store_ceiling: BTreeMap::new(),
    }
}

fn step_meta(step: &Step) -> StepMeta {
    StepMeta {
        title: step.title.clone(),
        rate: step.scenario.load.rate.map(|rate| rate.to_string()),
        delays: delays_meta(&step.scenario.store.delays),
        connections: step.scenario.load.connections,
        pool: step.scenario.server.pool,
        workers: step.scenario.server.cpus,
        warmup_s: step.scenario.warmup().as_secs_f64(),
    }
}

fn delays_meta(delays: &BTreeMap<String, Delay>) -> BTreeMap<String, String> {
    delays.iter().map(|(name, delay)| (name.clone(), show_duration(delay.0))).collect()
}

/// What is known of a stack before the first trial.
pub fn stack_meta(prepared: &Prepared) -> StackMeta {
    let stack = prepared.stack;
    StackMeta {
        name: stack.name.clone(),
        role: stack.role,
        panel: match stack.panel {
            Panel::Deployed => "deployed",
            Panel::Controlled => "controlled",
            Panel::Both => "both",
        }
        .to_owned(),
        model: stack.model.clone(),
        http: stack.http.clone(),
        redis: stack.redis.clone(),
        modes: stack.modes.clone(),
        bridged: stack.bridged.clone(),
        version: prepared.version.clone().unwrap_or_default(),
        settings: prepared.settings.clone(),
        notes: stack.notes.trim().to_owned(),
        card: Some(card::of(stack)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_not_recorded() {
        let words = ["--redis=redis://me:secret@host:1/0", "redis://host:2", "plain"].map(str::to_owned);
        assert_eq!(redacted(&words), ["--redis=redis://host:1/0", "redis://host:2", "plain"]);
    }
}
