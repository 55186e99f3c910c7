//! Skips a request body: no route wants one, but the next request begins after it.

use stack_contract::{
    Answer,
    limits::{MAX_BODY_BYTES, MAX_HEAD_BYTES},
};

/// Hexadecimal digits of a chunk size: 2^32 - 1 is beyond any body we take, and cannot overflow.
const MAX_SIZE_DIGITS: u8 = 8;

/// A body on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks are still to come.
    Chunked(Chunks),
}

/// Where in a chunked body we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunks {
    state: State,
    /// Bytes of data announced so far.
    data: u64,
    /// Bytes of extensions and trailers so far: they count as head.
    extra: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size { size: u64, digits: u8 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
}

/// Whether there is more to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The body goes on.
    More,
    /// The body ended.
    Done,
}

impl Body {
    pub(crate) fn of_length(length: u64) -> Self {
        Self::Length(length)
    }

    pub(crate) fn chunked() -> Self {
        Self::Chunked(Chunks { state: State::Size { size: 0, digits: 0 }, data: 0, extra: 0 })
    }

    /// Takes what belongs to the body from the front of `bytes`: how many, and whether the body then ended.
    pub(crate) fn skip(&mut self, bytes: &[u8]) -> Result<(usize, Progress), Answer> {
        match self {
            Self::Length(left) => {
                let taken = (bytes.len() as u64).min(*left);
                *left -= taken;
                Ok((taken as usize, if *left == 0 { Progress::Done } else { Progress::More }))
            }
            Self::Chunked(chunks) => chunks.skip(bytes),
        }
    }
}

impl Chunks {
    fn skip(&mut self, bytes: &[u8]) -> Result<(usize, Progress), Answer> {
        let mut at = 0;
        while at < bytes.len() {
            if let State::Data { left } = self.state {
                let taken = ((bytes.len() - at) as u64).min(left);
                at += taken as usize;
                self.state = if taken == left { State::DataCr } else { State::Data { left: left - taken } };
                continue;
            }
            let byte = bytes[at];
            at += 1;
            match self.step(byte)? {
                Some(next) => self.state = next,
                None => return Ok((at, Progress::Done)),
            }
        }
        Ok((at, Progress::More))
    }

    /// One byte of what is not data. `None`: the body ended with it.
    fn step(&mut self, byte: u8) -> Result<Option<State>, Answer> {
        if matches!(self.state, State::Extension { .. } | State::Trailer | State::TrailerStart) {
            self.extra += 1;
            if self.extra > MAX_HEAD_BYTES {
                return Err(Answer::HEAD_TOO_LARGE);
            }
        }
        Ok(Some(match (self.state, byte) {
            (State::Size { size, digits }, digit) if digit.is_ascii_hexdigit() && digits < MAX_SIZE_DIGITS => {
                let value = char::from(digit).to_digit(16).unwrap_or_default();
                State::Size { size: size * 16 + u64::from(value), digits: digits + 1 }
            }
            (State::Size { size, digits: 1.. }, b'\r') => State::SizeLf { size },
            (State::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => State::Extension { size },
            (State::Extension { size }, b'\r') => State::SizeLf { size },
            (State::Extension { size }, byte) if byte != b'\n' => State::Extension { size },
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { size }, b'\n') => {
                self.data += size;
                if self.data > MAX_BODY_BYTES {
                    return Err(Answer::BODY_TOO_LARGE);
                }
                State::Data { left: size }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart | State::Trailer, byte) if byte != b'\r' && byte != b'\n' => State::Trailer,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => return Ok(None),
            _ => return Err(Answer::BAD_REQUEST),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip_chunked(bytes: &[u8]) -> Result<(usize, Progress), Answer> {
        Body::chunked().skip(bytes)
    }

    #[test]
    fn chunks_extensions_and_trailers_are_skipped_and_nothing_more() {
        let body = b"5;name=value\r\nhello\r\n0A \r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let followed = [body, &b"GET"[..]].concat();
        assert_eq!(skip_chunked(&followed), Ok((body.len(), Progress::Done)));
        assert_eq!(skip_chunked(b"0\r\n\r\n"), Ok((5, Progress::Done)));
        assert_eq!(skip_chunked(b"0\r\n"), Ok((3, Progress::More)));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for body in
            ["\r\n", "x\r\n", "5\nhello", "-1\r\n", "5\r\nhelloworld", "123456789\r\n", "0\r\n\n", ";\r\n", "5;\n"]
        {
            assert_eq!(skip_chunked(body.as_bytes()), Err(Answer::BAD_REQUEST), "{body:?}");
        }
    }

    #[test]
    fn what_exceeds_a_limit_is_refused_when_it_is_announced() {
        assert_eq!(skip_chunked(b"100001\r\n"), Err(Answer::BODY_TOO_LARGE));
        assert_eq!(skip_chunked(b"100000\r\n"), Ok((8, Progress::More)));
        let endless = [&b"5;"[..], &[b'x'; MAX_HEAD_BYTES + 1]].concat();
        assert_eq!(skip_chunked(&endless), Err(Answer::HEAD_TOO_LARGE));
    }
}
