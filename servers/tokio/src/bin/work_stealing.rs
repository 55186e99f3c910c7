//! hyper on tokio's work-stealing runtime: what most Rust services stand on.

use std::{net::TcpListener, process::ExitCode};

use anyhow::Result;
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_hyper_service::{Stores, answer};
use stack_redis_store::{BridgedStore, MultiplexedStore, Target, Tokio};
use stack_tokio::{Door, runtime};

const PROGRAM: Program = Program {
    name: env!("CARGO_BIN_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["hyper", "tokio", "redis"],
    store: NeedsStore::Yes,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    let (workers, max_connections) = (args.workers, args.max_connections);
    runtime::run_work_stealing(args, async move {
        let asynchronous = MultiplexedStore::connect(&target, workers).await;
        // For the rest of the program's life: spares a count of references for every request.
        let stores: &'static _ = Box::leak(Box::new(Stores { sync: BridgedStore::new(Tokio, target), asynchronous }));
        listener::announce(&listener)?;
        Door::open(listener, &shutdown, max_connections)?.serve(move |request| answer(stores, request)).await;
        Ok(())
    })
}
