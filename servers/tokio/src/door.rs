//! Where connections come from, and when they end.

use std::{convert::Infallible, io, os::fd::AsFd, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use stack_contract::Shutdown;
use stack_hyper_service::{Places, Runtime, serve};
use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    time,
};

/// The listener and the wish to stop, as known to the runtime they were opened in.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    shutdown: UnixStream,
    places: Places,
}

impl Door {
    /// Makes both known to the runtime this is called in.
    ///
    /// # Errors
    /// When the system refuses to watch either.
    pub fn open(listener: std::net::TcpListener, shutdown: &Shutdown, places: impl Into<Places>) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener).context("cannot watch the listener")?;
        Ok(Self { listener, shutdown: watch(shutdown)?, places: places.into() })
    }

    /// Serves until the server is to stop and what was in flight is done.
    pub async fn serve<A, F>(self, answer: A)
    where
        A: Fn(Request<Incoming>) -> F + Copy + Send + 'static,
        F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
    {
        serve(Tokio, self.listener, self.places, requested(&self.shutdown), answer).await;
    }
}

/// The wish to stop as a socket of the runtime this is called in.
///
/// # Errors
/// When the system refuses to watch it.
pub fn watch(shutdown: &Shutdown) -> Result<UnixStream> {
    let shutdown = shutdown.as_fd().try_clone_to_owned()?;
    UnixStream::from_std(shutdown.into()).context("cannot watch for signals")
}

/// Completes when the server is to stop.
pub async fn requested(shutdown: &UnixStream) {
    // Fails only if the runtime is going down, and then we stop as well.
    let _ = shutdown.readable().await;
}

/// What serving asks of tokio.
struct Tokio;

impl Runtime for Tokio {
    type Listener = TcpListener;
    type Socket = TcpStream;
    type Stream = TokioIo<TcpStream>;
    type Timer = TokioTimer;

    async fn accept(&self, listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().await.map(|(socket, _)| socket)
    }

    fn stream(socket: TcpStream) -> TokioIo<TcpStream> {
        TokioIo::new(socket)
    }

    fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(connection);
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        time::sleep(time)
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer::new()
    }
}
