//! `hold`: a request that keeps its handler for a while and asks no store.
//!
//! A stack without a store answers it at once, as all else, and is not tried.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::probe::{CHECK, Hold, Probe, UNKNOWN, expect_error, expect_ok, expect_ok_for, get};
use super::stores::{expect_cost, quiet_counts};
use super::{Case, POOL, StoreControl, store};
use crate::wire::Connection;

/// How long a hold lasts.
pub(super) const HOLD: Duration = Duration::from_millis(50);
/// Connections that hold while others ask: half the usual pool, so that nobody has to wait for a thread.
const HOLDING: usize = POOL / 2;
/// Holds in a row of each such connection. More of them if a machine that is busy elsewhere lets them pass too soon.
const IN_A_ROW: [u32; 3] = [4, 12, 24];
/// Clients of one hold each: far more than a pool has threads.
const CROWD: usize = 200;
/// So often may a crowd take too long because the machine is busy elsewhere.
const CROWDS: u32 = 3;
/// So often may clients that leave be too late because the machine is busy elsewhere.
const LEAVES: u32 = 8;

pub(super) const CASES: &[Case] = &[
    store(
        "a_hold_takes_its_time",
        "hold: 200 after 50 ms and not before, what is pipelined behind it later",
        takes_time,
    ),
    store(
        "holds_hold_up_nobody",
        "8 connections hold; on another one every route is answered meanwhile",
        nobody_held_up,
    ),
    store(
        "holds_overlap",
        "200 clients hold at once: in as many rounds as the pool needs where it bounds the mode, else all together",
        overlap,
    ),
    store(
        "clients_that_leave_a_hold_are_survived",
        "resets and ends amid holds; then a pool's worth is held again",
        left,
    ),
];

fn takes_time(probe: &Probe, store: &mut dyn StoreControl) -> Result<()> {
    let before = quiet_counts(store)?;
    for Hold { path, .. } in probe.holds() {
        let mut connection = probe.connect()?;
        let begun = Instant::now();
        connection.send(get(&path) + &get(UNKNOWN))?;
        connection.wait_for_first_byte().with_context(|| path.clone())?;
        let waited = begun.elapsed();
        ensure!(waited >= HOLD, "{path}: answered after {waited:.1?}, and a hold lasts {HOLD:?}");
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| path.clone())?;
        let behind = || format!("pipelined behind {path}");
        connection.answer().and_then(|answer| expect_error(&answer, 404)).with_context(behind)?;
    }
    expect_cost(store, &before, "holds", None)?;
    Ok(())
}

fn nobody_held_up(probe: &Probe, _: &mut dyn StoreControl) -> Result<()> {
    for in_a_row in IN_A_ROW {
        if are_others_answered_during(in_a_row, probe)? {
            return Ok(());
        }
    }
    bail!("others are answered only when {HOLDING} connections have been held: three times too late")
}

/// Asks for everything else while some connections hold, and says whether that was answered before they can have ended.
fn are_others_answered_during(in_a_row: u32, probe: &Probe) -> Result<bool> {
    let mut others = probe.connect()?;
    let mut holding = Vec::new();
    for Hold { path, .. } in probe.holds().into_iter().cycle().take(HOLDING) {
        holding.push((probe.connect()?, path));
    }
    let begun = Instant::now();
    for (connection, path) in &mut holding {
        connection.send(get(path).repeat(in_a_row as usize))?;
    }
    probe.wait_until_read(holding.iter().map(|(connection, _)| connection))?;
    for path in probe.known_paths() {
        if begun.elapsed() >= HOLD * in_a_row {
            return Ok(false);
        }
        expect_ok_for(&mut others, &path).with_context(|| format!("beside {HOLDING} connections that hold"))?;
    }
    let meanwhile = begun.elapsed() < HOLD * in_a_row;
    for (connection, path) in &mut holding {
        for _ in 0..in_a_row {
            connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| path.clone())?;
        }
    }
    Ok(meanwhile)
}

fn overlap(probe: &Probe, _: &mut dyn StoreControl) -> Result<()> {
    let rounds = CROWD.div_ceil(POOL) as u32;
    for Hold { path, pool_bounded } in probe.holds() {
        // Where the pool bounds them, twice what it takes is granted to the machine.
        let (at_least, less_than) = if pool_bounded { (rounds, 2 * rounds) } else { (1, rounds) };
        let mut took = Duration::MAX;
        for _ in 0..CROWDS {
            took = hold_together(probe, &path, CROWD)?;
            let too_soon =
                format!("{path}: {CROWD} holds are over after {took:.1?}, so more than {POOL} were at a time");
            ensure!(took >= HOLD * at_least, too_soon);
            if took < HOLD * less_than {
                break;
            }
        }
        let bound = if pool_bounded { "twice what a pool needs" } else { "what a pool needs" };
        ensure!(
            took < HOLD * less_than,
            "{path}: {CROWD} holds take {took:.1?}, and {bound} is {:?}",
            HOLD * less_than
        );
    }
    Ok(())
}

/// Asks to be held on each connection, and returns when the server has read that. To read that from the kernel's lists
/// takes longer than a hold; but what is sent at once is read at once, and the answer to its first part says that it was.
pub(super) fn begin_holds(asking: &mut [(Connection, String)]) -> Result<()> {
    for (connection, path) in &mut *asking {
        connection.send(get(CHECK) + &get(path))?;
    }
    for (connection, path) in asking {
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| format!("ahead of {path}"))?;
    }
    Ok(())
}

/// How long it takes that so many clients have each been held once.
fn hold_together(probe: &Probe, path: &str, clients: usize) -> Result<Duration> {
    let mut connections = probe.connect_many(clients)?;
    let begun = Instant::now();
    connections.iter_mut().try_for_each(|connection| connection.send(get(path)))?;
    for (index, connection) in connections.iter_mut().enumerate() {
        let place = || format!("{path}, client {index} of {clients}");
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(place)?;
    }
    Ok(begun.elapsed())
}

/// As a client leaves that is done.
fn close(connection: Connection) -> Result<()> {
    drop(connection);
    Ok(())
}

fn left(probe: &Probe, _: &mut dyn StoreControl) -> Result<()> {
    for Hold { path, .. } in probe.holds() {
        for leave in [Connection::reset, close] {
            for _ in 0..LEAVES {
                if leave_amid_holds(probe, &path, leave)? {
                    break;
                }
            }
        }
        hold_together(probe, &path, POOL).context("after others have left")?;
    }
    probe.expect_alive()
}

/// Lets as many clients as the pool has places ask to be held and leave, and says whether all left before a hold was over.
fn leave_amid_holds(probe: &Probe, path: &str, leave: fn(Connection) -> Result<()>) -> Result<bool> {
    let connected = probe.connect_many(POOL)?.into_iter();
    let mut leaving: Vec<_> = connected.map(|connection| (connection, path.to_owned())).collect();
    let begun = Instant::now();
    begin_holds(&mut leaving)?;
    leaving.into_iter().try_for_each(|(connection, _)| leave(connection))?;
    Ok(begun.elapsed() < HOLD)
}
