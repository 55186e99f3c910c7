//! The controlled panel's server on one single-threaded tokio runtime per worker, which share nothing but the port, the
//! number of places, and the threads that block.

use std::{future, net::TcpListener, process::ExitCode, sync::mpsc, thread};

use anyhow::{Context, Result};
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_core::{BlockingPool, MultiplexedStore, Server, Stores};
use stack_core_tokio::{CoreStores, start};
use stack_redis_store::Target;
use tokio::runtime::{Builder, Runtime};

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
    let pool = BlockingPool::start(&target, args.pool)?;
    let (ready, all_ready) = mpsc::channel();
    for index in 0..args.workers {
        let own = if index == 0 { listener.try_clone() } else { listener::share(&listener) };
        let own = own.context("cannot listen once for each worker")?;
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        let (target, ready) = (target.clone(), ready.clone());
        // Detached: it serves for as long as the program runs.
        thread::Builder::new()
            .name("worker".into())
            .spawn(move || work(&runtime, own, server, pool, &target, &ready))
            .context("cannot start a worker")?;
    }
    drop(ready);
    // Ends when the last worker said that it is ready, or why it is not.
    for started in all_ready.iter().take(args.workers as usize) {
        started.context("cannot watch the listener")?;
    }
    listener::announce(&listener)?;
    // Or the port would stay open when the workers have closed theirs.
    drop(listener);
    server.run_until(&shutdown)
}

/// One worker's thread.
fn work(
    runtime: &Runtime,
    listener: TcpListener,
    server: &'static Server,
    sync: BlockingPool,
    target: &Target,
    ready: &mpsc::Sender<std::io::Result<()>>,
) {
    runtime.block_on(async {
        let (asynchronous, drivers) = MultiplexedStore::new(target, 1);
        for driver in drivers {
            tokio::spawn(driver.run());
        }
        asynchronous.attempted().await;
        let stores: &'static CoreStores = Box::leak(Box::new(Stores { sync, asynchronous }));
        // Nobody listens any more if another worker could not start: then the program ends.
        let _ = ready.send(start(listener, server, stores));
        future::pending::<()>().await;
    });
}
