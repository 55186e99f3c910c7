//! Heads of answers: where the body ends, and whether the connection goes on.

use std::mem::MaybeUninit;

use super::answer::Sink;
use super::chunked::Chunked;

/// Largest head, as wrk's parser has it.
pub const HEAD_BYTES_MAX: usize = 80 * 1024;

/// Most headers of an answer: more than any server sends, and 8 KiB of stack.
const HEADERS_MAX: usize = 256;

/// Not an HTTP answer, or one that breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadAnswer;

/// Whether the request asked for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Whatever the answer's headers announce follows.
    Body,
    /// It was a HEAD request: nothing follows, whatever they announce.
    HeadOnly,
}

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// By its chunks.
    Chunked(Chunked),
    /// With the connection.
    UntilEof,
}

/// What a head means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Whether the connection can carry another request.
    pub keep_alive: bool,
    /// Where the body ends.
    pub framing: Framing,
}

/// The last head that came in one piece, and what it meant: servers say the same each time, but for the date once a
/// second, and to compare is cheaper than to parse. Parsers that take answers to the same requests share one.
#[derive(Debug, Default)]
pub struct LastHead {
    bytes: Vec<u8>,
    meaning: Option<(Asked, Head)>,
}

impl LastHead {
    /// The head at the beginning of these bytes, if it is the same, and its length.
    #[inline]
    pub(super) fn recall(&self, bytes: &[u8], asked: Asked) -> Option<(Head, usize)> {
        let (_, head) = self.meaning.filter(|(known, _)| *known == asked)?;
        bytes.starts_with(&self.bytes).then_some((head, self.bytes.len()))
    }

    pub(super) fn remember(&mut self, bytes: &[u8], asked: Asked, head: Head) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.meaning = Some((asked, head));
    }
}

/// The head at the beginning of these bytes and its length, if it is complete.
pub fn parse_head(bytes: &[u8], asked: Asked, sink: &mut impl Sink) -> Result<Option<(Head, usize)>, BadAnswer> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, bytes, &mut headers)
        .map_err(|_| BadAnswer)?;
    let httparse::Status::Complete(length) = parsed else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(BadAnswer) } else { Ok(None) };
    };
    if length > HEAD_BYTES_MAX {
        return Err(BadAnswer);
    }
    let status = response.code.unwrap_or(0);
    if status < 100 {
        return Err(BadAnswer);
    }
    let fields = Fields::collect(response.headers)?;
    if !(100..200).contains(&status) {
        sink.head(status, response.headers);
    }
    let keep_alive = if response.version == Some(0) { fields.keep_alive && !fields.close } else { !fields.close };
    let framing = match (status, fields.coding, fields.length) {
        (204 | 304, ..) => Framing::Length(0),
        _ if asked == Asked::HeadOnly => Framing::Length(0),
        (_, Some(Coding::Chunked), _) => Framing::Chunked(Chunked::new()),
        (_, Some(Coding::Other), _) | (_, None, None) => Framing::UntilEof,
        (_, None, Some(length)) => Framing::Length(length),
    };
    let keep_alive = keep_alive && framing != Framing::UntilEof;
    Ok(Some((Head { status, keep_alive, framing }, length)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// `chunked` is applied last, so that the body ends by itself.
    Chunked,
    /// Something else is: the body ends with the connection.
    Other,
}

/// The headers that decide where an answer ends and what comes after it.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    coding: Option<Coding>,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn collect(headers: &[httparse::Header<'_>]) -> Result<Self, BadAnswer> {
        let mut fields = Self::default();
        for header in headers {
            // Lengths differ between the three names, which makes passing over the others cheap.
            match header.name.len() {
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    for word in words(header.value) {
                        fields.close |= word.eq_ignore_ascii_case(b"close");
                        fields.keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let length = parse_length(header.value)?;
                    if fields.length.is_some_and(|known| known != length) {
                        return Err(BadAnswer);
                    }
                    fields.length = Some(length);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    for word in words(header.value) {
                        let chunked = word.eq_ignore_ascii_case(b"chunked");
                        fields.coding = Some(if chunked { Coding::Chunked } else { Coding::Other });
                    }
                }
                _ => {}
            }
        }
        Ok(fields)
    }
}

/// The elements of a comma-separated header value.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn parse_length(value: &[u8]) -> Result<u64, BadAnswer> {
    let digits = value.trim_ascii();
    // Nineteen digits always fit; a longer number is no length.
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadAnswer);
    }
    Ok(digits.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}
