//! `stackbench run`: every stack through every scenario, block by block; a row for each trial, a table at the end.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use stackbench_reports::{RunMeta, heading};

use crate::{
    blocks::Blocks,
    choose,
    interrupt::Interrupted,
    kept::{Kept, Slot},
    meta::{self, Prepared},
    plan::{self, Course, Lineup, Twins},
    resume::{Begun, Earlier},
    root::Places,
    rundir::{self, RunDir},
    say,
    scenario::{SPARE_CONNECTIONS, Step, TRIALS_MAX},
    setup::{STORE_LOG, Setup, SharedArgs, up_to, window},
    trial::Bench,
};

pub use crate::choose::all_stacks;

/// The deviation of a stack that does not end on SIGTERM as the contract demands.
pub const STOPS_ON_SIGTERM: &str = "stops_on_sigterm";
/// Descriptors a process needs beside connections: listeners, epolls, logs, libraries.
const SPARE_DESCRIPTORS: u32 = 256;

/// Options of `stackbench run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Scenarios, by name or by the path of a .toml file
    #[arg(required_unless_present = "resume", value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// Blocks: how often each cell is measured [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = up_to(TRIALS_MAX))]
    pub trials: Option<u32>,
    /// Eight blocks, as a table to be published needs
    #[arg(long, conflicts_with = "trials")]
    pub publish: bool,
    /// Length of the window, for example 4s [default: the scenario's]
    #[arg(long, value_name = "T", value_parser = window)]
    pub duration: Option<Duration>,
    /// What is told to other verbs as well.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// 200 connections, one block, a short warm-up, windows of 1 s, no second names: a look, not a measurement
    #[arg(long)]
    pub quick: bool,
    /// Measure no stack under two names (A/A): quicker by two stacks, but then the run cannot tell its own noise
    #[arg(long)]
    pub no_aa: bool,
    /// Finish the run in this directory: the trials it lacks, in its order and with its options
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
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
    match &args.resume {
        None => measure(args, None),
        Some(dir) => {
            let earlier = Earlier::open(dir, args)?;
            let args = earlier.args.clone();
            measure(&args, Some(earlier))
        }
    }
}

fn measure(args: &RunArgs, earlier: Option<Earlier>) -> Result<Ended> {
    let places = Places::find()?;
    let courses = choose::scenarios(args, &places)?;
    let twins = if args.quick || args.no_aa { Twins::LeftOut } else { Twins::Measured };
    let lineup = Lineup::new(choose::installed_stacks(&args.shared, &places)?, twins);
    let (dir, begun) = match earlier {
        Some(Earlier { dir, begun, .. }) => (Some(dir), Some(begun)),
        None => (None, None),
    };
    let (setup, mut dir) = Setup::new(places, &args.shared, &courses, dir)?;
    let bench = setup.bench();
    let runner = Runner { args, setup: &setup, bench: &bench, courses: &courses, lineup: &lineup };
    let ended = runner.measure_all(begun, &mut dir);
    setup.or_interrupted(ended, &dir)
}

/// Connections of the load, of a fault and of the store together, at the step that has most.
pub fn most_connections(courses: &[Course]) -> u64 {
    let of = |s: &Step| u64::from(s.scenario.connections()) + u64::from(s.scenario.server.pool);
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
    setup: &'a Setup<'a>,
    bench: &'a Bench<'a>,
    courses: &'a [Course],
    lineup: &'a Lineup,
}

impl Runner<'_> {
    fn measure_all(&self, earlier: Option<Begun>, dir: &mut RunDir) -> Result<Ended> {
        let shared = &self.args.shared;
        let seed = earlier.as_ref().map_or_else(|| shared.seed(), |begun| begun.meta.seed);
        // The logs of the earlier parts are left alone.
        let log = earlier.as_ref().map(|begun| format!("store-{}.log", begun.meta.resumed.len() + 2));
        let mut store = self.setup.start_store(self.courses, log.as_deref().unwrap_or(STORE_LOG))?;
        let prepared: Vec<Prepared> =
            self.lineup.stacks.iter().map(|stack| meta::prepare(stack, self.bench)).collect::<Result<_>>()?;
        let now = meta::describe(self.bench, self.courses, self.lineup, &prepared, &mut store, &shared.redis, seed)?;
        let (mut meta, kept) = match &earlier {
            None => (now, Kept::default()),
            Some(begun) => begun.go_on(&now, self.bench, &Slot::all(self.courses, self.lineup))?,
        };
        let blocks = Blocks {
            bench: self.bench,
            courses: self.courses,
            lineup: self.lineup,
            prepared: &prepared,
            seed,
            kept: &kept,
        };
        self.print_plan(&meta, &blocks, dir);
        match &earlier {
            None => dir.begin(&meta)?,
            Some(begun) => dir.resume(&meta, begun.rows.whole_bytes)?,
        }
        rundir::point_latest(self.bench.root, dir.path());

        let ended = blocks.measure(&mut meta, &mut store, dir);
        store.stop_for_good();
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) if error.is::<Interrupted>() => Ended::Interrupted,
            Err(error) => {
                let kept = format!("rows measured so far are kept in {}; {}", dir.path().display(), how_to_go_on(dir));
                return Err(error.context(kept));
            }
        };
        meta.ended = Some(jiff::Timestamp::now().to_string());
        dir.write_meta(&meta)?;
        self.report(dir, ended)?;
        Ok(ended)
    }

    fn print_plan(&self, meta: &RunMeta, blocks: &Blocks, dir: &RunDir) {
        let names = |names: Vec<&str>| names.join(", ");
        let stacks = &self.lineup.stacks;
        say!("stacks     {}", names(stacks.iter().map(|s| s.name.as_str()).collect()));
        if !self.lineup.twins.is_empty() {
            let twins = self.lineup.twins.iter().map(|index| stacks[*index].name.as_str()).collect();
            say!("A/A        measured under two names: {}", names(twins));
        }
        for course in self.courses {
            let cells = plan::cells(course, self.lineup).len();
            let (blocks, all) = (course.scenario.run.trials, plan::in_words(course.planned(self.lineup)));
            let steps = if course.steps.len() > 1 { format!(" ({} steps)", course.steps.len()) } else { String::new() };
            say!("scenario   {}: {cells} cells{steps} × {blocks} blocks, about {all}", course.scenario.name);
            let recorded = meta.scenarios.iter().find(|recorded| recorded.name == course.scenario.name);
            if let Some(left_out) = recorded.and_then(|recorded| heading::left_out(recorded, meta.machine.cpus)) {
                say!("           {left_out}");
            }
        }
        let repeats: usize = self.courses.iter().map(|course| course.repeats_max(self.lineup)).sum();
        say!("repeats    noisy trials are measured again, at most {repeats}");
        say!("store      {}", meta.store.name);
        say!("placement  {}", self.bench.cpus.describe());
        say!("seed       {}", meta.seed);
        say!("run        {}", dir.path().display());
        if !meta.resumed.is_empty() {
            say!("resumed    {} of {} trials are there", blocks.kept.done(), meta.plan.trials);
        }
        let (trials, time) = blocks.missing();
        say!("expected   {trials} trials, about {}\n", plan::in_words(time));
    }

    fn report(&self, dir: &RunDir, ended: Ended) -> Result<()> {
        let run = stackbench_reports::render(dir.path())?;
        say!("\n{}", stackbench_reports::terminal(&run));
        say!("run directory: {}", dir.path().display());
        if ended == Ended::Interrupted {
            let made = run.rows.iter().filter(|row| !row.repeated).count();
            say!("interrupted: {made} of {} trials were made, and are kept", run.meta.plan.trials);
            say!("{}", how_to_go_on(dir));
        }
        Ok(())
    }
}

fn how_to_go_on(dir: &RunDir) -> String {
    format!("to finish it: stackbench run --resume {}", dir.path().display())
}
