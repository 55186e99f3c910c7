//! One thread, one epoll, its own connections: one read and one write a request.

use std::{
    net::TcpStream,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
};
use stack_contract::{Answer, Route, Shutdown, limits::DRAIN_TIMEOUT};
use stack_http1::{Fill, Next, Session};

use crate::acceptor::{Inbox, Places};

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// What one read may bring: many pipelined requests, and more than the longest head.
const SCRATCH_BYTES: usize = 32 * 1024;

/// Reads of one connection before the others have their turn.
const READS_PER_TURN: usize = 8;

/// How often slow clients are looked for; also how late they may be found.
const SWEEP: Duration = Duration::from_secs(1);

/// Tokens that are no connection's.
const INBOX: u64 = u64::MAX;
const SHUTDOWN: u64 = u64::MAX - 1;

pub struct Worker {
    epoll: OwnedFd,
    inbox: Arc<Inbox>,
    places: &'static Places,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// Connections that have had their turn and may have more to read.
    unfinished: Vec<usize>,
    scratch: Box<[u8]>,
    /// Set when the server is to stop: when it will, whatever is in flight.
    stop_at: Option<Instant>,
}

struct Peer {
    session: Session,
    /// Edges are reported once: whether there may be bytes that no further edge will announce.
    unread: bool,
    /// Whether the end of the stream was announced. That is not announced again, so from here on we read up to it.
    ended: bool,
}

impl Worker {
    pub fn new(shutdown: &Shutdown, places: &'static Places) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let inbox = Arc::new(Inbox::new()?);
        epoll::add(&epoll, &inbox.filled, EventData::new_u64(INBOX), EventFlags::IN)?;
        // One edge is enough: from then on the loop knows.
        epoll::add(&epoll, shutdown, EventData::new_u64(SHUTDOWN), EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            epoll,
            inbox,
            places,
            peers: Vec::new(),
            free: Vec::new(),
            unfinished: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            stop_at: None,
        })
    }

    pub fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Serves until the server is to stop and nothing is in flight, or time is up.
    pub fn run(mut self) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        let mut next_sweep = Instant::now() + SWEEP;
        while !self.is_done() {
            self.wait(&mut events)?;
            for event in events.drain(..) {
                match event.data.u64() {
                    INBOX => self.welcome(),
                    SHUTDOWN => self.begin_to_stop(),
                    token => self.turn(token as usize, event.flags),
                }
            }
            for index in std::mem::take(&mut self.unfinished) {
                self.turn(index, EventFlags::IN);
            }
            // The clock is read once for a batch of events.
            let now = Instant::now();
            if now >= next_sweep {
                self.sweep(now);
                next_sweep = now + SWEEP;
            }
        }
        Ok(())
    }

    fn wait(&mut self, events: &mut Vec<Event>) -> Result<()> {
        let timeout = if self.unfinished.is_empty() { SWEEP } else { Duration::ZERO };
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: 0 };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn is_done(&self) -> bool {
        let all_served = || self.free.len() == self.peers.len() && self.inbox.is_done();
        self.stop_at.is_some_and(|stop_at| all_served() || Instant::now() >= stop_at)
    }

    fn welcome(&mut self) {
        for stream in self.inbox.take() {
            match self.admit(stream) {
                // Accepted before the stop: what it sent is answered, and if it sent nothing, it is closed.
                Ok(index) if self.stop_at.is_some() => self.turn(index, EventFlags::IN),
                Ok(_) => {}
                Err(_) => self.places.release(),
            }
        }
    }

    fn admit(&mut self, stream: TcpStream) -> Result<usize> {
        let peer = Peer { session: Session::new(stream)?, unread: false, ended: false };
        let index = self.free.pop().unwrap_or_else(|| {
            self.peers.push(None);
            self.peers.len() - 1
        });
        // All that may ever be asked for, once: edges make further calls superfluous.
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(index as u64);
        if let Err(error) = epoll::add(&self.epoll, peer.session.stream(), data, interest) {
            self.free.push(index);
            return Err(error.into());
        }
        self.peers[index] = Some(peer);
        Ok(index)
    }

    /// Reads, answers and writes as far as one connection goes.
    fn turn(&mut self, index: usize, flags: EventFlags) {
        let Some(peer) = self.peers.get_mut(index).and_then(Option::as_mut) else { return };
        peer.ended |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        peer.unread |= peer.ended || flags.contains(EventFlags::IN);
        match peer.turn(&mut self.scratch, self.stop_at.is_some()) {
            Turn::Waits => {}
            Turn::MayGoOn => self.unfinished.push(index),
            Turn::Over => self.close(index),
        }
    }

    fn close(&mut self, index: usize) {
        // Closing the socket also takes it out of epoll.
        self.peers[index] = None;
        self.free.push(index);
        self.places.release();
    }

    fn begin_to_stop(&mut self) {
        self.stop_at = Some(Instant::now() + DRAIN_TIMEOUT);
        // What was sent before we stopped is answered; what is idle is closed.
        for index in 0..self.peers.len() {
            self.turn(index, EventFlags::IN);
        }
    }

    fn sweep(&mut self, now: Instant) {
        for index in 0..self.peers.len() {
            if self.peers[index].as_ref().is_some_and(|peer| peer.session.is_expired(now)) {
                self.close(index);
            }
        }
    }
}

enum Turn {
    Waits,
    MayGoOn,
    Over,
}

impl Peer {
    fn turn(&mut self, scratch: &mut [u8], stopping: bool) -> Turn {
        if stopping {
            self.session.http.close_after_next();
        }
        // Left over from a client that did not take its answers.
        match self.session.flush() {
            Next::Read => {}
            Next::Write => return Turn::Waits,
            Next::Close => return Turn::Over,
        }
        for _ in 0..READS_PER_TURN {
            if !self.unread {
                break;
            }
            let fill = self.session.fill(scratch);
            // Fewer bytes than asked for: the kernel has no more, and will announce what comes.
            self.unread = fill == Fill::Some || (fill == Fill::Drained && self.ended);
            if fill == Fill::End {
                return Turn::Over;
            }
            answer_all(&mut self.session);
            match self.session.settle() {
                Next::Read => {}
                Next::Write => return Turn::Waits,
                Next::Close => return Turn::Over,
            }
        }
        if stopping && self.session.is_idle() {
            return Turn::Over;
        }
        if self.unread { Turn::MayGoOn } else { Turn::Waits }
    }
}

fn answer_all(session: &mut Session) {
    while let Some(request) = session.http.next_request() {
        let answer = match Route::resolve(request.method, request.path()) {
            Route::Answer(answer) => answer,
            // Here a store would be asked.
            Route::Store(..) => Answer::OK,
        };
        session.http.answer(answer);
    }
}
