//! Bytes to commands: RESP arrays of bulk strings, and inline commands.
//!
//! The frames themselves are decoded by `redis-protocol`, one bulk string at a time. Decoding a whole array in one call
//! would start anew at every read of a long command, allocate for each command, and recurse as deep as the input asks.

use std::ops::Range;

use redis_protocol::resp2::{decode::decode_range, types::RangeFrame};

use crate::number::parse_i64;

/// Longest bulk string: Redis's `proto-max-bulk-len`.
pub const MAX_BULK_BYTES: i64 = 512 * 1024 * 1024;

/// Longest inline command, and longest line that announces a length: Redis's `PROTO_INLINE_MAX_SIZE`.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Most arguments of a command. Redis 7 draws the line here too; memory is taken only as arguments arrive.
const MAX_ARGUMENTS: i64 = i32::MAX as i64;

/// What the next bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole command of that many bytes; [`Parser::take`] has its arguments.
    Command(usize),
    /// That many bytes which ask for nothing: an empty line or an empty array.
    Nothing(usize),
    /// The beginning of a command.
    Incomplete,
}

/// Why a connection cannot be understood any further. The texts are Redis's.
#[derive(Debug, PartialEq, Eq)]
pub enum ProtocolError {
    LongInline,
    UnbalancedQuotes,
    LongArrayHeader,
    ArrayLength,
    LongBulkHeader,
    BulkLength,
    NotABulk(u8),
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        match self {
            Self::LongInline => f.write_str("too big inline request"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            Self::LongArrayHeader => f.write_str("too big mbulk count string"),
            Self::ArrayLength => f.write_str("invalid multibulk length"),
            Self::LongBulkHeader => f.write_str("too big bulk count string"),
            Self::BulkLength => f.write_str("invalid bulk length"),
            Self::NotABulk(byte) => write!(f, "expected '$', got '{}'", char::from(*byte)),
        }
    }
}

/// The arguments of one command, name included: positions in the input, or in a text of their own where quoting means
/// that the input does not hold them literally.
#[derive(Debug, Default)]
pub struct Arguments {
    ranges: Vec<Range<usize>>,
    unquoted: Option<Vec<u8>>,
}

impl Arguments {
    /// Arguments that need no input: a command kept for later.
    pub fn owned<'a>(words: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut text = Vec::new();
        let mut ranges = Vec::new();
        for word in words {
            ranges.push(text.len()..text.len() + word.len());
            text.extend_from_slice(word);
        }
        Self { ranges, unquoted: Some(text) }
    }

    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn get<'a>(&'a self, input: &'a [u8], index: usize) -> &'a [u8] {
        let source = self.unquoted.as_deref().unwrap_or(input);
        &source[self.ranges[index].clone()]
    }

    fn clear(&mut self) {
        self.ranges.clear();
        self.unquoted = None;
    }
}

/// Finds commands in what a connection received, and remembers how far it came in one that is still incomplete.
#[derive(Debug, Default)]
pub struct Parser {
    arguments: Arguments,
    /// Arguments of the current command that have not arrived.
    missing: usize,
    /// Offset, from the start of the current command, of the first byte not yet understood.
    at: usize,
    /// Length the input must reach before anything new can be understood.
    wanted: usize,
}

impl Parser {
    /// Understands the next bytes. After [`Step::Incomplete`] the next call must begin with the same bytes and more.
    pub fn next(&mut self, input: &[u8]) -> Result<Step, ProtocolError> {
        if self.missing == 0 {
            self.arguments.clear();
            self.wanted = 0;
            match input.first() {
                None => return Ok(Step::Incomplete),
                Some(b'*') => {
                    if let Some(step) = self.array_header(input)? {
                        return Ok(step);
                    }
                }
                Some(_) => return self.inline(input),
            }
        }
        while self.missing > 0 {
            let Some((range, used)) = self.bulk(&input[self.at..])? else { return Ok(Step::Incomplete) };
            self.arguments.ranges.push(self.at + range.start..self.at + range.end);
            self.at += used;
            self.missing -= 1;
        }
        Ok(Step::Command(std::mem::take(&mut self.at)))
    }

    /// The arguments of the command just found. Giving them back afterwards spares the next command an allocation.
    pub fn take(&mut self) -> Arguments {
        std::mem::take(&mut self.arguments)
    }

    /// Takes back what [`Parser::take`] gave.
    pub fn give_back(&mut self, arguments: Arguments) {
        self.arguments = arguments;
    }

    /// How long the input must become before it can be understood further: a hint for reading.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// `None` when there is a header and arguments follow.
    fn array_header(&mut self, input: &[u8]) -> Result<Option<Step>, ProtocolError> {
        let Some(end) = line_end(input) else {
            let long = input.len() > MAX_LINE_BYTES;
            return if long { Err(ProtocolError::LongArrayHeader) } else { Ok(Some(Step::Incomplete)) };
        };
        let length = parse_i64(&input[1..end]).filter(|&length| length <= MAX_ARGUMENTS);
        let length = length.ok_or(ProtocolError::ArrayLength)?;
        if length <= 0 {
            return Ok(Some(Step::Nothing(end + 2)));
        }
        self.missing = length as usize;
        self.at = end + 2;
        Ok(None)
    }

    fn bulk(&mut self, rest: &[u8]) -> Result<Option<(Range<usize>, usize)>, ProtocolError> {
        match rest {
            [] => return Ok(None),
            // Redis knows no other spelling of a length; the decoder would accept a plus sign and leading zeros.
            [b'$', b'1'..=b'9', ..] | [b'$', b'0', b'\r', ..] | [b'$'] | [b'$', b'0'] => {}
            [b'$', ..] => return Err(ProtocolError::BulkLength),
            [other, ..] => return Err(ProtocolError::NotABulk(*other)),
        }
        match decode_range(rest) {
            Ok(Some((RangeFrame::BulkString((start, end)), used))) => Ok(Some((start..end, used))),
            Ok(None) => self.incomplete_bulk(rest).map(|()| None),
            _ => Err(ProtocolError::BulkLength),
        }
    }

    /// Refuses an announced length before its bytes are collected.
    fn incomplete_bulk(&mut self, rest: &[u8]) -> Result<(), ProtocolError> {
        let Some(end) = line_end(rest) else {
            return if rest.len() > MAX_LINE_BYTES { Err(ProtocolError::LongBulkHeader) } else { Ok(()) };
        };
        let length = parse_i64(&rest[1..end]).filter(|length| (0..=MAX_BULK_BYTES).contains(length));
        let length = length.ok_or(ProtocolError::BulkLength)?;
        self.wanted = self.at + end + 2 + length as usize + 2;
        Ok(())
    }

    fn inline(&mut self, input: &[u8]) -> Result<Step, ProtocolError> {
        let Some(end) = memchr::memchr(b'\n', input) else {
            return if input.len() > MAX_LINE_BYTES { Err(ProtocolError::LongInline) } else { Ok(Step::Incomplete) };
        };
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        let mut text = Vec::with_capacity(line.len());
        split_quoted(line, &mut text, &mut self.arguments.ranges).ok_or(ProtocolError::UnbalancedQuotes)?;
        if self.arguments.len() == 0 {
            return Ok(Step::Nothing(end + 1));
        }
        self.arguments.unquoted = Some(text);
        Ok(Step::Command(end + 1))
    }
}

/// Offset of the `\r\n` that ends the first line. Such lines are a few bytes long.
fn line_end(input: &[u8]) -> Option<usize> {
    let end = input.iter().take(MAX_LINE_BYTES + 1).position(|&byte| byte == b'\r')?;
    (end + 1 < input.len()).then_some(end)
}

/// Splits a line by Redis's quoting rules: double quotes with escapes, single quotes with `\'` alone. `None` where a
/// quote is not closed, or closed in the middle of a word.
fn split_quoted(line: &[u8], text: &mut Vec<u8>, words: &mut Vec<Range<usize>>) -> Option<()> {
    let mut rest = line;
    loop {
        while let [b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c | 0, after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return Some(());
        }
        let start = text.len();
        rest = word(rest, text)?;
        words.push(start..text.len());
    }
}

fn word<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t' | 0, ..] => return Some(rest),
            [quote @ (b'"' | b'\''), after @ ..] => {
                rest = quoted(*quote, after, text)?;
                // A closing quote ends the word.
                return match rest {
                    [] | [b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c | 0, ..] => Some(rest),
                    _ => None,
                };
            }
            [byte, after @ ..] => {
                text.push(*byte);
                rest = after;
            }
        }
    }
}

fn quoted<'a>(quote: u8, mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [close, after @ ..] if *close == quote => return Some(after),
            [b'\\', b'\'', after @ ..] if quote == b'\'' => (b'\'', after),
            [b'\\', b'x', high, low, after @ ..] if quote == b'"' && hex(*high).is_some() && hex(*low).is_some() => {
                (hex(*high)? * 16 + hex(*low)?, after)
            }
            [b'\\', escaped, after @ ..] if quote == b'"' => (unescape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
        };
        text.push(byte);
        rest = after;
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

#[cfg(test)]
mod tests;
