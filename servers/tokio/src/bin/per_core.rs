//! hyper on one single-threaded tokio runtime per worker, which share nothing but the port.

use std::{
    net::TcpListener,
    process::ExitCode,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_hyper_service::{Places, Stores, answer};
use stack_redis_store::{BridgedStore, MultiplexedStore, Target, TokioThreads};
use stack_tokio::{Door, runtime};
use tokio::runtime::{Builder, Runtime};

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
    // The one thing that workers share: the kernel does not spread connections evenly enough to split the places.
    let places = Places::from(args.max_connections);
    let mut workers = Vec::new();
    for index in 0..args.workers {
        // tokio wants one at least; who has none of the pool uses the threads of another.
        let threads = share_of(args.pool, index, args.workers).max(1);
        let runtime = runtime::build(Builder::new_current_thread(), threads)?;
        let own = if index == 0 { listener.try_clone() } else { listener::share(&listener) };
        let _entered = runtime.enter();
        let door = Door::open(own.context("cannot listen once for each worker")?, &shutdown, places.clone())?;
        workers.push((runtime, door));
    }
    let threads: Vec<_> = workers.iter().map(|(runtime, _)| TokioThreads(runtime.handle().clone())).collect();
    let (connected, all_connected) = mpsc::channel::<()>();
    let mut running = Vec::new();
    for (index, (runtime, door)) in workers.into_iter().enumerate() {
        let (target, connected) = (target.clone(), connected.clone());
        let sync = BridgedStore::new(threads[index % args.pool as usize].clone(), target.clone());
        let serve = move || work(runtime, door, sync, target, connected);
        running.push(thread::Builder::new().name("worker".into()).spawn(serve).context("cannot start a worker")?);
    }
    drop(connected);
    // Nothing is ever sent: this ends when the last worker has dropped its sender.
    let _ = all_connected.recv();
    listener::announce(&listener)?;
    // Or the port would stay open when the workers have closed theirs.
    drop(listener);
    let join = |worker: JoinHandle<_>| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    // All of them first: some may use the threads of others.
    let runtimes: Vec<Runtime> = running.into_iter().map(join).collect();
    // What is still busy had its time to drain; a thread that blocks on the store must not hold up the exit.
    runtimes.into_iter().for_each(Runtime::shutdown_background);
    Ok(())
}

/// One worker's thread. Returns when the server is to stop and what was in flight is done.
fn work(
    runtime: Runtime,
    door: Door,
    sync: BridgedStore<TokioThreads>,
    target: Target,
    connected: mpsc::Sender<()>,
) -> Runtime {
    runtime.block_on(async move {
        let asynchronous = MultiplexedStore::connect(&target, 1).await;
        let stores: &'static _ = Box::leak(Box::new(Stores { sync, asynchronous }));
        drop(connected);
        door.serve(move |request| answer(stores, request)).await;
    });
    runtime
}

/// The part of `--pool` that falls to this worker: together they have as many threads.
fn share_of(pool: u32, index: u32, workers: u32) -> u32 {
    pool / workers + u32::from(index < pool % workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_split_without_a_rest_and_the_first_workers_have_it_if_it_is_small() {
        let shares = |pool, workers| (0..workers).map(|index| share_of(pool, index, workers)).collect::<Vec<_>>();
        assert_eq!(shares(16, 1), [16]);
        assert_eq!(shares(16, 3), [6, 5, 5]);
        assert_eq!(shares(2, 3), [1, 1, 0]);
    }
}
