//! A thread that sleeps until it is woken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
    thread::{self, Thread},
};

/// Its thread sleeps until somebody else wakes it, and does not miss that if it was not asleep yet.
#[derive(Debug)]
pub struct Sleeper {
    thread: Thread,
    /// Set to wake it: a thread may also return from `park` for no reason.
    called: AtomicBool,
}

impl Sleeper {
    /// The calling thread.
    #[must_use]
    pub fn current() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), called: AtomicBool::new(false) })
    }

    /// Sleeps until it was woken once more than it slept. Only for its own thread.
    pub fn sleep(&self) {
        while !self.called.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }

    /// Wakes it.
    pub fn wake(&self) {
        self.called.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        Sleeper::wake(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Sleeper::wake(self);
    }
}
