//! The connections: a fixed number of places, each guarded by a lock that is hardly ever contended, because a
//! connection is reported, queued and served once at a time.

use std::{
    net::TcpStream,
    os::fd::OwnedFd,
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
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

    /// Visits every connection that is not being served right now.
    pub fn for_each_waiting(&self, mut visit: impl FnMut(Token, Place<'_>)) {
        for (token, place) in (0..self.untouched.load(Ordering::Acquire)).zip(&self.places) {
            let place = match place.try_lock() {
                Ok(place) => place,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            if place.is_some() {
                visit(token, place);
            }
        }
    }

    /// Takes in a connection, if there is a place, and waits for its first request.
    pub fn admit(&self, stream: TcpStream) {
        let Some(token) = self.free().pop() else { return };
        self.untouched.fetch_max(token + 1, Ordering::AcqRel);
        let mut place = self.lock(token);
        let admitted = Session::new(stream).and_then(|session| {
            let session = place.insert(session);
            let data = EventData::new_u64(token.into());
            Ok(epoll::add(&self.epoll, session.stream(), data, Interest::Readable.flags())?)
        });
        if admitted.is_err() {
            // The client is gone already.
            self.release(token, place);
        }
    }

    /// Asks for the next report on a connection that had its turn.
    pub fn rearm(&self, token: Token, session: &Session, interest: Interest) -> rustix::io::Result<()> {
        epoll::modify(&self.epoll, session.stream(), EventData::new_u64(token.into()), interest.flags())
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
        self.stopping.store(true, Ordering::Release);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn free(&self) -> MutexGuard<'_, Vec<Token>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
