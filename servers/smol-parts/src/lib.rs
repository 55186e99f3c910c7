//! smol by its parts, for the stacks that stand on it: an executor on threads that we count, over async-io's reactor.

//!
//! # Layout
//! - this file: the workers
//! - `stream`: a connection

mod stream;

use std::{future::Future, io, net::TcpStream, thread};

use anyhow::{Context, Result};
use async_executor::Executor;
use async_io::Async;
use futures_lite::future;

pub use stream::Stream;

/// All tasks of the program. smol's own global executor would run them on threads that nobody counts.
static EXECUTOR: Executor<'static> = Executor::new();

/// Tasks that a worker runs before it looks at its sockets again. `Executor::run` would look after 200, and those take a
/// few milliseconds: long enough for async-io's own thread, which looks every 50 µs while it finds that nobody else did,
/// to take the reactor. From then on it keeps it, each batch of events passes from thread to thread, and with 2000
/// connections a request costs twice as much.
const TASKS_PER_LOOK: usize = 32;

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
    async_io::block_on(async {
        loop {
            for _ in 0..TASKS_PER_LOOK {
                EXECUTOR.tick().await;
            }
            // To be polled again at once is what makes `block_on` look at the reactor without waiting.
            future::yield_now().await;
        }
    });
}

/// Runs a task on the workers until it ends by itself.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    EXECUTOR.spawn(task).detach();
}

/// Runs a task on the workers and waits for it, without taking the reactor from them.
pub fn block_on<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    future::block_on(EXECUTOR.spawn(task))
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
