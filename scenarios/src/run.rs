//! `stackbench run`: every stack through every scenario, block by block; a row for each trial, a table at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use rustix::process::{Resource, getrlimit, setrlimit};
use stackbench_reports::{
    RunMeta,
    row::{Placement, Role, Verdict},
};

use crate::{
    choose,
    guard::Guard,
    interrupt::{Interrupt, Interrupted},
    meta::{self, Prepared},
    placement::{self, Cpus},
    plan::{self, Cell, Course},
    process,
    progress::Progress,
    root::Places,
    rundir::{self, RunDir},
    say,
    scenario::{
        CONNECTIONS_MAX, DURATION_MAX, DURATION_MIN, POOL_MAX, Scenario, Step, TRIALS_MAX, WORKERS_MAX, mode_word,
    },
    stack::{Stack, UsesStore},
    store::{Store, StoreKind, StoreStart},
    store_ceiling,
    trial::{Bench, Trial},
    units::{parse_duration, show_duration},
};

pub use crate::choose::all_stacks;

/// Connections a server must accept beside the load's: those of verification, and a margin.
pub const SPARE_CONNECTIONS: u32 = 64;
/// The deviation of a stack that does not end on SIGTERM as the contract demands.
pub const STOPS_ON_SIGTERM: &str = "stops_on_sigterm";
/// Descriptors a process needs beside connections: listeners, epolls, logs, libraries.
const SPARE_DESCRIPTORS: u32 = 256;

/// Options of `stackbench run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Scenarios, by name or by the path of a .toml file
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// Stacks to measure: names, `all`, `default`, or the panels `deployed` and `controlled` [default: `default`]
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
    /// 200 connections, one block, a short warm-up, windows of 1 s: a look, not a measurement
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
    let courses = choose::scenarios(args, &places)?;
    let stacks = choose::installed_stacks(args, &places)?;
    let placement = match args.placement {
        PlacementArg::Pinned => Placement::Pinned,
        PlacementArg::Free => Placement::Free,
    };
    let mut cpus = placement::divide(placement)?;
    if matches!(args.redis, StoreKind::Url(_)) {
        cpus.store.clear();
    }
    require_descriptors(&courses)?;
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
    let mut runner = Runner { args, bench: &bench, courses: &courses, cpus: &cpus };
    runner.measure_all(&stacks, &mut dir)
}

/// Every process of a trial needs a descriptor for each connection. The harness raises its own limit, which its children
/// inherit.
fn require_descriptors(courses: &[Course]) -> Result<()> {
    raise_descriptors(most_connections(courses))
}

/// Connections of the load and of the store together, at the step that has most.
pub fn most_connections(courses: &[Course]) -> u64 {
    let of = |s: &Step| u64::from(s.scenario.load.connections) + u64::from(s.scenario.server.pool);
    courses.iter().flat_map(|course| &course.steps).map(of).max().unwrap_or_default()
}

/// Open files that a process needs for so many connections.
pub fn descriptors_needed(connections: u64) -> u64 {
    connections + u64::from(SPARE_CONNECTIONS + SPARE_DESCRIPTORS)
}

/// Makes sure that a process may hold so many connections.
///
/// # Errors
/// When the hard limit is lower; the message tells both and the remedy.
pub fn raise_descriptors(connections: u64) -> Result<()> {
    let needed = descriptors_needed(connections);
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
    courses: &'a [Course],
    cpus: &'a Cpus,
}

impl Runner<'_> {
    fn measure_all(&mut self, stacks: &[Stack], dir: &mut RunDir) -> Result<Ended> {
        let seed = self.args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
        let mut store = Store::start(self.store_start()?)?;
        let prepared: Vec<Prepared> =
            stacks.iter().map(|stack| meta::prepare(stack, self.bench)).collect::<Result<_>>()?;
        let mut meta = meta::describe(self.bench, self.courses, &prepared, &mut store, &self.args.redis, seed, |s| {
            self.workers(s)
        })?;
        self.print_plan(&meta, stacks, dir);
        dir.begin(&meta)?;
        rundir::point_latest(self.bench.root, dir.path());

        let ended = self.blocks(stacks, &prepared, &mut meta, &mut store, dir);
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
        let of = |step: &Step| step.scenario.server.pool.max(self.workers(&step.scenario));
        let most = self.courses.iter().flat_map(|course| &course.steps).map(of).max().unwrap_or_default();
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
        meta: &mut RunMeta,
        store: &mut Store,
        dir: &mut RunDir,
    ) -> Result<Ended> {
        let mut progress = Progress::start(self.trials(stacks), self.planned(stacks));
        let mut ended = Ended::Whole;
        let mut weighed: BTreeSet<(usize, u32)> = BTreeSet::new();
        for (index, course) in self.courses.iter().enumerate() {
            let cells = plan::cells(course, stacks);
            if stacks.iter().any(|stack| stack.store == UsesStore::Redis) {
                meta.scenarios[index].store_ceiling = store_ceiling::measure(&course.scenario, self.bench, store)?;
                dir.write_meta(meta)?;
            }
            for block in 1..=course.scenario.run.trials {
                let mut null_rates: BTreeMap<(usize, usize, &str), f64> = BTreeMap::new();
                for cell in plan::block_order(&cells, stacks, meta.seed, index, block) {
                    let key = (cell.step, cell.request, mode_word(cell.mode));
                    let step = &course.steps[cell.step];
                    let crowd = (cell.stack, step.scenario.load.connections);
                    let null_rate = null_rates.get(&key).copied();
                    let weighs = !weighed.contains(&crowd);
                    let trial = self.trial(step, &prepared[cell.stack], cell, block, null_rate, weighs);
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
                        continue;
                    }
                    weighed.insert(crowd);
                    if row.role == Role::Ceiling {
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
        step: &'t Step,
        prepared: &'t Prepared,
        cell: Cell,
        block: u32,
        null_rate: Option<f64>,
        weighs_connections: bool,
    ) -> Trial<'t> {
        let scenario = &step.scenario;
        Trial {
            scenario,
            step: step.number,
            stack: prepared.stack,
            version: &prepared.version,
            request: &scenario.requests[cell.request],
            mode: cell.mode,
            block,
            workers: self.workers(scenario),
            // A ceiling is not measured against itself.
            null_rate: null_rate.filter(|_| prepared.stack.role != Role::Ceiling),
            server_sha256: prepared.sha256.clone(),
            weighs_connections,
        }
    }

    fn trials(&self, stacks: &[Stack]) -> usize {
        self.courses.iter().map(|course| course.trials(stacks)).sum()
    }

    fn planned(&self, stacks: &[Stack]) -> Duration {
        self.courses.iter().map(|course| course.planned(stacks)).sum()
    }

    fn print_plan(&self, meta: &RunMeta, stacks: &[Stack], dir: &RunDir) {
        let names = |names: Vec<&str>| names.join(", ");
        say!("stacks     {}", names(stacks.iter().map(|s| s.name.as_str()).collect()));
        for course in self.courses {
            let cells = plan::cells(course, stacks).len();
            let (blocks, all) = (course.scenario.run.trials, plan::in_words(course.planned(stacks)));
            let steps = if course.steps.len() > 1 { format!(" ({} steps)", course.steps.len()) } else { String::new() };
            say!("scenario   {}: {cells} cells{steps} × {blocks} blocks, about {all}", course.scenario.name);
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
