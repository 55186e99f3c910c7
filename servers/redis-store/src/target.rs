//! Which store.

use std::{sync::Arc, time::Duration};

use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError, io::tcp::TcpSettings};
use stack_contract::limits::STORE_RESPONSE_TIMEOUT;
use thiserror::Error;

use crate::journal::Journal;

/// The URL names no store that we could talk to.
#[derive(Debug, Error)]
pub enum TargetError {
    /// It is no Redis URL.
    #[error("--redis {url}: not a URL of the form redis://[user:password@]HOST:PORT[/DB]")]
    Malformed {
        /// What was given.
        url: String,
        /// What the client says about it.
        source: RedisError,
    },
    /// It is the URL of a TLS or Unix socket.
    #[error("--redis {url}: only redis://HOST:PORT is measured, neither TLS nor Unix sockets")]
    NotTcp {
        /// What was given.
        url: String,
    },
}

/// A store to connect to: the address and the settings that all connections share.
#[derive(Debug, Clone)]
pub struct Target {
    pub(crate) client: Client,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) response_timeout: Duration,
    pub(crate) journal: Arc<Journal>,
}

impl Target {
    /// Takes a URL apart. Nothing is connected.
    ///
    /// # Errors
    /// When the URL is not of the form `redis://[user:password@]HOST:PORT[/DB]`.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let malformed = |source| TargetError::Malformed { url: url.to_owned(), source };
        let info = url.into_connection_info().map_err(malformed)?;
        let ConnectionAddr::Tcp(host, port) = info.addr().clone() else {
            return Err(TargetError::NotTcp { url: url.to_owned() });
        };
        // Commands wait for replies, so Nagle's algorithm would only delay them.
        let tcp = TcpSettings::default().set_nodelay(true);
        // Otherwise each connection begins with two CLIENT SETINFO, and the store's counters with commands nobody
        // asked for.
        let redis = info.redis_settings().clone().set_skip_set_lib_name();
        let client = Client::open(info.set_tcp_settings(tcp).set_redis_settings(redis)).map_err(malformed)?;
        Ok(Self { client, host, port, response_timeout: STORE_RESPONSE_TIMEOUT, journal: Arc::default() })
    }

    /// The store's host: a name or an address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The store's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a new connection begins with: user, password, database.
    #[must_use]
    pub fn settings(&self) -> &RedisConnectionInfo {
        self.client.get_connection_info().redis_settings()
    }

    /// How long a command may wait for its reply.
    #[must_use]
    pub fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// What is said about this store, once, whichever connection notices.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Waits so long for a reply, instead of [`STORE_RESPONSE_TIMEOUT`].
    #[must_use]
    pub fn with_response_timeout(self, response_timeout: Duration) -> Self {
        Self { response_timeout, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("redis://user:secret@127.0.0.1:6390/3").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("127.0.0.1", 6390));
        assert_eq!(target.client.get_connection_info().redis_settings().db(), 3);
    }

    #[test]
    fn what_is_no_tcp_url_is_refused_by_name() {
        for url in ["", "nonsense", "http://127.0.0.1", "redis+unix:///tmp/socket"] {
            let message = Target::parse(url).unwrap_err().to_string();
            assert!(message.contains(&format!("--redis {url}:")), "{message}");
        }
    }
}
