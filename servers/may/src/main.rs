//! One stackful coroutine for each connection: code that reads as if it blocked, on as many threads as there are CPUs.
//!
//! # Layout
//! - `acceptor`: accepts, one coroutine
//! - `client`: serves one connection, one coroutine each
//! - `registry`: the connections, so that they can be woken
//! - `stop`: waits for the wish to stop, and sees to the slow clients meanwhile

mod acceptor;
mod client;
mod registry;
mod stop;

use std::{net::TcpListener, process::ExitCode};

use anyhow::Result;
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_may_store::{Stores, runtime};
use stack_redis_store::Target;

use crate::registry::Registry;

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["may", "generator", "httparse", "redis"],
    store: NeedsStore::Yes,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    runtime::require_stacks(args.max_connections)?;
    runtime::configure(args.workers);
    let stores = Stores::start(&target, args);
    // For the rest of the program's life, like the coroutines that use it.
    let registry: &'static Registry = Box::leak(Box::new(Registry::new(args.max_connections)));
    let address = listener.try_clone()?;
    acceptor::start(listener, stores, registry)?;
    listener::announce(&address)?;
    drop(address);
    stop::wait(&shutdown, registry)
}
