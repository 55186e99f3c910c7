//! What a program may decide while load runs: wrk's script hooks, as a seam.

use std::fmt;

use httparse::Header;

use crate::http::answer::Sink;

/// Which hooks there are. Those that are not there cost nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// [`Hooks::delay_ms`] is asked before every batch.
    pub delay: bool,
    /// [`Hooks::request`] makes every batch.
    pub request: bool,
    /// [`Hooks::response`] sees every answer, with its headers and its whole body.
    pub response: bool,
}

/// The decisions of one event loop. All are called on its thread, one at a time.
pub trait Hooks: fmt::Debug + Send {
    /// Which of the others are to be called; asked once, before the load starts.
    fn wants(&self) -> Wants;

    /// Milliseconds to wait before the next batch.
    fn delay_ms(&mut self) -> Result<u64, HookError>;

    /// Puts the next batch into `bytes`, which is empty: as many requests as the first one had.
    fn request(&mut self, bytes: &mut Vec<u8>) -> Result<(), HookError>;

    /// Sees an answer.
    fn response(&mut self, answer: &Received) -> Result<(), HookError>;

    /// Whether the loop is to send no more; asked after each of the above.
    fn is_stopped(&self) -> bool;
}

/// A hook that failed, which ends the run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HookError(pub String);

/// An answer kept whole for [`Hooks::response`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Its status code.
    pub status: u16,
    /// Its headers, and after them its trailers: each name as received and each value, both ended by a NUL, which is
    /// part of none.
    pub fields: Vec<u8>,
    /// Its body, decoded.
    pub body: Vec<u8>,
    trailers: Vec<u8>,
    /// The body was longer than is kept.
    is_too_long: bool,
}

/// Longest body that is kept for a hook: far above what a script looks at, and no server can fill the memory with it.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Room that is kept from one answer to the next.
const ROOM_BYTES_MAX: usize = 1 << 20;

/// Most trailers that are passed on.
const TRAILERS_MAX: usize = 64;

impl Received {
    /// Forgets the last answer and keeps the room it took.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.body.clear();
        self.body.shrink_to(ROOM_BYTES_MAX);
        self.trailers.clear();
        self.is_too_long = false;
    }

    /// Whether the body was longer than is kept: the answer cannot be shown.
    pub fn is_too_long(&self) -> bool {
        self.is_too_long
    }

    /// The answer is complete: trailers become headers.
    pub fn finish(&mut self) {
        if self.trailers.is_empty() {
            return;
        }
        self.trailers.extend_from_slice(b"\r\n");
        let mut room = [httparse::EMPTY_HEADER; TRAILERS_MAX];
        // Trailers that are no headers are no part of the answer either.
        if let Ok(httparse::Status::Complete((_, trailers))) = httparse::parse_headers(&self.trailers, &mut room) {
            push(&mut self.fields, trailers);
        }
    }
}

fn push(fields: &mut Vec<u8>, headers: &[Header<'_>]) {
    for header in headers {
        for part in [header.name.as_bytes(), header.value] {
            fields.extend_from_slice(part);
            fields.push(0);
        }
    }
}

impl Sink for Received {
    fn head(&mut self, status: u16, headers: &[Header<'_>]) {
        self.clear();
        self.status = status;
        push(&mut self.fields, headers);
    }

    fn body(&mut self, part: &[u8]) {
        self.is_too_long |= self.body.len() + part.len() > BODY_BYTES_MAX;
        if !self.is_too_long {
            self.body.extend_from_slice(part);
        }
    }

    fn trailer(&mut self, byte: u8) {
        self.trailers.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answer::{AnswerParser, Asked};

    #[test]
    fn an_answer_is_kept_with_its_trailers() {
        let mut received = Received::default();
        let wire = b"HTTP/1.1 201 Created\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\nT: v\r\n\r\n";
        AnswerParser::new().feed(wire, Asked::Body, &mut received).unwrap();
        received.finish();
        assert_eq!((received.status, received.body.as_slice()), (201, &b"xy"[..]));
        assert_eq!(received.fields, b"A\0b\0Transfer-Encoding\0chunked\0T\0v\0");
    }
}
