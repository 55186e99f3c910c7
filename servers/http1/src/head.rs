//! One request head: where its parts lie, whether the connection outlives it, and how its body is framed.

use std::{mem::MaybeUninit, ops::Range};

use httparse::{Error, Header, Status};
use stack_contract::{
    Answer,
    limits::{MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADERS},
};

use crate::{
    body::Body,
    render::{Content, Persistence},
};

/// What the bytes at hand are.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The beginning of a head.
    Partial,
    /// A head.
    Whole(Head),
    /// Nothing that can become a request; this is the answer, and it is the last.
    Refused(Answer),
}

/// A well-formed head. Positions count from its first byte.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// Its length with the empty line.
    pub(crate) bytes: usize,
    pub(crate) method: Range<usize>,
    pub(crate) target: Range<usize>,
    pub(crate) persistence: Persistence,
    pub(crate) content: Content,
    /// The body that follows, if any.
    pub(crate) body: Option<Body>,
    /// Whether the client waits for a go-ahead before it sends the body.
    pub(crate) expects_continue: bool,
}

/// Parses the head at the start of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(Status::Complete(length)) if length <= MAX_HEAD_BYTES => length,
        Ok(Status::Partial) if bytes.len() <= MAX_HEAD_BYTES => return Parsed::Partial,
        Ok(_) | Err(Error::TooManyHeaders) => return Parsed::Refused(Answer::HEAD_TOO_LARGE),
        Err(_) => return Parsed::Refused(Answer::BAD_REQUEST),
    };
    // Complete means that all three are there; the fallbacks only spare a panic.
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let is_http10 = request.version == Some(0);
    let facts = match Facts::of(request.headers) {
        Ok(facts) => facts,
        Err(answer) => return Parsed::Refused(answer),
    };
    match facts.body(is_http10) {
        Err(answer) => Parsed::Refused(answer),
        Ok(body) => Parsed::Whole(Head {
            bytes: length,
            method: position(bytes, method),
            target: position(bytes, target),
            persistence: facts.persistence(is_http10),
            content: if method == "HEAD" { Content::Omitted } else { Content::Sent },
            // An HTTP/1.0 client cannot know what a 1xx is.
            expects_continue: facts.expects_continue && !is_http10 && body.is_some(),
            body,
        }),
    }
}

/// Where in `whole` its slice `part` lies.
fn position(whole: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

/// What the fields say, as far as a server must care.
#[derive(Debug, Default)]
struct Facts {
    hosts: usize,
    length: Option<u64>,
    coding: Option<Coding>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    Unknown,
}

impl Facts {
    fn of(fields: &[Header<'_>]) -> Result<Self, Answer> {
        let mut facts = Self::default();
        for Header { name, value } in fields {
            // The length tells most fields apart before a byte is compared.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => facts.hosts += 1,
                6 if name.eq_ignore_ascii_case("expect") => {
                    facts.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if name.eq_ignore_ascii_case("connection") => facts.connection(value),
                14 if name.eq_ignore_ascii_case("content-length") => facts.content_length(value)?,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    let known = value.eq_ignore_ascii_case(b"chunked") && facts.coding.is_none();
                    facts.coding = Some(if known { Coding::Chunked } else { Coding::Unknown });
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Answer> {
        // Two lengths, even equal ones, are what smuggling is made of.
        match self.length.replace(decimal(value)?) {
            None => Ok(()),
            Some(_) => Err(Answer::BAD_REQUEST),
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn persistence(&self, is_http10: bool) -> Persistence {
        match (self.close, is_http10, self.keep_alive) {
            (true, _, _) | (false, true, false) => Persistence::Close,
            (false, true, true) => Persistence::KeepAlive,
            (false, false, _) => Persistence::Implied,
        }
    }

    /// The framing of the body, where there is exactly one way to read it.
    fn body(&self, is_http10: bool) -> Result<Option<Body>, Answer> {
        let hosts_are_wrong = if is_http10 { self.hosts > 1 } else { self.hosts != 1 };
        // A transfer coding beside a length, or from a client that cannot know it, may be read differently by a proxy
        // between us: refused rather than guessed.
        let ambiguous = self.coding.is_some() && (self.length.is_some() || is_http10);
        if hosts_are_wrong || ambiguous {
            return Err(Answer::BAD_REQUEST);
        }
        match (self.coding, self.length) {
            (Some(Coding::Unknown), _) => Err(Answer::UNKNOWN_CODING),
            (Some(Coding::Chunked), _) => Ok(Some(Body::chunked())),
            (None, Some(length)) if length > MAX_BODY_BYTES => Err(Answer::BODY_TOO_LARGE),
            (None, None | Some(0)) => Ok(None),
            (None, Some(length)) => Ok(Some(Body::of_length(length))),
        }
    }
}

/// A length: digits and nothing else, not even a sign. Anything longer than a `u64` is as large as one.
fn decimal(value: &[u8]) -> Result<u64, Answer> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Answer::BAD_REQUEST);
    }
    let digits = value.iter().map(|digit| u64::from(digit - b'0'));
    Ok(digits.fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(digit)))
}
