//! tokio's runtime with the contract's settings.

use std::time::Duration;

use anyhow::{Context, Result};
use stack_contract::Args;
use tokio::runtime::{Builder, Runtime};

/// A blocking thread owns a store connection, so it should outlive any pause between requests.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(3600);

/// A runtime of either kind, with `pool` threads that may block.
///
/// # Errors
/// When the system refuses it a thread or a descriptor.
pub fn build(mut kind: Builder, pool: u32) -> Result<Runtime> {
    kind.max_blocking_threads(pool as usize)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Runs `server` on one runtime whose `--workers` threads share all tasks, stealing from each other.
///
/// # Errors
/// Those of `server`, and when the runtime cannot be built.
pub fn run_work_stealing(args: &Args, server: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let mut kind = Builder::new_multi_thread();
    kind.worker_threads(args.workers as usize);
    let runtime = build(kind, args.pool)?;
    // On a worker: the thread that blocks here would otherwise run the accept loop and wake workers for every
    // connection.
    let result = runtime.block_on(runtime.spawn(server)).context("the server panicked")?;
    // What is still busy had its time to drain; a thread that blocks on the store must not hold up the exit.
    runtime.shutdown_background();
    result
}
