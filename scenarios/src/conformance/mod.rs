//! What every server must answer, tried from outside: raw bytes over TCP, for a stack in any language.
//!
//! The demands are those of `servers/README.md`. A stack that cannot meet one lists the case's name among its
//! `deviations`: the case still runs, its failure is then expected, and its success is reported too.
//!
//! # Layout
//! (Connections, and the reader of answers that forgives nothing, are [`crate::wire`].)
//!
//! - [`probe`]: what a case is given: where the server is, its routes, how long there is.
//! - [`answers`]: the routes, their bytes, methods, HEAD.
//! - [`connections`]: keep-alive, close, pipelining, requests in pieces.
//! - [`bodies`]: bodies nobody asked for, and lengths that do not add up.
//! - [`malformed`]: requests that must be refused.
//! - [`crowds`]: many connections, slow ones, idle ones, broken ones.
//! - [`clients`]: bad ones, that do not take, do not finish, or break off.
//! - [`stores`]: what the server does when its store errs, stalls, forgets or goes away.
//! - [`outages`]: the same to a server that is under load.
//! - [`holds`]: the route that keeps its handler and asks no store.
//! - [`processes`]: how the server starts, bears a crowd, and stops.
//! - [`soak`]: its memory, apart from the cases.

mod answers;
mod bodies;
mod clients;
mod connections;
mod crowds;
mod holds;
mod malformed;
mod outages;
mod probe;
mod processes;
pub mod soak;
mod stores;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stackbench_reports::row::Mode;

use probe::Probe;

/// The case that the other cases of stopping rest on: a stack that lists it as a deviation is not tried in those.
use crate::run::STOPS_ON_SIGTERM;

/// Cases that leave the store alone run on this many threads at once: enough that the waits of a bad server overlap,
/// and few enough that the cases with many connections do not starve each other on two cores.
const THREADS: usize = 8;
/// The connections that every server must be able to hold, by its default of `--max-connections`.
pub const CROWD: usize = 10_000;

/// Threads of a server that may block, each with a store connection: the default of `--pool`, with which it is tried.
pub const POOL: usize = 16;

/// A server to be tried.
pub struct Target<'a> {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Which of `/sync` and `/async` it answers.
    pub modes: &'a [Mode],
    /// In which of them each waiting request holds one of [`POOL`] places.
    pub pool_bounded: &'a [Mode],
    /// Its process; `None` where it cannot be stopped, whose cases are then skipped.
    pub server: Option<&'a mut dyn ServerControl>,
    /// Its store, loaded and healthy; `None` for stacks that have none, whose store cases are then skipped.
    pub store: Option<&'a mut dyn StoreControl>,
    /// How long all cases together may take. What has not finished by then fails.
    pub budget: Duration,
    /// How many connections a crowd is: [`CROWD`], unless both ends are in one process.
    pub crowd: usize,
}

/// What the suite does to the server's process.
pub trait ServerControl {
    /// Starts a server of this stack, after the one before it has been ended by whichever means.
    fn start(&mut self, how: StartServer) -> anyhow::Result<Started>;
    /// Asks the server to stop (SIGTERM) and returns at once.
    fn terminate(&mut self) -> anyhow::Result<()>;
    /// Waits until it has ended, and returns its exit code, if it has one.
    fn wait(&mut self, at_most: Duration) -> anyhow::Result<Option<i32>>;
    /// What all servers of this stack have printed so far.
    fn log(&mut self) -> anyhow::Result<String>;
}

/// How a server is to be started.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartServer {
    /// Connections it must take, if more than usual.
    pub max_connections: Option<u32>,
    /// Open files it may have at most, if fewer than the harness.
    pub open_files_max: Option<u64>,
    /// Whether it is given port 0 although the stack says that it cannot be.
    pub insists_on_port_0: bool,
}

/// What came of starting a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It answers here.
    Ready(SocketAddr),
    /// It ended with exit code 2, and said this.
    Refused(String),
}

/// What the suite does to a store, on a connection of its own.
pub trait StoreControl {
    /// Makes the store answer an error to these commands (`ACL SETUSER default -get -set`).
    fn deny(&mut self, commands: &[&str]) -> anyhow::Result<()>;
    /// Takes back every [`deny`](Self::deny).
    fn allow_all(&mut self) -> anyhow::Result<()>;
    /// Holds back every answer for so long, from now on (`CLIENT PAUSE … ALL`). Returns at once; the control's own next
    /// command may have to wait for the pause to end.
    fn pause(&mut self, duration: Duration) -> anyhow::Result<()>;
    /// Removes every key (`FLUSHALL`).
    fn forget_keys(&mut self) -> anyhow::Result<()>;
    /// Loads every key a server may ask for.
    fn load_keys(&mut self) -> anyhow::Result<()>;
    /// The `cache:N` keys now stored, and the lengths of their values.
    fn value_lengths(&mut self) -> anyhow::Result<BTreeMap<String, usize>>;
    /// How often each command was called, by lower-case name (`INFO commandstats`).
    fn command_counts(&mut self) -> anyhow::Result<BTreeMap<String, u64>>;
    /// Closes every connection but the control's own (`CLIENT KILL TYPE normal SKIPME yes`).
    fn kill_connections(&mut self) -> anyhow::Result<()>;
    /// Ends the store. Returns when connecting to it is refused.
    fn stop(&mut self) -> anyhow::Result<()>;
    /// Starts it again where it was, with no keys. Returns when it answers.
    fn restart(&mut self) -> anyhow::Result<()>;
}

/// One demand.
pub struct Case {
    /// Name, as `deviations` lists it.
    pub name: &'static str,
    /// What is demanded, in one line.
    pub demands: &'static str,
    check: Check,
}

impl Case {
    /// Whether the case is for servers with a store only.
    pub fn needs_store(&self) -> bool {
        matches!(self.check, Check::Store(_))
    }
}

/// Why a stack without a store skips cases.
pub(crate) const NO_STORE: &str = "the stack has no store";

/// How a case is tried.
#[derive(Clone, Copy)]
enum Check {
    /// Leaves the store alone; runs beside others.
    Server(fn(&Probe) -> anyhow::Result<()>),
    /// Disturbs the store, or is of a server that has one, and leaves it as it found it; runs alone.
    Store(fn(&Probe, &mut dyn StoreControl) -> anyhow::Result<()>),
    /// Starts and stops the server; runs alone and last.
    Process(fn(&Probe, &mut Controls) -> anyhow::Result<()>),
}

/// What a case that starts and stops the server may use.
struct Controls<'a> {
    server: &'a mut dyn ServerControl,
    store: Option<&'a mut dyn StoreControl>,
}

/// Why a case cannot be tried, as an error of it: the stack or the machine lacks what it is about, and says so.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CannotTry(pub(crate) String);

const fn server(name: &'static str, demands: &'static str, check: fn(&Probe) -> anyhow::Result<()>) -> Case {
    Case { name, demands, check: Check::Server(check) }
}

const fn store(
    name: &'static str,
    demands: &'static str,
    check: fn(&Probe, &mut dyn StoreControl) -> anyhow::Result<()>,
) -> Case {
    Case { name, demands, check: Check::Store(check) }
}

const fn process(
    name: &'static str,
    demands: &'static str,
    check: fn(&Probe, &mut Controls) -> anyhow::Result<()>,
) -> Case {
    Case { name, demands, check: Check::Process(check) }
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server does what is demanded.
    Passed,
    /// It does not: what was seen instead.
    Failed(String),
    /// It does not, and the stack says so: what was seen instead.
    ExpectedDeviation(String),
    /// The stack says it does not, but it does: the list of deviations is out of date.
    UnexpectedPass,
    /// Not tried, and why.
    Skipped(String),
}

/// One case and what came of it.
#[derive(Debug, Clone)]
pub struct CaseResult {
    /// The case's name.
    pub name: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed: Duration,
}

/// Every case, in the order of [`run`]'s results: those that disturb the store, then those that stop the server.
pub fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let groups = [
            answers::CASES,
            // Early, since one of them waits for longer than any other.
            clients::CASES,
            connections::CASES,
            bodies::CASES,
            malformed::CASES,
            crowds::CASES,
            stores::CASES,
            outages::CASES,
            holds::CASES,
            processes::CASES,
        ];
        groups.into_iter().flatten().map(|case| Case { ..*case }).collect()
    })
}

/// Tries every case, and returns one result for each in the order of [`cases`].
pub fn run(target: &mut Target, deviations: &[String]) -> Vec<CaseResult> {
    run_only(target, deviations, &|_| true)
}

/// Tries some of the cases.
pub(crate) fn run_only(
    target: &mut Target,
    deviations: &[String],
    wanted: &(dyn Fn(&Case) -> bool + Sync),
) -> Vec<CaseResult> {
    let probe = Probe::new(target, target.budget);
    let mut results = beside_each_other(&probe, wanted);
    for case in cases().iter().filter(|case| wanted(case)) {
        let begun = Instant::now();
        let outcome = match case.check {
            Check::Server(_) => continue,
            Check::Store(check) => with_store(&probe, target, check),
            Check::Process(_) if rests_on_a_deviation(case, deviations) => {
                Outcome::Skipped(format!("the stack does not stop as it should, and says so: {STOPS_ON_SIGTERM}"))
            }
            Check::Process(check) => with_process(&probe, target, check),
        };
        results.push(CaseResult { name: case.name, outcome, elapsed: begun.elapsed() });
    }
    for result in &mut results {
        if deviations.iter().any(|name| name == result.name) {
            result.outcome = as_deviation(result.outcome.clone());
        }
    }
    results
}

fn with_store(
    probe: &Probe,
    target: &mut Target,
    check: fn(&Probe, &mut dyn StoreControl) -> anyhow::Result<()>,
) -> Outcome {
    match target.store.as_deref_mut() {
        Some(store) => outcome(check(probe, store).map_err(|seen| restore(store, seen))),
        None => Outcome::Skipped(NO_STORE.into()),
    }
}

fn with_process(probe: &Probe, target: &mut Target, check: fn(&Probe, &mut Controls) -> anyhow::Result<()>) -> Outcome {
    let Some(server) = target.server.as_deref_mut() else {
        return Outcome::Skipped("the server's process is not ours".into());
    };
    let mut controls = Controls { server, store: target.store.as_deref_mut().map(|store| store as _) };
    outcome(check(probe, &mut controls))
}

fn rests_on_a_deviation(case: &Case, deviations: &[String]) -> bool {
    processes::REST_ON_STOPPING.contains(&case.name) && deviations.iter().any(|name| name == STOPS_ON_SIGTERM)
}

/// Runs the cases that leave the store alone.
fn beside_each_other(probe: &Probe, wanted: &(dyn Fn(&Case) -> bool + Sync)) -> Vec<CaseResult> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases().get(index) else { return done };
            let Check::Server(check) = case.check else { continue };
            if !wanted(case) {
                continue;
            }
            let begun = Instant::now();
            let outcome = outcome(check(probe));
            done.push((index, CaseResult { name: case.name, outcome, elapsed: begun.elapsed() }));
        }
    };
    let mut done: Vec<(usize, CaseResult)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("cases do not panic")).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn outcome(result: anyhow::Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(error) if error.is::<CannotTry>() => Outcome::Skipped(format!("{error:#}")),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// Gives the next case the store it expects, wherever this one left it.
fn restore(store: &mut dyn StoreControl, seen: anyhow::Error) -> anyhow::Error {
    match store.allow_all().and_then(|()| store.load_keys()) {
        Ok(()) => seen,
        Err(error) => anyhow::anyhow!("{seen:#}; and the store cannot be restored: {error:#}"),
    }
}

fn as_deviation(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Passed => Outcome::UnexpectedPass,
        Outcome::Failed(seen) => Outcome::ExpectedDeviation(seen),
        other => other,
    }
}
