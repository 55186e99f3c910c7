//! Many connections: slow ones, idle ones, broken ones, and all at once.
//!
//! Nothing here measures time: what is demanded is an order, that somebody gets an answer while others hold back.

use anyhow::{Context, Result};

use super::probe::{CHECK, Operation, Probe, expect_ok, expect_ok_for, get};
use super::{Case, server};

/// Twice the usual pool of 16, so that a server which gives a thread to each connection runs out of them.
const SLOW_SENDERS: usize = 32;
/// Ten times as many as any pool or worker count in use.
const IDLE_CONNECTIONS: usize = 200;
const BROKEN_CLIENTS: usize = 32;
const CONCURRENT: usize = 64;

pub(super) const CASES: &[Case] = &[
    server(
        "slow_senders_hold_up_nobody",
        "32 heads in single bytes; others are answered between the bytes",
        slow_senders,
    ),
    server("idle_connections_hold_up_nobody", "200 new and 200 answered connections, idle, beside an active one", idle),
    server(
        "broken_clients_are_survived",
        "clients that reset while answers are due, or leave within a request",
        broken_clients,
    ),
    server("all_of_64_connections_are_served", "64 connections ask at once, 10 rounds, each is answered", all_served),
];

fn slow_senders(probe: &Probe) -> Result<()> {
    let head = get(CHECK);
    let mut slow = probe.connect_many(SLOW_SENDERS)?;
    let mut quick = probe.connect()?;
    let paths = probe.known_paths();
    for (at, byte) in head.bytes().enumerate() {
        for connection in &mut slow {
            connection.send([byte])?;
        }
        if at + 1 < head.len() {
            let path = &paths[at % paths.len()];
            expect_ok_for(&mut quick, path).with_context(|| format!("beside {SLOW_SENDERS} slow senders"))?;
        }
    }
    for (index, connection) in slow.iter_mut().enumerate() {
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| format!("slow sender {index}"))?;
    }
    Ok(())
}

fn idle(probe: &Probe) -> Result<()> {
    let mut idle = probe.connect_many(2 * IDLE_CONNECTIONS)?;
    for connection in idle.iter_mut().skip(IDLE_CONNECTIONS) {
        expect_ok_for(connection, CHECK).context("before it idles")?;
    }
    let mut active = probe.connect()?;
    for _ in 0..10 {
        for path in probe.known_paths() {
            expect_ok_for(&mut active, &path).with_context(|| format!("beside {} idle connections", idle.len()))?;
        }
    }
    for connection in idle.iter_mut().step_by(20) {
        expect_ok_for(connection, CHECK).context("after it idled")?;
    }
    Ok(())
}

fn broken_clients(probe: &Probe) -> Result<()> {
    let paths = probe.known_paths();
    for index in 0..BROKEN_CLIENTS {
        let path = &paths[index % paths.len()];
        let mut reset = probe.connect()?;
        reset.send(get(path).repeat(32))?;
        reset.wait_for_first_byte()?;
        // The kernel resets a connection that is closed with unread answers in its buffer.
        drop(reset);
        let mut gone = probe.connect()?;
        let request = get(path);
        gone.send(&request[..request.len() * index / BROKEN_CLIENTS])?;
    }
    for path in &paths {
        probe
            .ask(get(path))
            .and_then(|answer| expect_ok(&answer))
            .with_context(|| format!("afterwards, GET {path}"))?;
    }
    Ok(())
}

fn all_served(probe: &Probe) -> Result<()> {
    let mut connections = probe.connect_many(CONCURRENT)?;
    let paths: Vec<String> = Operation::ALL.into_iter().flat_map(|operation| probe.paths(operation)).collect();
    for round in 0..10 {
        for (index, connection) in connections.iter_mut().enumerate() {
            connection.send(get(&paths[(index + round) % paths.len()]))?;
        }
        for (index, connection) in connections.iter_mut().enumerate() {
            let place = || format!("connection {index} of {CONCURRENT}, round {round}");
            connection.answer().and_then(|answer| expect_ok(&answer)).with_context(place)?;
        }
    }
    Ok(())
}
