//! `stackbench check`: every stack against the contract.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use stackbench_reports::row::Placement;

use crate::{
    conformance::{self, CaseResult, Outcome, StoreControl, Target},
    guard::Guard,
    interrupt::{Interrupt, Interrupted},
    placement, process,
    root::Places,
    run::{STOPS_ON_SIGTERM, all_stacks, raise_descriptors},
    say,
    server::{Server, ServerStart, TAKES_PORT_0},
    stack::{self, Placeholders, Stack, UsesStore},
    store::{Store, StoreKind, StoreStart},
    units::parse_duration,
};

/// Connections a checked server must take: the suite opens a few hundred.
const MAX_CONNECTIONS: u32 = 2_000;
/// Blocking threads and connections of a checked server, as the contract's default.
const POOL: u32 = 16;

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
    /// What one stack's cases may take together; more on a busy machine
    #[arg(long, value_name = "T", value_parser = parse_duration, default_value = "15s")]
    pub budget: Duration,
    /// Print every case, not only what a reader must look at
    #[arg(long, short)]
    pub verbose: bool,
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
    let mut all_good = true;
    for stack in &chosen {
        if !stack.missing(&places.root).is_empty() {
            say!("{}: not installed, skipped; to install it: {}", stack.name, stack.setup);
            continue;
        }
        match checker.check(stack) {
            Ok(results) => all_good &= print(stack, &results, args.verbose),
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                say!("{}: FAILED: {error:#}", stack.name);
                all_good = false;
            }
        }
    }
    Ok(all_good)
}

/// A deviation that names no case excuses nothing: it is a slip of the pen.
fn refuse_unknown_deviations(stack: &Stack) -> Result<()> {
    let is_case = |name: &str| {
        [STOPS_ON_SIGTERM, TAKES_PORT_0].contains(&name) || conformance::cases().iter().any(|case| case.name == name)
    };
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
    scratch: &'a PathBuf,
}

impl Checker<'_> {
    fn check(&self, stack: &Stack) -> Result<Vec<CaseResult>> {
        let mut store = Store::start(StoreStart {
            kind: &self.args.redis,
            bin: &self.places.bin,
            cpus: &[],
            log: self.scratch.join("store.log"),
            cwd: self.scratch,
            max_connections: MAX_CONNECTIONS,
            guard: self.guard,
            interrupt: self.interrupt,
        })?;
        store.set_delays(&BTreeMap::new())?;
        store.load_keys()?;
        let server = Server::start(ServerStart {
            stack,
            placeholders: Placeholders {
                bin: self.places.bin.clone(),
                root: self.places.root.clone(),
                listen: String::new(),
                redis: store.url().to_owned(),
                workers: placement::divide(Placement::Free)?.server_workers(),
                pool: POOL,
                max_connections: MAX_CONNECTIONS,
            },
            cpus: &[],
            log: self.scratch.join(format!("{}.log", stack.name)),
            guard: self.guard,
            interrupt: self.interrupt,
        })?;
        let control: Option<&mut dyn StoreControl> = match stack.store {
            UsesStore::Redis => Some(&mut store),
            UsesStore::None => None,
        };
        let mut target = Target { addr: server.addr, modes: &stack.modes, store: control, budget: self.args.budget };
        let results = conformance::run(&mut target, &stack.deviations);
        self.interrupt.check()?;
        let stopped = server.stop();
        store.stop_for_good();
        let excused = stack.deviations.iter().any(|name| name == STOPS_ON_SIGTERM);
        if !excused {
            stopped?;
        }
        Ok(results)
    }
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
