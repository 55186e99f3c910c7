//! A codec with its non-blocking socket, for stacks that wait for readiness themselves. The only I/O of this crate.
//!
//! The owner's turn on a session that is ready: [`fill`](Session::fill), answer the requests of
//! [`http`](Session::http), then [`settle`](Session::settle), which says what to wait for next.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use stack_contract::limits::{HEAD_TIMEOUT, MAX_BODY_BYTES};

use crate::Connection;

/// How long a client that could not know of the end may go on sending before the connection is closed for good.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How much of it is read and thrown away: the longest body that would have been taken, twice.
pub const LINGER_BYTES: usize = 2 * MAX_BODY_BYTES as usize;

/// One connection.
#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
    /// The protocol state.
    pub http: Connection,
    /// When it is to be cut off, unless something happens before.
    deadline: Option<Instant>,
    /// Set when we have nothing more to say: what may still be read and thrown away.
    lingering: Option<usize>,
}

/// What came of reading once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Bytes came, and filled the room there was: there may be more.
    Some,
    /// Bytes came, and for now there are no more.
    Drained,
    /// There are no bytes at the moment.
    Nothing,
    /// The client will send no more, or is gone.
    End,
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// For the client to send.
    Read,
    /// For the client to take what it was sent. Until then, nothing of it is read.
    Write,
    /// For nothing: it is to be dropped.
    Close,
}

impl Session {
    /// Takes over an accepted connection.
    ///
    /// # Errors
    /// When the socket's modes cannot be set, that is, when the client is gone already.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Each answer is one write, which Nagle's algorithm would only delay.
        stream.set_nodelay(true)?;
        Ok(Self { stream, http: Connection::new(), deadline: None, lingering: None })
    }

    /// The socket, to register it.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads once. `scratch` is any memory; sharing it between sessions is what keeps idle ones small.
    pub fn fill(&mut self, scratch: &mut [u8]) -> Fill {
        loop {
            return match self.stream.read(scratch) {
                Ok(0) => Fill::End,
                Ok(bytes) => {
                    self.take(&scratch[..bytes]);
                    if bytes < scratch.len() { Fill::Drained } else { Fill::Some }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Fill::Nothing,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Fill::End,
            };
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        match &mut self.lingering {
            None => self.http.receive(bytes),
            Some(left) => *left = left.saturating_sub(bytes.len()),
        }
    }

    /// Writes what there is to write, as far as the client takes it. From when it takes no more, its time runs.
    pub fn flush(&mut self) -> Next {
        while !self.http.output().is_empty() {
            match self.stream.write(self.http.output()) {
                Ok(0) => return Next::Close,
                Ok(bytes) => {
                    self.http.written(bytes);
                    self.deadline = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Here and not in `settle`, as an owner may begin its turn with this and end it if there is more.
                    self.cut_off_after(HEAD_TIMEOUT);
                    return Next::Write;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Next::Close,
            }
        }
        Next::Read
    }

    /// Ends a turn: writes, and decides how to go on.
    pub fn settle(&mut self) -> Next {
        match self.flush() {
            Next::Read => {}
            next => return next,
        }
        if self.http.is_over() {
            return self.take_leave();
        }
        if self.http.is_amid_request() {
            self.cut_off_after(HEAD_TIMEOUT);
        } else {
            self.deadline = None;
        }
        Next::Read
    }

    /// The last answer is out. If the client did not ask for the end, it may still be sending, and to close with bytes
    /// unread would reset the connection and could take the answer from the client.
    fn take_leave(&mut self) -> Next {
        match self.lingering {
            None if self.http.was_cut_short() && self.stream.shutdown(Shutdown::Write).is_ok() => {
                self.lingering = Some(LINGER_BYTES);
                self.cut_off_after(LINGER_TIMEOUT);
                Next::Read
            }
            Some(left) if left > 0 => Next::Read,
            _ => Next::Close,
        }
    }

    fn cut_off_after(&mut self, time: Duration) {
        // The first reason counts: a client that sends a byte now and then gains nothing.
        self.deadline.get_or_insert_with(|| Instant::now() + time);
    }

    /// The server has something to do before the client can go on: no time runs out for the client.
    pub fn stop_clock(&mut self) {
        if self.lingering.is_none() {
            self.deadline = None;
        }
    }

    /// Whether it is between requests, with nothing owed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lingering.is_none() && self.http.is_idle()
    }

    /// Whether the client took too long over a request, or over an answer. An idle session never expires.
    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline < now)
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
