//! The store connection in the loop's own set of descriptors: connected, read and written without waiting.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use rustix::{event::epoll::EventFlags, io::Errno};
use socket2::{Domain, Protocol, Socket, Type};
use stack_contract::limits::STORE_CONNECT_TIMEOUT;
use stack_event_loop::{Registry, Ticket};
use stack_resp::{Command, Multiplexer, Outcome, Target, socket};

/// What one read may bring: some sixty values of 1 KiB. Larger ones save few calls and drive the connections out of the
/// caches.
const SCRATCH_BYTES: usize = 64 * 1024;

/// The addresses of a store. Looked up before the loop begins, which must not wait for a name server.
///
/// # Errors
/// When its name has none.
pub fn addresses(target: &Target) -> Result<Vec<SocketAddr>> {
    let (host, port) = (target.host(), target.port());
    let addresses: Vec<_> =
        (host, port).to_socket_addrs().with_context(|| format!("--redis: cannot find the host {host}"))?.collect();
    ensure!(!addresses.is_empty(), "--redis: the host {host} has no address");
    Ok(addresses)
}

/// One connection after the other, and the commands on it.
pub struct Link {
    registry: Registry,
    target: Target,
    /// Tried in turn.
    addresses: Vec<SocketAddr>,
    attempts: u32,
    wire: Option<Wire>,
    multiplexer: Multiplexer<Ticket>,
    scratch: Box<[u8]>,
    /// When the loop woke up.
    now: Instant,
    /// Whether commands failed after the loop took their outcomes.
    failed_late: bool,
}

/// The present socket.
struct Wire {
    stream: TcpStream,
    /// What its events are called. The next socket's are called otherwise, so that a late one is known as such.
    name: u32,
    /// Set while it is being connected: how long that may take.
    connecting_until: Option<Instant>,
    /// Edges are reported once: whether the kernel took all it was given.
    writable: bool,
}

impl Link {
    /// Without a connection; the first attempt is made as soon as the loop runs.
    #[must_use]
    pub fn new(registry: &Registry, target: &Target, addresses: Vec<SocketAddr>) -> Self {
        Self {
            registry: registry.clone(),
            target: target.clone(),
            addresses,
            attempts: 0,
            wire: None,
            multiplexer: Multiplexer::new(target),
            scratch: vec![0; SCRATCH_BYTES].into(),
            now: Instant::now(),
            failed_late: false,
        }
    }

    /// Sends a command at the end of the loop's turn.
    pub fn submit(&mut self, command: Command, ticket: Ticket) {
        self.multiplexer.submit(command, ticket, self.now);
    }

    /// The next command that is done, and what came of it.
    pub fn next_outcome(&mut self) -> Option<(Ticket, Outcome)> {
        self.multiplexer.next_outcome()
    }

    /// The loop woke up at this time.
    pub fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        self.failed_late = false;
    }

    /// The socket is ready.
    pub fn ready(&mut self, name: u32, flags: EventFlags) {
        if self.wire.as_ref().is_some_and(|wire| wire.name == name && wire.connecting_until.is_some()) {
            self.finish_connecting();
        }
        // Still, if it could be connected: the same edge may report the first bytes, or the end.
        let Some(wire) = self.wire.as_mut().filter(|wire| wire.name == name) else { return };
        wire.writable |= flags.contains(EventFlags::OUT);
        let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if ended || flags.contains(EventFlags::IN) {
            self.read(ended);
        }
    }

    /// Replies, as many as there are: no more than commands in flight. After the end of the stream was announced, up to
    /// it, as it is not announced again.
    fn read(&mut self, ended: bool) {
        while let Some(wire) = &mut self.wire {
            match wire.stream.read(&mut self.scratch) {
                Ok(0) => self.lose(),
                Ok(bytes) => {
                    self.multiplexer.receive(&self.scratch[..bytes], self.now);
                    if self.multiplexer.is_broken() {
                        self.lose();
                    } else if bytes < self.scratch.len() && !ended {
                        // The kernel has no more, and will announce what comes.
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.lose(),
            }
        }
    }

    /// What is overdue, and a connection if there is none.
    pub fn look_at_clock(&mut self) {
        let now = self.now;
        if self.multiplexer.deadline().is_some_and(|deadline| deadline <= now) {
            self.multiplexer.expire(now);
            if self.multiplexer.is_broken() {
                self.lose();
            }
        }
        if self.wire.as_ref().and_then(|wire| wire.connecting_until).is_some_and(|until| until <= now) {
            self.fail_to_connect(&io::ErrorKind::TimedOut.into());
        }
        if self.multiplexer.connect_at().is_some_and(|instant| instant <= now) {
            self.connect();
        }
    }

    /// Writes all that gathered since the loop woke up, mostly in one call.
    pub fn flush(&mut self) {
        while let Some(wire) = &mut self.wire
            && wire.writable
            && !self.multiplexer.output().is_empty()
        {
            match wire.stream.write(self.multiplexer.output()) {
                Ok(bytes) => self.multiplexer.written(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wire.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.lose();
                    self.failed_late = true;
                }
            }
        }
    }

    /// When there is something to do though the socket is not ready.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        if self.failed_late {
            return Some(self.now);
        }
        let connecting_until = self.wire.as_ref().and_then(|wire| wire.connecting_until);
        [self.multiplexer.connect_at(), connecting_until, self.multiplexer.deadline()].into_iter().flatten().min()
    }

    fn connect(&mut self) {
        self.multiplexer.connecting();
        let address = self.addresses[self.attempts as usize % self.addresses.len()];
        self.attempts = self.attempts.wrapping_add(1);
        match self.begin_to_connect(address) {
            Ok(wire) => self.wire = Some(wire),
            Err(error) => self.fail_to_connect(&error),
        }
    }

    fn begin_to_connect(&self, address: SocketAddr) -> io::Result<Wire> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        socket::configure(&socket, &self.target)?;
        let name = self.attempts;
        // That it is connected is an edge like the others.
        self.registry.add(&socket, name, EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET)?;
        let connecting_until = Some(self.now + STORE_CONNECT_TIMEOUT);
        Ok(Wire { stream: socket.into(), name, connecting_until, writable: false })
    }

    fn finish_connecting(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        match wire.stream.take_error().and_then(|error| error.map_or(Ok(()), Err)) {
            Ok(()) => {
                wire.connecting_until = None;
                wire.writable = true;
                self.multiplexer.connected(self.now);
            }
            Err(error) => self.fail_to_connect(&error),
        }
    }

    fn fail_to_connect(&mut self, error: &io::Error) {
        self.wire = None;
        self.multiplexer.connect_failed(self.now, error);
    }

    fn lose(&mut self) {
        self.wire = None;
        self.multiplexer.lost(self.now);
    }
}
