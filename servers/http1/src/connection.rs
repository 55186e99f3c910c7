//! Bytes in, requests out; answers in, bytes out.

use stack_contract::Answer;

use crate::{
    body::Progress,
    head::{self, Head, Parsed},
    render::{self, Content, Persistence},
};

/// Capacity an idle connection may keep in each direction: enough for the requests of a browser, or for a turn of short
/// pipelined ones, so that they cost no allocation; what a longer exchange needed beyond is given back.
const KEPT_CAPACITY: usize = 2048;

/// The interim answer to `Expect: 100-continue`.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One request, as far as a route needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method, verbatim.
    pub method: &'a str,
    /// The request target, verbatim: mostly a path with an optional query.
    pub target: &'a str,
}

impl<'a> Request<'a> {
    /// The target from its path on. A proxy may send the absolute form, `http://host/path`.
    #[must_use]
    pub fn path(&self) -> &'a str {
        if self.target.starts_with('/') {
            return self.target;
        }
        let Some((_scheme, rest)) = self.target.split_once("://") else { return self.target };
        rest.find('/').map_or("/", |slash| &rest[slash..])
    }
}

/// The protocol state of one connection.
///
/// The owner's turn: [`receive`](Self::receive) what was read; while [`next_request`](Self::next_request) gives one,
/// [`answer`](Self::answer) it; write [`output`](Self::output) and report it as [`written`](Self::written); close when
/// [`is_over`](Self::is_over). Do not read while there is output that the client does not take: that is what bounds
/// the memory of a connection.
#[derive(Debug, Default)]
pub struct Connection {
    /// What was received; bytes before `start` are dealt with.
    input: Vec<u8>,
    start: usize,
    /// Bytes from `start` that were parsed in vain, so that a slow sender costs one parse a line and not one a byte.
    parsed: usize,
    /// The request at `start`, from its head until its answer.
    current: Option<Current>,
    /// What is to be sent; bytes before `sent` are.
    output: Vec<u8>,
    sent: usize,
    ending: Ending,
}

#[derive(Debug)]
struct Current {
    head: Head,
    /// Whether its body was skipped, so that it may be answered.
    whole: bool,
}

/// Whether the connection goes on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It does.
    #[default]
    Open,
    /// The next answer says that it is the last.
    AfterNext,
    /// The last answer was given, as the client asked for.
    Answered,
    /// The last answer was given, and the client could not know that it would be: it may still be sending. Either the
    /// server takes leave, or what came was no request.
    CutShort,
}

impl Connection {
    /// A connection on which nothing happened yet. It holds no memory until something does.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes that were read.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.is_ending() {
            return;
        }
        if self.start > 0 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The next whole request, its body skipped. `None` while there is none: more bytes are needed, an answer is
    /// owed, or the connection is at its end.
    pub fn next_request(&mut self) -> Option<Request<'_>> {
        match &self.current {
            None => self.parse_head()?,
            Some(current) if !current.whole => {}
            Some(_) => return None,
        }
        self.skip_body()?;
        let head = &self.current.as_ref()?.head;
        let bytes = &self.input[self.start..];
        // The parser took both as text from these very places.
        let text = |range: &std::ops::Range<usize>| str::from_utf8(&bytes[range.clone()]).unwrap_or_default();
        Some(Request { method: text(&head.method), target: text(&head.target) })
    }

    fn parse_head(&mut self) -> Option<()> {
        let bytes = &self.input[self.start..];
        if bytes.is_empty() || self.is_ending() {
            return None;
        }
        // A head ends with a line. Before its limit, bytes without the end of one cannot complete it.
        let hopeless = self.parsed > 0 && memchr::memchr(b'\n', &bytes[self.parsed..]).is_none();
        if hopeless && bytes.len() <= stack_contract::limits::MAX_HEAD_BYTES {
            self.parsed = bytes.len();
            return None;
        }
        match head::parse(bytes) {
            Parsed::Partial => {
                self.parsed = bytes.len();
                None
            }
            Parsed::Refused(answer) => {
                self.refuse(answer);
                None
            }
            Parsed::Whole(head) => {
                self.parsed = 0;
                let whole = head.body.is_none();
                // Whoever sends the body at once does not wait for the go-ahead.
                if head.expects_continue && bytes.len() == head.bytes {
                    self.output.extend_from_slice(CONTINUE);
                }
                self.current = Some(Current { head, whole });
                Some(())
            }
        }
    }

    /// Takes the body's bytes out from behind the head, which stays for the answer.
    fn skip_body(&mut self) -> Option<()> {
        let current = self.current.as_mut()?;
        let Some(body) = current.head.body.as_mut().filter(|_| !current.whole) else { return Some(()) };
        let at = self.start + current.head.bytes;
        match body.skip(&self.input[at..]) {
            Ok((skipped, progress)) => {
                self.input.drain(at..at + skipped);
                current.whole = progress == Progress::Done;
                current.whole.then_some(())
            }
            Err(answer) => {
                self.refuse(answer);
                None
            }
        }
    }

    /// Answers the request that [`next_request`](Self::next_request) gave.
    pub fn answer(&mut self, answer: Answer) {
        let Some(Current { head, .. }) = self.current.take() else { return };
        let last = self.ending == Ending::AfterNext;
        let persistence = if last { Persistence::Close } else { head.persistence };
        render::append(&mut self.output, answer, persistence, head.content);
        self.start += head.bytes;
        if persistence == Persistence::Close {
            let expected = head.persistence == Persistence::Close;
            self.ending = if expected { Ending::Answered } else { Ending::CutShort };
            self.forget_input();
        } else if self.start == self.input.len() {
            self.forget_input();
        }
    }

    fn refuse(&mut self, answer: Answer) {
        render::append(&mut self.output, answer, Persistence::Close, Content::Sent);
        self.current = None;
        self.ending = Ending::CutShort;
        self.forget_input();
    }

    fn forget_input(&mut self) {
        self.start = 0;
        empty(&mut self.input);
    }

    /// Lets the next answer be the last one, and say so: how a server that stops takes leave.
    pub fn close_after_next(&mut self) {
        if self.ending == Ending::Open {
            self.ending = Ending::AfterNext;
        }
    }

    /// What is to be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// Takes note that the first `bytes` of [`output`](Self::output) were written.
    pub fn written(&mut self, bytes: usize) {
        self.sent += bytes;
        debug_assert!(self.sent <= self.output.len(), "more was written than there is");
        if self.sent >= self.output.len() {
            self.sent = 0;
            empty(&mut self.output);
        }
    }

    /// Whether the last answer was given and written: time to close.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_ending() && self.output.is_empty()
    }

    /// Whether the last answer was given.
    fn is_ending(&self) -> bool {
        matches!(self.ending, Ending::Answered | Ending::CutShort)
    }

    /// Whether the client could not know that the last answer would be the last: it was refused, or the server takes
    /// leave. It may still be sending, and closing a socket with unread bytes makes the kernel reset it, which can take
    /// the answer from the client; so shut down writing and read on for a while.
    #[must_use]
    pub fn was_cut_short(&self) -> bool {
        self.ending == Ending::CutShort
    }

    /// Whether nothing is owed and nothing begun: between requests.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.input.len() == self.start && self.current.is_none() && self.output.is_empty()
    }

    /// Whether a request began to arrive and is not whole.
    #[must_use]
    pub fn is_amid_request(&self) -> bool {
        match &self.current {
            None => self.input.len() > self.start,
            Some(current) => !current.whole,
        }
    }
}

/// Empties a buffer and gives back what an idle connection should not hold.
fn empty(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_CAPACITY {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}
