//! Requests that wait for each other, so that all are answered at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Nobody waits longer than this for the others: connections end without a word, and that is noticed by those only who
/// read.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest rest between two batches.
const REST_MAX: Duration = Duration::from_millis(100);

/// Connections that are answered together.
pub(crate) struct Batch {
    state: Mutex<State>,
    let_go: Condvar,
}

struct State {
    connections: usize,
    waiting: usize,
    /// Batches so far.
    nth: u64,
    /// When the last one was let go.
    let_go_at: Instant,
    is_resting: bool,
}

impl Batch {
    pub(crate) fn new() -> Self {
        let state = State { connections: 0, waiting: 0, nth: 0, let_go_at: Instant::now(), is_resting: false };
        Self { state: Mutex::new(state), let_go: Condvar::new() }
    }

    /// One more connection.
    pub(crate) fn join(&self) {
        self.state().connections += 1;
    }

    /// One less.
    pub(crate) fn leave(&self) {
        self.state().connections -= 1;
    }

    /// Returns when every connection waits, and then as much later as their client took to come back from the last batch:
    /// so it works for half of the time, on a fast machine and on a slow one.
    pub(crate) fn wait(&self) {
        let mut state = self.state();
        state.waiting += 1;
        if state.waiting >= state.connections && !state.is_resting {
            state.is_resting = true;
            let rest = state.let_go_at.elapsed().min(REST_MAX);
            drop(state);
            thread::sleep(rest);
            let mut state = self.state();
            (state.waiting, state.nth, state.let_go_at, state.is_resting) = (0, state.nth + 1, Instant::now(), false);
            self.let_go.notify_all();
            return;
        }
        let nth = state.nth;
        let waited = self.let_go.wait_timeout_while(state, PATIENCE, |state| state.nth == nth);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.nth == nth {
            state.waiting -= 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
