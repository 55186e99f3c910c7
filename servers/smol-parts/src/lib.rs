//! smol by its parts, for the stacks that stand on it: an executor on threads that we count, over async-io's reactor.

use std::{
    future::{self, Future},
    io,
    net::TcpStream,
    thread,
};

use anyhow::{Context, Result};
use async_executor::Executor;
use async_io::Async;

/// All tasks of the program. smol's own global executor would run them on threads that nobody counts.
static EXECUTOR: Executor<'static> = Executor::new();

/// Starts threads that run tasks for the rest of the program's life.
///
/// # Errors
/// When the system has no more threads.
pub fn start(workers: u32) -> Result<()> {
    for _ in 0..workers {
        thread::Builder::new().name("worker".into()).spawn(work).context("cannot start a worker")?;
    }
    Ok(())
}

/// A worker without tasks waits in the reactor by itself. So whoever is woken by a socket is on the thread that goes on
/// with it, and the thread that async-io keeps for programs that do not care has little to do.
fn work() {
    async_io::block_on(EXECUTOR.run(future::pending::<()>()));
}

/// Runs a task on the workers until it ends by itself.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    EXECUTOR.spawn(task).detach();
}

/// Runs a task on the workers and waits for it, without taking the reactor from them.
pub fn block_on<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    futures_lite::future::block_on(EXECUTOR.spawn(task))
}

/// Connects to the first address of `host` that accepts.
///
/// # Errors
/// The last address's refusal.
pub async fn connect(host: &str, port: u16) -> io::Result<Async<TcpStream>> {
    let mut refusal = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in async_net::resolve((host, port)).await? {
        match Async::<TcpStream>::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}
