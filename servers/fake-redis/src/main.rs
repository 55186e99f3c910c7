//! `fake-redis`: a Redis that real clients accept and that answers each command a chosen time after it arrived.
//!
//! One thread, one loop: wait for sockets or for the next due reply; send what is due; read what arrived, carry it out
//! at once, and keep each reply until it is due.
//!
//! # Layout
//! - [`args`]: the command line
//! - [`server`]: the loop
//! - [`connection`], [`output`]: one client: what arrived, what leaves and when
//! - [`protocol`], [`reply`]: bytes to commands, replies to bytes
//! - [`commands`]: what each command does; [`keyspace`]: the data it does it to
//! - [`state`]: what all connections share; [`acl`]: which commands are denied; [`info`]: the counters as text
//! - [`delay`], [`delays`]: the laws of delay, and which command follows which
//! - [`errors`]: which command is answered an error instead; [`assigned`]: what is assigned to commands by name
//! - [`clock`], [`glob`], [`number`]: small tools

mod acl;
mod args;
mod assigned;
mod clock;
mod commands;
mod connection;
mod delay;
mod delays;
mod errors;
mod glob;
mod info;
mod keyspace;
mod number;
mod output;
mod protocol;
mod reply;
mod server;
mod state;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use stack_contract::{limits, listener};

use crate::{args::Args, commands::table::Table, delays::Delays, errors::Errors, server::Server, state::State};

fn main() -> ExitCode {
    // Clap answers bad arguments itself, with exit code 2.
    let args = Args::parse();
    let server = match prepare(&args) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("fake-redis: {error:#}");
            return ExitCode::from(2);
        }
    };
    match server.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-redis: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All that can be wrong with the arguments or the machine shows here.
fn prepare(args: &Args) -> anyhow::Result<Server> {
    let table = Table::new();
    let mut delays = Delays::new(&table, args.seed);
    delays.replace(assigned::read(args.delay.iter().map(String::as_str), &table).context("--delay")?);
    let mut errors = Errors::new(&table, args.seed);
    errors.replace(assigned::read(args.errors.iter().map(String::as_str), &table).context("--errors")?);
    let connections = args.max_connections as usize;
    limits::raise_nofile(connections as u64 + limits::SPARE_DESCRIPTORS)
        .with_context(|| format!("--max-connections {connections}"))?;
    let socket = listener::bind(args.listen).context("--listen")?;
    let signals = server::catch_signals().context("cannot catch signals")?;
    let state = State::new(socket.local_addr()?, delays, errors, connections, table, signals);
    let server = Server::new(socket, state)?;
    server.announce()?;
    Ok(server)
}
