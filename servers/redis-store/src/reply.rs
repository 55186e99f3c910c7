//! Commands, and what a reply or an error means.

use std::{error::Error, io};

use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value};
use stack_contract::{Lookup, StoreError, keys::Key};

pub(crate) fn get_command(key: &Key) -> Cmd {
    let mut command = Cmd::with_capacity(2, 3 + key.as_bytes().len());
    command.arg(b"GET").arg(key.as_bytes());
    command
}

pub(crate) fn set_command(key: &Key, value: &[u8]) -> Cmd {
    let mut command = Cmd::with_capacity(3, 3 + key.as_bytes().len() + value.len());
    command.arg(b"SET").arg(key.as_bytes()).arg(value);
    command
}

pub(crate) fn of_get(reply: RedisResult<Value>) -> Result<Lookup, StoreError> {
    match reply {
        Ok(Value::BulkString(_)) => Ok(Lookup::Hit),
        Ok(Value::Nil) => Ok(Lookup::Miss),
        other => Err(failure(other)),
    }
}

pub(crate) fn of_set(reply: RedisResult<Value>) -> Result<(), StoreError> {
    match reply {
        Ok(Value::Okay) => Ok(()),
        other => Err(failure(other)),
    }
}

fn failure(reply: RedisResult<Value>) -> StoreError {
    match reply {
        Ok(Value::ServerError(_)) => StoreError::Refused,
        Ok(_) => StoreError::Protocol,
        Err(error) if error.is_timeout() => StoreError::Timeout,
        Err(error) if is_reply(&error) => StoreError::Refused,
        Err(error) if error.kind() == ErrorKind::Parse => StoreError::Protocol,
        Err(_) => StoreError::Lost,
    }
}

/// Whether this error is a reply of the store, after which the connection goes on as after any other.
pub(crate) fn is_reply(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the other side closed the connection, or a signal interrupted our waiting for it (with a timeout on the
/// socket the kernel does not resume it), as opposed to being slow or to refusing.
pub(crate) fn is_broken(error: &RedisError) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    cause == Some(io::ErrorKind::Interrupted) || (error.is_connection_dropped() && !error.is_timeout())
}
