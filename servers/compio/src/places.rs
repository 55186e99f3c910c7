//! How many connections are served at once, by all workers together: the kernel does not spread connections evenly
//! enough to split the places among them.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// The places for connections. All clones share them.
#[derive(Debug, Clone)]
pub struct Places(Arc<Mutex<State>>);

/// A connection's place, free again when this is dropped.
#[derive(Debug)]
pub struct Place(Places);

#[derive(Debug)]
struct State {
    taken: u32,
    most: u32,
    /// Whether the server is to stop.
    closed: bool,
    /// Workers that have no place for their next connection.
    waiting: Vec<Waker>,
}

impl Places {
    pub fn new(number: u32) -> Self {
        Self(Arc::new(Mutex::new(State { taken: 0, most: number, closed: false, waiting: Vec::new() })))
    }

    /// Waits until there is a place, which another worker may take before. False: the server is to stop.
    pub async fn any(&self) -> bool {
        poll_fn(|context| {
            let mut state = self.state();
            if state.closed || state.taken < state.most {
                return Poll::Ready(!state.closed);
            }
            state.wait(context)
        })
        .await
    }

    /// Takes a place, once there is one. Whoever was accepted before the server was to stop has one anyway.
    pub async fn take(&self) -> Place {
        poll_fn(|context| {
            let mut state = self.state();
            if state.taken >= state.most && !state.closed {
                return state.wait(context);
            }
            state.taken += 1;
            Poll::Ready(Place(self.clone()))
        })
        .await
    }

    /// From here on no connections are accepted.
    pub fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// Whether the server is to stop.
    pub fn are_closed(&self) -> bool {
        self.state().closed
    }

    /// Changes something that workers may wait for.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.state();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.waiting.push(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.change(|state| state.taken -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let places = Places::new(1);
        let Poll::Ready(place) = poll(places.take()) else { panic!("no place") };
        let mut next = pin!(places.take());
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(place);
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    #[test]
    fn workers_that_wait_for_connections_hold_no_places() {
        let places = Places::new(1);
        assert_eq!(poll(places.any()), Poll::Ready(true));
        assert_eq!(poll(places.any()), Poll::Ready(true));
        let Poll::Ready(_place) = poll(places.take()) else { panic!("no place") };
        assert_eq!(poll(places.any()), Poll::Pending);
    }

    #[test]
    fn a_server_that_stops_accepts_nobody_but_serves_whom_it_accepted() {
        let places = Places::new(1);
        let Poll::Ready(_place) = poll(places.take()) else { panic!("no place") };
        places.close();
        assert!(places.are_closed());
        assert_eq!(poll(places.any()), Poll::Ready(false));
        assert!(poll(places.take()).is_ready());
    }
}
