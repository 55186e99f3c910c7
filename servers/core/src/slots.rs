//! Where a request waits for its outcome: places that are used again, so that no request allocates.

use std::task::{Context, Poll, Waker};

use stack_resp::Outcome;

/// The number of a place.
pub(crate) type Slot = usize;

/// Places for requests. To be kept under a lock.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<State>,
    free: Vec<Slot>,
}

#[derive(Debug)]
enum State {
    Free,
    Waiting(Waker),
    Done(Outcome),
    /// Nobody waits any more, but the outcome will still come.
    Abandoned,
}

impl Slots {
    /// A place for the task of this context, which will be woken.
    pub(crate) fn take(&mut self, context: &Context<'_>) -> Slot {
        let waiting = State::Waiting(context.waker().clone());
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = waiting;
                slot
            }
            None => {
                self.slots.push(waiting);
                self.slots.len() - 1
            }
        }
    }

    /// Leaves the outcome in its place. The task is to be woken when the lock is released.
    #[must_use]
    pub(crate) fn fill(&mut self, slot: Slot, outcome: Outcome) -> Option<Waker> {
        match std::mem::replace(&mut self.slots[slot], State::Done(outcome)) {
            State::Waiting(waker) => Some(waker),
            State::Free | State::Done(_) | State::Abandoned => {
                self.give_back(slot);
                None
            }
        }
    }

    /// The outcome, once it is there; with it the place is free.
    pub(crate) fn poll(&mut self, slot: Slot, context: &Context<'_>) -> Poll<Outcome> {
        match &mut self.slots[slot] {
            State::Done(outcome) => {
                let outcome = *outcome;
                self.give_back(slot);
                Poll::Ready(outcome)
            }
            State::Waiting(waker) => {
                waker.clone_from(context.waker());
                Poll::Pending
            }
            State::Free | State::Abandoned => Poll::Pending,
        }
    }

    /// Nobody waits for this outcome any more.
    pub(crate) fn abandon(&mut self, slot: Slot) {
        match self.slots[slot] {
            State::Done(_) => self.give_back(slot),
            _ => self.slots[slot] = State::Abandoned,
        }
    }

    /// Frees a place whose outcome did not come this way.
    pub(crate) fn give_back(&mut self, slot: Slot) {
        self.slots[slot] = State::Free;
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use stack_contract::StoreError;
    use stack_resp::Reply;

    use super::*;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn an_outcome_is_handed_over_once_and_its_place_used_again() {
        let mut slots = Slots::default();
        let slot = slots.take(&context());
        assert_eq!(slots.poll(slot, &context()), Poll::Pending);
        assert!(slots.fill(slot, Ok(Reply::Hit)).is_some());
        assert_eq!(slots.poll(slot, &context()), Poll::Ready(Ok(Reply::Hit)));
        assert_eq!(slots.take(&context()), slot);
    }

    #[test]
    fn the_place_of_a_request_that_was_given_up_is_free_when_its_outcome_came() {
        let mut slots = Slots::default();
        let (early, late) = (slots.take(&context()), slots.take(&context()));
        slots.abandon(early);
        assert!(slots.fill(early, Err(StoreError::Lost)).is_none());
        assert_eq!(slots.take(&context()), early);
        assert!(slots.fill(late, Ok(Reply::Miss)).is_some());
        slots.abandon(late);
        assert_eq!(slots.take(&context()), late);
    }
}
