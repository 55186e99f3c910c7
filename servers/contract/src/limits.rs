//! Every limit the servers share, each with its reason, and the one limit of the system they raise themselves.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// Header lines of one request. A browser sends about 20, a proxy adds a few; hyper's own default is 100.
pub const MAX_HEADERS: usize = 64;

/// Bytes of one request head, request line included: what most servers of the field accept (nginx: 4 × 8 KiB).
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Bytes of one request body after transfer decoding. Bodies are read and thrown away, so this bounds time, not memory.
pub const MAX_BODY_BYTES: u64 = 1024 * 1024;

/// How long a store may take to answer one command. Far above any delay a scenario asks for, so that it only fires when
/// the store is stuck. A command that is sent again because its connection was lost has this time anew: at the most it
/// waits twice for a reply, and [`STORE_CONNECT_TIMEOUT`] in between.
pub const STORE_RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long connecting to the store may take. A store on the same machine or network connects in milliseconds.
pub const STORE_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The first pause after a failed attempt to connect to the store: one that restarts is back in tens of milliseconds.
pub const STORE_BACKOFF_FIRST: Duration = Duration::from_millis(25);

/// Pauses double up to this one: how late a server may notice that the store is back.
pub const STORE_BACKOFF_LONGEST: Duration = Duration::from_millis(500);

/// Commands that may wait in front of a multiplexed connection of the `redis` crate. Twice the 2000 connections of the
/// scenarios, each of which has one command at a time, so that no request waits for a place in the queue; the crate's
/// own default is 50, which it advises web servers to raise.
pub const STORE_QUEUE_COMMANDS: usize = 4096;

/// Bytes that a multiplexed connection of the `redis` crate gathers before it writes them, if more commands are waiting.
/// Room for the GETs of a full queue, at about 32 bytes each, so that they travel in one write; the default is 8 KiB.
pub const STORE_WRITE_BYTES: usize = 128 * 1024;

/// How long a server that was asked to stop may take to finish what is in flight: the longest a store may take to
/// answer.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to send one request, or to take some of its answer; what is idle in between may stay so.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections the kernel completes before the server accepts them. 128, the usual default, overflows when thousands
/// of clients connect at once, and each of those then waits a second for its SYN to be sent again. Linux caps this
/// value at `net.core.somaxconn`, which is 4096 as well.
pub const BACKLOG: i32 = 4096;

/// Pause after an error of `accept` that will not go away by itself, such as too few descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Descriptors a server needs beside those of its connections: standard streams, listener, pollers, logs.
pub const SPARE_DESCRIPTORS: u64 = 64;

/// Descriptors of one worker, beside its connections. A tokio runtime with a listener and a store of its own has seven:
/// listener, poller and its copy, what wakes it, signal pipe, the wish to stop, store connection; an eighth while one
/// store connection takes the place of another. The rest is for a runtime that needs a few more.
pub const DESCRIPTORS_PER_WORKER: u64 = 12;

/// The limit of open files cannot be raised to what is needed.
#[derive(Debug, Error)]
#[error(
    "{needed} open files are needed, but the hard limit is {hard}: raise it (`ulimit -Hn {needed}` as root, then \
     `ulimit -n {needed}`) or ask for fewer connections"
)]
pub struct NofileError {
    /// Descriptors asked for.
    pub needed: u64,
    /// Descriptors the system allows at most.
    pub hard: u64,
}

/// Raises the soft limit of open files to `needed` if it is lower, and returns the limit that then holds.
///
/// # Errors
/// When the hard limit is lower than `needed`. The message names both figures and the remedy.
pub fn raise_nofile(needed: u64) -> Result<u64, NofileError> {
    // `None` is the kernel's "unlimited".
    let limits = getrlimit(Resource::Nofile);
    let soft = limits.current.unwrap_or(u64::MAX);
    let hard = limits.maximum.unwrap_or(u64::MAX);
    if soft >= needed {
        return Ok(soft);
    }
    let refused = NofileError { needed, hard };
    if hard < needed {
        return Err(refused);
    }
    let raised = Rlimit { current: Some(needed), maximum: limits.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|_| refused)?;
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_below_the_limit_changes_nothing() {
        let before = getrlimit(Resource::Nofile).current;
        assert!(raise_nofile(16).unwrap() >= 16);
        assert_eq!(getrlimit(Resource::Nofile).current, before);
    }

    #[test]
    fn a_refusal_names_both_figures_and_the_remedy() {
        let message = NofileError { needed: 30_000, hard: 20_000 }.to_string();
        for part in ["30000", "20000", "ulimit -n 30000"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
