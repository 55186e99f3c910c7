//! `stackbench capacity`: the highest rate that each stack carries within an objective, searched by trials like any other.
//!
//! # Layout
//! - `options`: its command line.
//! - `rounds`: the searches, side by side.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use stackbench_reports::{
    Capacity, Format, RunMeta,
    capacity::{CAPACITY_FILE, Ended as SearchEnded, SCHEMA, Search, SetBy, Settings, breaking_pause},
    row::Role,
    run::PlanMeta,
};

use stackload::threshold::Threshold;

use crate::{
    choose,
    interrupt::Interrupted,
    meta::{self, Prepared},
    plan::{self, Course, Lineup, Twins},
    root::Places,
    run::Ended,
    rundir::{self, RunDir},
    say,
    scenario::{self, Steps, mode_word},
    setup::{STORE_LOG, Setup},
    stack::Stack,
    trial::Bench,
};

mod options;
mod rounds;

pub use options::CapacityArgs;
use rounds::{Rounds, TRIALS_TYPICAL};

/// The verb.
///
/// # Errors
/// Before the first trial: what is wrong with the command line, the files or the machine. Later: what keeps rows from
/// being written; and at the end an objective that some stack meets, or misses, at every rate.
pub fn capacity(args: &CapacityArgs) -> Result<Ended> {
    let (objective, settings) = (args.conditions()?, args.settings()?);
    let places = Places::find()?;
    let course = course(args, &places)?;
    let lineup = Lineup::new(searched_stacks(args, &places)?, Twins::LeftOut);
    ensure!(
        !plan::cells(&course, &lineup).is_empty(),
        "--stacks: none of them answers a request of `{}`",
        course.scenario.name
    );
    let (setup, mut dir) = Setup::new(places, &args.shared, std::slice::from_ref(&course), None)?;
    let asked = Asked { args, objective, settings, course, lineup };
    let ended = asked.search(&setup, &mut dir);
    setup.or_interrupted(ended, &dir)
}

/// What the command line asks for.
struct Asked<'a> {
    args: &'a CapacityArgs,
    objective: Vec<Threshold>,
    settings: Settings,
    course: Course,
    lineup: Lineup,
}

impl Asked<'_> {
    fn search(&self, setup: &Setup, dir: &mut RunDir) -> Result<Ended> {
        let Self { args, objective, settings, course, lineup } = self;
        let (bench, courses, seed) = (setup.bench(), std::slice::from_ref(course), args.shared.seed());
        let mut store = setup.start_store(courses, STORE_LOG)?;
        let prepared: Vec<Prepared> =
            lineup.stacks.iter().map(|stack| meta::prepare(stack, &bench)).collect::<Result<_>>()?;
        let described = meta::describe(&bench, courses, lineup, &prepared, &mut store, &args.shared.redis, seed)?;
        // How many trials a search takes is known when it has ended.
        let mut meta = RunMeta { plan: PlanMeta { trials: 0, ..described.plan }, ..described };
        let cells = plan::cells(course, lineup);
        let rounds = Rounds { bench: &bench, course, cells, prepared: &prepared, objective, seed };
        let objective = args.objective.clone();
        let mut found =
            Capacity { schema: SCHEMA.to_owned(), objective, settings: *settings, searches: rounds.searches() };
        print_plan(&meta, &found, course, &bench, dir);
        dir.begin(&meta)?;
        rundir::point_latest(bench.root, dir.path());

        let measured = rounds.measure(&mut found, &mut store, dir);
        store.stop_for_good();
        match measured {
            Err(error) if !error.is::<Interrupted>() => {
                return Err(error.context(format!("what was found so far is kept in {}", dir.path().display())));
            }
            _ => meta.ended = Some(jiff::Timestamp::now().to_string()),
        }
        dir.write_meta(&meta)?;
        report(&found, dir)
    }
}

/// The scenario with its own settings: what a search varies is the rate alone.
fn course(args: &CapacityArgs, places: &Places) -> Result<Course> {
    let mut scenario = scenario::find(&places.root.join("scenarios"), &args.scenario)?;
    scenario.steps = Steps::default();
    scenario.load.rate = None;
    scenario.load.duration = args.duration;
    args.shared.apply(&mut scenario);
    choose::course(scenario, &args.shared)
}

/// The stacks of the command line without the ceilings, of which nobody asks what they carry.
fn searched_stacks(args: &CapacityArgs, places: &Places) -> Result<Vec<Stack>> {
    let (ceilings, stacks): (Vec<Stack>, Vec<Stack>) =
        choose::installed_stacks(&args.shared, places)?.into_iter().partition(|stack| stack.role == Role::Ceiling);
    for stack in ceilings {
        say!("{}: a ceiling, left out", stack.name);
    }
    ensure!(!stacks.is_empty(), "--stacks: none is left; name one that is no ceiling");
    Ok(stacks)
}

fn print_plan(meta: &RunMeta, found: &Capacity, course: &Course, bench: &Bench, dir: &RunDir) {
    let Settings { start_per_sec, least_per_sec, most_per_sec, precision, trials_max, .. } = found.settings;
    let names: Vec<&str> = meta.stacks.iter().map(|stack| stack.name.as_str()).collect();
    let searches = found.searches.len();
    let time = trial_time(course) * TRIALS_TYPICAL * u32::try_from(searches).unwrap_or(u32::MAX);
    say!("stacks     {}", names.join(", "));
    say!("objective  {}", found.objective);
    if let Some(pause) = breaking_pause(&found.objective, course.scenario.load.duration.as_secs_f64()) {
        say!("           {pause}");
    }
    say!("scenario   {}: {searches} searches, side by side", course.scenario.name);
    say!(
        "rates      from {start_per_sec}/s, between {least_per_sec} and {most_per_sec}/s, bounds within {} %",
        100.0 * precision
    );
    say!("store      {}", meta.store.name);
    say!("placement  {}", bench.cpus.describe());
    say!("seed       {}", meta.seed);
    say!("run        {}", dir.path().display());
    say!("expected   about {TRIALS_TYPICAL} trials a search, at most {trials_max}: about {}\n", plan::in_words(time));
}

/// How long a trial takes.
fn trial_time(course: &Course) -> Duration {
    course.scenario.warmup() + course.scenario.load.duration + plan::OVERHEAD
}

/// Prints the tables, and says how it came out.
fn report(found: &Capacity, dir: &RunDir) -> Result<Ended> {
    stackbench_reports::render(dir.path())?;
    say!("\n{}", stackbench_reports::draw(dir.path(), Format::Terminal)?.text);
    say!("run directory: {}", dir.path().display());
    let under_way = ended_as(found, SearchEnded::UnderWay);
    if !under_way.is_empty() {
        let (done, all) = (found.searches.len() - under_way.len(), found.searches.len());
        say!("interrupted: {done} of {all} searches had ended; {CAPACITY_FILE} keeps what they and the others found");
        return Ok(Ended::Interrupted);
    }
    let without_answer = without_answer(found);
    let names = |ended| ended_as(found, ended).iter().map(|search| name(search)).collect::<Vec<_>>();
    let unsound = [names(SearchEnded::Failed), names(SearchEnded::NotConverged)].concat();
    if unsound.is_empty() {
        return if without_answer.is_empty() { Ok(Ended::Whole) } else { bail!(without_answer) };
    }
    if !without_answer.is_empty() {
        say!("{without_answer}");
    }
    say!("failed, or did not converge: {}", unsound.join(", "));
    Ok(Ended::WithFailures)
}

fn ended_as(found: &Capacity, ended: SearchEnded) -> Vec<&Search> {
    found.searches.iter().filter(|search| search.ended == ended).collect()
}

/// Which searches have found no bounds, because the objective, or a client that is always late, tells no rates apart; empty
/// if all have.
fn without_answer(found: &Capacity) -> String {
    let Settings { least_per_sec, most_per_sec, .. } = found.settings;
    let told = |searches: Vec<&Search>, what: String, remedy: &str| {
        let names: Vec<String> = searches.into_iter().map(name).collect();
        (!names.is_empty()).then(|| format!("{what} by {}: {remedy}", names.join(", ")))
    };
    let everywhere = ended_as(found, SearchEnded::MetUpToMost);
    let nowhere = ended_as(found, SearchEnded::MissedDownToLeast);
    let (by_stack, by_others) = nowhere.into_iter().partition(|search| search.upper_set_by == Some(SetBy::Stack));
    let parts = [
        told(
            by_stack,
            format!("missed at every rate down to {least_per_sec}/s"),
            "allow more, or go lower with --least",
        ),
        told(everywhere, format!("met at every rate up to {most_per_sec}/s"), "allow less, or go higher with --most"),
        told(
            by_others,
            format!("missed at every rate down to {least_per_sec}/s, because the client or the store was late,"),
            "stop what else the machine does, and search again",
        ),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!("--objective '{}' is {}", found.objective, parts.join("; ")) }
}

fn name(search: &Search) -> String {
    format!("{} ({} {})", search.stack, search.request, mode_word(search.mode))
}
