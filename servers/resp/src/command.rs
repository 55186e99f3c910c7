//! What is asked of the store, and what came of it.

use stack_contract::{Lookup, StoreError, keys::Key};

use crate::replies::Kind;

/// One command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The value of a key.
    Get(Key),
    /// Sets a key to a value.
    Set(Key, &'static [u8]),
}

/// What the store did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// To a [`Command::Get`]: there is a value, and it was received to its last byte.
    Hit,
    /// To a [`Command::Get`]: there is no such key.
    Miss,
    /// To a [`Command::Set`]: done.
    Written,
}

/// What came of a command.
pub type Outcome = Result<Reply, StoreError>;

impl Command {
    /// Appends it as the store wants it: an array of bulk strings.
    pub(crate) fn encode(&self, output: &mut Vec<u8>) {
        match self {
            Self::Get(key) => {
                output.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                append_bulk(output, key.as_bytes());
            }
            Self::Set(key, value) => {
                output.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
                append_bulk(output, key.as_bytes());
                append_bulk(output, value);
            }
        }
    }

    /// What a reply of this kind says about it.
    pub(crate) fn outcome(&self, kind: Kind) -> Outcome {
        match (self, kind) {
            (Self::Get(_), Kind::Bulk) => Ok(Reply::Hit),
            (Self::Get(_), Kind::Nil) => Ok(Reply::Miss),
            (Self::Set(..), Kind::Okay) => Ok(Reply::Written),
            (_, Kind::Error) => Err(StoreError::Refused),
            _ => Err(StoreError::Protocol),
        }
    }
}

impl Reply {
    /// As the answer to a [`Command::Get`].
    ///
    /// # Errors
    /// When it is none.
    pub fn looked_up(self) -> Result<Lookup, StoreError> {
        match self {
            Self::Hit => Ok(Lookup::Hit),
            Self::Miss => Ok(Lookup::Miss),
            Self::Written => Err(StoreError::Protocol),
        }
    }

    /// As the answer to a [`Command::Set`].
    ///
    /// # Errors
    /// When it is none.
    pub fn written(self) -> Result<(), StoreError> {
        match self {
            Self::Written => Ok(()),
            Self::Hit | Self::Miss => Err(StoreError::Protocol),
        }
    }
}

/// Appends `$LENGTH\r\nBYTES\r\n`.
pub(crate) fn append_bulk(output: &mut Vec<u8>, bytes: &[u8]) {
    output.push(b'$');
    output.extend_from_slice(itoa::Buffer::new().format(bytes.len()).as_bytes());
    output.extend_from_slice(b"\r\n");
    output.extend_from_slice(bytes);
    output.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_an_array_of_three_strings() {
        let mut output = Vec::new();
        Command::Set(Key::new(12), b"0123456789").encode(&mut output);
        assert_eq!(output, b"*3\r\n$3\r\nSET\r\n$8\r\ncache:12\r\n$10\r\n0123456789\r\n");
    }

    #[test]
    fn a_reply_that_a_command_cannot_have_is_a_breach_of_protocol() {
        let (get, set) = (Command::Get(Key::new(1)), Command::Set(Key::new(1), b"x"));
        for (kind, of_get, of_set) in [
            (Kind::Bulk, Ok(Reply::Hit), Err(StoreError::Protocol)),
            (Kind::Nil, Ok(Reply::Miss), Err(StoreError::Protocol)),
            (Kind::Okay, Err(StoreError::Protocol), Ok(Reply::Written)),
            (Kind::Error, Err(StoreError::Refused), Err(StoreError::Refused)),
            (Kind::Other, Err(StoreError::Protocol), Err(StoreError::Protocol)),
        ] {
            assert_eq!((get.outcome(kind), set.outcome(kind)), (of_get, of_set), "{kind:?}");
        }
    }
}
