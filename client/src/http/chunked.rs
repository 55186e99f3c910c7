//! The chunked transfer coding, decoded as it arrives.

use super::answer::Sink;

/// Longest line of framing (a chunk's size with its extensions, or one trailer): no server sends more, and an endless
/// one must not be read for ever.
const LINE_BYTES_MAX: u32 = 16 * 1024;

/// Trailers may be this long together.
const TRAILER_BYTES_MAX: u32 = 64 * 1024;

/// Chunked framing that breaks its own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadChunk;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the hexadecimal size; the number of digits seen.
    Size {
        digits: u8,
    },
    /// After the size: extensions, up to the CR.
    Extension,
    /// The LF that ends the size line.
    SizeLf,
    /// `remaining` bytes of data to come.
    Data,
    /// The CR after the data.
    DataCr,
    /// The LF after the data.
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    /// Inside a trailer line.
    Trailer,
    /// The LF that ends a trailer line.
    TrailerLf,
    /// The LF that ends the message.
    FinalLf,
    Done,
}

/// A decoder between two reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunked {
    state: State,
    /// Of the current chunk.
    remaining: u64,
    /// Bytes of the current line, or of all trailers.
    line: u32,
}

impl Chunked {
    /// At the start of a body.
    pub fn new() -> Self {
        Self { state: State::Size { digits: 0 }, remaining: 0, line: 0 }
    }

    /// Whether the last byte of the body, trailers included, has been seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes bytes until the body is complete or there are no more, handing data and trailers to `sink`; returns how
    /// many were taken.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, BadChunk> {
        let mut used = 0;
        while used < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let take = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(bytes.len() - used);
                sink.body(&bytes[used..used + take]);
                used += take;
                self.remaining -= take as u64;
                if self.remaining == 0 {
                    self.state = State::DataCr;
                }
            } else {
                let (before, byte) = (self.state, bytes[used]);
                self.state = self.framing(byte)?;
                let is_trailer = |state| matches!(state, State::Trailer | State::TrailerLf);
                if is_trailer(before) || is_trailer(self.state) {
                    sink.trailer(byte);
                }
                used += 1;
            }
        }
        Ok(used)
    }

    /// The state after one byte of framing.
    fn framing(&mut self, byte: u8) -> Result<State, BadChunk> {
        self.line += 1;
        if self.line > self.line_limit() {
            return Err(BadChunk);
        }
        match (self.state, byte) {
            (State::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 16 => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                self.remaining = (self.remaining << 4) | u64::from(digit);
                Ok(State::Size { digits: digits + 1 })
            }
            (State::Size { digits: 1.. }, b';' | b' ' | b'\t') => Ok(State::Extension),
            (State::Size { digits: 1.. } | State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, byte) if byte != b'\n' => Ok(State::Extension),
            (State::SizeLf, b'\n') => {
                self.line = 0;
                Ok(if self.remaining == 0 { State::TrailerStart } else { State::Data })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.line = 0;
                Ok(State::Size { digits: 0 })
            }
            (State::TrailerStart, b'\r') => Ok(State::FinalLf),
            (State::TrailerStart | State::Trailer, byte) if byte != b'\n' => {
                Ok(if byte == b'\r' { State::TrailerLf } else { State::Trailer })
            }
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::FinalLf, b'\n') => Ok(State::Done),
            _ => Err(BadChunk),
        }
    }

    fn line_limit(&self) -> u32 {
        match self.state {
            State::TrailerStart | State::Trailer | State::TrailerLf | State::FinalLf => TRAILER_BYTES_MAX,
            _ => LINE_BYTES_MAX,
        }
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<(Vec<u8>, usize, bool), BadChunk> {
        let (mut chunked, mut body) = (Chunked::new(), Vec::new());
        let used = chunked.feed(bytes, &mut |part: &[u8]| body.extend_from_slice(part))?;
        Ok((body, used, chunked.is_done()))
    }

    #[test]
    fn extensions_and_trailers_are_passed_over() {
        let wire = b"3;a=b\r\nabc\r\n2 \r\nde\r\n0\r\nX: y\r\nZ:\r\n\r\nrest";
        let expected = (b"abcde".to_vec(), wire.len() - 4, true);
        assert_eq!(decode(wire), Ok(expected));
    }

    #[test]
    fn a_body_that_stops_early_is_not_done() {
        let wire = b"3\r\nabc\r\n0\r\n\r\n";
        for end in 0..wire.len() {
            assert!(!decode(&wire[..end]).unwrap().2, "{end}");
        }
    }

    #[test]
    fn broken_framing_is_refused() {
        for wire in [&b"\r\n"[..], b"x\r\n", b"3\n", b"3\r\nabcd", b"00000000000000001\r\n", b"3;a\n", b"0\r\n\n"] {
            assert_eq!(decode(wire), Err(BadChunk), "{}", wire.escape_ascii());
        }
        assert_eq!(decode(&[b"1;".as_slice(), &[b'x'; 20_000]].concat()), Err(BadChunk));
    }
}
