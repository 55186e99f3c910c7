//! The blocking client: one connection, one command at a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use redis::{Cmd, Connection, ConnectionLike, RedisResult, Value};
use stack_contract::{Lookup, Store, StoreError, keys::Key, limits::STORE_CONNECT_TIMEOUT};

use crate::{backoff::Backoff, reply, target::Target};

/// Opens the connections of a [`BlockingStore`]: where the sockets differ and nothing else does.
pub trait Connector {
    /// What speaks the `redis` crate's blocking interface.
    type Connection: ConnectionLike;

    /// Opens one within [`STORE_CONNECT_TIMEOUT`]. A command on it fails as timed out after
    /// [`Target::response_timeout`].
    ///
    /// # Errors
    /// When the store is not there, or refuses.
    fn open(&self, target: &Target) -> RedisResult<Self::Connection>;

    /// Waits as a command on such a connection waits for its reply.
    fn wait(&self, time: Duration);
}

/// The crate's own connections, which block the thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlockingSockets;

impl Connector for BlockingSockets {
    type Connection = Connection;

    fn open(&self, target: &Target) -> RedisResult<Connection> {
        let connection = target.client.get_connection_with_timeout(STORE_CONNECT_TIMEOUT)?;
        connection.set_read_timeout(Some(target.response_timeout))?;
        connection.set_write_timeout(Some(target.response_timeout))?;
        Ok(connection)
    }

    fn wait(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// One blocking connection, opened at the first command and opened anew after it broke. One per thread that blocks.
pub struct BlockingStore<C: Connector = BlockingSockets> {
    target: Target,
    connector: C,
    connection: Option<C::Connection>,
    backoff: Backoff,
    /// After a failed attempt: before this instant there is no other one.
    retry_at: Option<Instant>,
}

impl BlockingStore {
    /// A store that is not connected yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self::with_connector(target, BlockingSockets)
    }
}

impl<C: Connector> BlockingStore<C> {
    /// A store that is not connected yet, and will be by this connector.
    #[must_use]
    pub fn with_connector(target: Target, connector: C) -> Self {
        Self { target, connector, connection: None, backoff: Backoff::default(), retry_at: None }
    }

    fn request(&mut self, command: &Cmd) -> Result<RedisResult<Value>, StoreError> {
        let packed = command.get_packed_command();
        if let Some(connection) = &mut self.connection {
            match connection.req_packed_command(&packed) {
                Err(error) if reply::is_broken(&error) => self.connection = None,
                other => return Ok(self.keep_if_in_step(other)),
            }
            // A store that restarted closed this connection while it was idle. Both commands may be repeated, so the
            // first request after a restart need not fail once for each connection. The second one has a response timeout
            // of its own, as one deadline for both would have to be set on the new socket and then taken back.
        }
        let reply = self.connect()?.req_packed_command(&packed);
        Ok(self.keep_if_in_step(reply))
    }

    /// Drops the connection after an error that is no reply: a reply that comes late would be taken for the next one's.
    fn keep_if_in_step(&mut self, reply: RedisResult<Value>) -> RedisResult<Value> {
        if let Err(error) = &reply
            && !reply::is_reply(error)
        {
            if error.is_timeout() {
                self.target.journal.down(&format_args!("no reply within {:?}", self.target.response_timeout));
            } else {
                self.target.journal.down(error);
            }
            self.connection = None;
        }
        reply
    }

    fn connect(&mut self) -> Result<&mut C::Connection, StoreError> {
        if self.retry_at.is_some_and(|instant| Instant::now() < instant) {
            return Err(StoreError::Unavailable);
        }
        match self.connector.open(&self.target) {
            Ok(connection) => {
                self.target.journal.up();
                self.backoff.reset();
                self.retry_at = None;
                Ok(self.connection.insert(connection))
            }
            Err(error) => {
                self.target.journal.down(&error);
                self.retry_at = Some(Instant::now() + self.backoff.next());
                Err(StoreError::Unavailable)
            }
        }
    }
}

impl<C: Connector> Store for BlockingStore<C> {
    fn get(&mut self, key: Key) -> Result<Lookup, StoreError> {
        reply::of_get(self.request(&reply::get_command(&key))?)
    }

    fn set(&mut self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        reply::of_set(self.request(&reply::set_command(&key, value))?)
    }

    fn hold(&mut self, time: Duration) {
        self.connector.wait(time);
    }
}
