//! What the loop asks of its owner.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Instant,
};

use rustix::event::epoll::{self, EventData, EventFlags};
use stack_contract::{Answer, Mode, Operation};

/// What a request to the store led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Its answer.
    Answered(Answer),
    /// Its answer will come from [`Service::next_answer`] with the request's ticket.
    Later,
}

/// Names a request while its answer is due. A connection has at most one such request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub(crate) index: u32,
    /// How many connections had this place before: an answer must not find the next one there.
    pub(crate) generation: u32,
}

impl Ticket {
    /// The number of its connection. It is given to another one when that has ended, so that numbers stay small.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// What a loop does for its requests.
///
/// In each turn of the loop: [`begin_turn`](Self::begin_turn); [`ready`](Self::ready) and [`begin`](Self::begin) in any
/// order; [`after_events`](Self::after_events); [`next_answer`](Self::next_answer) while there are some, between which
/// further requests may begin; [`end_turn`](Self::end_turn).
pub trait Service {
    /// Whether [`begin`](Self::begin) waits for the store. Then the answers before it are sent first, and a
    /// connection's turn is short.
    const WAITS_IN_PLACE: bool = false;

    /// A request.
    fn begin(&mut self, mode: Mode, operation: Operation, ticket: Ticket) -> Begun;

    /// The loop woke up at this time.
    fn begin_turn(&mut self, _now: Instant) {}

    /// A descriptor is ready that was registered under this name.
    fn ready(&mut self, _name: u32, _flags: EventFlags) {}

    /// All that happened is known: time to look at the clock.
    fn after_events(&mut self) {}

    /// An answer that was due.
    fn next_answer(&mut self) -> Option<(Ticket, Answer)> {
        None
    }

    /// The loop goes to sleep: time to send what has gathered.
    fn end_turn(&mut self) {}

    /// When the loop is to wake up though nothing is ready.
    fn wake_at(&self) -> Option<Instant> {
        None
    }
}

/// The loop's set of descriptors, for those of a service.
#[derive(Debug, Clone)]
pub struct Registry(pub(crate) Arc<OwnedFd>);

/// Names at and above this one are the service's, below are the connections'.
pub(crate) const NAMES: u64 = 1 << 32;

impl Registry {
    /// Watches a descriptor under a name of the service's choice until it is closed.
    ///
    /// # Errors
    /// When the system does not.
    pub fn add(&self, descriptor: impl AsFd, name: u32, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&*self.0, descriptor, EventData::new_u64(NAMES | u64::from(name)), flags)?)
    }
}
