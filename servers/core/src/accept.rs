//! The accept loop.

use std::{future::poll_fn, io, pin::pin, task::Poll};

use rustix::net::sockopt::set_tcp_nodelay;
use stack_contract::limits::ACCEPT_PAUSE;

use crate::{
    runtime::Runtime,
    server::{Place, Server},
};

/// Accepts until the server is to stop, as long as there are places: more wait in the backlog. Each connection is given
/// to `spawn`, with its place. Several loops may share a server, each with a listener of its own.
pub async fn accept<R: Runtime>(
    server: &'static Server,
    listener: R::Listener,
    mut spawn: impl FnMut(R::Stream, Place) + Send,
) {
    loop {
        // Not taken yet: a loop to which nobody connects must not hold the place that another one could use.
        poll_fn(|context| server.poll_any_place(context)).await;
        let Some(accepted) = until_stop(server, R::accept(&listener)).await else { return };
        match accepted {
            Ok(stream) => {
                let place = poll_fn(|context| server.poll_place(context)).await;
                // Each answer is one write, which Nagle's algorithm would only delay. An error: the client left.
                if set_tcp_nodelay(&stream, true).is_ok() {
                    spawn(stream, place);
                }
            }
            // The client gave up before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                eprintln!("accept: {error}");
                if until_stop(server, R::sleep(ACCEPT_PAUSE)).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// `None`: the server is to stop.
async fn until_stop<T>(server: &'static Server, future: impl Future<Output = T> + Send) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| match server.poll_stop(context) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => future.as_mut().poll(context).map(Some),
    })
    .await
}
