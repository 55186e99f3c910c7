//! Replies as they arrive: in pieces, and skipped in place, because no command here needs a reply's content.

/// The longest line: Redis's own limit for one, and it sends none of a hundredth of that.
const MAX_LINE_BYTES: u32 = 64 * 1024;

/// The longest bulk string: Redis's own limit, 512 MiB.
const MAX_BULK_BYTES: u64 = 512 * 1024 * 1024;

/// Elements of an array: Redis's own limit for a command. None of ours is answered with one.
const MAX_ELEMENTS: u64 = 1024 * 1024;

/// How much of an error is kept, to be shown.
const KEPT_ERROR_BYTES: usize = 200;

/// What a reply is, as far as our commands tell replies apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `+OK`
    Okay,
    /// A bulk string, received to its last byte.
    Bulk,
    /// The nil in place of a bulk string.
    Nil,
    /// An error.
    Error,
    /// A well-formed reply that none of our commands has: an integer, an array, another text.
    Other,
}

/// What arrived is no reply; where the next one begins is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nonsense;

/// Where in a reply we are.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    state: State,
    /// Elements of arrays that are still to come. Only how many: how deep they are nested makes no difference to where
    /// the outermost one ends.
    elements: u64,
    /// The beginning of the last error.
    error: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// Before the first byte of a reply.
    #[default]
    Start,
    /// In a status, of which so many bytes were seen, all of them those of `OK`.
    Okay { seen: u8 },
    /// In a line whose content does not matter.
    Line { kind: Kind, seen: u32 },
    /// In the number after `$`, `*` or `:`.
    Number { of: Number, negative: bool, value: u64, digits: u8 },
    /// Before the line feed that ends a line.
    LineFeed { then: Then },
    /// In a bulk string.
    Bulk { left: u64 },
    /// Before the carriage return behind a bulk string.
    BulkEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Bulk,
    Array,
    Integer,
}

/// What follows a line.
#[derive(Debug, Clone, Copy)]
enum Then {
    End(Kind),
    Bulk(u64),
    Elements(u64),
}

impl Replies {
    /// Takes bytes from the front until a reply is whole. `None`: all were taken, and it is not.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Kind>, Nonsense> {
        while !bytes.is_empty() {
            if let State::Bulk { left } = self.state {
                let taken = (bytes.len() as u64).min(left);
                *bytes = &bytes[taken as usize..];
                self.state = if taken == left { State::BulkEnd } else { State::Bulk { left: left - taken } };
                continue;
            }
            let byte = bytes[0];
            *bytes = &bytes[1..];
            if let Some(kind) = self.step(byte)? {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    /// The beginning of the last error, to be shown.
    pub(crate) fn error(&self) -> String {
        String::from_utf8_lossy(&self.error).into_owned()
    }

    /// One byte of what is not a bulk string's content.
    fn step(&mut self, byte: u8) -> Result<Option<Kind>, Nonsense> {
        self.state = match (self.state, byte) {
            (State::Start, _) => self.begin(byte)?,
            (State::Number { of, value, digits: 1.., negative }, b'\r') => {
                State::LineFeed { then: of.then(negative, value)? }
            }
            (State::Number { of, value: 0, digits: 0, negative: false }, b'-') => {
                State::Number { of, value: 0, digits: 0, negative: true }
            }
            (State::Number { of, value, digits, negative }, b'0'..=b'9') if digits < u8::MAX => {
                // Of an integer only the form counts, and what is too large for a length is refused as one.
                let value = value.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                State::Number { of, value, digits: digits + 1, negative }
            }
            (State::Number { .. }, _) => return Err(Nonsense),
            (State::Okay { seen: 2 }, b'\r') => State::LineFeed { then: Then::End(Kind::Okay) },
            (State::Okay { seen: 0 }, b'O') => State::Okay { seen: 1 },
            (State::Okay { seen: 1 }, b'K') => State::Okay { seen: 2 },
            (State::Okay { .. }, b'\r') => State::LineFeed { then: Then::End(Kind::Other) },
            (State::Okay { seen }, _) if byte != b'\n' => State::Line { kind: Kind::Other, seen: u32::from(seen) + 1 },
            (State::Line { kind, .. }, b'\r') => State::LineFeed { then: Then::End(kind) },
            (State::Line { kind, seen }, _) if byte != b'\n' && seen < MAX_LINE_BYTES => {
                if kind == Kind::Error && self.error.len() < KEPT_ERROR_BYTES {
                    self.error.push(byte);
                }
                State::Line { kind, seen: seen + 1 }
            }
            (State::LineFeed { then }, b'\n') => {
                self.state = State::Start;
                match then {
                    Then::End(kind) => return Ok(self.end(kind)),
                    Then::Bulk(left) => State::Bulk { left },
                    // This reply is replaced by its elements.
                    Then::Elements(elements) => {
                        self.elements = self.elements.saturating_sub(1) + elements;
                        State::Start
                    }
                }
            }
            (State::BulkEnd, b'\r') => State::LineFeed { then: Then::End(Kind::Bulk) },
            _ => return Err(Nonsense),
        };
        Ok(None)
    }

    fn begin(&mut self, byte: u8) -> Result<State, Nonsense> {
        let number = |of| State::Number { of, negative: false, value: 0, digits: 0 };
        Ok(match byte {
            b'$' => number(Number::Bulk),
            b'+' => State::Okay { seen: 0 },
            b'-' => {
                self.error.clear();
                State::Line { kind: Kind::Error, seen: 0 }
            }
            b':' => number(Number::Integer),
            b'*' => number(Number::Array),
            _ => return Err(Nonsense),
        })
    }

    /// A reply ended: the one that was asked for, or an element of it.
    fn end(&mut self, kind: Kind) -> Option<Kind> {
        match self.elements {
            0 => Some(kind),
            1 => {
                self.elements = 0;
                Some(Kind::Other)
            }
            _ => {
                self.elements -= 1;
                None
            }
        }
    }
}

impl Number {
    fn then(self, negative: bool, value: u64) -> Result<Then, Nonsense> {
        match (self, negative, value) {
            (Self::Integer, _, _) => Ok(Then::End(Kind::Other)),
            (Self::Bulk, true, 1) => Ok(Then::End(Kind::Nil)),
            (Self::Array, true, 1) | (Self::Array, false, 0) => Ok(Then::End(Kind::Other)),
            (Self::Bulk, false, 0..=MAX_BULK_BYTES) => Ok(Then::Bulk(value)),
            (Self::Array, false, 1..=MAX_ELEMENTS) => Ok(Then::Elements(value)),
            _ => Err(Nonsense),
        }
    }
}
