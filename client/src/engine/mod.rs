//! The engine: event loops that send requests and time the answers.
//!
//! One OS thread, one event loop and one [`Tally`] per `-t`. A socket is registered once, edge-triggered, for
//! everything; the next request is written straight after the answer is parsed; nothing is allocated and nothing is
//! shared per request.
//!
//! The edges of the measured window are set by the thread that reads the CPU clocks, at the instant it reads them
//! ([`Edges`]). The loops compare each answer's instant with them, so that cost and count share one window, however
//! late a busy machine wakes that thread.

mod connection;
mod event_loop;
mod timers;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

pub use connection::ConnectionOutcome;
pub use event_loop::EventLoop;

use crate::tally::Tally;

/// What all event loops do.
#[derive(Debug)]
pub struct Plan {
    /// Whom to load.
    pub address: SocketAddr,
    /// The request's bytes.
    pub request: Vec<u8>,
    /// Connections over all loops.
    pub connections: u32,
    /// Event loops.
    pub threads: u32,
    /// Answers later than this are counted as timeouts; connecting is given up after it.
    pub timeout_ns: u64,
    /// Connection i of c sends first at i·spread/c.
    pub spread_ns: u64,
    /// The status each answer must have, if that was asked for.
    pub expect_status: Option<u16>,
    /// The body each answer must have, if that was asked for.
    pub expect_body: Option<Vec<u8>>,
}

/// The instants between which answers count, once they are known.
#[derive(Debug)]
pub struct Edges {
    open_ns: AtomicU64,
    close_ns: AtomicU64,
}

impl Edges {
    /// Neither is known.
    pub fn new() -> Self {
        Self { open_ns: AtomicU64::new(u64::MAX), close_ns: AtomicU64::new(u64::MAX) }
    }

    /// Opens the window at this instant.
    pub fn open(&self, at_ns: u64) {
        self.open_ns.store(at_ns, Ordering::Release);
    }

    /// Closes the window at this instant, which ends the run.
    pub fn close(&self, at_ns: u64) {
        self.close_ns.store(at_ns, Ordering::Release);
    }

    /// When the window opened; `u64::MAX` while it has not.
    #[inline]
    pub fn opened_ns(&self) -> u64 {
        self.open_ns.load(Ordering::Acquire)
    }

    /// When the window closed; `u64::MAX` while it has not.
    #[inline]
    pub fn closed_ns(&self) -> u64 {
        self.close_ns.load(Ordering::Acquire)
    }
}

impl Default for Edges {
    fn default() -> Self {
        Self::new()
    }
}

/// What one event loop brings home.
#[derive(Debug)]
pub struct LoopOutcome {
    /// Its counters.
    pub tally: Tally,
    /// Its connections.
    pub connections: Vec<ConnectionOutcome>,
}
