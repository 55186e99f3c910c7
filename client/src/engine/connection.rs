//! One slot of an event loop: a connection, its replacement when it breaks, and what became of its requests.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use super::Plan;
use crate::http::answer::AnswerParser;
use crate::result::ErrorKind;

/// First pause before a connection is opened again that failed without ever answering; doubled each time …
const BACKOFF_MIN_NS: u64 = 10_000_000;
/// … up to this one.
const BACKOFF_MAX_NS: u64 = 1_000_000_000;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No socket.
    Down,
    /// The handshake is under way.
    Connecting,
    /// Connected, and nothing in flight.
    Resting,
    /// Part of a request is written.
    Sending,
    /// A request is written, its answer is not complete.
    Awaiting,
}

/// A slot.
#[derive(Debug)]
pub struct Connection {
    /// Number among all connections of the run.
    pub index: u32,
    /// When it may send first.
    pub first_due_ns: u64,
    /// Raised whenever the socket changes, so that events of an old one can be told.
    pub generation: u32,
    /// The socket, unless it is down.
    pub socket: Option<OwnedFd>,
    /// Where it stands.
    pub phase: Phase,
    /// Bytes of the current request that are written.
    pub written: usize,
    /// When the current request began to be written, or, while connecting, when that began.
    pub since_ns: u64,
    /// Its answers' parser.
    pub parser: AnswerParser,
    /// Position in the body, while that is compared.
    pub body_offset: usize,
    /// Whether this answer's body is compared byte by byte …
    pub body_sampled: bool,
    /// … and whether it differed.
    pub body_differs: bool,
    /// Answers in the window.
    pub answers: u64,
    /// Whether it ever finished a request.
    pub ever_answered: bool,
    /// Whether the current socket did.
    pub productive: bool,
    /// When the last answer was complete.
    last_answer_ns: u64,
    failures: u32,
}

impl Connection {
    /// A slot without a socket.
    pub fn new(index: u32, first_due_ns: u64) -> Self {
        Self {
            index,
            first_due_ns,
            generation: 0,
            socket: None,
            phase: Phase::Down,
            written: 0,
            since_ns: 0,
            parser: AnswerParser::new(),
            body_offset: 0,
            body_sampled: false,
            body_differs: false,
            answers: 0,
            ever_answered: false,
            productive: false,
            last_answer_ns: 0,
            failures: 0,
        }
    }

    /// Gives the slot a new socket and starts connecting it.
    pub fn dial(&mut self, plan: &Plan, now_ns: u64) -> Result<&OwnedFd, ErrorKind> {
        let family = if plan.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(connect_error)?;
        sockopt::set_tcp_nodelay(&socket, true).map_err(connect_error)?;
        match connect(&socket, &plan.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(connect_error(error)),
        }
        self.phase = Phase::Connecting;
        self.since_ns = now_ns;
        Ok(self.socket.insert(socket))
    }

    /// Closes the socket and forgets what was under way on it.
    pub fn hang_up(&mut self) {
        self.socket = None;
        self.phase = Phase::Down;
        self.generation = self.generation.wrapping_add(1);
        self.written = 0;
        self.productive = false;
        self.parser.reset();
    }

    /// Why connecting failed, once the kernel says that it is over.
    pub fn connect_outcome(&self) -> Result<(), ErrorKind> {
        let Some(socket) = &self.socket else { return Ok(()) };
        match sockopt::socket_error(socket) {
            Ok(outcome) => outcome.map_err(connect_error),
            Err(error) => Err(connect_error(error)),
        }
    }

    /// How long to wait before the next attempt: not at all after a connection that answered, else longer each time.
    pub fn backoff_ns(&mut self) -> u64 {
        if self.productive {
            return 0;
        }
        let backoff_ns = (BACKOFF_MIN_NS << self.failures.min(16)).min(BACKOFF_MAX_NS);
        self.failures += 1;
        backoff_ns
    }

    /// Notes a request that was finished at `stop_ns`.
    pub fn note_answer(&mut self, stop_ns: u64) {
        self.last_answer_ns = stop_ns;
        self.ever_answered = true;
        self.productive = true;
        self.failures = 0;
        self.phase = Phase::Resting;
        self.written = 0;
    }

    /// Compares the next part of the body with what it should be.
    pub fn compare_body(sampled: bool, offset: &mut usize, differs: &mut bool, part: &[u8], expected: &[u8]) {
        if sampled {
            *differs |= expected.get(*offset..*offset + part.len()) != Some(part);
            *offset += part.len();
        }
    }

    /// What became of it.
    pub fn outcome(&self) -> ConnectionOutcome {
        let in_flight = match self.phase {
            Phase::Sending => self.written > 0,
            phase => phase == Phase::Awaiting,
        };
        ConnectionOutcome {
            index: self.index,
            answers: self.answers,
            ever_answered: self.ever_answered,
            last_answer_ns: self.last_answer_ns,
            in_flight_since_ns: in_flight.then_some(self.since_ns),
            connecting_since_ns: (self.phase == Phase::Connecting).then_some(self.since_ns),
        }
    }
}

fn connect_error(error: Errno) -> ErrorKind {
    match error {
        Errno::CONNREFUSED => ErrorKind::ConnectRefused,
        Errno::TIMEDOUT => ErrorKind::ConnectTimeout,
        _ => ErrorKind::Connect,
    }
}

/// What became of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionOutcome {
    /// Number among all connections of the run.
    pub index: u32,
    /// Answers in the window.
    pub answers: u64,
    /// Whether it ever finished a request.
    pub ever_answered: bool,
    /// When its last answer was complete; 0 if none was.
    pub last_answer_ns: u64,
    /// Since when a request has been in flight at the end, if one was.
    pub in_flight_since_ns: Option<u64>,
    /// Since when it has been waiting to be established at the end, if it was.
    pub connecting_since_ns: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_a_second_and_ends_with_an_answer() {
        let mut connection = Connection::new(0, 0);
        let pauses: Vec<u64> = (0..9).map(|_| connection.backoff_ns() / 1_000_000).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        connection.note_answer(1);
        assert_eq!(connection.backoff_ns(), 0);
        connection.hang_up();
        assert_eq!(connection.backoff_ns(), BACKOFF_MIN_NS);
    }

    #[test]
    fn a_body_is_compared_across_its_parts() {
        for (parts, same) in [(&["ab", "cd"][..], true), (&["ab", "cx"], false), (&["abcd", "e"], false)] {
            let (mut offset, mut differs) = (0, false);
            for part in parts {
                Connection::compare_body(true, &mut offset, &mut differs, part.as_bytes(), b"abcd");
            }
            assert_eq!(!differs, same, "{parts:?}");
        }
    }
}
