//! compio: one runtime on an io_uring of its own per worker, which share nothing but the port.
//!
//! # Layout
//! - [`worker`]: a thread with its runtime: accept, sweep, drain
//! - [`serve`]: one client's connection
//! - [`store`]: the worker's multiplexed store connection
//! - [`places`]: how many connections are served at once

mod places;
mod serve;
mod store;
mod worker;

use std::{
    net::{self, TcpListener},
    process::{self, ExitCode},
    sync::{Arc, mpsc},
    thread,
};

use anyhow::{Context, Result};
use socket2::SockRef;
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener, program::EXIT_BROKEN};
use stack_core::BlockingPool;
use stack_resp::Target;

use crate::{places::Places, worker::Shared};

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["compio", "io-uring", "httparse", "redis"],
    store: NeedsStore::Yes,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    // Each worker makes its own, on its thread; whether that is possible shows here, while there still is time to refuse.
    drop(worker::runtime()?);
    let shared = Arc::new(Shared {
        pool: BlockingPool::start(&target, args.pool)?,
        target,
        places: Places::new(args.max_connections),
    });
    let mut listeners = vec![listener];
    for _ in 1..args.workers {
        listeners.push(listener::share(&listeners[0]).context("cannot listen once for each worker")?);
    }
    let (connected, all_connected) = mpsc::channel::<()>();
    let mut running = Vec::new();
    for listener in &listeners {
        let (listener, shared, connected) = (listener.try_clone()?, Arc::clone(&shared), connected.clone());
        let serve = move || worker::run(listener, shared, connected).unwrap_or_else(|error| give_up(&error));
        running.push(thread::Builder::new().name("worker".into()).spawn(serve).context("cannot start a worker")?);
    }
    drop(connected);
    // Nothing is ever sent: this ends when the last worker has dropped its sender.
    let _ = all_connected.recv();
    listener::announce(&listeners[0])?;
    shutdown.wait()?;
    shared.places.close();
    for listener in listeners {
        // Ends the ring's accept, and with it the listening, at once; to close our descriptor would do neither.
        SockRef::from(&listener).shutdown(net::Shutdown::Both)?;
    }
    for worker in running {
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    Ok(())
}

/// A worker that failed leaves its connections, and its share of the next ones, without anybody: better no server.
fn give_up(error: &anyhow::Error) {
    eprintln!("{}: {error:#}", PROGRAM.name);
    process::exit(EXIT_BROKEN.into());
}
