//! The store connection as the contract's asynchronous store.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::Poll,
};

use stack_contract::{AsyncStore, Lookup, StoreError, keys::Key};
use stack_event_loop::Ticket;
use stack_resp::{Command, Outcome};

use crate::link::Link;

/// One worker's store. Not shared with any other: neither locked nor counted.
pub struct LinkedStore {
    link: RefCell<Link>,
    /// Whose future is being polled …
    polled: Cell<Option<Ticket>>,
    /// … and what its command came to, if that is why.
    outcome: Cell<Option<Outcome>>,
}

impl LinkedStore {
    /// The commands of this worker's requests go there.
    #[must_use]
    pub fn new(link: Link) -> Self {
        Self { link: RefCell::new(link), polled: Cell::new(None), outcome: Cell::new(None) }
    }

    /// Does something with the connection.
    pub fn with_link<T>(&self, act: impl FnOnce(&mut Link) -> T) -> T {
        act(&mut self.link.borrow_mut())
    }

    /// Polls a future of this store, for the request of this ticket: for the first time without an outcome, afterwards
    /// with that of its command.
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
}
