//! Accept, serve, drain.

use std::{io, sync::Arc, time::Duration};

use anyhow::Result;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use stack_contract::limits::DRAIN_TIMEOUT;
use stack_hyper_service::{Stores, answer, http1};
use stack_redis_store::MultiplexedStore;
use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    sync::Semaphore,
    time,
};

use crate::bridge::BlockingThreads;

/// Pause after an error of `accept` that will not go away by itself, such as too few descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` becomes readable, then lets what is in flight finish.
pub async fn run(
    listener: TcpListener,
    max_connections: usize,
    stores: Stores<BlockingThreads, MultiplexedStore>,
    shutdown: UnixStream,
) -> Result<()> {
    // For the rest of the program's life: spares a count of references for every request.
    let stores: &'static _ = Box::leak(Box::new(stores));
    let http1 = http1(TokioTimer::new());
    let places = Arc::new(Semaphore::new(max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _ = shutdown.readable() => break,
        };
        let Some((stream, place)) = accepted? else { continue };
        let service = service_fn(move |request| answer(stores, request));
        let connection = graceful.watch(http1.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A client that leaves, times out or speaks nonsense is its own affair.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    // What is not done by then is cut off.
    let _ = time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
    Ok(())
}

/// The next connection, once there is a place for it. `None`: this one failed, the next may not.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Result<Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)>> {
    let place = Arc::clone(places).acquire_owned().await?;
    match listener.accept().await {
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
