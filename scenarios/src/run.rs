//! `stackbench run`: every stack through every scenario, block by block; a row for each trial, a table at the end.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use rustix::process::{Resource, getrlimit, setrlimit};
use stackbench_reports::row::{Placement, Role, Verdict};

use crate::{
    guard::Guard,
    interrupt::{Interrupt, Interrupted},
    meta::{self, Prepared},
    placement::{self, Cpus},
    plan::{self, Cell},
    process,
    progress::Progress,
    root::Places,
    rundir::{self, RunDir},
    say,
    scenario::{
        self, CONNECTIONS_MAX, DURATION_MAX, DURATION_MIN, POOL_MAX, Scenario, TRIALS_MAX, WORKERS_MAX, mode_word,
    },
    stack::{self, Stack},
    store::{Store, StoreKind, StoreStart},
    trial::{Bench, Trial},
    units::{parse_duration, show_duration},
};

/// Connections a server must accept beside the load's: those of verification, and a margin.
pub const SPARE_CONNECTIONS: u32 = 64;
/// The deviation of a stack that does not end on SIGTERM as the contract demands.
pub const STOPS_ON_SIGTERM: &str = "stops_on_sigterm";
/// Descriptors a process needs beside connections: listeners, epolls, logs, libraries.
const SPARE_DESCRIPTORS: u32 = 256;
/// Blocks of a run that is to be published: enough for an interval of the median.
const PUBLISH_BLOCKS: u32 = 8;
/// What `--quick` makes of every scenario.
const QUICK: (u32, u32, Duration) = (200, 1, Duration::from_secs(1));

/// Options of `stackbench run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Scenarios, by name or by the path of a .toml file
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// Stacks to measure, by name [default: those with `default = true`]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub stacks: Vec<String>,
    /// A folder with further stacks, beside servers/
    #[arg(long, value_name = "DIR")]
    pub stacks_dir: Option<PathBuf>,
    /// Blocks: how often each cell is measured [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = up_to(TRIALS_MAX))]
    pub trials: Option<u32>,
    /// Eight blocks, as a table to be published needs
    #[arg(long, conflicts_with = "trials")]
    pub publish: bool,
    /// Length of the window, for example 4s [default: the scenario's]
    #[arg(long, value_name = "T", value_parser = window)]
    pub duration: Option<Duration>,
    /// Connections [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = up_to(CONNECTIONS_MAX))]
    pub connections: Option<u32>,
    /// The run directory; it must hold no run yet [default: reports/<UTC>-<host>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The store: embedded, spawn (a redis-server of this machine) or the URL of a Redis of its own
    #[arg(long, value_name = "STORE", default_value = "embedded")]
    pub redis: StoreKind,
    /// Server workers [default: the CPUs the placement gives the server]
    #[arg(long, value_name = "N", value_parser = up_to(WORKERS_MAX))]
    pub workers: Option<u32>,
    /// Blocking threads and blocking store connections of a server [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = up_to(POOL_MAX))]
    pub pool: Option<u32>,
    /// Whether the server has CPUs of its own
    #[arg(long, value_enum, default_value = "pinned")]
    pub placement: PlacementArg,
    /// Seed of the order of cells [default: chosen, printed and recorded]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// 200 connections, one block, windows of 1 s: a look, not a measurement
    #[arg(long)]
    pub quick: bool,
}

/// [`Placement`] on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlacementArg {
    /// The server alone on its CPUs, workers = those CPUs
    Pinned,
    /// No binding, workers = the machine's CPUs
    Free,
}

fn window(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        duration if (DURATION_MIN..=DURATION_MAX).contains(&duration) => Ok(duration),
        _ => Err(format!("must be between {} and {}", show_duration(DURATION_MIN), show_duration(DURATION_MAX))),
    }
}

/// A number from 1 to `most`.
fn up_to(most: u32) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(most))
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every row has figures.
    Whole,
    /// Some row failed.
    WithFailures,
    /// A signal ended it.
    Interrupted,
}

/// The verb.
///
/// # Errors
/// Before the first trial: what is wrong with the command line, the files or the machine. Later: what keeps rows from
/// being written.
pub fn run(args: &RunArgs) -> Result<Ended> {
    let places = Places::find()?;
    let scenarios = chosen_scenarios(args, &places)?;
    let stacks = chosen_stacks(args, &places)?;
    let placement = match args.placement {
        PlacementArg::Pinned => Placement::Pinned,
        PlacementArg::Free => Placement::Free,
    };
    let mut cpus = placement::divide(placement)?;
    if matches!(args.redis, StoreKind::Url(_)) {
        cpus.store.clear();
    }
    require_descriptors(&scenarios)?;
    places.require("stackload")?;

    let interrupt = Interrupt::install()?;
    process::adopt_orphans()?;
    let mut dir = RunDir::create(&args.out.clone().unwrap_or_else(|| rundir::default_path(&places.root)))?;
    let guard = Guard::start()?;
    if !cpus.client.is_empty() {
        // The harness must not disturb the server it measures.
        placement::bind_this_thread(&cpus.client)?;
    }
    let out = dir.path().to_owned();
    let bench = Bench {
        root: &places.root,
        bin: &places.bin,
        out: &out,
        placement,
        cpus: &cpus,
        guard: &guard,
        interrupt: &interrupt,
    };
    let mut runner = Runner { args, bench: &bench, scenarios: &scenarios, cpus: &cpus };
    runner.measure_all(&stacks, &mut dir)
}

fn chosen_scenarios(args: &RunArgs, places: &Places) -> Result<Vec<Scenario>> {
    let folder = places.root.join("scenarios");
    let mut chosen: Vec<Scenario> = Vec::new();
    for name in &args.scenarios {
        let scenario = adjusted(scenario::find(&folder, name)?, args);
        ensure!(!chosen.iter().any(|other| other.name == scenario.name), "`{}` is named twice", scenario.name);
        ensure!(
            scenario.store.delays.is_empty() || args.redis == StoreKind::Embedded,
            "--redis {}: scenario `{}` delays the store's answers, which only the embedded store can do; leave --redis out",
            args.redis,
            scenario.name
        );
        chosen.push(scenario);
    }
    Ok(chosen)
}

/// A scenario with the options of the command line applied: an option said outright outweighs `--quick`.
fn adjusted(mut scenario: Scenario, args: &RunArgs) -> Scenario {
    let (connections, trials, duration) = QUICK;
    if args.quick {
        (scenario.load.connections, scenario.run.trials, scenario.load.duration) = (connections, trials, duration);
    }
    if args.publish {
        scenario.run.trials = PUBLISH_BLOCKS;
    }
    scenario.run.trials = args.trials.unwrap_or(scenario.run.trials);
    scenario.load.duration = args.duration.unwrap_or(scenario.load.duration);
    scenario.load.connections = args.connections.unwrap_or(scenario.load.connections);
    scenario.server.pool = args.pool.unwrap_or(scenario.server.pool);
    scenario.server.workers = args.workers.or(scenario.server.workers);
    scenario
}

/// The stacks of servers/ and of `--stacks-dir`.
///
/// # Errors
/// As [`stack::discover`] and [`stack::select`].
pub fn all_stacks(places: &Places, extra: Option<&Path>) -> Result<Vec<Stack>> {
    let mut all = stack::discover(&places.root.join("servers"))?;
    if let Some(dir) = extra {
        for stack in stack::discover(dir).context("--stacks-dir")? {
            ensure!(
                !all.iter().any(|other| other.name == stack.name),
                "--stacks-dir: servers/ has a `{}` too",
                stack.name
            );
            all.push(stack);
        }
    }
    Ok(all)
}

fn chosen_stacks(args: &RunArgs, places: &Places) -> Result<Vec<Stack>> {
    let chosen = stack::select(all_stacks(places, args.stacks_dir.as_deref())?, &args.stacks)?;
    let (installed, missing): (Vec<Stack>, Vec<Stack>) =
        chosen.into_iter().partition(|s| s.missing(&places.root).is_empty());
    for stack in missing {
        say!("{}: not installed, left out; to install it: {}", stack.name, stack.setup);
    }
    ensure!(!installed.is_empty(), "--stacks: none of them is installed");
    Ok(installed)
}

/// Every process of a trial needs a descriptor for each connection. The harness raises its own limit, which its children
/// inherit.
fn require_descriptors(scenarios: &[Scenario]) -> Result<()> {
    let of = |s: &Scenario| u64::from(s.load.connections) + u64::from(s.server.pool);
    raise_descriptors(scenarios.iter().map(of).max().unwrap_or_default())
}

/// Makes sure that a process may hold so many connections.
///
/// # Errors
/// When the hard limit is lower; the message tells both and the remedy.
pub fn raise_descriptors(connections: u64) -> Result<()> {
    let needed = connections + u64::from(SPARE_CONNECTIONS + SPARE_DESCRIPTORS);
    let mut limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        hard >= needed,
        "too few file descriptors: {needed} are needed, and the hard limit is {hard}; raise it (`ulimit -Hn {needed}` as root, \
         or nofile in /etc/security/limits.conf), or ask for fewer --connections"
    );
    limit.current = Some(hard.min(limit.current.unwrap_or(hard).max(needed)));
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}

/// A run under way.
struct Runner<'a> {
    args: &'a RunArgs,
    bench: &'a Bench<'a>,
    scenarios: &'a [Scenario],
    cpus: &'a Cpus,
}

impl Runner<'_> {
    fn measure_all(&mut self, stacks: &[Stack], dir: &mut RunDir) -> Result<Ended> {
        let seed = self.args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
        let mut store = Store::start(self.store_start()?)?;
        let prepared: Vec<Prepared> =
            stacks.iter().map(|stack| meta::prepare(stack, self.bench)).collect::<Result<_>>()?;
        let mut meta =
            meta::describe(self.bench, self.scenarios, &prepared, &mut store, &self.args.redis, seed, |s| {
                self.workers(s)
            })?;
        self.print_plan(&meta, stacks, dir);
        dir.begin(&meta)?;
        rundir::point_latest(self.bench.root, dir.path());

        let ended = self.blocks(stacks, &prepared, seed, &mut store, dir);
        store.stop_for_good();
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) if error.is::<Interrupted>() => Ended::Interrupted,
            Err(error) => {
                return Err(error.context(format!("rows measured so far are kept in {}", dir.path().display())));
            }
        };
        meta.ended = Some(jiff::Timestamp::now().to_string());
        dir.write_meta(&meta)?;
        self.report(dir, ended)?;
        Ok(ended)
    }

    fn store_start(&self) -> Result<StoreStart<'_>> {
        if self.args.redis == StoreKind::Embedded {
            Places { root: self.bench.root.to_owned(), bin: self.bench.bin.to_owned() }.require("fake-redis")?;
        }
        let most = self.scenarios.iter().map(|s| s.server.pool.max(self.workers(s))).max().unwrap_or_default();
        Ok(StoreStart {
            kind: &self.args.redis,
            bin: self.bench.bin,
            cpus: &self.cpus.store,
            log: self.bench.out.join("logs").join("store.log"),
            cwd: self.bench.out,
            max_connections: most + SPARE_CONNECTIONS,
            guard: self.bench.guard,
            interrupt: self.bench.interrupt,
        })
    }

    fn workers(&self, scenario: &Scenario) -> u32 {
        scenario.server.workers.unwrap_or_else(|| self.cpus.server_workers())
    }

    fn blocks(
        &self,
        stacks: &[Stack],
        prepared: &[Prepared],
        seed: u64,
        store: &mut Store,
        dir: &mut RunDir,
    ) -> Result<Ended> {
        let mut progress = Progress::start(self.trials(stacks), self.planned(stacks));
        let mut ended = Ended::Whole;
        for (index, scenario) in self.scenarios.iter().enumerate() {
            let cells = plan::cells(scenario, stacks);
            for block in 1..=scenario.run.trials {
                let mut null_rates: BTreeMap<(usize, &str), f64> = BTreeMap::new();
                for cell in plan::block_order(&cells, stacks, seed, index, block) {
                    let key = (cell.request, mode_word(cell.mode));
                    let trial = self.trial(scenario, &prepared[cell.stack], cell, block, null_rates.get(&key).copied());
                    progress.begin(&trial.label());
                    let row = trial.run(self.bench, store);
                    if row.is_err() {
                        progress.finish();
                    }
                    let row = row?;
                    dir.append(&row)?;
                    progress.end(&trial.label(), &row);
                    if row.verdict == Verdict::Failed {
                        ended = Ended::WithFailures;
                    } else if row.role == Role::Ceiling {
                        null_rates.insert(key, row.requests_per_sec);
                    }
                }
            }
        }
        progress.finish();
        Ok(ended)
    }

    fn trial<'t>(
        &self,
        scenario: &'t Scenario,
        prepared: &'t Prepared,
        cell: Cell,
        block: u32,
        null_rate: Option<f64>,
    ) -> Trial<'t> {
        Trial {
            scenario,
            stack: prepared.stack,
            version: &prepared.version,
            request: &scenario.requests[cell.request],
            mode: cell.mode,
            block,
            workers: self.workers(scenario),
            // A ceiling is not measured against itself.
            null_rate: null_rate.filter(|_| prepared.stack.role != Role::Ceiling),
            server_sha256: prepared.sha256.clone(),
        }
    }

    fn trials(&self, stacks: &[Stack]) -> usize {
        self.scenarios.iter().map(|s| plan::cells(s, stacks).len() * s.run.trials as usize).sum()
    }

    fn planned(&self, stacks: &[Stack]) -> Duration {
        let of = |s: &Scenario| {
            plan::trial_time(s) * s.run.trials * u32::try_from(plan::cells(s, stacks).len()).unwrap_or(u32::MAX)
        };
        self.scenarios.iter().map(of).sum()
    }

    fn print_plan(&self, meta: &stackbench_reports::RunMeta, stacks: &[Stack], dir: &RunDir) {
        let names = |names: Vec<&str>| names.join(", ");
        say!("stacks     {}", names(stacks.iter().map(|s| s.name.as_str()).collect()));
        for scenario in self.scenarios {
            let cells = plan::cells(scenario, stacks).len();
            let (blocks, each) = (scenario.run.trials, plan::in_words(plan::trial_time(scenario)));
            say!("scenario   {}: {cells} cells × {blocks} blocks, about {each} a trial", scenario.name);
        }
        say!("store      {}", meta.store.name);
        say!("placement  {}", self.cpus.describe());
        say!("seed       {}", meta.seed);
        say!("run        {}", dir.path().display());
        say!("expected   {} trials, about {}\n", self.trials(stacks), plan::in_words(self.planned(stacks)));
    }

    fn report(&self, dir: &RunDir, ended: Ended) -> Result<()> {
        let run = stackbench_reports::render(dir.path())?;
        say!("\n{}", stackbench_reports::terminal(&run));
        say!("run directory: {}", dir.path().display());
        if ended == Ended::Interrupted {
            say!("interrupted: {} of {} trials were made, and are kept", run.rows.len(), run.meta.plan.trials);
        }
        Ok(())
    }
}
