//! Refusals, in Redis's own words.

use std::{borrow::Cow, fmt};

use super::Words;
use crate::delay::Delay;

/// Redis shows at most this much of what it does not understand.
const MAX_ECHO_BYTES: usize = 128;

/// Why a command was not carried out.
#[derive(Debug)]
pub enum Error {
    Arity(&'static str),
    NoPermission(&'static str),
    WrongType,
    Syntax,
    NotAnInteger,
    InvalidExpire(&'static str),
    /// As `CONFIG SET errors` wants it.
    Injected,
    /// Two delays on one connection: what waits ahead, and what was refused.
    MixedDelays {
        ahead: (&'static str, Delay),
        refused: (&'static str, Delay),
    },
    /// Anything else, its code included.
    Text(Cow<'static, str>),
}

impl Error {
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }

    pub fn unknown_command(words: Words) -> Self {
        let mut shown = String::new();
        for word in words.from(1) {
            if shown.len() >= MAX_ECHO_BYTES {
                break;
            }
            shown.push_str(&format!("'{}' ", echo(word, MAX_ECHO_BYTES - shown.len())));
        }
        let name = echo(words.get(0), MAX_ECHO_BYTES);
        Self::text(format!("ERR unknown command '{name}', with args beginning with: {shown}"))
    }

    /// What a command says that looks at its subcommand itself.
    pub fn wrong_subcommand(subcommand: &[u8], command: &str) -> Self {
        let subcommand = echo(subcommand, MAX_ECHO_BYTES);
        let problem = "unknown subcommand or wrong number of arguments for";
        Self::text(format!("ERR {problem} '{subcommand}'. Try {command} HELP."))
    }

    pub fn unknown_subcommand(container: &str, subcommand: &[u8]) -> Self {
        let (subcommand, container) = (echo(subcommand, MAX_ECHO_BYTES), container.to_ascii_uppercase());
        Self::text(format!("ERR unknown subcommand '{subcommand}'. Try {container} HELP."))
    }
}

/// A word for a message: cut to `limit` bytes, and at a NUL as C's formatting does.
pub fn echo(word: &[u8], limit: usize) -> Cow<'_, str> {
    let word = &word[..word.len().min(limit)];
    let end = word.iter().position(|&byte| byte == 0).unwrap_or(word.len());
    String::from_utf8_lossy(&word[..end])
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arity(name) => write!(f, "ERR wrong number of arguments for '{name}' command"),
            Self::NoPermission(name) => {
                write!(f, "NOPERM this user has no permissions to run the '{name}' command")
            }
            Self::WrongType => f.write_str("WRONGTYPE Operation against a key holding the wrong kind of value"),
            Self::Syntax => f.write_str("ERR syntax error"),
            Self::NotAnInteger => f.write_str("ERR value is not an integer or out of range"),
            Self::InvalidExpire(name) => write!(f, "ERR invalid expire time in '{name}' command"),
            Self::Injected => f.write_str("ERR injected error"),
            Self::MixedDelays { ahead, refused } => write!(
                f,
                "ERR mixed delays on one connection: {} waits {}, {} waits {}; replies keep their order, so use one \
                 connection for each delay",
                ahead.0, ahead.1, refused.0, refused.1
            ),
            Self::Text(text) => f.write_str(text),
        }
    }
}
