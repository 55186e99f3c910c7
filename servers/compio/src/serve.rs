//! One client's connection.

use std::{cell::Cell, net::Shutdown, rc::Rc, time::Instant};

use compio::{
    BufResult,
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use socket2::SockRef;
use stack_contract::{Mode, Route, limits::HEAD_TIMEOUT};
use stack_http1::{
    Connection,
    session::{LINGER_BYTES, LINGER_TIMEOUT},
};

use crate::worker::Worker;

/// What one read may bring. The kernel holds the buffer for as long as a connection is idle, so it is just large enough
/// for most requests.
const READ_BYTES: usize = 2048;

/// What the worker knows of a connection.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    /// When it is to be cut off, unless something happens before.
    deadline: Cell<Option<Instant>>,
    /// Whether it waits for a request of which nothing has come yet.
    idle: Cell<bool>,
}

impl Peer {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, deadline: Cell::new(None), idle: Cell::new(true) }
    }

    /// Ends it if its client took too long.
    pub fn check(&self, now: Instant) {
        if self.deadline.get().is_some_and(|deadline| deadline < now) {
            self.shut(Shutdown::Both);
        }
    }

    /// Lets an idle connection end after what was sent before. To drop the ring's read would lose what it has already
    /// taken. A client whose request is only half here by now is cut off.
    pub fn end_if_idle(&self) {
        if self.idle.get() {
            self.shut(Shutdown::Read);
        }
    }

    fn shut(&self, how: Shutdown) {
        // Fails if the client is gone.
        let _ = SockRef::from(&self.stream).shutdown(how);
    }
}

/// The client is gone, or is to be dropped.
struct Gone;

/// Serves until either side ends it.
pub async fn serve(worker: &Worker, peer: &Rc<Peer>) {
    let mut session = Session { worker, peer, http: Connection::new(), output: Vec::new() };
    let mut input = Vec::with_capacity(READ_BYTES);
    loop {
        session.prepare_to_read();
        input.clear();
        let BufResult(read, bytes) = (&peer.stream).read(input).await;
        input = bytes;
        if read.map_or(0, |bytes| bytes) == 0 {
            return;
        }
        peer.idle.set(false);
        session.http.receive(&input);
        if session.answer_all().await.is_err() {
            return;
        }
        if session.http.is_over() {
            return session.take_leave(input).await;
        }
    }
}

struct Session<'a> {
    worker: &'a Worker,
    peer: &'a Rc<Peer>,
    http: Connection,
    /// What is being written. Between writes it only keeps its memory.
    output: Vec<u8>,
}

impl Session<'_> {
    fn prepare_to_read(&mut self) {
        let idle = self.http.is_idle();
        self.peer.idle.set(idle);
        if self.http.is_amid_request() {
            // The first reason counts: a client that sends a byte now and then gains nothing.
            let deadline = self.peer.deadline.get();
            self.peer.deadline.set(deadline.or_else(|| Some(self.worker.later(HEAD_TIMEOUT))));
        } else {
            self.peer.deadline.set(None);
        }
        if self.worker.is_stopping() {
            self.http.close_after_next();
            self.peer.end_if_idle();
        }
    }

    /// Answers what has come, and sends it.
    async fn answer_all(&mut self) -> Result<(), Gone> {
        while let Some(request) = self.http.next_request() {
            let answer = match Route::resolve(request.method, request.path()) {
                Route::Answer(answer) => answer,
                Route::Store(mode, operation) => {
                    // The answers to requests before this one must not wait for the store; and while we do, no time
                    // runs out for the client.
                    self.flush().await?;
                    self.peer.deadline.set(None);
                    match mode {
                        Mode::Sync => operation.run_async(&self.worker.shared.pool).await,
                        Mode::Async => operation.run_async(&*self.worker.store).await,
                    }
                }
            };
            if self.worker.is_stopping() {
                self.http.close_after_next();
            }
            self.http.answer(answer);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        while !self.http.output().is_empty() {
            let mut output = std::mem::take(&mut self.output);
            output.clear();
            output.extend_from_slice(self.http.output());
            self.peer.deadline.set(Some(self.worker.later(HEAD_TIMEOUT)));
            let BufResult(written, bytes) = (&self.peer.stream).write(output).await;
            self.output = bytes;
            match written {
                Ok(bytes) if bytes > 0 => self.http.written(bytes),
                _ => return Err(Gone),
            }
        }
        Ok(())
    }

    /// The last answer is out. If the client did not ask for the end, it may still be sending, and to close with bytes
    /// unread would reset the connection and could take the answer from the client.
    async fn take_leave(self, mut input: Vec<u8>) {
        if !self.http.was_cut_short() {
            return;
        }
        self.peer.shut(Shutdown::Write);
        self.peer.deadline.set(Some(self.worker.later(LINGER_TIMEOUT)));
        let mut left = LINGER_BYTES;
        while left > 0 {
            input.clear();
            let BufResult(read, bytes) = (&self.peer.stream).read(input).await;
            input = bytes;
            match read {
                Ok(bytes) if bytes > 0 => left = left.saturating_sub(bytes),
                _ => return,
            }
        }
    }
}
