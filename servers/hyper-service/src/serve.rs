//! Accept, serve, drain: the same on every runtime.

use std::{convert::Infallible, io, os::fd::AsFd, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    rt::{Read, Timer, Write},
    server::conn::http1::Connection,
    service::{HttpService, service_fn},
};
use socket2::SockRef;
use stack_contract::limits::{ACCEPT_PAUSE, DRAIN_TIMEOUT};
// A semaphore needs no runtime.
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    http1,
    leave::{Departing, Leave},
};

/// What serving asks of a runtime.
pub trait Runtime: Send + Sync + 'static {
    /// Its listening socket.
    type Listener: Send + Sync;
    /// A connection.
    type Socket: AsFd + Send;
    /// A connection as hyper wants it.
    type Stream: Read + Write + Unpin + Send + 'static;
    /// Its clock.
    type Timer: Timer + Send + Sync + 'static;

    /// The next connection.
    fn accept(&self, listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Socket>> + Send;

    /// Makes a connection what hyper wants.
    fn stream(socket: Self::Socket) -> Self::Stream;

    /// Runs a connection's task.
    fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static);

    /// Completes after that time.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// hyper's clock for slow and idle clients.
    fn timer(&self) -> Self::Timer;
}

/// As many places as connections may be served at once. Clones share them, as do the listeners that have a clone each.
#[derive(Debug, Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    all: u32,
}

impl From<u32> for Places {
    fn from(max_connections: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(max_connections as usize)), all: max_connections }
    }
}

impl Places {
    /// Waits for a free one.
    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // Fails only if the semaphore were closed, which nobody does.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Waits until one is free, which another listener may take before.
    async fn wait(&self) {
        drop(self.take().await);
    }

    /// Waits until all are free, that is, until all connections have ended.
    async fn empty(&self) {
        let _ = self.free.acquire_many(self.all).await;
    }
}

/// Serves until `shutdown` completes, then lets what is in flight finish, for at most [`DRAIN_TIMEOUT`].
pub async fn serve<R, A, F>(
    runtime: R,
    listener: R::Listener,
    places: impl Into<Places>,
    shutdown: impl Future<Output = ()> + Send,
    answer: A,
) where
    R: Runtime,
    A: Fn(Request<Incoming>) -> F + Copy + Send + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let http1 = http1(runtime.timer());
    let places = places.into();
    let leave = Arc::new(Leave::default());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&runtime, &listener, &places) => accepted,
            () = &mut shutdown => break,
        };
        let Some((socket, place)) = accepted else { continue };
        let connection = leave.watch(http1.serve_connection(R::stream(socket), service_fn(answer)));
        runtime.spawn(async move {
            // A client that leaves, times out or speaks nonsense is its own affair.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    leave.take();
    tokio::select! {
        () = places.empty() => {}
        // What is not done by then is cut off.
        () = runtime.sleep(DRAIN_TIMEOUT) => {}
    }
}

/// The next connection, with its place. `None`: this one failed, the next may not.
async fn accept<R: Runtime>(
    runtime: &R,
    listener: &R::Listener,
    places: &Places,
) -> Option<(R::Socket, OwnedSemaphorePermit)> {
    // Not taken yet: a listener to which nobody connects must not hold the place that another one could use.
    places.wait().await;
    match runtime.accept(listener).await {
        Ok(socket) => {
            let place = places.take().await?;
            SockRef::from(&socket).set_tcp_nodelay(true).is_ok().then_some((socket, place))
        }
        // The client gave up before we came to it.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => None,
        Err(error) => {
            eprintln!("accept: {error}");
            runtime.sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

impl<I, S> Departing for Connection<I, S>
where
    I: Read + Write + Unpin + 'static,
    S: HttpService<Incoming, ResBody = Full<Bytes>, Error = Infallible>,
{
    fn depart(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
