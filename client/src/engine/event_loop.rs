//! One event loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::connection::{Connection, Phase};
use super::timers::{Task, Timers};
use super::{Edges, LoopOutcome, Plan};
use crate::clock::{now_ns, thread_cpu_ns, timespec};
use crate::http::answer::{Answer, BadAnswer, Progress};
use crate::result::ErrorKind;
use crate::tally::{RATE_SAMPLE_MS, Tally};

/// One read takes this much: an answer of up to 64 KiB in a single call. The buffer is the loop's, not a connection's,
/// so it stays in the cache.
const READ_BYTES: usize = 64 * 1024;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// How often to look after rate samples and overdue connects when nothing else happens.
const TICK_NS: u64 = RATE_SAMPLE_MS * 1_000_000;

/// Every so many answers, a body is compared byte by byte; all are compared in length.
const BODY_SAMPLE_EVERY: u64 = 64;

/// Statuses above this are what wrk calls "Non-2xx or 3xx".
const STATUS_FINE_MAX: u16 = 399;

/// The peer has closed, in good order or not.
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// There is something to read, if only the end.
const READABLE: EventFlags = EventFlags::IN.union(ENDED);

/// Marks the event of the descriptor that ends a wait; no slot has this number.
const WAKE: u64 = u64::MAX;

/// An event loop and its connections.
#[derive(Debug)]
pub struct EventLoop<'run> {
    plan: &'run Plan,
    edges: &'run Edges,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    connecting: usize,
    timers: Timers,
    buffer: Box<[u8]>,
    tally: Tally,
    open_ns: Option<u64>,
    cpu_at_open_ns: u64,
    answers_seen: u64,
}

impl<'run> EventLoop<'run> {
    /// The loop number `thread`, with every `threads`-th connection. `wake` becomes readable when the run is over.
    pub fn new(plan: &'run Plan, edges: &'run Edges, thread: u32, wake: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        let connections: Vec<Connection> =
            (thread..plan.connections).step_by(plan.threads as usize).map(|index| Connection::new(index, 0)).collect();
        Ok(Self {
            plan,
            edges,
            epoll,
            connecting: 0,
            timers: Timers::with_capacity(2 * connections.len()),
            connections,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            tally: Tally::new(),
            open_ns: None,
            cpu_at_open_ns: 0,
            answers_seen: 0,
        })
    }

    /// Runs from `start_ns` until the window is closed.
    pub fn run(mut self, start_ns: u64) -> io::Result<LoopOutcome> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX.min(self.connections.len() + 1));
        self.open_all(start_ns);
        let mut now = now_ns();
        let mut tick_ns = now + TICK_NS;
        while now < self.edges.closed_ns() {
            let due_ns = self.timers.next_ns().map_or(tick_ns, |due_ns| due_ns.min(tick_ns));
            let wait = timespec(due_ns.saturating_sub(now));
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let woke_ns = now_ns();
            self.notice_window();
            for event in events.drain(..) {
                self.on_event(event.data.u64(), event.flags);
            }
            while let Some(task) = self.timers.take_due(woke_ns) {
                self.on_task(task);
            }
            if woke_ns >= tick_ns {
                tick_ns = woke_ns + TICK_NS;
                self.give_up_connecting(woke_ns);
            }
            self.tally.sample_rate(woke_ns);
            now = now_ns();
            self.tally.turn(now - woke_ns);
        }
        self.notice_window();
        self.tally.cpu_ns = thread_cpu_ns() - self.cpu_at_open_ns;
        self.tally.close_window(self.edges.closed_ns());
        let connections = self.connections.iter().map(Connection::outcome).collect();
        Ok(LoopOutcome { tally: self.tally, connections })
    }

    fn open_all(&mut self, start_ns: u64) {
        let (spread_ns, count) = (u128::from(self.plan.spread_ns), u128::from(self.plan.connections));
        for slot in 0..self.connections.len() {
            let connection = &mut self.connections[slot];
            let offset_ns = u128::from(connection.index) * spread_ns / count;
            connection.first_due_ns = start_ns + offset_ns as u64;
            if offset_ns > 0 {
                self.timers.add(connection.first_due_ns, Task::FirstSend(slot));
            }
            self.open(slot);
        }
    }

    /// Sees whether the window has opened since the last look.
    #[inline]
    fn notice_window(&mut self) {
        if self.open_ns.is_none() && self.edges.opened_ns() != u64::MAX {
            let open_ns = self.edges.opened_ns();
            self.open_ns = Some(open_ns);
            self.cpu_at_open_ns = thread_cpu_ns();
            self.tally.open_window(open_ns);
        }
    }

    fn on_event(&mut self, token: u64, flags: EventFlags) {
        let slot = (token & u64::from(u32::MAX)) as usize;
        let Some(connection) = self.connections.get(slot).filter(|known| token == token_of(slot, known.generation))
        else {
            return;
        };
        match connection.phase {
            Phase::Down => {}
            Phase::Connecting => self.on_connecting(slot, flags),
            phase => {
                if phase == Phase::Sending && flags.contains(EventFlags::OUT) {
                    self.write_rest(slot);
                }
                // Failing above replaces the connection; what is announced here was the old one's.
                if token == token_of(slot, self.connections[slot].generation) && flags.intersects(READABLE) {
                    self.on_readable(slot, flags.intersects(ENDED));
                }
            }
        }
    }

    fn on_task(&mut self, task: Task) {
        match task {
            Task::Open(slot) if self.connections[slot].phase == Phase::Down => self.open(slot),
            Task::FirstSend(slot) if self.connections[slot].phase == Phase::Resting => self.send(slot),
            // The connection has moved on by itself.
            Task::Open(_) | Task::FirstSend(_) => {}
        }
    }

    // --- connecting -------------------------------------------------------------------------------

    fn open(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        let token = EventData::new_u64(token_of(slot, connection.generation));
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let dialled = connection.dial(self.plan, now_ns()).and_then(|socket| {
            self.connecting += 1;
            epoll::add(&self.epoll, socket.as_fd(), token, interest).map_err(|_| ErrorKind::Connect)
        });
        if let Err(kind) = dialled {
            self.fail(slot, kind);
        }
    }

    fn on_connecting(&mut self, slot: usize, flags: EventFlags) {
        let outcome = if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            self.connections[slot].connect_outcome()
        } else if flags.contains(EventFlags::OUT) {
            Ok(())
        } else {
            return;
        };
        self.connecting -= 1;
        let connection = &mut self.connections[slot];
        connection.phase = Phase::Resting;
        if let Err(kind) = outcome {
            return self.fail(slot, kind);
        }
        self.tally.opened += 1;
        // What came along with the handshake is not announced again.
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP) {
            self.on_readable(slot, flags.contains(EventFlags::RDHUP));
        }
        let connection = &self.connections[slot];
        if connection.phase == Phase::Resting && now_ns() >= connection.first_due_ns {
            self.send(slot);
        }
    }

    /// Ends attempts to connect that take longer than the timeout. Looked after in ticks only: a connect is no request.
    fn give_up_connecting(&mut self, now_ns: u64) {
        if self.connecting == 0 || self.plan.timeout_ns == 0 {
            return;
        }
        for slot in 0..self.connections.len() {
            let connection = &self.connections[slot];
            if connection.phase == Phase::Connecting
                && now_ns.saturating_sub(connection.since_ns) > self.plan.timeout_ns
            {
                self.fail(slot, ErrorKind::ConnectTimeout);
            }
        }
    }

    /// Counts an error and replaces the connection.
    #[cold]
    fn fail(&mut self, slot: usize, kind: ErrorKind) {
        self.tally.error(kind, now_ns());
        let connection = &mut self.connections[slot];
        self.connecting -= usize::from(connection.phase == Phase::Connecting);
        let backoff_ns = connection.backoff_ns();
        connection.hang_up();
        if backoff_ns == 0 {
            self.open(slot);
        } else {
            self.timers.add(now_ns() + backoff_ns, Task::Open(slot));
        }
    }

    // --- requests ---------------------------------------------------------------------------------

    /// Starts the next request, unless the run is over.
    fn send(&mut self, slot: usize) {
        let start_ns = now_ns();
        if start_ns >= self.edges.closed_ns() {
            return;
        }
        let connection = &mut self.connections[slot];
        connection.phase = Phase::Sending;
        connection.since_ns = start_ns;
        if self.plan.expect_body.is_some() {
            connection.body_sampled = self.answers_seen.is_multiple_of(BODY_SAMPLE_EVERY) || !connection.productive;
            connection.body_offset = 0;
            connection.body_differs = false;
        }
        self.write_rest(slot);
    }

    /// Writes what the socket takes; the kernel announces room for the rest, after a write that it refused.
    fn write_rest(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        let Some(socket) = &connection.socket else { return };
        while connection.written < self.plan.request.len() {
            match send(socket, &self.plan.request[connection.written..], SendFlags::NOSIGNAL) {
                Ok(written) => connection.written += written,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => return self.fail(slot, ErrorKind::Write),
            }
        }
        connection.phase = Phase::Awaiting;
    }

    // --- answers ----------------------------------------------------------------------------------

    /// Reads what there is. `ended` says that the peer has closed, so that the end is to be looked for as well;
    /// otherwise a read that does not fill the buffer has taken everything, and the kernel announces what comes after
    /// it.
    fn on_readable(&mut self, slot: usize, ended: bool) {
        let generation = self.connections[slot].generation;
        loop {
            let Some(socket) = &self.connections[slot].socket else { return };
            let count = match recv(socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, count)) => count,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => continue,
                Err(_) => return self.fail(slot, ErrorKind::Read),
            };
            let stop_ns = now_ns();
            self.notice_window();
            if count == 0 {
                return self.on_end(slot, stop_ns);
            }
            if stop_ns >= self.edges.closed_ns() {
                return;
            }
            self.tally.read(count as u64, stop_ns);
            if self.connections[slot].phase == Phase::Resting {
                // Nobody asked.
                return self.fail(slot, ErrorKind::Protocol);
            }
            match self.parse(slot, count) {
                Err(BadAnswer) => return self.fail(slot, ErrorKind::Protocol),
                Ok(Progress::Partial) => {}
                Ok(Progress::Complete(answer, used)) => {
                    let is_written = self.connections[slot].phase == Phase::Awaiting;
                    self.on_answer(slot, answer, stop_ns);
                    if used < count {
                        return self.fail(slot, ErrorKind::Protocol);
                    }
                    // After an answer to half a request, the rest of it would be taken for the next one.
                    if !answer.keep_alive || !is_written {
                        return self.replace(slot);
                    }
                    if !ended {
                        self.send(slot);
                        // A failed write replaces the connection; what is left to read here was the old one's.
                        if self.connections[slot].generation != generation {
                            return;
                        }
                    }
                }
            }
            if count < READ_BYTES && !ended {
                return;
            }
        }
    }

    #[inline]
    fn parse(&mut self, slot: usize, count: usize) -> Result<Progress, BadAnswer> {
        let Connection { parser, body_sampled, body_offset, body_differs, .. } = &mut self.connections[slot];
        let bytes = &self.buffer[..count];
        match &self.plan.expect_body {
            None => parser.feed(bytes, &mut |_| {}),
            Some(expected) => parser.feed(bytes, &mut |part| {
                Connection::compare_body(*body_sampled, body_offset, body_differs, part, expected);
            }),
        }
    }

    /// The peer has closed.
    fn on_end(&mut self, slot: usize, stop_ns: u64) {
        match self.connections[slot].parser.end() {
            Some(answer) if stop_ns < self.edges.closed_ns() => {
                self.on_answer(slot, answer, stop_ns);
                self.replace(slot);
            }
            Some(_) => {}
            None if stop_ns < self.edges.closed_ns() => self.fail(slot, ErrorKind::Eof),
            None => {}
        }
    }

    /// Opens a new connection in place of one that was closed in good order.
    fn replace(&mut self, slot: usize) {
        self.connections[slot].hang_up();
        self.open(slot);
    }

    fn on_answer(&mut self, slot: usize, answer: Answer, stop_ns: u64) {
        let connection = &mut self.connections[slot];
        let start_ns = connection.since_ns;
        connection.note_answer(stop_ns);
        self.answers_seen += 1;
        if self.open_ns.is_some_and(|open_ns| stop_ns >= open_ns) {
            connection.answers += 1;
            self.tally.answer(start_ns, stop_ns, answer.status);
        } else {
            self.tally.warmup_answer();
        }
        if (stop_ns - start_ns) / 1000 > self.plan.timeout_ns / 1000 {
            self.tally.error(ErrorKind::Timeout, stop_ns);
        }
        if answer.status > STATUS_FINE_MAX {
            self.tally.error(ErrorKind::Status, stop_ns);
        }
        if self.plan.expect_status.is_some_and(|expected| expected != answer.status) {
            self.tally.error(ErrorKind::UnexpectedStatus, stop_ns);
        }
        if let Some(expected) = &self.plan.expect_body {
            let connection = &self.connections[slot];
            if answer.body_bytes != expected.len() as u64 || (connection.body_sampled && connection.body_differs) {
                self.tally.error(ErrorKind::UnexpectedBody, stop_ns);
            }
        }
    }
}

/// An event's mark: the slot, and which of its sockets.
fn token_of(slot: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | slot as u64
}
