//! The store connection as the contract's asynchronous store.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    future::poll_fn,
    task::Poll,
    time::{Duration, Instant},
};

use stack_contract::{AsyncStore, Lookup, StoreError, keys::Key};
use stack_event_loop::Ticket;
use stack_resp::{Command, Outcome};

use crate::link::Link;

/// One worker's store. Not shared with any other: neither locked nor counted.
pub struct LinkedStore {
    link: RefCell<Link>,
    /// Requests that wait for a time. One whose client has left stays until then.
    timers: RefCell<BTreeSet<(Instant, Ticket)>>,
    /// Whose future is being polled …
    polled: Cell<Option<Ticket>>,
    /// … and what its command came to, if that is why.
    outcome: Cell<Option<Outcome>>,
}

impl LinkedStore {
    /// The commands of this worker's requests go there.
    #[must_use]
    pub fn new(link: Link) -> Self {
        let timers = RefCell::default();
        Self { link: RefCell::new(link), timers, polled: Cell::new(None), outcome: Cell::new(None) }
    }

    /// Does something with the connection.
    pub fn with_link<T>(&self, act: impl FnOnce(&mut Link) -> T) -> T {
        act(&mut self.link.borrow_mut())
    }

    /// The next request that has what it waits for: its command's outcome, or at `now` the end of its time.
    pub fn next_ready(&self, now: Instant) -> Option<(Ticket, Option<Outcome>)> {
        let done = self.with_link(Link::next_outcome).map(|(ticket, outcome)| (ticket, Some(outcome)));
        done.or_else(|| self.next_due(now).map(|ticket| (ticket, None)))
    }

    fn next_due(&self, now: Instant) -> Option<Ticket> {
        let mut timers = self.timers.borrow_mut();
        timers.first().filter(|(at, _)| *at <= now)?;
        timers.pop_first().map(|(_, ticket)| ticket)
    }

    /// When there is something to do though the connection is not ready.
    pub fn wake_at(&self) -> Option<Instant> {
        let first_due = self.timers.borrow().first().map(|(at, _)| *at);
        [self.with_link(|link| link.wake_at()), first_due].into_iter().flatten().min()
    }

    /// Polls a future of this store, for the request of this ticket: for the first time without an outcome, afterwards
    /// with what [`Self::next_ready`] says.
    pub fn poll<T>(&self, ticket: Ticket, outcome: Option<Outcome>, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        self.polled.set(Some(ticket));
        self.outcome.set(outcome);
        poll()
    }

    async fn request(&self, command: Command) -> Outcome {
        match self.polled.get() {
            Some(ticket) => self.with_link(|link| link.submit(command, ticket)),
            // Nobody would ever be told.
            None => return Err(StoreError::Unavailable),
        }
        poll_fn(|_| self.outcome.take().map_or(Poll::Pending, Poll::Ready)).await
    }
}

impl AsyncStore for LinkedStore {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        self.request(Command::Get(key)).await?.looked_up()
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        self.request(Command::Set(key, value)).await?.written()
    }

    async fn hold(&self, time: Duration) {
        // Not the time at which the loop woke up: that may be before the request was sent.
        let until = Instant::now() + time;
        if let Some(ticket) = self.polled.get() {
            self.timers.borrow_mut().insert((until, ticket));
        }
        poll_fn(|_| if Instant::now() < until { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}
