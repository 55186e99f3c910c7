//! Commands in, bytes out; bytes in, outcomes out.

use std::{
    collections::VecDeque,
    fmt::Display,
    time::{Duration, Instant},
};

use stack_contract::{
    StoreError,
    limits::{STORE_BACKOFF_LONGEST, STORE_CONNECT_TIMEOUT},
};
use stack_redis_store::{Target, backoff::Backoff};

use crate::{
    command::{Command, Outcome},
    greeting::Greeting,
    replies::{Kind, Replies},
};

/// Commands in flight at most, those that timed out and whose reply may still come included. A store that hangs for
/// seconds collects a few times as many as there are clients, which are tens of thousands; beyond that, nobody is helped
/// by one more.
pub const MAX_IN_FLIGHT: usize = 1 << 20;

/// Bytes that wait to be written at most: the largest command of every one of 2^16 clients.
pub const MAX_OUTPUT_BYTES: usize = 64 << 20;

/// Written bytes are moved out from under unwritten ones when there are so many, so that output that is never quite
/// empty does not grow for ever.
const COMPACT_BYTES: usize = 64 << 10;

/// The protocol state of one store connection, and of the next one when that is lost.
///
/// The owner's part:
/// - Connection: at [`connect_at`](Self::connect_at), say [`connecting`](Self::connecting) and open a socket within
///   [`STORE_CONNECT_TIMEOUT`]; report it as [`connected`](Self::connected) or
///   [`connect_failed`](Self::connect_failed), and its end as [`lost`](Self::lost).
/// - Bytes: write [`output`](Self::output) and report it as [`written`](Self::written); [`receive`](Self::receive) what
///   arrives.
/// - Time: [`expire`](Self::expire) at [`deadline`](Self::deadline) or soon after.
/// - After `receive` and `expire`, if it [`is_broken`](Self::is_broken): close the socket and report it as lost.
/// - After each of these and after [`submit`](Self::submit), take the outcomes until there is none.
///
/// Every ticket comes back exactly once. In the steady state nothing is allocated.
#[derive(Debug)]
pub struct Multiplexer<T> {
    target: Target,
    link: Link,
    backoff: Backoff,
    greeting: Greeting,
    /// In the order in which they were sent, which is that of the replies and of the deadlines. Without a connection: those
    /// that wait to be sent again.
    in_flight: VecDeque<Entry<T>>,
    /// How many of the first ones timed out: they only wait for their replies.
    timed_out: usize,
    outcomes: VecDeque<(T, Outcome)>,
    replies: Replies,
    /// What is to be written; bytes before `sent` are.
    output: Vec<u8>,
    sent: usize,
}

#[derive(Debug)]
struct Entry<T> {
    /// None once the ticket went back.
    ticket: Option<T>,
    command: Command,
    deadline: Instant,
    attempt: Attempt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
}

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// There is none, and the next attempt is due then.
    Down(Instant),
    Connecting,
    /// So many replies to the greeting are to come, until then.
    Greeting {
        replies: u32,
        deadline: Instant,
    },
    Up {
        since: Instant,
    },
    /// What came was nonsense, or the store does not want us: to be closed.
    Broken {
        since: Option<Instant>,
    },
}

impl<T> Multiplexer<T> {
    /// Without a connection; the first attempt is due at once.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        Self {
            target: target.clone(),
            link: Link::Down(Instant::now()),
            backoff: Backoff::default(),
            greeting: Greeting::of(target),
            in_flight: VecDeque::new(),
            timed_out: 0,
            outcomes: VecDeque::new(),
            replies: Replies::default(),
            output: Vec::new(),
            sent: 0,
        }
    }

    /// Sends a command with the next [`output`](Self::output). Without a connection its outcome is ready at once.
    pub fn submit(&mut self, command: Command, ticket: T, now: Instant) {
        let full = || self.in_flight.len() >= MAX_IN_FLIGHT || self.output().len() >= MAX_OUTPUT_BYTES;
        if !self.is_up() || full() {
            self.outcomes.push_back((ticket, Err(StoreError::Unavailable)));
            return;
        }
        command.encode(&mut self.output);
        let deadline = now + self.target.response_timeout();
        self.in_flight.push_back(Entry { ticket: Some(ticket), command, deadline, attempt: Attempt::First });
    }

    /// The next ticket that is done, with what came of its command.
    pub fn next_outcome(&mut self) -> Option<(T, Outcome)> {
        self.outcomes.pop_front()
    }

    /// How many commands have no outcome yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len() - self.timed_out
    }

    /// Whether commands are sent, and do not fail at once.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    // --- the connection ---

    /// When to connect; a time that has passed means now. `None`: there is a connection, or an attempt is under way.
    #[must_use]
    pub fn connect_at(&self) -> Option<Instant> {
        match self.link {
            Link::Down(instant) => Some(instant),
            _ => None,
        }
    }

    /// An attempt to connect begins.
    pub fn connecting(&mut self) {
        self.link = Link::Connecting;
    }

    /// The attempt succeeded.
    pub fn connected(&mut self, now: Instant) {
        self.output.clear();
        self.sent = 0;
        self.replies = Replies::default();
        if self.greeting.commands == 0 {
            return self.come_up(now);
        }
        self.output.extend_from_slice(&self.greeting.bytes);
        self.link = Link::Greeting { replies: self.greeting.commands, deadline: now + STORE_CONNECT_TIMEOUT };
    }

    /// The attempt failed.
    pub fn connect_failed(&mut self, now: Instant, why: &dyn Display) {
        self.target.journal().down(why);
        let pause = self.backoff.next();
        self.go_down(now + pause);
        self.fail_all(StoreError::Lost);
    }

    /// The connection ended, because the store closed it or because it [`is_broken`](Self::is_broken).
    pub fn lost(&mut self, now: Instant) {
        let since = match self.link {
            Link::Up { since } => Some(since),
            Link::Broken { since } => since,
            _ => None,
        };
        self.target.journal().down(&"connection lost");
        // A store that accepts only to close must not make us spin; nobody need wait for that.
        if since.is_none_or(|since| now.saturating_duration_since(since) <= STORE_BACKOFF_LONGEST) {
            let pause = self.backoff.next();
            self.go_down(now + pause);
            return self.fail_all(StoreError::Lost);
        }
        self.backoff.reset();
        self.go_down(now);
        // The replies that these would have swallowed will not come.
        self.in_flight.drain(..std::mem::take(&mut self.timed_out));
        // Both commands may be repeated, but once.
        let outcomes = &mut self.outcomes;
        self.in_flight.retain_mut(|entry| {
            let again = entry.attempt == Attempt::First;
            if !again {
                outcomes.extend(entry.ticket.take().map(|ticket| (ticket, Err(StoreError::Lost))));
            }
            again
        });
    }

    /// Whether the connection is of no use any more. To be closed, and reported as [`lost`](Self::lost).
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self.link, Link::Broken { .. })
    }

    fn come_up(&mut self, now: Instant) {
        self.link = Link::Up { since: now };
        self.target.journal().up();
        let deadline = now + self.target.response_timeout();
        for entry in &mut self.in_flight {
            entry.command.encode(&mut self.output);
            entry.deadline = deadline;
            entry.attempt = Attempt::Second;
        }
    }

    fn go_down(&mut self, connect_at: Instant) {
        self.link = Link::Down(connect_at);
        self.output.clear();
        self.sent = 0;
    }

    fn fail_all(&mut self, error: StoreError) {
        self.timed_out = 0;
        let tickets = self.in_flight.drain(..).filter_map(|entry| entry.ticket);
        self.outcomes.extend(tickets.map(|ticket| (ticket, Err(error))));
    }

    // --- bytes ---

    /// What is to be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// Takes note that the first `bytes` of [`output`](Self::output) were written.
    pub fn written(&mut self, bytes: usize) {
        self.sent += bytes;
        debug_assert!(self.sent <= self.output.len(), "more was written than there is");
        if self.sent >= self.output.len() {
            self.output.clear();
            self.sent = 0;
        } else if self.sent >= COMPACT_BYTES && self.sent >= self.output.len() / 2 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Takes all that is to be written, for an owner who writes elsewhere than under its lock, or whose kernel wants the
    /// memory for itself. `spare` is written to next: mostly what was taken before, so that two buffers take turns.
    #[must_use]
    pub fn take_output(&mut self, mut spare: Vec<u8>) -> Vec<u8> {
        spare.clear();
        let mut output = std::mem::replace(&mut self.output, spare);
        output.drain(..std::mem::take(&mut self.sent));
        output
    }

    /// Takes bytes that were read, in any pieces.
    pub fn receive(&mut self, mut bytes: &[u8], now: Instant) {
        while !self.is_broken() {
            match self.replies.next(&mut bytes) {
                Ok(Some(kind)) => self.take_reply(kind, now),
                Ok(None) => return,
                Err(_) => self.breaks("the store answered nonsense"),
            }
        }
    }

    fn take_reply(&mut self, kind: Kind, now: Instant) {
        if let Link::Greeting { replies, deadline } = self.link {
            return match (kind, replies) {
                (Kind::Okay, 1) => self.come_up(now),
                (Kind::Okay, _) => self.link = Link::Greeting { replies: replies - 1, deadline },
                (Kind::Error, _) => self.breaks(&self.replies.error()),
                _ => self.breaks("the store answered nonsense"),
            };
        }
        match self.in_flight.pop_front() {
            Some(Entry { ticket: Some(ticket), command, .. }) => {
                self.outcomes.push_back((ticket, command.outcome(kind)));
            }
            Some(Entry { ticket: None, .. }) => self.timed_out -= 1,
            None => self.breaks("the store answered what nobody asked"),
        }
    }

    /// Which reply belongs to which command is not known any more, or there will be none.
    fn breaks(&mut self, why: &str) {
        self.target.journal().down(&why);
        match self.link {
            Link::Up { since } => {
                self.link = Link::Broken { since: Some(since) };
                self.fail_all(StoreError::Protocol);
            }
            // Nothing was sent on this connection: its commands were lost with the one before.
            _ => self.link = Link::Broken { since: None },
        }
    }

    // --- time ---

    /// When the first command in flight times out, or a store that does not return our greeting.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.link {
            Link::Up { .. } => self.in_flight.get(self.timed_out).map(|entry| entry.deadline),
            Link::Greeting { deadline, .. } => Some(deadline),
            _ => None,
        }
    }

    /// Gives up what is overdue. A reply that comes later is swallowed.
    pub fn expire(&mut self, now: Instant) {
        match self.link {
            Link::Greeting { deadline, .. } if deadline <= now => self.breaks("no reply to the greeting"),
            Link::Up { .. } => {
                while let Some(entry) = self.in_flight.get_mut(self.timed_out).filter(|entry| entry.deadline <= now) {
                    let ticket = entry.ticket.take();
                    self.outcomes.extend(ticket.map(|ticket| (ticket, Err(StoreError::Timeout))));
                    self.timed_out += 1;
                }
            }
            _ => {}
        }
    }

    /// How long a command waits for its reply: for an owner that looks at its clock less often than at each deadline.
    #[must_use]
    pub fn response_timeout(&self) -> Duration {
        self.target.response_timeout()
    }
}

#[cfg(test)]
mod tests;
