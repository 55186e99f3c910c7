//! smol by its parts: an executor of our own, async-io's reactor, blocking's threads.

use std::{
    future::{self, Future},
    io,
    net::{TcpListener, TcpStream, ToSocketAddrs},
    num::NonZeroUsize,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use async_executor::Executor;
use async_io::{Async, Timer};
use smol_hyper::rt::FuturesIo;
use stack_contract::Args;
use stack_hyper_service::AsyncIoTimer;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

/// All tasks of the server. smol's own global executor would run them on threads that nobody counts.
static EXECUTOR: Executor<'static> = Executor::new();

/// The runtime: one executor, and the reactor that the process has anyway.
#[derive(Debug, Clone, Copy)]
pub struct Smol;

/// Runs `server` on `--workers` threads, of which this one is the first, with `--pool` more that may block.
///
/// # Errors
/// Those of `server`, and when the system refuses a thread.
pub fn run(args: &Args, server: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    blocking::set_max_blocking_threads(NonZeroUsize::new(args.pool as usize).context("--pool 0")?);
    for _ in 1..args.workers {
        thread::Builder::new()
            .name("worker".into())
            .spawn(|| work(future::pending::<()>()))
            .context("cannot start a worker")?;
    }
    // As a task, and not in place, which would poll it whenever this worker wakes. The other workers and what is still
    // busy end with the process.
    work(EXECUTOR.spawn(server))
}

/// Runs tasks until `end` completes. A worker without tasks waits in the reactor by itself, so that whoever is woken by
/// a socket is on the thread that goes on with it, and async-io's helper thread has nothing to do.
fn work<T>(end: impl Future<Output = T>) -> T {
    async_io::block_on(EXECUTOR.run(end))
}

impl stack_redis_store::Runtime for Smol {
    type Socket = Async<TcpStream>;
    type Stream = Compat<Async<TcpStream>>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Socket> {
        let name = host.to_owned();
        let addresses = blocking::unblock(move || (name, port).to_socket_addrs()).await?;
        let mut refusal = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
        for address in addresses {
            match Async::<TcpStream>::connect(address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn stream(socket: Self::Socket) -> Self::Stream {
        socket.compat()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        EXECUTOR.spawn(task).detach();
    }

    async fn sleep(&self, time: Duration) {
        Timer::after(time).await;
    }

    fn unblock<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = Option<T>> + Send + use<T, W> {
        async { Some(blocking::unblock(work).await) }
    }
}

impl stack_hyper_service::Runtime for Smol {
    type Listener = Async<TcpListener>;
    type Socket = Async<TcpStream>;
    type Stream = FuturesIo<Async<TcpStream>>;
    type Timer = AsyncIoTimer;

    async fn accept(&self, listener: &Self::Listener) -> io::Result<Self::Socket> {
        listener.accept().await.map(|(socket, _)| socket)
    }

    fn stream(socket: Self::Socket) -> Self::Stream {
        FuturesIo::new(socket)
    }

    fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        EXECUTOR.spawn(connection).detach();
    }

    async fn sleep(&self, time: Duration) {
        Timer::after(time).await;
    }

    fn timer(&self) -> AsyncIoTimer {
        AsyncIoTimer
    }
}
