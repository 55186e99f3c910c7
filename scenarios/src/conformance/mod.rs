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
//! - [`stores`]: what the server does when its store errs, stalls, forgets or goes away.

mod answers;
mod bodies;
mod connections;
mod crowds;
mod malformed;
mod probe;
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

/// Cases that leave the store alone run on this many threads at once: enough that the waits of a bad server overlap,
/// and few enough that the cases with many connections do not starve each other on two cores.
const THREADS: usize = 8;

/// A server to be tried.
pub struct Target<'a> {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Which of `/sync` and `/async` it answers.
    pub modes: &'a [Mode],
    /// Its store, loaded and healthy; `None` for stacks that have none, whose store cases are then skipped.
    pub store: Option<&'a mut dyn StoreControl>,
    /// How long all cases together may take. What has not finished by then fails.
    pub budget: Duration,
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
    /// Whether the case must be able to disturb the store.
    pub fn needs_store(&self) -> bool {
        matches!(self.check, Check::Store(_))
    }
}

/// How a case is tried.
#[derive(Clone, Copy)]
enum Check {
    /// Leaves the store alone; runs beside others.
    Server(fn(&Probe) -> anyhow::Result<()>),
    /// Disturbs the store, and leaves it as it found it; runs alone.
    Store(fn(&Probe, &mut dyn StoreControl) -> anyhow::Result<()>),
}

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
    Skipped(&'static str),
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

/// Every case, in the order of [`run`]'s results: those that disturb the store last.
pub fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let groups =
            [answers::CASES, connections::CASES, bodies::CASES, malformed::CASES, crowds::CASES, stores::CASES];
        groups.into_iter().flatten().map(|case| Case { ..*case }).collect()
    })
}

/// Tries every case, and returns one result for each in the order of [`cases`].
pub fn run(target: &mut Target, deviations: &[String]) -> Vec<CaseResult> {
    run_only(target, deviations, &|_| true)
}

/// Tries some of the cases.
fn run_only(target: &mut Target, deviations: &[String], wanted: &(dyn Fn(&Case) -> bool + Sync)) -> Vec<CaseResult> {
    let probe = Probe::new(target.addr, target.modes, target.budget);
    let mut results = beside_each_other(&probe, wanted);
    for case in cases().iter().filter(|case| wanted(case)) {
        let Check::Store(check) = case.check else { continue };
        let begun = Instant::now();
        let outcome = match target.store.as_mut() {
            Some(store) => outcome(check(&probe, &mut **store).map_err(|seen| restore(&mut **store, seen))),
            None => Outcome::Skipped("the stack has no store"),
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
