//! hyper on async-std, which upstream has given up, and which many services still run on.

mod runtime;

use std::{net::TcpListener, process::ExitCode};

use anyhow::Result;
use async_io::Async;
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_hyper_service::{Stores, answer, serve};
use stack_redis_store::{BridgedStore, MultiplexedStore, Target, runtime::prefer_smol};

use crate::runtime::AsyncStd;

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["hyper", "smol-hyper", "async-std", "async-executor", "async-io", "blocking", "redis"],
    store: NeedsStore::Yes,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    let (workers, max_connections) = (args.workers, args.max_connections);
    prefer_smol();
    runtime::run(args, async move {
        let asynchronous = MultiplexedStore::connect_on(&AsyncStd, &target, workers).await;
        // For the rest of the program's life: spares a count of references for every request.
        let stores: &'static _ =
            Box::leak(Box::new(Stores { sync: BridgedStore::new(AsyncStd, target), asynchronous }));
        // async-std's own Unix stream could only be waited for by reading from it.
        let shutdown = Async::new(shutdown.into_stream())?;
        let stop = async { shutdown.readable().await.unwrap_or_default() };
        listener::announce(&listener)?;
        serve(AsyncStd, listener.into(), max_connections, stop, move |request| answer(stores, request)).await;
        Ok(())
    })
}
