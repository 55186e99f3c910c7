//! Says once that the store went, and once that it is back, however many connections notice.

use std::{
    fmt::Display,
    sync::atomic::{AtomicBool, Ordering},
};

#[derive(Debug, Default)]
pub(crate) struct Journal {
    down: AtomicBool,
}

impl Journal {
    pub(crate) fn down(&self, reason: &dyn Display) {
        if !self.down.swap(true, Ordering::Relaxed) {
            eprintln!("store: {reason}; trying again");
        }
    }

    pub(crate) fn up(&self) {
        // Read first: connecting happens often, having been down seldom.
        if self.down.load(Ordering::Relaxed) && self.down.swap(false, Ordering::Relaxed) {
            eprintln!("store: connected again");
        }
    }
}
