//! One thread that accepts and queues what is ready. It never reads from a connection and never waits for a store.

use std::{
    io,
    net::TcpListener,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, Event, EventData, EventFlags},
    },
    io::Errno,
};
use stack_contract::{Shutdown, limits::DRAIN_TIMEOUT};
use stack_threads::Queue;

use crate::table::{Table, Token};

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// Connections accepted before those that are ready have their turn.
const ACCEPTS: usize = 64;

/// How often slow clients are looked for; also how late they may be found, and how long we do not accept after an error
/// that will not go away by itself, such as too few descriptors.
const SWEEP: Duration = Duration::from_secs(1);

/// How often a server that stops looks whether the last connection is closed.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Tokens that are no connection's.
const LISTENER: u64 = u64::MAX;
const SHUTDOWN: u64 = u64::MAX - 1;
const FREED: u64 = u64::MAX - 2;

pub struct Dispatcher {
    listener: Option<TcpListener>,
    // Held for its descriptor, which is registered.
    _shutdown: Shutdown,
    table: &'static Table,
    queue: &'static Queue<Token>,
    /// Ready connections of one look at the kernel, which are queued together.
    ready: Vec<Token>,
    /// Set while we do not accept because of an error.
    deaf: bool,
    stop_at: Option<Instant>,
}

impl Dispatcher {
    pub fn new(
        listener: TcpListener,
        shutdown: Shutdown,
        table: &'static Table,
        queue: &'static Queue<Token>,
    ) -> Result<Self> {
        listener.set_nonblocking(true)?;
        epoll::add(&table.epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        // One edge is enough: from then on the loop knows.
        epoll::add(&table.epoll, &shutdown, EventData::new_u64(SHUTDOWN), EventFlags::IN | EventFlags::ET)?;
        epoll::add(&table.epoll, &table.freed, EventData::new_u64(FREED), EventFlags::IN | EventFlags::ET)?;
        let ready = Vec::with_capacity(EVENTS);
        Ok(Self { listener: Some(listener), _shutdown: shutdown, table, queue, ready, deaf: false, stop_at: None })
    }

    /// Serves until the server is to stop and no connection is left, or time is up.
    pub fn run(mut self) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        let mut next_sweep = Instant::now() + SWEEP;
        while !self.is_done() {
            let step = if self.stop_at.is_some() { DRAIN_STEP } else { SWEEP };
            let timeout = Timespec { tv_sec: step.as_secs() as i64, tv_nsec: step.subsec_nanos().into() };
            match epoll::wait(&self.table.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    SHUTDOWN => self.begin_to_stop(),
                    FREED => self.listen(EventFlags::IN)?,
                    token => self.make_ready(token as Token),
                }
            }
            self.queue.push(&mut self.ready);
            let now = Instant::now();
            if now >= next_sweep {
                self.table.sweep(now);
                if std::mem::take(&mut self.deaf) {
                    self.listen(EventFlags::IN)?;
                }
                next_sweep = now + SWEEP;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.stop_at.is_some_and(|stop_at| self.table.is_empty() || Instant::now() >= stop_at)
    }

    fn make_ready(&mut self, token: Token) {
        if self.table.claim(token) {
            self.ready.push(token);
        }
    }

    fn accept(&mut self) -> Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        for _ in 0..ACCEPTS {
            if !self.table.has_place() {
                // The backlog holds the others until a connection ends.
                return self.listen(EventFlags::empty());
            }
            match listener.accept() {
                Ok((stream, _)) => self.table.admit(stream),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        eprintln!("accept: {error}");
                        self.deaf = true;
                        return self.listen(EventFlags::empty());
                    }
                },
            }
        }
        Ok(())
    }

    fn listen(&self, interest: EventFlags) -> Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        Ok(epoll::modify(&self.table.epoll, listener, EventData::new_u64(LISTENER), interest)?)
    }

    /// Gives every connection that waits one turn: what was sent is answered, what is idle is closed. Those that are
    /// being served see to that themselves, and what arrives later is reported as ever.
    fn begin_to_stop(&mut self) {
        self.stop_at = Some(Instant::now() + DRAIN_TIMEOUT);
        self.listener = None;
        self.table.stop();
        for token in self.table.armed() {
            self.make_ready(token);
        }
    }
}
