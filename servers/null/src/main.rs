//! Answers every route from memory: what client and machine can do when the server does next to nothing.

mod acceptor;
mod worker;

use std::{net::TcpListener, process::ExitCode, thread};

use anyhow::{Context, Result};
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};

use crate::{acceptor::Places, worker::Worker};

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["httparse", "rustix"],
    store: NeedsStore::No,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let places = Places::new(args.max_connections)?;
    let workers: Vec<_> = (0..args.workers)
        .map(|_| Worker::new(&shutdown, &places))
        .collect::<Result<_>>()
        .context("cannot set up a worker")?;
    let inboxes: Vec<_> = workers.iter().map(Worker::inbox).collect();
    listener::announce(&listener)?;
    thread::scope(|scope| {
        let running: Vec<_> = workers
            .into_iter()
            .map(|worker| thread::Builder::new().name("worker".into()).spawn_scoped(scope, || worker.run()))
            .collect::<Result<_, _>>()
            .context("cannot start a worker")?;
        acceptor::run(listener, &shutdown, &places, &inboxes)?;
        running
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
