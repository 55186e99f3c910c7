//! What a runtime gives.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Accept, connect, read, write, sleep: all in which the stacks of the controlled panel differ.
///
/// The functions that poll do as those of every runtime's I/O traits: `Pending` wakes the context's task when there is
/// something to read, or room to write. One stream is only ever polled by one task.
pub trait Runtime: 'static {
    /// A listening socket.
    type Listener: Send + Sync + 'static;
    /// A connected one.
    type Stream: AsFd + Send + 'static;

    /// The next connection.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Connects to the first address of `host` that accepts.
    fn connect(host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Completes after that time. Seldom called, and never in the course of a request that goes well.
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Reads once; 0 is the end of the stream.
    fn poll_read(stream: &mut Self::Stream, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes once.
    fn poll_write(stream: &mut Self::Stream, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
}

/// A clock that runs against somebody. Boxed, because few of them ever run: no request that goes well starts one.
pub(crate) struct Timer(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Timer {
    pub(crate) const STOPPED: Self = Self(None);

    /// Starts it, unless it runs: the first reason counts.
    pub(crate) fn start<R: Runtime>(&mut self, time: Duration) {
        self.0.get_or_insert_with(|| Box::pin(R::sleep(time)));
    }

    pub(crate) fn stop(&mut self) {
        self.0 = None;
    }

    pub(crate) fn is_running(&self) -> bool {
        self.0.is_some()
    }

    /// Whether time is up; then it is stopped. One that does not run never rings.
    pub(crate) fn rings(&mut self, context: &mut Context<'_>) -> bool {
        let rings = self.0.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready());
        if rings {
            self.stop();
        }
        rings
    }
}

/// Lets the tasks that are ready go first.
pub(crate) async fn give_way() {
    let mut gave_way = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut gave_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
