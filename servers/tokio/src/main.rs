//! hyper on tokio's work-stealing runtime: what most Rust services stand on.

mod bridge;
mod serve;

use std::{net::TcpListener, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_hyper_service::Stores;
use stack_redis_store::{MultiplexedStore, Target};
use tokio::runtime;

use crate::bridge::BlockingThreads;

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["hyper", "tokio", "redis"],
    store: NeedsStore::Yes,
};

/// A blocking thread owns a store connection, so it should outlive any pause between requests.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(args.workers as usize)
        .max_blocking_threads(args.pool as usize)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let (workers, max_connections) = (args.workers, args.max_connections as usize);
    let serving = async move {
        let asynchronous = MultiplexedStore::connect(&target, workers).await;
        let stores = Stores { sync: BlockingThreads::new(target), asynchronous };
        let shutdown = tokio::net::UnixStream::from_std(shutdown.into_stream())?;
        listener.set_nonblocking(true)?;
        listener::announce(&listener)?;
        serve::run(tokio::net::TcpListener::from_std(listener)?, max_connections, stores, shutdown).await
    };
    // On a worker: the thread that blocks here would otherwise run the accept loop and wake workers for every
    // connection.
    let result = runtime.block_on(runtime.spawn(serving)).context("the server panicked")?;
    // What is still busy had its time to drain; a thread that blocks on the store must not hold up the exit.
    runtime.shutdown_background();
    result
}
