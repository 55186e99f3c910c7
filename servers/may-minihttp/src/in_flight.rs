//! How many requests are being answered.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use stack_contract::limits::DRAIN_TIMEOUT;

/// For so long there must have been none: between our answer and the library's write of it we are not asked.
const CALM: Duration = Duration::from_millis(100);

/// How often they are counted.
const LOOK: Duration = Duration::from_millis(10);

/// The requests that are being answered.
#[derive(Debug, Default)]
pub struct InFlight {
    requests: AtomicUsize,
    stopping: AtomicBool,
}

/// One of them, until it is dropped.
pub struct OneMore(&'static InFlight);

impl InFlight {
    pub fn enter(&'static self) -> OneMore {
        self.requests.fetch_add(1, Ordering::Relaxed);
        OneMore(self)
    }

    /// From now on the clients are asked to leave.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Blocks the thread until there has been none for a while, but not for longer than the drain may take.
    pub fn wait_until_none(&self) {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        let mut last_seen = Instant::now();
        while last_seen.elapsed() < CALM && Instant::now() < deadline {
            thread::sleep(LOOK);
            if self.requests.load(Ordering::Relaxed) > 0 {
                last_seen = Instant::now();
            }
        }
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
