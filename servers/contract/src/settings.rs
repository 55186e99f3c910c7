//! What every server says of its store client, below the first line of `--version`.
//!
//! The figures are those of [`limits`], which the clients use; the rules are those every client keeps. They are printed
//! by the servers themselves, so that a run records what its programs were built with and not what somebody believed.

use std::time::Duration;

use crate::limits::{STORE_BACKOFF_FIRST, STORE_BACKOFF_LONGEST, STORE_CONNECT_TIMEOUT, STORE_RESPONSE_TIMEOUT};

/// A `name: value` line for each setting.
pub(crate) fn lines() -> String {
    let (first, longest) = (ms(STORE_BACKOFF_FIRST), ms(STORE_BACKOFF_LONGEST));
    let settings = [
        ("store response timeout", ms(STORE_RESPONSE_TIMEOUT)),
        ("store connect timeout", ms(STORE_CONNECT_TIMEOUT)),
        ("store sockets", "TCP_NODELAY".to_owned()),
        ("store connections blocking", "--pool, each with one command in flight".to_owned()),
        ("store connections multiplexed", "one per worker, each with any number of commands in flight".to_owned()),
        (
            "store reconnect",
            format!("at once if the connection had worked; after a failed attempt in {first}, doubling to {longest}"),
        ),
        ("store repeat", "a command whose connection was lost, once; one that timed out, never".to_owned()),
        ("store commands of its own", "none (no PING on checkout, no CLIENT SETINFO)".to_owned()),
    ];
    settings.map(|(name, value)| format!("{name}: {value}")).join("\n")
}

fn ms(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}
