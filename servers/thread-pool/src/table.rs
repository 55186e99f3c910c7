//! The connections: a fixed number of places, each guarded by a lock that is hardly ever contended, because a
//! connection is reported, queued and served once at a time.

use std::{
    net::TcpStream,
    os::fd::OwnedFd,
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use anyhow::Result;
use rustix::event::{
    EventfdFlags,
    epoll::{self, CreateFlags, EventData, EventFlags},
    eventfd,
};
use stack_http1::Session;

/// Names a connection: the number of its place.
pub type Token = u32;

/// The guard of one place.
pub type Place<'a> = MutexGuard<'a, Option<Session>>;

/// All connections, and the epoll they are registered with.
pub struct Table {
    pub epoll: OwnedFd,
    places: Box<[Mutex<Option<Session>>]>,
    /// Of each place, whether its connection is with the kernel, which will report it; if not, it is queued or served.
    armed: Box<[AtomicBool]>,
    free: Mutex<Vec<Token>>,
    /// No place from this one on was ever taken.
    untouched: AtomicU32,
    /// Set by the dispatcher when it waits for a place, …
    waited_for: AtomicBool,
    /// … and readable when there is one.
    pub freed: OwnedFd,
    /// Whether the server is to stop.
    stopping: AtomicBool,
}

/// What to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    Readable,
    Writable,
}

impl Interest {
    /// One report, then silence until it is asked for again: nobody else is told while a connection is being served.
    fn flags(self) -> EventFlags {
        match self {
            Self::Readable => EventFlags::IN | EventFlags::RDHUP | EventFlags::ONESHOT,
            Self::Writable => EventFlags::OUT | EventFlags::ONESHOT,
        }
    }
}

impl Table {
    pub fn new(places: u32) -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            places: (0..places).map(|_| Mutex::default()).collect(),
            armed: (0..places).map(|_| AtomicBool::new(false)).collect(),
            // The last is taken first, so that few connections stay close together.
            free: Mutex::new((0..places).rev().collect()),
            untouched: AtomicU32::new(0),
            waited_for: AtomicBool::new(false),
            freed: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            stopping: AtomicBool::new(false),
        })
    }

    /// Whether there is a place for one more. If not, [`Self::freed`] becomes readable when there is.
    pub fn has_place(&self) -> bool {
        if !self.free().is_empty() {
            return true;
        }
        self.waited_for.store(true, Ordering::SeqCst);
        // One may have been freed before anybody saw that we wait.
        !self.free().is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.free().len() == self.places.len()
    }

    /// The connection of a place, if there is one.
    pub fn lock(&self, token: Token) -> Place<'_> {
        self.places[token as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection back from the kernel, to queue it or to drop it. Whoever is told `true` has it for himself.
    pub fn claim(&self, token: Token) -> bool {
        self.armed[token as usize].swap(false, Ordering::SeqCst)
    }

    /// The connections that are with the kernel.
    pub fn armed(&self) -> impl Iterator<Item = Token> {
        (0..self.untouched.load(Ordering::Acquire)).filter(|&token| self.armed[token as usize].load(Ordering::SeqCst))
    }

    /// Drops the clients that took too long. One that waits for us, queued, has all the time.
    pub fn sweep(&self, now: Instant) {
        for token in self.armed() {
            let place = match self.places[token as usize].try_lock() {
                Ok(place) => place,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // It has just been armed.
                Err(TryLockError::WouldBlock) => continue,
            };
            if place.as_ref().is_some_and(|session| session.is_expired(now)) && self.claim(token) {
                self.release(token, place);
            }
        }
    }

    /// Takes in a connection, if there is a place, and waits for its first request.
    pub fn admit(&self, stream: TcpStream) {
        let Some(token) = self.free().pop() else { return };
        self.untouched.fetch_max(token + 1, Ordering::AcqRel);
        let mut place = self.lock(token);
        // Otherwise the client is gone already.
        if let Ok(session) = Session::new(stream) {
            let session = place.insert(session);
            let data = EventData::new_u64(token.into());
            self.armed[token as usize].store(true, Ordering::SeqCst);
            match epoll::add(&self.epoll, session.stream(), data, Interest::Readable.flags()) {
                Ok(()) => return,
                // The system's memory, or its limit of watches.
                Err(error) => eprintln!("accept: cannot watch a connection: {error}"),
            }
            self.claim(token);
        }
        self.release(token, place);
    }

    /// Asks for the next report on a connection that had its turn.
    pub fn rearm(&self, token: Token, session: &Session, interest: Interest) -> rustix::io::Result<()> {
        // First, as the report may come before the call returns.
        self.armed[token as usize].store(true, Ordering::SeqCst);
        let armed = epoll::modify(&self.epoll, session.stream(), EventData::new_u64(token.into()), interest.flags());
        if armed.is_err() {
            self.claim(token);
        }
        armed
    }

    /// Drops a connection. Closing the socket also takes it out of epoll.
    pub fn release(&self, token: Token, mut place: Place<'_>) {
        *place = None;
        drop(place);
        self.free().push(token);
        if self.waited_for.swap(false, Ordering::SeqCst) {
            // Fails only if a notification is pending.
            let _ = rustix::io::write(&self.freed, &1_u64.to_ne_bytes());
        }
    }

    /// From now on every answer is its connection's last.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn free(&self) -> MutexGuard<'_, Vec<Token>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
