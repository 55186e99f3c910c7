//! Accept, serve, drain.

use std::{convert::Infallible, io, os::fd::AsFd, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use stack_contract::{Shutdown, limits::DRAIN_TIMEOUT};
use stack_hyper_service::http1;
use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

/// Pause after an error of `accept` that will not go away by itself, such as too few descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where connections come from, and when they end. Belongs to the runtime it was opened in.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    shutdown: UnixStream,
    places: Arc<Semaphore>,
}

/// As many places as connections may be served at once. Several doors may share them.
#[must_use]
pub fn places(max_connections: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(max_connections as usize))
}

impl Door {
    /// Makes a listener, and the wish to stop, known to the runtime this is called in.
    ///
    /// # Errors
    /// When the system refuses to watch either.
    pub fn open(listener: std::net::TcpListener, shutdown: &Shutdown, places: Arc<Semaphore>) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener).context("cannot watch the listener")?;
        let shutdown = shutdown.as_fd().try_clone_to_owned()?;
        let shutdown = UnixStream::from_std(shutdown.into()).context("cannot watch for signals")?;
        Ok(Self { listener, shutdown, places })
    }

    /// Serves until the server is to stop, then lets what is in flight finish.
    ///
    /// # Errors
    /// None that a client or the network could cause.
    pub async fn serve<A, F>(self, answer: A) -> Result<()>
    where
        A: Fn(Request<Incoming>) -> F + Copy + Send + 'static,
        F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
    {
        let http1 = http1(TokioTimer::new());
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                _ = self.shutdown.readable() => break,
            };
            let Some((stream, place)) = accepted? else { continue };
            let connection = graceful.watch(http1.serve_connection(TokioIo::new(stream), service_fn(answer)));
            tokio::spawn(async move {
                // A client that leaves, times out or speaks nonsense is its own affair.
                let _ = connection.await;
                drop(place);
            });
        }
        drop(self.listener);
        // What is not done by then is cut off.
        let _ = time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
        Ok(())
    }

    /// The next connection, once there is a place for it. `None`: this one failed, the next may not.
    async fn accept(&self) -> Result<Option<(TcpStream, OwnedSemaphorePermit)>> {
        let place = Arc::clone(&self.places).acquire_owned().await?;
        match self.listener.accept().await {
            Ok((stream, _)) => Ok(stream.set_nodelay(true).is_ok().then_some((stream, place))),
            // The client gave up before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(None),
            Err(error) => {
                eprintln!("accept: {error}");
                time::sleep(ACCEPT_PAUSE).await;
                Ok(None)
            }
        }
    }
}
