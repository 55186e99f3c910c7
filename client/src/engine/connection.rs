//! One slot of an event loop: a connection, its replacement when it breaks, and what became of its requests.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};

use super::Address;
use super::hooks::Received;
use super::transport::{Tls, Transport};
use crate::http::answer::{AnswerParser, Asked, Sink};
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
    /// The socket is being connected.
    Connecting,
    /// The TLS handshake is under way.
    Shaking,
    /// Connected, and nothing in flight.
    Resting,
    /// Part of a batch is written.
    Sending,
    /// A batch is written, its answers are not complete.
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
    pub transport: Option<Transport>,
    /// Where it stands.
    pub phase: Phase,
    /// Bytes of the current batch that are written.
    pub written: usize,
    /// When the current batch began to be written, or, while connecting, when that began.
    pub since_ns: u64,
    /// When the current batch was due; in the closed loop that is when it began to be written.
    pub due_ns: u64,
    /// Since when it rests.
    pub rested_ns: u64,
    /// Whether it stands among those that are free in the open loop.
    pub is_queued: bool,
    /// Answers of the current batch that are still to come.
    pub outstanding: u32,
    /// Whether the current batch was counted as a timeout.
    pub is_late: bool,
    /// Whether the last answer's body was so long that most of the next one's is better not read.
    pub is_large: bool,
    /// Its answers' parser.
    pub parser: AnswerParser,
    /// The comparison of the current answer's body.
    pub body: BodyCheck,
    /// What hooks made, and what is kept for them; elsewhere it would only keep more interesting things out of the cache.
    pub scripted: Option<Box<Scripted>>,
    /// Answers in the window.
    pub answers: u64,
    /// Whether it ever finished a batch.
    pub ever_answered: bool,
    /// Whether the current socket did.
    pub productive: bool,
    /// When the last answer was complete.
    last_answer_ns: u64,
    failures: u32,
}

/// What a connection has only for hooks.
#[derive(Debug, Default)]
pub struct Scripted {
    /// The current batch.
    pub batch: Vec<u8>,
    /// The current answer.
    pub received: Received,
}

/// The comparison of one body with what it should be.
#[derive(Debug, Clone, Copy, Default)]
pub struct BodyCheck {
    /// Whether it is compared byte by byte.
    pub is_sampled: bool,
    /// Whether it differed.
    pub differs: bool,
    offset: usize,
}

impl BodyCheck {
    /// Before the first byte.
    pub fn new(is_sampled: bool) -> Self {
        Self { is_sampled, ..Self::default() }
    }

    /// Compares the next part.
    pub fn compare(&mut self, part: &[u8], expected: &[u8]) {
        if self.is_sampled {
            self.differs |= expected.get(self.offset..self.offset + part.len()) != Some(part);
            self.offset += part.len();
        }
    }
}

/// Where an answer's parts go that somebody asked for.
pub struct Parts<'a> {
    /// The comparison, and what to compare with.
    pub check: Option<(&'a mut BodyCheck, &'a [u8])>,
    /// The copy for a hook.
    pub received: Option<&'a mut Received>,
}

impl Sink for Parts<'_> {
    fn head(&mut self, status: u16, headers: &[httparse::Header<'_>]) {
        if let Some(received) = &mut self.received {
            received.head(status, headers);
        }
    }

    fn body(&mut self, part: &[u8]) {
        if let Some((check, expected)) = &mut self.check {
            check.compare(part, expected);
        }
        if let Some(received) = &mut self.received {
            received.body(part);
        }
    }

    fn trailer(&mut self, byte: u8) {
        if let Some(received) = &mut self.received {
            received.trailer(byte);
        }
    }
}

impl Connection {
    /// A slot without a socket.
    pub fn new(index: u32) -> Self {
        Self {
            index,
            first_due_ns: 0,
            generation: 0,
            transport: None,
            phase: Phase::Down,
            written: 0,
            since_ns: 0,
            due_ns: 0,
            rested_ns: 0,
            is_queued: false,
            outstanding: 0,
            is_late: false,
            is_large: false,
            parser: AnswerParser::new(),
            body: BodyCheck::default(),
            scripted: None,
            answers: 0,
            ever_answered: false,
            productive: false,
            last_answer_ns: 0,
            failures: 0,
        }
    }

    /// Gives the slot a new socket and starts connecting it.
    pub fn dial(&mut self, address: &Address, tls: Option<&Tls>, now_ns: u64) -> Result<&Transport, Dial> {
        let socket = match address {
            Address::Tcp(address) => {
                let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
                let socket = new_socket(family)?;
                sockopt::set_tcp_nodelay(&socket, true).map_err(connect_error)?;
                started(connect(&socket, address))?;
                socket
            }
            Address::Unix(path) => {
                let socket = new_socket(AddressFamily::UNIX)?;
                let path = SocketAddrUnix::new(path.as_path()).map_err(connect_error)?;
                match connect(&socket, &path) {
                    Err(Errno::AGAIN) => return Err(Dial::Crowded),
                    connecting => started(connecting)?,
                }
                socket
            }
        };
        let transport = Transport::new(socket, tls)?;
        self.phase = Phase::Connecting;
        self.since_ns = now_ns;
        Ok(self.transport.insert(transport))
    }

    /// Closes the socket and forgets what was under way on it.
    pub fn hang_up(&mut self) {
        self.transport = None;
        self.phase = Phase::Down;
        self.generation = self.generation.wrapping_add(1);
        self.written = 0;
        self.outstanding = 0;
        self.productive = false;
        self.parser.reset();
    }

    /// Why connecting failed, once the kernel says that it is over.
    pub fn connect_outcome(&self) -> Result<(), ErrorKind> {
        let Some(transport) = &self.transport else { return Ok(()) };
        match sockopt::socket_error(transport) {
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

    /// Starts a batch of so many requests that was due at `due_ns`.
    pub fn begin_batch(&mut self, requests: u32, due_ns: u64, start_ns: u64) {
        self.phase = Phase::Sending;
        self.written = 0;
        self.outstanding = requests;
        self.due_ns = due_ns;
        self.since_ns = start_ns;
        self.is_late = false;
    }

    /// What the request asked for whose answer comes next, in a batch of these. A hook that makes batches of one may
    /// make another kind each time.
    #[inline]
    pub fn asked(&self, batch: &[Asked]) -> Asked {
        if let Some(scripted) = self.scripted.as_ref().filter(|scripted| !scripted.batch.is_empty())
            && batch.len() == 1
        {
            return if scripted.batch.starts_with(b"HEAD ") { Asked::HeadOnly } else { Asked::Body };
        }
        // An answer that nobody asked for is refused before it is parsed.
        let answered = batch.len().saturating_sub(self.outstanding as usize);
        batch.get(answered).copied().unwrap_or(Asked::Body)
    }

    /// Notes an answer that was complete at `stop_ns`; true if it was the batch's last.
    #[inline]
    pub fn note_answer(&mut self, stop_ns: u64) -> bool {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.last_answer_ns = stop_ns;
        self.productive = true;
        self.failures = 0;
        if self.outstanding > 0 {
            return false;
        }
        self.ever_answered = true;
        self.phase = Phase::Resting;
        self.rested_ns = stop_ns;
        true
    }

    /// Whether a batch is under way of which a byte was sent.
    pub fn is_in_flight(&self) -> bool {
        match self.phase {
            Phase::Sending => self.written > 0,
            phase => phase == Phase::Awaiting,
        }
    }

    /// What became of it.
    pub fn outcome(&self) -> ConnectionOutcome {
        let in_flight = self.is_in_flight();
        let connecting = matches!(self.phase, Phase::Connecting | Phase::Shaking);
        ConnectionOutcome {
            index: self.index,
            answers: self.answers,
            ever_answered: self.ever_answered,
            last_answer_ns: self.last_answer_ns,
            requests_in_flight: if in_flight { self.outstanding } else { 0 },
            in_flight_since_ns: in_flight.then_some(self.since_ns),
            in_flight_due_ns: in_flight.then_some(self.due_ns),
            connecting_since_ns: connecting.then_some(self.since_ns),
        }
    }
}

fn new_socket(family: AddressFamily) -> Result<OwnedFd, ErrorKind> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(family, SocketType::STREAM, flags, None).map_err(connect_error)
}

fn started(connecting: Result<(), Errno>) -> Result<(), ErrorKind> {
    match connecting {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
        Err(error) => Err(connect_error(error)),
    }
}

fn connect_error(error: Errno) -> ErrorKind {
    match error {
        Errno::CONNREFUSED => ErrorKind::ConnectRefused,
        Errno::TIMEDOUT => ErrorKind::ConnectTimeout,
        _ => ErrorKind::Connect,
    }
}

/// Why a connection is not being established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dial {
    /// The queue of a unix socket is full: where TCP makes the client wait, these refuse.
    Crowded,
    /// It cannot be.
    Failed(ErrorKind),
}

impl From<ErrorKind> for Dial {
    fn from(kind: ErrorKind) -> Self {
        Self::Failed(kind)
    }
}

/// What became of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionOutcome {
    /// Number among all connections of the run.
    pub index: u32,
    /// Answers in the window.
    pub answers: u64,
    /// Whether it ever finished a batch.
    pub ever_answered: bool,
    /// When its last answer was complete; 0 if none was.
    pub last_answer_ns: u64,
    /// Requests without an answer at the end.
    pub requests_in_flight: u32,
    /// Since when they have been in flight, if there are any.
    pub in_flight_since_ns: Option<u64>,
    /// When they were due, if there are any.
    pub in_flight_due_ns: Option<u64>,
    /// Since when it has been waiting to be established at the end, if it was.
    pub connecting_since_ns: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_a_second_and_ends_with_an_answer() {
        let mut connection = Connection::new(0);
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
            let mut check = BodyCheck::new(true);
            parts.iter().for_each(|part| check.compare(part.as_bytes(), b"abcd"));
            assert_eq!(!check.differs, same, "{parts:?}");
        }
    }

    #[test]
    fn a_hook_may_ask_for_something_else_each_time() {
        let mut connection = Connection::new(0);
        for (request, asked) in
            [(&b"HEAD / HTTP/1.1\r\n\r\n"[..], Asked::HeadOnly), (b"GET / HTTP/1.1\r\n\r\n", Asked::Body)]
        {
            connection.scripted.get_or_insert_default().batch = request.to_vec();
            connection.begin_batch(1, 0, 0);
            assert_eq!(connection.asked(&[Asked::Body]), asked);
        }
    }

    #[test]
    fn a_batch_is_answered_when_its_last_answer_is_there() {
        let batch = [Asked::Body, Asked::HeadOnly, Asked::Body];
        let mut connection = Connection::new(0);
        connection.begin_batch(3, 10, 20);
        let mut seen = Vec::new();
        loop {
            seen.push(connection.asked(&batch));
            if connection.note_answer(30) {
                break;
            }
        }
        assert_eq!(seen, batch);
        assert_eq!((connection.phase, connection.rested_ns), (Phase::Resting, 30));
    }
}
