//! What the asynchronous stores ask of a runtime.

use std::{io, os::fd::AsFd, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

/// A runtime that drives connections to the store. The calls that a request makes are the store's own; this is for
/// what happens once a connection, and for the threads that may block.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A connected socket of this runtime.
    type Socket: AsFd + Send;
    /// The socket with tokio's I/O traits, which are the ones the `redis` crate knows. They need no runtime.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to the first address that `host` has and that accepts.
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Socket>> + Send;

    /// Makes a socket what the `redis` crate wants.
    fn stream(socket: Self::Socket) -> Self::Stream;

    /// Runs a task until it ends by itself.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Completes after that time.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// Runs a piece of work on a thread that may block. `None`: the runtime is going down, or the work
    /// panicked and the runtime does not hand that on.
    ///
    /// The future borrows nothing: of one that might, the compiler could not tell that it is `Send` for every lifetime.
    fn unblock<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = Option<T>> + Send + use<Self, T, W>;
}

/// The tokio runtime in whose context the store is used.
#[cfg(feature = "tokio")]
#[derive(Debug, Clone, Copy)]
pub struct Tokio;

#[cfg(feature = "tokio")]
impl Runtime for Tokio {
    type Socket = tokio::net::TcpStream;
    type Stream = Self::Socket;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Socket> {
        tokio::net::TcpStream::connect((host, port)).await
    }

    fn stream(socket: Self::Socket) -> Self::Stream {
        socket
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }

    fn unblock<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = Option<T>> + Send + use<T, W> {
        let done = tokio::task::spawn_blocking(work);
        async { done.await.ok() }
    }
}

/// [`Tokio`] with the blocking threads of a certain runtime, which tasks of any other may use as well.
#[cfg(feature = "tokio")]
#[derive(Debug, Clone)]
pub struct TokioThreads(pub tokio::runtime::Handle);

#[cfg(feature = "tokio")]
impl Runtime for TokioThreads {
    type Socket = <Tokio as Runtime>::Socket;
    type Stream = <Tokio as Runtime>::Stream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Socket> {
        Tokio.connect(host, port).await
    }

    fn stream(socket: Self::Socket) -> Self::Stream {
        Tokio::stream(socket)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Tokio.spawn(task);
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        Tokio.sleep(time)
    }

    fn unblock<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = Option<T>> + Send + use<T, W> {
        let done = self.0.spawn_blocking(work);
        async { done.await.ok() }
    }
}

/// Has the `redis` crate take tokio's timers for the rest of the process's life, if a build that has smol's as well left
/// it the choice: otherwise it looks for tokio's runtime at every command. Only the first preference counts.
#[cfg(feature = "tokio")]
pub fn prefer_tokio() {
    #[cfg(feature = "smol")]
    let _ = redis::aio::prefer_tokio();
}

/// As [`prefer_tokio`], for smol's timers. A program on smol calls it before it connects.
#[cfg(feature = "smol")]
pub fn prefer_smol() {
    #[cfg(feature = "tokio")]
    let _ = redis::aio::prefer_smol();
}
