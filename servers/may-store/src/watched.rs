//! A socket that a coroutine can wait for.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
};

use may::io::{CoIo, WaitIo, WaitIoWaker};

/// `EPOLLERR`, `EPOLLHUP` and `EPOLLRDHUP`: the other side has ended its stream, or the connection is broken.
const END: usize = 0x0008 | 0x0010 | 0x2000;

/// A non-blocking socket that is registered with may's event loop, once and for all events, as edges.
///
/// Whoever uses it has to read (or write) until the socket has no more before waiting again, and to remember an
/// announced end, which no further edge announces.
#[derive(Debug)]
pub struct Watched<S> {
    // Before the socket, so that it is dropped before: `CoIo` deregisters by number. Were the socket closed first, as
    // it is in a `CoIo` that owns it, another thread could accept a connection under the same number in between, and
    // it would be that one which is never heard of again.
    registration: CoIo<Number>,
    socket: S,
}

/// The number of a descriptor that somebody else closes.
#[derive(Debug)]
struct Number(RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// Why a coroutine goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The socket may be ready, or somebody used the waker.
    Ready,
    /// The same, and the other side has ended its stream or is gone: read to the end.
    Ended,
}

impl<S: AsFd> Watched<S> {
    /// Registers a socket and makes it non-blocking.
    ///
    /// # Errors
    /// When the system refuses: its limit of watches, or its memory.
    pub fn new(socket: S) -> io::Result<Self> {
        let registration = CoIo::new(Number(socket.as_fd().as_raw_fd()))?;
        Ok(Self { registration, socket })
    }

    /// The socket.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// The socket.
    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Suspends the coroutine until something happens that did not happen before the last call returned. It may be
    /// nothing of interest.
    pub fn wait(&self) -> Woken {
        if self.registration.wait_io() & END == 0 { Woken::Ready } else { Woken::Ended }
    }

    /// Wakes the coroutine that waits, or that will wait next, from anywhere.
    pub fn waker(&self) -> WaitIoWaker {
        self.registration.waker()
    }
}
