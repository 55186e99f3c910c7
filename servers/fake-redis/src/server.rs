//! The loop: one thread, one poller, one queue of due replies.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use anyhow::Context;
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime},
};
use signal_hook::consts::{SIGINT, SIGTERM};
use stack_contract::listener;

use crate::{
    clock::{self, Nanos},
    commands::execute_all,
    connection::{Connection, MAX_OUTPUT_BYTES, Token},
    state::State,
};

/// Names of what is no connection. A connection's token never reaches them: its slot is below the limit of connections.
const LISTENER: u64 = u64::MAX;
const SIGNALS: u64 = u64::MAX - 1;
const TIMER: u64 = u64::MAX - 2;

/// Events taken per turn: more would only delay the due replies, which are looked after between turns too.
const EVENTS: usize = 256;

/// Bytes read from one connection per turn. Enough for a thousand short pipelined commands; few enough that the others
/// do not wait a millisecond.
const READ_BYTES: usize = 32 * 1024;

/// Connections accepted per turn, for the same reason.
const ACCEPTS: usize = 256;

/// How often expired keys are swept up, as in Redis (`hz 10`). Readers never see one anyway.
const SWEEP_INTERVAL: Nanos = 100_000_000;

/// How long the listener rests after the system had no room for a connection.
const REST: Nanos = 100_000_000;

/// The server.
pub struct Server {
    poller: OwnedFd,
    listener: TcpListener,
    /// Set to the next instant at which something is due. Unlike a timeout of the poller's it stays set while other
    /// events come, and the kernel programs its hardware once per instant instead of twice per turn. It has no slack.
    timer: OwnedFd,
    /// The instant it is set to, if that lies ahead.
    armed: Option<Nanos>,
    state: State,
    /// Connections by when their next reply is due; each stands here at most once.
    due: BinaryHeap<Reverse<(Nanos, Token)>>,
    buffer: Vec<u8>,
    next_sweep: Nanos,
    /// The system cannot take another connection: the listener rests until then, or until a connection ends.
    resting_until: Option<Nanos>,
    /// The last connection could not be taken, and somebody has been told.
    refused: bool,
}

/// Readable once SIGTERM or SIGINT has come.
pub fn catch_signals() -> io::Result<UnixStream> {
    let (signals, signalled) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, signalled.try_clone()?)?;
    }
    Ok(signals)
}

impl Server {
    /// Takes the poller and the timer in hand.
    pub fn new(listener: TcpListener, state: State) -> anyhow::Result<Self> {
        listener.set_nonblocking(true)?;
        let poller = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&poller, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&poller, &state.signals, EventData::new_u64(SIGNALS), EventFlags::IN)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // Edge-triggered: it need not be read, and setting it anew makes the next edge.
        epoll::add(&poller, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
        let (due, buffer) = (BinaryHeap::new(), vec![0; READ_BYTES]);
        let (armed, next_sweep, resting_until, refused) = (None, 0, None, false);
        Ok(Self { poller, listener, timer, armed, state, due, buffer, next_sweep, resting_until, refused })
    }

    /// Says where it listens.
    pub fn announce(&self) -> anyhow::Result<()> {
        listener::announce(&self.listener).context("cannot write to standard output")
    }

    /// Serves until SIGTERM or SIGINT.
    pub fn run(mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let timeout = self.arm()?;
            match epoll::wait(&self.poller, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for events"),
            }
            self.look_after_time();
            for event in events.drain(..) {
                match event.data.u64() {
                    SIGNALS => {
                        let mut byte = [0];
                        _ = self.state.signals.read(&mut byte);
                        return Ok(());
                    }
                    // It has done its work by waking us.
                    TIMER => self.armed = None,
                    LISTENER => self.accept(),
                    token => self.serve(Token(token), event.flags),
                }
                self.send_due(self.state.now);
            }
            self.close_killed();
        }
    }

    /// Sets the timer to the next instant at which something is due. Returns the poller's timeout: zero if that is now.
    fn arm(&mut self) -> anyhow::Result<Option<Timespec>> {
        let due = self.due.peek().map(|Reverse((due, _))| *due);
        let sweep = self.state.keyspace.has_deadlines().then_some(self.next_sweep);
        let Some(next) = [due, sweep, self.resume_at(), self.resting_until].into_iter().flatten().min() else {
            return Ok(None);
        };
        if self.armed == Some(next) {
            return Ok(None);
        }
        if next <= clock::now() {
            return Ok(Some(Timespec::default()));
        }
        let at = Timespec { tv_sec: (next / 1_000_000_000) as i64, tv_nsec: (next % 1_000_000_000) as i64 };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: at };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once).context("cannot set the timer")?;
        self.armed = Some(next);
        Ok(None)
    }

    /// When the commands that wait for the end of a pause go on.
    fn resume_at(&self) -> Option<Nanos> {
        if self.state.paused.is_empty() {
            return None;
        }
        Some(self.state.pause.map_or(0, |pause| pause.until))
    }

    fn look_after_time(&mut self) {
        let now = clock::now();
        self.state.now = now;
        self.send_due(now);
        if self.state.pause.is_some_and(|pause| pause.until <= now) {
            self.state.pause = None;
        }
        if self.resume_at().is_some_and(|at| at <= now) {
            self.resume();
        }
        if self.resting_until.is_some_and(|until| until <= now) {
            self.listen_again();
        }
        if self.next_sweep <= now && self.state.keyspace.has_deadlines() {
            self.state.keyspace.sweep();
            self.next_sweep = now + SWEEP_INTERVAL;
        }
    }

    /// Sends what has become due.
    fn send_due(&mut self, now: Nanos) {
        while let Some(&Reverse((due, token))) = self.due.peek()
            && due <= now
        {
            self.due.pop();
            if let Some(mut connection) = self.state.connections.take(token) {
                connection.scheduled = false;
                self.send(connection, now);
            }
        }
    }

    /// Lets the commands that waited for the end of a pause go on, in the order in which they arrived.
    fn resume(&mut self) {
        for token in std::mem::take(&mut self.state.paused) {
            let Some(mut connection) = self.state.connections.take(token) else { continue };
            connection.session.paused = false;
            let input = std::mem::take(&mut connection.input);
            self.execute_kept(&mut connection, input);
            self.send_now(connection);
        }
    }

    fn serve(&mut self, token: Token, flags: EventFlags) {
        let Some(mut connection) = self.state.connections.take(token) else { return };
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP);
        if broken && !connection.wanted_interest().contains(EventFlags::IN) {
            // Nobody reads from it, so nobody else would notice.
            self.close(connection);
            return;
        }
        if flags.contains(EventFlags::IN) || broken {
            match self.read(&mut connection) {
                Ok(Some(_)) => {}
                // The socket may still take what waits for it to.
                Ok(None) => self.state.now = clock::now(),
                Err(_) => {
                    self.close(connection);
                    return;
                }
            }
        }
        let now = self.state.now;
        self.send(connection, now);
    }

    /// Reads and carries out; an error means that the client has gone.
    fn read(&mut self, connection: &mut Connection) -> io::Result<Option<usize>> {
        if !connection.input.is_empty() {
            let received = connection.receive_more()?;
            let input = std::mem::take(&mut connection.input);
            if received.is_some() {
                self.execute_kept(connection, input);
            } else {
                connection.input = input;
            }
            return gone_if_zero(received);
        }
        // Almost always whole commands arrive. Then nothing of them needs a buffer of the connection's own.
        let received = gone_if_zero(connection.receive(&mut self.buffer)?)?;
        let Some(count) = received else { return Ok(None) };
        connection.session.last_active = self.state.now;
        let used = execute_all(&mut self.state, connection, &self.buffer[..count]);
        self.state.now = self.state.stop_charging();
        connection.input.extend_from_slice(&self.buffer[used..count]);
        Ok(received)
    }

    /// Carries out what is in a connection's own buffer, and keeps the rest there.
    fn execute_kept(&mut self, connection: &mut Connection, mut input: Vec<u8>) {
        connection.session.last_active = self.state.now;
        let used = execute_all(&mut self.state, connection, &input);
        self.state.now = self.state.stop_charging();
        if used < input.len() {
            input.drain(..used);
            connection.input = input;
        }
    }

    fn send_now(&mut self, connection: Box<Connection>) {
        let now = clock::now();
        self.send(connection, now);
    }

    /// Sends what is due by `now`, and puts the connection back where it belongs.
    fn send(&mut self, mut connection: Box<Connection>, now: Nanos) {
        if connection.send(now).is_err() || connection.output.len() > MAX_OUTPUT_BYTES {
            return self.close(connection);
        }
        self.note_sent(&mut connection);
        if connection.session.closing && connection.output.is_empty() {
            return self.close(connection);
        }
        if !connection.scheduled
            && !connection.write_blocked
            && let Some(due) = connection.output.next_due()
        {
            self.due.push(Reverse((due, connection.token)));
            connection.scheduled = true;
        }
        let wanted = connection.wanted_interest();
        if wanted != connection.interest {
            let data = EventData::new_u64(connection.token.0);
            if epoll::modify(&self.poller, &connection.socket, data, wanted).is_err() {
                return self.close(connection);
            }
            connection.interest = wanted;
        }
        self.state.connections.put_back(connection);
    }

    /// Notes how late the replies were that have just left.
    fn note_sent(&mut self, connection: &mut Connection) {
        let Some(first) = connection.output.pop_sent() else { return };
        let now = clock::now();
        self.state.delays.record(&first, now);
        while let Some(held) = connection.output.pop_sent() {
            self.state.delays.record(&held, now);
        }
        self.state.now = now;
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS {
            match self.listener.accept() {
                Ok((socket, peer)) => {
                    // A client that is gone already is not worth a word.
                    _ = self.welcome(socket, peer);
                    self.refused = false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => return self.rest(&error),
            }
        }
    }

    fn welcome(&mut self, socket: TcpStream, peer: SocketAddr) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        if self.state.connections.open() >= self.state.max_connections {
            self.state.connections_rejected += 1;
            io::Write::write_all(&mut &socket, b"-ERR max number of clients reached\r\n")?;
            return Ok(());
        }
        socket.set_nodelay(true)?;
        self.state.connections_received += 1;
        let (poller, now) = (&self.poller, self.state.now);
        self.state.connections.insert(|token, id| {
            epoll::add(poller, &socket, EventData::new_u64(token.0), EventFlags::IN)?;
            Connection::new(token, id, socket, peer, now)
        })?;
        Ok(())
    }

    fn close_killed(&mut self) {
        while let Some(token) = self.state.kills.pop() {
            if let Some(connection) = self.state.connections.take(token) {
                self.close(connection);
            }
        }
    }

    fn close(&mut self, connection: Box<Connection>) {
        if connection.session.paused {
            self.state.paused.retain(|&token| token != connection.token);
        }
        self.state.connections.forget(connection);
        if self.resting_until.is_some() {
            self.listen_again();
        }
    }

    /// Whoever waits to be accepted would otherwise be reported without end.
    fn rest(&mut self, error: &io::Error) {
        if !self.refused {
            eprintln!("fake-redis: cannot accept a connection: {error}; trying again");
            self.refused = true;
        }
        // Should this fail, the poller goes on reporting, and a rest begins with each report.
        _ = self.watch_listener(EventFlags::empty());
        self.resting_until = Some(self.state.now + REST);
    }

    fn listen_again(&mut self) {
        let watched = self.watch_listener(EventFlags::IN);
        self.resting_until = watched.is_err().then_some(self.state.now + REST);
    }

    fn watch_listener(&self, interest: EventFlags) -> rustix::io::Result<()> {
        epoll::modify(&self.poller, &self.listener, EventData::new_u64(LISTENER), interest)
    }
}

fn gone_if_zero(received: Option<usize>) -> io::Result<Option<usize>> {
    if received == Some(0) { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(received) }
}

/// Whether accepting failed because of the one connection, so that the next may do better: its client has gone, a
/// filter forbids it, or the network had failed it (`accept(2)`).
fn is_of_the_connection(error: &io::Error) -> bool {
    const KNOWN: [Errno; 11] = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PERM,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NONET,
        Errno::OPNOTSUPP,
    ];
    Errno::from_io_error(error).is_some_and(|errno| KNOWN.contains(&errno))
}
