//! async-std, with the threads it was asked for.

use std::{future::Future, io, num::NonZeroUsize, time::Duration};

use anyhow::{Context, Result};
use async_global_executor::GlobalExecutorConfig;
use async_std::{
    net::{TcpListener, TcpStream},
    task,
};
use futures_lite::future;
use stack_contract::Args;
use stack_hyper_service::{CoarseTimer, FrugalIo};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

/// The runtime, of which a process has one.
#[derive(Debug, Clone, Copy)]
pub struct AsyncStd;

/// Runs `server` on `--workers` threads, with `--pool` more that may block.
///
/// # Errors
/// Those of `server`.
pub fn run(args: &Args, server: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let workers = args.workers as usize;
    // async-std itself would start as many threads as ASYNC_STD_THREAD_COUNT says; its executor takes the first
    // configuration it is given.
    async_global_executor::init_with_config(
        GlobalExecutorConfig::default().with_min_threads(workers).with_max_threads(workers),
    );
    blocking::set_max_blocking_threads(NonZeroUsize::new(args.pool as usize).context("--pool 0")?);
    // Only waits: with async-std's own `block_on` this thread would take the reactor from the workers. What is still
    // busy ends with the process.
    future::block_on(task::spawn(server))
}

impl stack_redis_store::Runtime for AsyncStd {
    type Socket = TcpStream;
    type Stream = Compat<TcpStream>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Socket> {
        TcpStream::connect((host, port)).await
    }

    fn stream(socket: Self::Socket) -> Self::Stream {
        socket.compat()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        task::spawn(task);
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        task::sleep(time)
    }

    fn unblock<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = Option<T>> + Send + use<T, W> {
        async { Some(task::spawn_blocking(work).await) }
    }
}

impl stack_hyper_service::Runtime for AsyncStd {
    type Listener = TcpListener;
    type Socket = TcpStream;
    type Stream = FrugalIo<TcpStream>;
    type Timer = CoarseTimer;

    async fn accept(&self, listener: &Self::Listener) -> io::Result<Self::Socket> {
        listener.accept().await.map(|(socket, _)| socket)
    }

    fn stream(socket: Self::Socket) -> Self::Stream {
        FrugalIo::new(socket)
    }

    fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        task::spawn(connection);
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        task::sleep(time)
    }

    fn timer(&self) -> CoarseTimer {
        let timer = CoarseTimer::default();
        task::spawn(timer.clone().run(task::sleep));
        timer
    }
}
