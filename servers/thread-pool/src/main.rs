//! A bounded pool of blocking threads behind one readiness dispatcher: thousands of keep-alive connections, few
//! threads.
//!
//! A thread that owned a connection until it closes would serve as many clients as there are threads and starve the
//! rest. Here a connection is anybody's: the dispatcher queues it when it is ready, a thread gives it one turn, and
//! the kernel is asked to report it again.
//!
//! # Layout
//! - `table`: the connections
//! - `dispatcher`: accepts, and queues what is ready
//! - `pool`: gives what is queued its turn

mod dispatcher;
mod pool;
mod table;

use std::{net::TcpListener, process::ExitCode, thread};

use anyhow::{Context, Result};
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_redis_store::{MultiplexedStore, Target};
use stack_threads::Queue;
use tokio::runtime;

use crate::{
    dispatcher::Dispatcher,
    pool::{Stores, Worker},
    table::{Table, Token},
};

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["httparse", "redis", "tokio"],
    store: NeedsStore::Yes,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    // Drives the multiplexed connections and nothing else: one thread, as the threads of the pool do all the rest.
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("store")
        .enable_all()
        .build()
        .context("cannot start the runtime of the multiplexed store")?;
    // On the runtime, not beside it: its thread should be the one that knows the connections.
    let multiplexed = {
        let (target, connections) = (target.clone(), args.workers);
        runtime.block_on(runtime.spawn(async move { MultiplexedStore::connect(&target, connections).await }))?
    };
    // For the rest of the program's life, like the threads that use it.
    let table: &'static Table = Box::leak(Box::new(Table::new(args.max_connections)?));
    let queue: &'static Queue<Token> = Box::leak(Box::default());
    for number in 0..args.pool {
        let (target, multiplexed, runtime) = (target.clone(), multiplexed.clone(), runtime.handle().clone());
        let worker = move || {
            // The multiplexed client's timeouts need to know the runtime.
            let _entered = runtime.enter();
            Worker::new(Stores::new(target, multiplexed), table, queue).run();
        };
        let name = format!("pool-{number}");
        // Detached: a thread that is stuck in a store command must not hold up the exit.
        thread::Builder::new().name(name).spawn(worker).context("cannot start a thread of the pool")?;
    }
    listener::announce(&listener)?;
    let result = Dispatcher::new(listener, shutdown, table, queue)?.run();
    runtime.shutdown_background();
    result
}
