//! Places for connections, and their end.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use anyhow::Result;
use stack_contract::{Shutdown, limits::DRAIN_TIMEOUT};

/// What all connections of a server share: how many there may be, and the wish to stop.
#[derive(Debug)]
pub struct Server {
    stopping: AtomicBool,
    places: Mutex<Places>,
    /// Told when the last connection ended.
    empty: Condvar,
}

#[derive(Debug)]
struct Places {
    /// The tasks of the connections, to be woken once, when the server is to stop: so no request pays for that.
    taken: Vec<Option<Waker>>,
    free: Vec<usize>,
    most: usize,
    /// Accept loops that wait for a place, or accept and are to hear of the end.
    acceptors: Vec<Waker>,
}

/// A connection's place, free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    server: &'static Server,
    number: usize,
}

impl Server {
    /// A server with places for so many connections, for the rest of the program's life.
    #[must_use]
    pub fn new(max_connections: u32) -> &'static Self {
        let most = max_connections as usize;
        let places = Places { taken: Vec::new(), free: Vec::new(), most, acceptors: Vec::new() };
        Box::leak(Box::new(Self {
            stopping: AtomicBool::new(false),
            places: Mutex::new(places),
            empty: Condvar::new(),
        }))
    }

    /// Blocks until the server is asked to stop, and then until what is in flight is finished, or had its time.
    ///
    /// # Errors
    /// When the system refuses to wait for signals.
    pub fn run_until(&self, shutdown: &Shutdown) -> Result<()> {
        shutdown.wait()?;
        self.stop();
        Ok(())
    }

    /// Stops accepting and blocks until what is in flight is finished, or had its time.
    pub fn stop(&self) {
        self.take_leave();
        self.drain(DRAIN_TIMEOUT);
    }

    /// Lets every connection end after its next answer, or at once if it is idle.
    fn take_leave(&self) {
        let wakers: Vec<_> = {
            let mut places = self.places();
            // With the lock held, so that whoever registers later sees it.
            self.stopping.store(true, Ordering::Release);
            let acceptors = std::mem::take(&mut places.acceptors);
            acceptors.into_iter().chain(places.taken.iter().flatten().cloned()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn drain(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut places = self.places();
        while places.in_use() > 0 {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            places = self.empty.wait_timeout(places, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether connections are to take leave.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Completes when there is a place, which another one may take before.
    pub(crate) fn poll_any_place(&self, context: &Context<'_>) -> Poll<()> {
        let mut places = self.places();
        if places.in_use() < places.most || self.is_stopping() {
            return Poll::Ready(());
        }
        places.wait(context);
        Poll::Pending
    }

    /// Takes a place, once there is one.
    pub(crate) fn poll_place(&'static self, context: &Context<'_>) -> Poll<Place> {
        let mut places = self.places();
        if places.in_use() >= places.most && !self.is_stopping() {
            places.wait(context);
            return Poll::Pending;
        }
        let number = places.free.pop().unwrap_or_else(|| {
            places.taken.push(None);
            places.taken.len() - 1
        });
        Poll::Ready(Place { server: self, number })
    }

    /// Completes when the server is to stop.
    pub(crate) fn poll_stop(&self, context: &Context<'_>) -> Poll<()> {
        let mut places = self.places();
        if self.is_stopping() {
            return Poll::Ready(());
        }
        places.wait(context);
        Poll::Pending
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // Nothing panics with the lock held.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn in_use(&self) -> usize {
        self.taken.len() - self.free.len()
    }

    /// Has the task of this context woken when a place is free, or when the server is to stop.
    fn wait(&mut self, context: &Context<'_>) {
        // They are few, and each is here once however often it asks.
        if !self.acceptors.iter().any(|waker| waker.will_wake(context.waker())) {
            self.acceptors.push(context.waker().clone());
        }
    }
}

impl Place {
    /// The server it is a place of.
    #[must_use]
    pub fn server(&self) -> &'static Server {
        self.server
    }

    /// Has the task of this context woken when the server is to stop.
    pub(crate) fn watch(&self, context: &Context<'_>) {
        self.server.places().taken[self.number] = Some(context.waker().clone());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let waiting = {
            let mut places = self.server.places();
            let was_full = places.in_use() >= places.most;
            places.taken[self.number] = None;
            places.free.push(self.number);
            if places.in_use() == 0 {
                self.server.empty.notify_all();
            }
            // Those that only wait for the end ask again at no great cost.
            if was_full { std::mem::take(&mut places.acceptors) } else { Vec::new() }
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn no_more_places_are_given_than_there_are() {
        let server = Server::new(2);
        let Poll::Ready(first) = server.poll_place(&context()) else { panic!("no place") };
        let Poll::Ready(_second) = server.poll_place(&context()) else { panic!("no place") };
        assert!(server.poll_place(&context()).is_pending());
        assert!(server.poll_any_place(&context()).is_pending());
        drop(first);
        assert!(server.poll_any_place(&context()).is_ready());
        assert!(server.poll_place(&context()).is_ready());
    }

    #[test]
    fn a_server_that_stops_waits_for_its_connections_but_not_for_ever() {
        let server = Server::new(2);
        let Poll::Ready(place) = server.poll_place(&context()) else { panic!("no place") };
        server.take_leave();
        assert!(server.poll_stop(&context()).is_ready());
        server.drain(Duration::from_millis(1));
        let dropper = std::thread::spawn(move || drop(place));
        server.drain(Duration::from_secs(60));
        dropper.join().unwrap();
        assert_eq!(server.places().in_use(), 0);
    }
}
