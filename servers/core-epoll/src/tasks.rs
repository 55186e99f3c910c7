//! The futures of the requests that wait for the store: all the executor that a loop needs. There are no wakers, as a
//! future waits for one command or one time at once, and the ticket that was left with it says whose it is.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use rustix::event::epoll::EventFlags;
use stack_contract::{Answer, Mode, Operation};
use stack_event_loop::{Begun, Registry, Service, Ticket};
use stack_resp::{Outcome, Target};

use crate::{link::Link, store::LinkedStore};

/// Answers `/async`, and `/sync` as if there were no such path.
pub struct Tasks<S, F> {
    store: &'static LinkedStore,
    start: S,
    /// When the loop woke up.
    now: Instant,
    /// By the number of the connection, so that none is allocated for a request.
    slots: Vec<Slot<F>>,
}

struct Slot<F> {
    /// Whose future it is.
    ticket: Option<Ticket>,
    future: Pin<Box<Option<F>>>,
}

/// A worker's service: its own connection to the store, and the futures that use it.
pub fn service(registry: &Registry, target: &Target, addresses: &[SocketAddr]) -> impl Service + use<> {
    // For the rest of the program's life, like the worker.
    let link = Link::new(registry, target, addresses.to_vec());
    let store: &'static LinkedStore = Box::leak(Box::new(LinkedStore::new(link)));
    let start = move |operation: Operation| operation.run_async(store);
    Tasks { store, start, now: Instant::now(), slots: Vec::new() }
}

impl<S: Fn(Operation) -> F, F: Future<Output = Answer>> Tasks<S, F> {
    fn start(&mut self, operation: Operation, ticket: Ticket) -> Poll<Answer> {
        let index = ticket.index();
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || Slot { ticket: None, future: Box::pin(None) });
        }
        let slot = &mut self.slots[index];
        slot.ticket = Some(ticket);
        slot.future.set(Some((self.start)(operation)));
        self.poll(ticket, None)
    }

    fn poll(&mut self, ticket: Ticket, outcome: Option<Outcome>) -> Poll<Answer> {
        let slot = &mut self.slots[ticket.index()];
        // Otherwise its client has left, and the next one has taken its place.
        let Some(future) = slot.future.as_mut().as_pin_mut().filter(|_| slot.ticket == Some(ticket)) else {
            return Poll::Pending;
        };
        let mut context = Context::from_waker(Waker::noop());
        self.store.poll(ticket, outcome, || future.poll(&mut context))
    }
}

impl<S: Fn(Operation) -> F, F: Future<Output = Answer>> Service for Tasks<S, F> {
    fn begin(&mut self, mode: Mode, operation: Operation, ticket: Ticket) -> Begun {
        if mode == Mode::Sync {
            return Begun::Answered(Answer::NO_SUCH_PATH);
        }
        match self.start(operation, ticket) {
            Poll::Ready(answer) => Begun::Answered(answer),
            Poll::Pending => Begun::Later,
        }
    }

    fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        self.store.with_link(|link| link.begin_turn(now));
    }

    fn ready(&mut self, name: u32, flags: EventFlags) {
        self.store.with_link(|link| link.ready(name, flags));
    }

    fn after_events(&mut self) {
        self.store.with_link(Link::look_at_clock);
    }

    fn next_answer(&mut self) -> Option<(Ticket, Answer)> {
        loop {
            let (ticket, outcome) = self.store.next_ready(self.now)?;
            if let Poll::Ready(answer) = self.poll(ticket, outcome) {
                return Some((ticket, answer));
            }
        }
    }

    fn end_turn(&mut self) {
        self.store.with_link(Link::flush);
    }

    fn wake_at(&self) -> Option<Instant> {
        self.store.wake_at()
    }
}
