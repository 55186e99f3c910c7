//! hyper on smol: a small executor, one reactor, and hyper's I/O traits over smol's.

mod runtime;

use std::{net::TcpListener, num::NonZeroUsize, process::ExitCode};

use anyhow::{Context, Result};
use async_io::Async;
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_hyper_service::{Stores, answer, serve};
use stack_redis_store::{BridgedStore, MultiplexedStore, Target, runtime::prefer_smol};

use crate::runtime::Smol;

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["hyper", "smol-hyper", "async-executor", "async-io", "blocking", "redis"],
    store: NeedsStore::Yes,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    let (workers, max_connections) = (args.workers, args.max_connections);
    blocking::set_max_blocking_threads(NonZeroUsize::new(args.pool as usize).context("--pool 0")?);
    prefer_smol();
    stack_smol_parts::start(workers)?;
    // What is still busy when this returns had its time to drain, and ends with the process.
    stack_smol_parts::block_on(async move {
        let asynchronous = MultiplexedStore::connect_on(&Smol, &target, workers).await;
        // For the rest of the program's life: spares a count of references for every request.
        let stores: &'static _ = Box::leak(Box::new(Stores { sync: BridgedStore::new(Smol, target), asynchronous }));
        let shutdown = Async::new(shutdown.into_stream())?;
        listener::announce(&listener)?;
        let listener = Async::new(listener)?;
        let stop = async { shutdown.readable().await.unwrap_or_default() };
        serve(Smol, listener, max_connections, stop, move |request| answer(stores, request)).await;
        Ok(())
    })
}
