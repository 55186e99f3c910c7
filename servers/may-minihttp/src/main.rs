//! may_minihttp as people use it: its `HttpServer`, and a service that is called for each request.
//!
//! The library listens, accepts, reads, parses and writes by itself, and lets nobody have a say in that; what follows
//! from it stands on the stack's card.
//!
//! # Layout
//! - `service`: answers one request
//! - `in_flight`: how many requests are being answered, to stop when there are none

mod in_flight;
mod service;

use std::{net::TcpListener, process::ExitCode};

use anyhow::{Context, Result};
use may_minihttp::HttpServer;
use rustix::process::{Resource, getrlimit};
use stack_contract::{Args, NeedsStore, Program, Shutdown, limits, listener};
use stack_may_store::{Stores, runtime};
use stack_redis_store::Target;

use crate::{in_flight::InFlight, service::Service};

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["may_minihttp", "may", "generator", "httparse", "redis"],
    store: NeedsStore::Yes,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    // The library knows no --max-connections. Out of descriptors, its accept loop would spin for good.
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    limits::raise_nofile(hard).context("for any number of connections")?;
    runtime::configure(args.workers);
    // For the rest of the program's life, like the coroutines that use it.
    let in_flight: &'static InFlight = Box::leak(Box::default());
    let service = Service::new(Stores::start(&target, args), in_flight);
    // The library takes an address and no listener. Ours has found the port, and that nobody else is there, which the
    // library's would not: it shares the port with whoever allows it.
    let address = listener.local_addr()?;
    drop(listener);
    let acceptor = HttpServer(service).start(address).with_context(|| format!("cannot listen on {address}"))?;
    listener::announce_address(address)?;
    shutdown.wait()?;
    in_flight.stop();
    // SAFETY: cancelling unwinds the library's accept loop at its next suspension. It owns the listener and a service,
    // both of which may be dropped at any time, and nothing of ours refers to its stack.
    unsafe { acceptor.coroutine().cancel() };
    in_flight.wait_until_none();
    Ok(())
}
