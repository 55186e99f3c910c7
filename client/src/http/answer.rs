//! Answers, parsed as they arrive.
//!
//! A parser belongs to a connection and knows where in an answer it stands. Bytes are handed to it straight from the
//! read buffer; only a head that arrives in pieces is kept aside.

pub use super::head::{Asked, BadAnswer, LastHead};
use super::head::{Framing, HEAD_BYTES_MAX, Head, parse_head};

/// A complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Whether the connection can carry another request.
    pub keep_alive: bool,
    /// Bytes of its body, chunk framing removed.
    pub body_bytes: u64,
}

/// Who wants to see what is in an answer. A closure is one that sees the body only.
pub trait Sink {
    /// The head of an answer, interim ones excepted.
    fn head(&mut self, _status: u16, _headers: &[httparse::Header<'_>]) {}
    /// A part of the body, chunk framing removed.
    fn body(&mut self, part: &[u8]);
    /// A byte of the trailers after a chunked body, line ends included.
    fn trailer(&mut self, _byte: u8) {}
}

impl<F: FnMut(&[u8])> Sink for F {
    fn body(&mut self, part: &[u8]) {
        self(part);
    }
}

/// How far the bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All bytes are taken and the answer is not complete.
    Partial,
    /// The answer is complete after this many bytes; any more are not part of it.
    Complete(Answer, usize),
}

#[derive(Debug)]
enum State {
    Head,
    Body { head: Head, body_bytes: u64 },
}

/// The parser of one connection's answers.
#[derive(Debug)]
pub struct AnswerParser {
    state: State,
    /// The beginning of a head that arrived in pieces.
    partial: Vec<u8>,
}

impl AnswerParser {
    /// Before the first byte.
    pub fn new() -> Self {
        Self { state: State::Head, partial: Vec::new() }
    }

    /// Forgets an unfinished answer.
    pub fn reset(&mut self) {
        self.state = State::Head;
        self.partial.clear();
    }

    /// Takes bytes as they arrived; what is in them goes to `sink`.
    pub fn feed(&mut self, bytes: &[u8], asked: Asked, sink: &mut impl Sink) -> Result<Progress, BadAnswer> {
        self.take(bytes, asked, None, sink)
    }

    /// As [`Self::feed`] where nobody wants to see what is in the bytes: a head like the last one is not parsed again.
    #[inline]
    pub fn feed_unseen(&mut self, bytes: &[u8], asked: Asked, last: &mut LastHead) -> Result<Progress, BadAnswer> {
        self.take(bytes, asked, Some(last), &mut |_: &[u8]| {})
    }

    fn take(
        &mut self,
        bytes: &[u8],
        asked: Asked,
        mut last: Option<&mut LastHead>,
        sink: &mut impl Sink,
    ) -> Result<Progress, BadAnswer> {
        let mut used = 0;
        loop {
            match &mut self.state {
                State::Body { head, body_bytes } => {
                    let counting = &mut Counting { body_bytes, sink };
                    let (taken, complete) = take_body(&mut head.framing, &bytes[used..], counting)?;
                    used += taken;
                    if !complete {
                        return Ok(Progress::Partial);
                    }
                    let answer = Answer { status: head.status, keep_alive: head.keep_alive, body_bytes: *body_bytes };
                    self.reset();
                    return Ok(Progress::Complete(answer, used));
                }
                State::Head => {
                    let Some((head, taken)) = self.take_head(&bytes[used..], asked, last.as_deref_mut(), sink)? else {
                        return Ok(Progress::Partial);
                    };
                    used += taken;
                    // An interim answer announces another one; nobody asked to switch protocols.
                    match head.status {
                        101 => return Err(BadAnswer),
                        100..=199 => {}
                        _ => self.state = State::Body { head, body_bytes: 0 },
                    }
                }
            }
        }
    }

    /// Whether the next byte belongs to a head.
    pub fn is_at_head(&self) -> bool {
        matches!(self.state, State::Head)
    }

    /// How many bytes of a body of known length are still to come, if the next byte is one of them.
    #[inline]
    pub fn body_remaining(&self) -> Option<u64> {
        match &self.state {
            State::Body { head: Head { framing: Framing::Length(remaining), .. }, .. } => Some(*remaining),
            _ => None,
        }
    }

    /// Takes so many bytes of [`Self::body_remaining`] as read; the answer, if these were the last.
    pub fn skip(&mut self, count: u64) -> Option<Answer> {
        let State::Body { head: Head { status, keep_alive, framing: Framing::Length(remaining) }, body_bytes } =
            &mut self.state
        else {
            return None;
        };
        let taken = count.min(*remaining);
        *remaining -= taken;
        *body_bytes += taken;
        let answer = Answer { status: *status, keep_alive: *keep_alive, body_bytes: *body_bytes };
        let is_complete = *remaining == 0;
        if is_complete {
            self.reset();
        }
        is_complete.then_some(answer)
    }

    /// The peer has closed: the answer that this completes, if any.
    pub fn end(&mut self) -> Option<Answer> {
        let State::Body { head: Head { status, framing: Framing::UntilEof, .. }, body_bytes } = self.state else {
            return None;
        };
        self.reset();
        Some(Answer { status, keep_alive: false, body_bytes })
    }

    /// The head, if it ends in `bytes`, and how many of them it took.
    fn take_head(
        &mut self,
        bytes: &[u8],
        asked: Asked,
        last: Option<&mut LastHead>,
        sink: &mut impl Sink,
    ) -> Result<Option<(Head, usize)>, BadAnswer> {
        if self.partial.is_empty() {
            if let Some(known) = last.as_ref().and_then(|last| last.recall(bytes, asked)) {
                return Ok(Some(known));
            }
            let parsed = parse_head(bytes, asked, sink)?;
            match (parsed, last) {
                // Interim ones come between two answers, and would displace theirs.
                (Some((head, length)), Some(last)) if head.status >= 200 => {
                    last.remember(&bytes[..length], asked, head);
                }
                (Some(_), _) => {}
                (None, _) => self.partial.extend_from_slice(bytes),
            }
            return Ok(parsed);
        }
        let before = self.partial.len();
        // Only so much more can belong to a head; the rest of a large read need not be copied.
        let room = (HEAD_BYTES_MAX + 1).saturating_sub(before).min(bytes.len());
        self.partial.extend_from_slice(&bytes[..room]);
        let parsed = parse_head(&self.partial, asked, sink)?.map(|(head, length)| (head, length - before));
        if parsed.is_some() {
            self.partial.clear();
        }
        Ok(parsed)
    }
}

impl Default for AnswerParser {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts the body on its way.
struct Counting<'a, S> {
    body_bytes: &'a mut u64,
    sink: &'a mut S,
}

impl<S: Sink> Sink for Counting<'_, S> {
    fn body(&mut self, part: &[u8]) {
        *self.body_bytes += part.len() as u64;
        self.sink.body(part);
    }

    fn trailer(&mut self, byte: u8) {
        self.sink.trailer(byte);
    }
}

/// Bytes of the body taken, and whether it is complete.
fn take_body(framing: &mut Framing, bytes: &[u8], sink: &mut impl Sink) -> Result<(usize, bool), BadAnswer> {
    match framing {
        Framing::Length(remaining) => {
            let taken = usize::try_from(*remaining).unwrap_or(usize::MAX).min(bytes.len());
            sink.body(&bytes[..taken]);
            *remaining -= taken as u64;
            Ok((taken, *remaining == 0))
        }
        Framing::Chunked(chunked) => {
            let taken = chunked.feed(bytes, sink).map_err(|_| BadAnswer)?;
            Ok((taken, chunked.is_done()))
        }
        Framing::UntilEof => {
            sink.body(bytes);
            Ok((bytes.len(), false))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Progress, BadAnswer> {
        AnswerParser::new().feed(bytes, Asked::Body, &mut |_: &[u8]| {})
    }

    fn feed(parser: &mut AnswerParser, bytes: &[u8]) -> Result<Progress, BadAnswer> {
        parser.feed(bytes, Asked::Body, &mut |_: &[u8]| {})
    }

    fn complete(bytes: &str) -> Answer {
        match parse(bytes.as_bytes()) {
            Ok(Progress::Complete(answer, used)) if used == bytes.len() => answer,
            other => panic!("{bytes:?}: {other:?}"),
        }
    }

    #[test]
    fn a_length_ends_the_body() {
        let answer = complete("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(answer, Answer { status: 200, keep_alive: true, body_bytes: 3 });
    }

    #[test]
    fn chunks_end_the_body_and_win_over_a_length() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n";
        assert_eq!(complete(&format!("{head}3\r\nabc\r\n0\r\n\r\n")).body_bytes, 3);
    }

    #[test]
    fn a_body_may_be_passed_over() {
        let mut parser = AnswerParser::new();
        assert_eq!((parser.body_remaining(), parser.is_at_head()), (None, true));
        assert_eq!(feed(&mut parser, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), Ok(Progress::Partial));
        assert_eq!(parser.body_remaining(), Some(7));
        assert_eq!(parser.skip(6), None);
        assert_eq!(parser.skip(1), Some(Answer { status: 200, keep_alive: true, body_bytes: 10 }));
        assert!(parser.is_at_head());
    }

    #[test]
    fn some_statuses_have_no_body_whatever_their_headers_say() {
        assert_eq!(complete("HTTP/1.1 204 No Content\r\n\r\n").body_bytes, 0);
        assert_eq!(complete("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n").body_bytes, 0);
    }

    #[test]
    fn the_answer_to_head_has_no_body_whatever_its_headers_say() {
        for framing in ["Content-Length: 7", "Transfer-Encoding: chunked", "X: no framing"] {
            let wire = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
            let parsed = AnswerParser::new().feed(wire.as_bytes(), Asked::HeadOnly, &mut |_: &[u8]| {});
            let answer = Answer { status: 200, keep_alive: true, body_bytes: 0 };
            assert_eq!(parsed, Ok(Progress::Complete(answer, wire.len())), "{framing}");
        }
    }

    #[test]
    fn a_sink_sees_head_body_and_trailers_but_no_interim_answer() {
        #[derive(Default)]
        struct Seen(Vec<String>);
        impl Sink for Seen {
            fn head(&mut self, status: u16, headers: &[httparse::Header<'_>]) {
                let names: Vec<&str> = headers.iter().map(|header| header.name).collect();
                self.0.push(format!("{status} {}", names.join(" ")));
            }
            fn body(&mut self, part: &[u8]) {
                self.0.push(part.escape_ascii().to_string());
            }
            fn trailer(&mut self, byte: u8) {
                self.0.push(byte.escape_ascii().to_string());
            }
        }
        let mut seen = Seen::default();
        let wire = b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n\
                     HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\nT:\r\n\r\n";
        AnswerParser::new().feed(wire, Asked::Body, &mut seen).unwrap();
        assert_eq!(seen.0, ["200 Transfer-Encoding", "xy", "T", ":", "\\r", "\\n"]);
    }

    #[test]
    fn interim_answers_are_not_answers() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        let answer = complete(&format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(answer.status, 200);
        assert_eq!(parse(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), Err(BadAnswer));
    }

    #[test]
    fn the_connection_header_and_the_version_decide_about_keep_alive() {
        for (head, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: foo, Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(complete(head).keep_alive, keep_alive, "{head}");
        }
    }

    #[test]
    fn without_length_the_body_ends_with_the_connection() {
        let mut parser = AnswerParser::new();
        assert_eq!(feed(&mut parser, b"HTTP/1.1 200 OK\r\n\r\nabc"), Ok(Progress::Partial));
        assert_eq!(parser.end(), Some(Answer { status: 200, keep_alive: false, body_bytes: 3 }));
        assert_eq!(feed(&mut parser, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc"), Ok(Progress::Partial));
        assert_eq!(parser.end(), None);
    }

    #[test]
    fn what_is_not_an_answer_is_refused() {
        for bytes in [
            "hello",
            "HTTP/1.1 99 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
        ] {
            assert_eq!(parse(bytes.as_bytes()), Err(BadAnswer), "{bytes}");
        }
    }

    #[test]
    fn an_endless_head_is_refused() {
        let mut parser = AnswerParser::new();
        assert_eq!(feed(&mut parser, b"HTTP/1.1 200 OK\r\nX: "), Ok(Progress::Partial));
        let more = [b'x'; 16 * 1024];
        let refused = (0..6).any(|_| feed(&mut parser, &more).is_err());
        assert!(refused);
    }
}
