//! Answers every route from memory: what client and machine can do when the server does next to nothing.

mod acceptor;
mod worker;

use std::{
    net::TcpListener,
    process::{self, ExitCode},
    thread,
};

use anyhow::{Context, Result};
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};

use crate::{acceptor::Places, worker::Worker};

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["httparse", "rustix"],
    store: NeedsStore::No,
};

/// Exit code of a server that breaks while it serves. One that cannot start ends with 2.
const EXIT_BROKEN: i32 = 1;

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    // For the rest of the program's life, so that its end need not wait for threads that were started before one
    // could not be.
    let places: &'static Places = Box::leak(Box::new(Places::new(args.max_connections)?));
    let mut inboxes = Vec::new();
    let mut running = Vec::new();
    for _ in 0..args.workers {
        let worker = Worker::new(&shutdown, places).context("cannot set up a worker")?;
        inboxes.push(worker.inbox());
        let serve = move || worker.run().unwrap_or_else(|error| give_up(&error));
        running.push(thread::Builder::new().name("worker".into()).spawn(serve).context("cannot start a worker")?);
    }
    listener::announce(&listener)?;
    acceptor::run(listener, &shutdown, places, &inboxes)?;
    inboxes.iter().for_each(|inbox| inbox.close());
    for worker in running {
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    Ok(())
}

/// A worker that failed leaves its connections, and its share of the next ones, without anybody: better no server.
fn give_up(error: &anyhow::Error) {
    eprintln!("{}: {error:#}", PROGRAM.name);
    process::exit(EXIT_BROKEN);
}
