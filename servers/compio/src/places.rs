//! How many connections are served at once, by all workers together: the kernel does not spread connections evenly
//! enough to split the places among them.

use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// The places for connections.
#[derive(Debug)]
pub struct Places(Mutex<State>);

#[derive(Debug)]
struct State {
    free: u32,
    /// Whether the server is to stop.
    closed: bool,
    /// Workers that have no place for their next connection.
    waiting: Vec<Waker>,
}

impl Places {
    pub fn new(number: u32) -> Self {
        Self(Mutex::new(State { free: number, closed: false, waiting: Vec::new() }))
    }

    /// Takes a place, once there is one. False: there will be none, because the server is to stop.
    pub async fn take(&self) -> bool {
        poll_fn(|context| {
            let mut state = self.state();
            if state.closed {
                return Poll::Ready(false);
            }
            if state.free == 0 {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            state.free -= 1;
            Poll::Ready(true)
        })
        .await
    }

    /// Gives a place back.
    pub fn release(&self) {
        let mut state = self.state();
        state.free += 1;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// From here on there are no places.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether the server is to stop.
    pub fn are_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Context};

    use super::*;

    fn poll(future: impl Future<Output = bool>) -> Poll<bool> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let places = Places::new(1);
        assert_eq!(poll(places.take()), Poll::Ready(true));
        let mut next = pin!(places.take());
        assert_eq!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
        places.release();
        assert_eq!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(true));
    }

    #[test]
    fn there_are_no_places_once_the_server_is_to_stop() {
        let places = Places::new(1);
        places.close();
        assert!(places.are_closed());
        assert_eq!(poll(places.take()), Poll::Ready(false));
    }
}
