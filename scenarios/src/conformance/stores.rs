//! What the server does when its store errs, stalls, forgets or goes away, and what a request costs the store.
//!
//! Each case leaves the store as it found it: up, loaded, nothing denied.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::probe::{CHECK, Operation, Probe, UNKNOWN, expect_error, expect_ok, expect_ok_for, get, request};
use super::{Case, StoreControl, store};
use crate::wire::Connection;

/// The contract's response timeout of a store.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than the store's timeout an answer may take on a busy machine.
const SLACK: Duration = Duration::from_secs(3);
/// How long a server may take to find its store again.
pub(super) const RECOVERY: Duration = Duration::from_secs(10);
/// A server has recovered when so many requests in a row succeed: more than it has store connections by default.
const RECOVERED_IN_A_ROW: usize = 32;
/// How often a condition is looked at.
pub(super) const POLL: Duration = Duration::from_millis(10);
/// The contract's values and keys.
const VALUE_BYTES: usize = 1024;
const KEYS: u32 = 100_000;
/// Redis keeps time in whole milliseconds, so that a pause may seem to end a little early.
const PAUSE_ROUNDING: Duration = Duration::from_millis(5);

pub(super) const CASES: &[Case] = &[
    store("a_request_costs_one_command", "cache_hit one GET, cache_set one SET, anything else nothing", one_command),
    store(
        "an_empty_store_is_missed_and_filled",
        "cache_hit without its key: 404 with a JSON error; cache_set then stores 1 KiB under cache:0 … cache:99999",
        empty_store,
    ),
    store("a_store_error_answers_503", "503 with a JSON error while a command is denied, 200 when it is not", denied),
    store("no_answer_precedes_the_stores", "a paused store: answers wait for it, in order; /check does not", paused),
    store("a_stalled_store_answers_503", "503 after the store's timeout of 5 s, then recovery", stalled),
    store("lost_store_connections_are_replaced", "every store connection closed: 503 at worst, then recovery", killed),
    store("a_store_may_go_and_come_back", "store down: 503, /check 200; store back: recovery", down_and_back),
];

/// Every cache route with its operation.
fn routes(probe: &Probe) -> Vec<(Operation, String)> {
    let routes_of = |operation| probe.paths(operation).into_iter().map(move |path| (operation, path));
    Operation::ALL.into_iter().flat_map(routes_of).collect()
}

/// A connection that bears a server whose store does not answer.
pub(super) fn patient(probe: &Probe) -> Result<Connection> {
    Ok(probe.connect()?.patience(STORE_TIMEOUT + SLACK))
}

fn one_command(probe: &Probe, store: &mut dyn StoreControl) -> Result<()> {
    const REQUESTS: u64 = 100;
    let mut connection = probe.connect()?;
    let mut before = quiet_counts(store)?;
    for (operation, path) in routes(probe) {
        connection.send(get(&path).repeat(REQUESTS as usize))?;
        for _ in 0..REQUESTS {
            expect_ok(&connection.answer()?).with_context(|| path.clone())?;
        }
        before = expect_cost(store, &before, &path, Some((operation, REQUESTS)))?;
    }
    for path in [CHECK, UNKNOWN] {
        connection.send(get(path))?;
        connection.answer()?;
    }
    for (_, path) in routes(probe) {
        connection.send(request("POST", &path))?;
        connection.answer()?;
    }
    expect_cost(store, &before, "requests that need no store", None)?;
    Ok(())
}

/// Demands that nothing but these commands was called since `before`; returns the counts of now.
pub(super) fn expect_cost(
    store: &mut dyn StoreControl,
    before: &BTreeMap<String, u64>,
    what: &str,
    cost: Option<(Operation, u64)>,
) -> Result<BTreeMap<String, u64>> {
    let now = store.command_counts()?;
    for (name, count) in &now {
        let called = count - before.get(name).unwrap_or(&0).min(count);
        let (due, others) = match cost {
            Some((operation, requests)) if name == operation.command() => (requests, 0),
            // What opens a connection, and the control's own commands.
            _ if is_bookkeeping(name) => continue,
            // A health check now and then is allowed, one a request is not.
            Some((_, requests)) if name == "ping" => (0, requests / 10),
            _ => (0, 0),
        };
        ensure!((due..=due + others).contains(&called), "{what}: {called} {name} commands, not {due}");
    }
    if let Some((operation, requests)) = cost {
        let command = operation.command();
        ensure!(now.contains_key(command), "{what}: {requests} requests, and no {command} command at the store");
    }
    Ok(now)
}

fn is_bookkeeping(name: &str) -> bool {
    let family = name.split('|').next().unwrap_or(name);
    ["acl", "auth", "client", "command", "config", "hello", "info", "select"].contains(&family)
}

/// The counts, once the requests of earlier cases have all arrived.
pub(super) fn quiet_counts(store: &mut dyn StoreControl) -> Result<BTreeMap<String, u64>> {
    let deadline = Instant::now() + STORE_TIMEOUT;
    let mut last = data_commands(store.command_counts()?);
    loop {
        thread::sleep(5 * POLL);
        let now = data_commands(store.command_counts()?);
        if now == last {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "the store is given commands though nobody asks: {now:?} after {last:?}");
        last = now;
    }
}

fn data_commands(mut counts: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    counts.retain(|name, _| !is_bookkeeping(name));
    counts
}

/// Two demands in one case, since loading the keys again is what takes time.
fn empty_store(probe: &Probe, store: &mut dyn StoreControl) -> Result<()> {
    store.forget_keys()?;
    let mut connection = probe.connect()?;
    for path in probe.paths(Operation::Hit).into_iter().cycle().take(8) {
        connection.send(get(&path))?;
        let answer = connection.answer().with_context(|| path.clone())?;
        expect_error(&answer, 404).with_context(|| path.clone())?;
    }
    expect_values(probe, &mut connection, store)?;
    store.load_keys()?;
    for path in probe.paths(Operation::Hit) {
        expect_ok_for(&mut connection, &path).context("with the keys loaded again")?;
    }
    Ok(())
}

/// Demands that what cache_set leaves in an empty store is what it should be.
fn expect_values(probe: &Probe, connection: &mut Connection, store: &mut dyn StoreControl) -> Result<()> {
    const REQUESTS: usize = 16;
    for path in probe.paths(Operation::Set).into_iter().cycle().take(REQUESTS) {
        expect_ok_for(connection, &path)?;
    }
    let lengths = store.value_lengths()?;
    ensure!((1..=REQUESTS).contains(&lengths.len()), "{REQUESTS} cache_set left {} keys", lengths.len());
    for (key, length) in lengths {
        let number = key.strip_prefix("cache:").and_then(|number| number.parse().ok());
        ensure!(number.is_some_and(|number: u32| number < KEYS), "cache_set stored the key `{key}`");
        ensure!(length == VALUE_BYTES, "cache_set stored {length} bytes under {key}, not {VALUE_BYTES}");
    }
    Ok(())
}

fn denied(probe: &Probe, store: &mut dyn StoreControl) -> Result<()> {
    let mut connection = probe.connect()?;
    let routes = routes(probe);
    for denied in Operation::ALL {
        store.deny(&[denied.command()])?;
        for (operation, path) in routes.iter().chain(&routes) {
            let context = || format!("GET {path} while {} is denied", denied.command());
            connection.send(get(path))?;
            let answer = connection.answer().with_context(context)?;
            if *operation == denied { expect_error(&answer, 503) } else { expect_ok(&answer) }.with_context(context)?;
        }
        expect_ok_for(&mut connection, CHECK).context("while a command is denied")?;
        store.allow_all()?;
        for (_, path) in &routes {
            expect_ok_for(&mut connection, path).context("when nothing is denied any more")?;
        }
    }
    Ok(())
}

fn paused(probe: &Probe, store: &mut dyn StoreControl) -> Result<()> {
    // A machine that is busy elsewhere may let a short pause pass before /check has had its turn.
    for pause in [300, 900, 2700].map(Duration::from_millis) {
        if paused_for(pause, probe, store)? == WhileCheck::Paused {
            return Ok(());
        }
    }
    bail!("{CHECK} is answered only when the store is: three pauses, three times too late")
}

#[derive(PartialEq, Eq)]
enum WhileCheck {
    Paused,
    Over,
}

/// Asks every cache route while the store is paused, and /check beside them.
fn paused_for(pause: Duration, probe: &Probe, store: &mut dyn StoreControl) -> Result<WhileCheck> {
    let mut check = probe.connect()?;
    let mut connections = Vec::new();
    for (_, path) in routes(probe) {
        connections.push((patient(probe)?, path));
    }
    let begun = Instant::now();
    store.pause(pause)?;
    for (connection, path) in &mut connections {
        connection.send(get(path) + &get(UNKNOWN))?;
    }
    thread::scope(|scope| {
        let wait = |(mut connection, path): (Connection, String)| -> Result<()> {
            connection.wait_for_first_byte().with_context(|| path.clone())?;
            let waited = begun.elapsed();
            ensure!(
                waited + PAUSE_ROUNDING >= pause,
                "{path}: answered after {waited:.1?}, though the store answers nothing for {pause:?}"
            );
            expect_ok(&connection.answer()?).with_context(|| path.clone())?;
            expect_error(&connection.answer()?, 404).with_context(|| format!("pipelined behind {path}"))
        };
        let waiting: Vec<_> = connections.into_iter().map(|connection| scope.spawn(move || wait(connection))).collect();
        // More than once, so that the last one comes when the others are surely at the store.
        while begun.elapsed() < pause / 2 {
            expect_ok_for(&mut check, CHECK).context("while the store is paused")?;
            thread::sleep(POLL);
        }
        let seen = if begun.elapsed() < pause { WhileCheck::Paused } else { WhileCheck::Over };
        for thread in waiting {
            thread.join().expect("the wait does not panic")?;
        }
        Ok(seen)
    })
}

fn stalled(probe: &Probe, store: &mut dyn StoreControl) -> Result<()> {
    let mut connections = Vec::new();
    for (_, path) in routes(probe) {
        connections.push((patient(probe)?, path));
    }
    // One second is for a timer that fires late.
    store.pause(STORE_TIMEOUT + Duration::from_secs(1))?;
    for (connection, path) in &mut connections {
        connection.send(get(path))?;
    }
    for (connection, path) in &mut connections {
        connection.answer().and_then(|answer| expect_error(&answer, 503)).with_context(|| path.clone())?;
    }
    expect_ok_for(&mut probe.connect()?, CHECK).context("while the store is stalled")?;
    for (connection, path) in &mut connections {
        expect_recovery(connection, path, &[200])?;
    }
    Ok(())
}

fn killed(probe: &Probe, store: &mut dyn StoreControl) -> Result<()> {
    let mut connection = patient(probe)?;
    for (_, path) in routes(probe) {
        // The kill before this one hit the other mode's connections too.
        expect_recovery(&mut connection, &path, &[200])?;
        store.kill_connections()?;
        expect_recovery(&mut connection, &path, &[200])?;
    }
    Ok(())
}

fn down_and_back(probe: &Probe, store: &mut dyn StoreControl) -> Result<()> {
    let mut connection = patient(probe)?;
    for (_, path) in routes(probe) {
        // So that the server holds connections to the store that is about to go.
        expect_ok_for(&mut connection, &path)?;
    }
    store.stop()?;
    let seen = while_down(probe, &mut connection);
    // Whatever was seen, the next case needs the store.
    store.restart()?;
    seen?;
    for (operation, path) in routes(probe) {
        // The store has lost its keys, and that it says so is an answer too.
        let answers: &[u16] = if operation == Operation::Hit { &[404] } else { &[200] };
        expect_recovery(&mut connection, &path, answers)?;
    }
    store.load_keys()?;
    for (_, path) in routes(probe) {
        expect_ok_for(&mut connection, &path).context("with the store back and loaded")?;
    }
    Ok(())
}

fn while_down(probe: &Probe, connection: &mut Connection) -> Result<()> {
    for (_, path) in routes(probe) {
        for _ in 0..2 {
            connection.send(get(&path))?;
            let answer = connection.answer().with_context(|| format!("GET {path} while the store is down"))?;
            expect_error(&answer, 503).with_context(|| format!("GET {path} while the store is down"))?;
        }
        expect_ok_for(connection, CHECK).context("while the store is down")?;
    }
    Ok(())
}

/// Asks until so many answers in a row are as they should be; until then 503 is one too, and nothing else.
pub(super) fn expect_recovery(connection: &mut Connection, path: &str, wanted: &[u16]) -> Result<()> {
    let deadline = Instant::now() + RECOVERY;
    let mut in_a_row = 0;
    while in_a_row < RECOVERED_IN_A_ROW {
        connection.send(get(path))?;
        let status = connection.answer().with_context(|| format!("GET {path} during recovery"))?.status;
        if wanted.contains(&status) {
            in_a_row += 1;
            continue;
        }
        ensure!(status == 503, "GET {path} during recovery: {status}");
        ensure!(Instant::now() < deadline, "GET {path}: still {status} after {RECOVERY:?}");
        in_a_row = 0;
        thread::sleep(POLL);
    }
    Ok(())
}
