//! The engine: event loops that send requests and time the answers.
//!
//! One OS thread, one event loop and one [`Tally`] per `-t`. A socket is registered once, edge-triggered, for
//! everything; in the closed loop the next request is written straight after the answer is parsed, in the open loop
//! when it is due; nothing is allocated and, without a budget of requests, nothing
//! is shared per request; TLS and hooks bring costs of their own.
//!
//! The edges of the measured window are set by the thread that reads the CPU clocks, at the instant it reads them
//! ([`Edges`]). The loops compare each answer's instant with them, so that cost and count share one window, however
//! late a busy machine wakes that thread.
//!
//! # Layout
//! - [`EventLoop`]: turns, connecting, sending, receiving; [`connection`]: what it knows of each connection.
//! - `pace`: how long a loop sleeps; [`transport`]: sockets, with TLS or without; [`arrivals`]: when requests are due;
//!   [`hooks`]: who may decide what is sent; [`timers`]: what is to be done later.

pub mod arrivals;
mod connection;
mod event_loop;
pub mod hooks;
mod pace;
mod timers;
pub mod transport;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use connection::ConnectionOutcome;
pub use event_loop::{EventLoop, LoopError, Open};

use self::arrivals::{Arrival, Rate};
use self::hooks::Hooks;
use self::transport::Tls;
use crate::http::request::Batch;
use crate::live::Live;
use crate::tally::Tally;

/// Whom to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host and a port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// Each connection sends its next batch when the previous one is answered.
    Closed,
    /// At instants of their own, on any connection that is free.
    Open {
        /// How many.
        rate: Rate,
        /// How they are spread.
        arrival: Arrival,
        /// Of the random ones.
        seed: u64,
    },
}

/// What all event loops do.
#[derive(Debug)]
pub struct Plan {
    /// Whom to load, unless a loop has an address of its own.
    pub address: Address,
    /// How to encrypt, if at all.
    pub tls: Option<Tls>,
    /// What is sent; with a [`Hooks::request`], the first of what it makes.
    pub batch: Batch,
    /// Connections over all loops.
    pub connections: u32,
    /// Event loops.
    pub threads: u32,
    /// When to send.
    pub schedule: Schedule,
    /// Answers later than this are counted as timeouts; connecting is given up after it.
    pub timeout_ns: u64,
    /// Connection i of c sends first at i·spread/c; in the closed loop only.
    pub spread_ns: u64,
    /// The status each answer must have, if that was asked for.
    pub expect_status: Option<u16>,
    /// The body each answer must have, if that was asked for.
    pub expect_body: Option<Vec<u8>>,
    /// How many batches may be sent.
    pub budget: Budget,
    /// Whether there is load before the window.
    pub has_warmup: bool,
    /// Length of the intervals that are counted apart; a part of a second, or one.
    pub interval_ns: u64,
    /// Whether the loops never sleep.
    pub spins: bool,
    /// Who looks on.
    pub live: Option<Live>,
}

impl Plan {
    /// How long the open loop waits before its first request is due, so that its connections are established by then:
    /// what a server needs to accept them is no part of an answer.
    pub fn lead_ns(&self) -> u64 {
        match self.schedule {
            Schedule::Closed => 0,
            Schedule::Open { .. } => lead(self.connections).as_nanos() as u64,
        }
    }
}

/// The same by the number of connections, for whoever wants to know when the window of an open loop opens.
pub fn lead(connections: u32) -> Duration {
    /// A handshake and a little more.
    const CONNECTING: Duration = Duration::from_millis(100);
    /// A server that accepts ten thousand connections a second is a slow one.
    const EACH: Duration = Duration::from_micros(100);
    CONNECTING + EACH * connections
}

/// What one event loop has of its own.
#[derive(Debug, Default)]
pub struct Role {
    /// Whom it loads instead of [`Plan::address`].
    pub address: Option<Address>,
    /// What it sends instead of [`Plan::batch`].
    pub batch: Option<Batch>,
    /// Who decides what it sends.
    pub hooks: Option<Box<dyn Hooks>>,
}

/// How many batches may still be sent by all loops together.
#[derive(Debug)]
pub struct Budget(Option<AtomicU64>);

impl Budget {
    /// This many, or any number.
    pub fn new(batches: Option<u64>) -> Self {
        Self(batches.map(AtomicU64::new))
    }

    /// Whether one more may be sent, which is then taken.
    #[inline]
    pub fn take(&self) -> bool {
        let Some(left) = &self.0 else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Whether none may be sent any more.
    pub fn is_spent(&self) -> bool {
        self.0.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) == 0)
    }
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
    /// Its hooks, back again.
    pub hooks: Option<Box<dyn Hooks>>,
}
