//! What every server says of its store client, below the first line of `--version`.
//!
//! The figures are those of [`limits`], which the clients use; the rules are those every client keeps. They are printed
//! by the servers themselves, so that a run records what its programs were built with and not what somebody believed. A
//! stack whose client cannot be made to keep one says so by [`crate::NeedsStore::YesExcept`].

use std::time::Duration;

use crate::limits::{
    STORE_BACKOFF_FIRST, STORE_BACKOFF_LONGEST, STORE_CONNECT_TIMEOUT, STORE_QUEUE_COMMANDS, STORE_RESPONSE_TIMEOUT,
    STORE_WRITE_BYTES,
};

/// What a setting is called, and what it is.
pub type Setting = (&'static str, String);

/// The two ways to use a store connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// One command in flight, for which a thread or a task waits.
    Blocking,
    /// Any number of commands in flight.
    Multiplexed,
}

/// Most servers have one for each mode.
pub(crate) const BOTH: &[Client] = &[Client::Blocking, Client::Multiplexed];

/// How a client connects anew.
pub const RECONNECT: &str = "store reconnect";

/// What a client sends that no request asked for.
pub const OWN_COMMANDS: &str = "store commands of its own";

/// A `name: value` line for each setting of these clients; those in `own` take the place of the shared ones.
pub(crate) fn lines(clients: &[Client], own: Vec<Setting>) -> String {
    let mut settings = shared(clients);
    for (name, value) in own {
        match settings.iter_mut().find(|(shared, _)| *shared == name) {
            Some(shared) => shared.1 = value,
            None => settings.push((name, value)),
        }
    }
    let lines: Vec<_> = settings.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    lines.join("\n")
}

fn shared(clients: &[Client]) -> Vec<Setting> {
    let (first, longest) = (ms(STORE_BACKOFF_FIRST), ms(STORE_BACKOFF_LONGEST));
    let mut settings = vec![
        ("store response timeout", ms(STORE_RESPONSE_TIMEOUT)),
        ("store connect timeout", ms(STORE_CONNECT_TIMEOUT)),
        ("store sockets", "TCP_NODELAY".to_owned()),
        (
            RECONNECT,
            format!("at once if the connection had worked; after a failed attempt in {first}, doubling to {longest}"),
        ),
        (
            "store repeat",
            "a command whose connection was lost, once, with a response timeout anew; one that timed out, never"
                .to_owned(),
        ),
        (OWN_COMMANDS, "none (no PING on checkout, no CLIENT SETINFO)".to_owned()),
    ];
    for client in clients {
        settings.extend(match client {
            Client::Blocking => {
                vec![("store connections blocking", "--pool, each with one command in flight".to_owned())]
            }
            Client::Multiplexed => multiplexed(),
        });
    }
    settings
}

fn multiplexed() -> Vec<Setting> {
    let queue = format!("{STORE_QUEUE_COMMANDS} commands, written {STORE_WRITE_BYTES} bytes at a time");
    vec![
        ("store connections multiplexed", "one per worker, each with any number of commands in flight".to_owned()),
        ("store queue multiplexed", format!("{queue} (where the client is the redis crate's)")),
    ]
}

/// A time as the settings state it.
#[must_use]
pub fn ms(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stack_says_of_itself_takes_the_place_of_what_all_say() {
        let own = vec![(OWN_COMMANDS, "PING".to_owned()), ("store color", "red".to_owned())];
        let text = lines(BOTH, own);
        let of = |setting: &str| text.lines().filter(|line| line.starts_with(setting)).collect::<Vec<_>>();
        assert_eq!(of(OWN_COMMANDS), ["store commands of its own: PING"]);
        assert_eq!(of("store color"), ["store color: red"]);
        assert_eq!(text.lines().count(), shared(BOTH).len() + 1);
    }

    #[test]
    fn of_a_client_that_a_server_does_not_have_nothing_is_said() {
        for (client, other) in [(Client::Blocking, "multiplexed"), (Client::Multiplexed, "blocking")] {
            let text = lines(&[client], Vec::new());
            assert!(!text.contains(other), "{text}");
            assert!(text.contains("store connections "), "{text}");
        }
    }
}
