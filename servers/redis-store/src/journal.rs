//! Says once that the store went, and once that it is back, however many connections notice.

use std::{
    fmt::Display,
    sync::atomic::{AtomicBool, Ordering},
};

/// Shared by all connections to a store.
#[derive(Debug, Default)]
pub struct Journal {
    down: AtomicBool,
}

impl Journal {
    /// The store went, or a connection to it could not be opened.
    pub fn down(&self, reason: &dyn Display) {
        if !self.down.swap(true, Ordering::Relaxed) {
            eprintln!("store: {reason}; trying again");
        }
    }

    /// A connection was opened.
    pub fn up(&self) {
        // Read first: connecting happens often, having been down seldom.
        if self.down.load(Ordering::Relaxed) && self.down.swap(false, Ordering::Relaxed) {
            eprintln!("store: connected again");
        }
    }
}
