//! axum as its guide shows it: a router with handlers, served by `axum::serve` on tokio's work-stealing runtime.

mod listener;
mod router;

use std::{net::TcpListener, process::ExitCode};

use anyhow::Result;
use axum::serve::ListenerExt;
use stack_contract::{Args, NeedsStore, Program, Shutdown, limits::DRAIN_TIMEOUT, listener::announce};
use stack_hyper_service::Stores;
use stack_redis_store::{BridgedStore, MultiplexedStore, Target, Tokio};
use stack_tokio::{door, runtime};
use tokio::time;

use crate::listener::Bounded;

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["axum", "hyper", "tokio", "redis"],
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
        let (stop, drain) = (door::watch(&shutdown)?, door::watch(&shutdown)?);
        announce(&listener)?;
        let listener = Bounded::new(listener, max_connections)?.tap_io(|connection| connection.set_nodelay());
        let server = axum::serve(listener, router::router(stores))
            .with_graceful_shutdown(async move { door::requested(&stop).await });
        tokio::select! {
            result = server.into_future() => Ok(result?),
            // What is not done by then is cut off; axum itself would wait for ever.
            () = async { door::requested(&drain).await; time::sleep(DRAIN_TIMEOUT).await } => Ok(()),
        }
    })
}
