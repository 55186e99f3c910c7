//! `stackbench check`: every stack against the contract.

mod servers;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use stackbench_reports::row::{Mode, Placement};

use self::servers::Servers;
use crate::{
    conformance::{
        self, Case, CaseResult, NO_STORE, Outcome, StoreControl, Target,
        soak::{self, Soaked},
    },
    guard::Guard,
    interrupt::{Interrupt, Interrupted},
    placement, process,
    root::Places,
    run::{all_stacks, raise_descriptors},
    say,
    stack::{self, Placeholders, Stack, UsesStore},
    store::{Store, StoreKind, StoreStart},
    units::parse_duration,
};

/// Connections a checked server must take: the suite opens a few hundred.
const MAX_CONNECTIONS: u32 = 2_000;
/// Blocking threads and connections of a checked server.
const POOL: u32 = conformance::POOL as u32;
/// Stacks checked at once on a large machine: each opens connections by the hundred.
const JOBS_MAX: usize = 4;

/// Options of `stackbench check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Stacks to check, by name [default: all that are installed]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub stacks: Vec<String>,
    /// A folder with further stacks, beside servers/
    #[arg(long, value_name = "DIR")]
    pub stacks_dir: Option<PathBuf>,
    /// The store: embedded or spawn (a redis-server of this machine)
    #[arg(long, value_name = "STORE", default_value = "embedded")]
    pub redis: StoreKind,
    /// What one stack's cases may take together; a quiet machine needs about 12 s
    #[arg(long, value_name = "T", value_parser = parse_duration, default_value = "30s")]
    pub budget: Duration,
    /// Cases to try, by name [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", conflicts_with = "soak", value_parser = case_name)]
    pub cases: Vec<String>,
    /// Stacks that are checked at once, each with a store of its own [default: one for each CPU, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// Instead of the suite: memory after 200 000 requests and 20 000 connections that come and go
    #[arg(long)]
    pub soak: bool,
    /// Print every case, not only what a reader must look at
    #[arg(long, short)]
    pub verbose: bool,
}

fn case_name(name: &str) -> Result<String, String> {
    match is_case(name) {
        true => Ok(name.to_owned()),
        false => Err("no case has that name; check --verbose prints them all".to_owned()),
    }
}

fn is_case(name: &str) -> bool {
    conformance::cases().iter().any(|case| case.name == name)
}

/// The verb. True when every stack does what is demanded.
///
/// # Errors
/// What is wrong with the command line, the files or the machine; [`Interrupted`].
pub fn check(args: &CheckArgs) -> Result<bool> {
    ensure!(
        !matches!(args.redis, StoreKind::Url(_)),
        "--redis: the suite stops and starts the store, so it needs one of its own: embedded or spawn"
    );
    let places = Places::find()?;
    let all = all_stacks(&places, args.stacks_dir.as_deref())?;
    let chosen = if args.stacks.is_empty() { all } else { stack::select(all, &args.stacks)? };
    if args.redis == StoreKind::Embedded {
        places.require("fake-redis")?;
    }
    raise_descriptors(u64::from(MAX_CONNECTIONS + POOL))?;
    let interrupt = Interrupt::install()?;
    process::adopt_orphans()?;
    let guard = Guard::start()?;
    let scratch = Scratch::make()?;
    let checker = Checker { args, places: &places, interrupt: &interrupt, guard: &guard, scratch: &scratch.0 };
    for stack in &chosen {
        refuse_unknown_deviations(stack)?;
    }
    let (installed, missing): (Vec<Stack>, Vec<Stack>) =
        chosen.into_iter().partition(|stack| stack.missing(&places.root).is_empty());
    for stack in missing {
        say!("{}: not installed, skipped; to install it: {}", stack.name, stack.setup);
    }
    allow_crowds(checker.jobs())?;
    checker.check_all(&installed)
}

/// A deviation that names no case excuses nothing: it is a slip of the pen.
fn refuse_unknown_deviations(stack: &Stack) -> Result<()> {
    match stack.deviations.iter().find(|name| !is_case(name)) {
        Some(name) => bail!("stack `{}`: deviations names `{name}`, which is no case of the suite", stack.name),
        None => Ok(()),
    }
}

/// A folder for logs that goes with the check.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("stackbench-check-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Checker<'a> {
    args: &'a CheckArgs,
    places: &'a Places,
    interrupt: &'a Interrupt,
    guard: &'a Guard,
    scratch: &'a Path,
}

/// What came of a stack.
enum Checked {
    Suite(Vec<CaseResult>),
    Soak(Soaked, Duration),
}

impl Checker<'_> {
    /// Checks every stack, a few at a time, and prints what came of each in their order.
    fn check_all(&self, stacks: &[Stack]) -> Result<bool> {
        let next = AtomicUsize::new(0);
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..self.jobs() {
                let (tell, next) = (tell.clone(), &next);
                scope.spawn(move || {
                    while let Some((index, stack)) = take(stacks, next) {
                        // Whoever listens leaves only when it has been interrupted, which the next check sees too.
                        let _ = tell.send((index, self.check(stack)));
                    }
                });
            }
            drop(tell);
            let mut early = BTreeMap::new();
            let mut all_good = true;
            for (position, stack) in stacks.iter().enumerate() {
                while !early.contains_key(&position) {
                    let (index, checked) = told.recv().context("a check ended without a result")?;
                    early.insert(index, checked);
                }
                match early.remove(&position).context("was just seen")? {
                    Ok(Checked::Suite(results)) => all_good &= print(stack, &results, self.args.verbose),
                    Ok(Checked::Soak(soaked, took)) => all_good &= print_soak(stack, &soaked, took),
                    Err(error) if error.is::<Interrupted>() => return Err(error),
                    Err(error) => {
                        say!("{}: FAILED: {error:#}", stack.name);
                        all_good = false;
                    }
                }
            }
            Ok(all_good)
        })
    }

    /// Most of a check is waiting for the store's time-outs, so that two of them share a CPU well. A soak is work.
    fn jobs(&self) -> usize {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let usual = if self.args.soak { 1 } else { cpus.min(JOBS_MAX) };
        self.args.jobs.map_or(usual, |jobs| jobs as usize)
    }

    fn check(&self, stack: &Stack) -> Result<Checked> {
        self.interrupt.check()?;
        let folder = self.scratch.join(&stack.name);
        fs::create_dir_all(&folder)?;
        let mut store = Store::start(StoreStart {
            kind: &self.args.redis,
            bin: &self.places.bin,
            cpus: &[],
            log: folder.join("store.log"),
            cwd: &folder,
            max_connections: MAX_CONNECTIONS,
            guard: self.guard,
            interrupt: self.interrupt,
        })?;
        store.set_delays(&BTreeMap::new())?;
        store.load_keys()?;
        let mut servers = self.servers(stack, store.url(), &folder)?;
        let addr = servers.start_usual()?;
        let control: Option<&mut dyn StoreControl> = match stack.store {
            UsesStore::Redis => Some(&mut store),
            UsesStore::None => None,
        };
        let pool_bounded: Vec<Mode> = stack.modes.iter().copied().filter(|mode| stack.is_pool_bounded(*mode)).collect();
        let mut target = Target {
            addr,
            modes: &stack.modes,
            pool_bounded: &pool_bounded,
            server: None,
            store: control,
            budget: self.args.budget,
            crowd: conformance::CROWD,
        };
        let begun = Instant::now();
        let checked = if self.args.soak {
            Checked::Soak(soak::soak(&target, &|| servers.rss_bytes())?, begun.elapsed())
        } else {
            target.server = Some(&mut servers);
            let names = &self.args.cases;
            let is_chosen = |case: &Case| names.is_empty() || names.iter().any(|name| name == case.name);
            Checked::Suite(conformance::run_only(&mut target, &stack.deviations, &is_chosen))
        };
        self.interrupt.check()?;
        drop(servers);
        store.stop_for_good();
        Ok(checked)
    }

    fn servers<'s>(&'s self, stack: &'s Stack, redis: &str, folder: &'s Path) -> Result<Servers<'s>> {
        let placeholders = Placeholders {
            bin: self.places.bin.clone(),
            root: self.places.root.clone(),
            listen: String::new(),
            redis: redis.to_owned(),
            workers: placement::divide(Placement::Free)?.server_workers(),
            pool: POOL,
            max_connections: MAX_CONNECTIONS,
        };
        let (guard, interrupt) = (self.guard, self.interrupt);
        Ok(Servers { stack, placeholders, folder, guard, interrupt, running: None, logs: Vec::new() })
    }
}

/// The next stack that nobody checks yet.
fn take<'s>(stacks: &'s [Stack], next: &AtomicUsize) -> Option<(usize, &'s Stack)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, stacks.get(index)?))
}

/// As many open files as the suite may want at once, or as the machine allows: the cases that lack some say so.
fn allow_crowds(jobs: usize) -> Result<()> {
    let wanted = conformance::CROWD as u64 + (jobs as u64 + 1) * u64::from(MAX_CONNECTIONS);
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    limit.current = limit.current.map(|soft| soft.max(allowed));
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}

/// Prints what a server held; true when it does not grow without bound.
fn print_soak(stack: &Stack, soaked: &Soaked, took: Duration) -> bool {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let after = soaked.after.iter().zip(1..).map(|(rss, half)| {
        let (requests, connections) = (half * soak::REQUESTS, half * soak::CONNECTIONS);
        format!("{} after {requests} requests and {connections} connections", mib(*rss))
    });
    let after: Vec<String> = after.collect();
    let word = if soaked.grew() { "FAILED" } else { "ok" };
    let start = mib(soaked.at_start);
    say!("{}: {word}: RSS {start} at start, {} ({:.1} s)", stack.name, after.join(", "), took.as_secs_f64());
    !soaked.grew()
}

/// Prints what came of a stack; true when it does what is demanded.
fn print(stack: &Stack, results: &[CaseResult], verbose: bool) -> bool {
    let count = |wanted: fn(&Outcome) -> bool| results.iter().filter(|result| wanted(&result.outcome)).count();
    let passed = count(|outcome| *outcome == Outcome::Passed);
    let deviations = count(|outcome| matches!(outcome, Outcome::ExpectedDeviation(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let bad = results.len() - passed - deviations - skipped;
    let word = if bad == 0 { "ok" } else { "FAILED" };
    say!("{}: {word}: {passed} passed, {bad} failed, {deviations} expected deviations, {skipped} skipped", stack.name);
    for CaseResult { name, outcome, elapsed } in results {
        let ms = elapsed.as_millis();
        match outcome {
            Outcome::Passed if verbose => say!("  passed   {name} ({ms} ms)"),
            Outcome::Skipped(why) if verbose => say!("  skipped  {name}: {why}"),
            // What a stack or a machine cannot be tried for is news, unless the stack is not about it.
            Outcome::Skipped(why) if why != NO_STORE => say!("  skipped  {name}: {why}"),
            Outcome::Passed | Outcome::Skipped(_) => {}
            Outcome::Failed(what) => say!("  FAILED   {name}: {what}"),
            Outcome::ExpectedDeviation(what) => say!("  deviates {name}: {what}"),
            Outcome::UnexpectedPass => {
                say!("  FAILED   {name}: listed as a deviation, but passes; take it off the list")
            }
        }
    }
    bad == 0
}
