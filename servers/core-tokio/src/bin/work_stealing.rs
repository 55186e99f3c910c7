//! The controlled panel's server on tokio's work-stealing runtime.

use std::{net::TcpListener, process::ExitCode};

use anyhow::{Context, Result};
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_core::{BlockingPool, MultiplexedStore, Server, Stores};
use stack_core_tokio::{Tokio, start};
use stack_redis_store::Target;
use tokio::runtime::Builder;

const PROGRAM: Program = Program {
    name: env!("CARGO_BIN_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["tokio", "httparse", "redis"],
    store: NeedsStore::Yes,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    let server = Server::new(args.max_connections);
    let sync = BlockingPool::start(&target, args.pool)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(args.workers as usize)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let (asynchronous, drivers) = MultiplexedStore::<Tokio>::new(&target, args.workers);
    for driver in drivers {
        runtime.spawn(driver.run());
    }
    runtime.block_on(asynchronous.attempted());
    // For the rest of the program's life: spares a count of references for every request.
    let stores = Box::leak(Box::new(Stores { sync, asynchronous }));
    listener::announce(&listener)?;
    {
        let _entered = runtime.enter();
        start(listener, server, stores).context("cannot watch the listener")?;
    }
    server.run_until(&shutdown)?;
    // What is still busy had its time to drain.
    runtime.shutdown_background();
    Ok(())
}
