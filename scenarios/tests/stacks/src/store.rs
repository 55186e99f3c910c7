//! A pool of store connections: the store's reply is waited for, or it is not.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use redis::{Client, Cmd, Connection, ConnectionAddr, RedisError, RedisResult, Value};
use rustix::net::{RecvFlags, recv};
use stack_contract::keys::{self, VALUE};
use stack_contract::limits::{STORE_CONNECT_TIMEOUT, STORE_RESPONSE_TIMEOUT};
use stack_contract::{Answer, Operation, StoreError};

/// Connections that are lent to one request each.
struct Pool<C> {
    /// Slots no request has; an empty one is to be connected by whoever takes it.
    free: Mutex<Vec<Option<C>>>,
    returned: Condvar,
}

impl<C> Pool<C> {
    fn new(size: usize) -> Self {
        let free = (0..size).map(|_| None).collect();
        Self { free: Mutex::new(free), returned: Condvar::new() }
    }

    /// Waits for a slot and lends it to `work`, which leaves it empty if its connection is of no more use.
    fn with<T>(&self, work: impl FnOnce(&mut Option<C>) -> T) -> T {
        let mut slot = self
            .returned
            .wait_while(self.slots(), |free| free.is_empty())
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .flatten();
        let result = work(&mut slot);
        self.slots().push(slot);
        self.returned.notify_one();
        result
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Option<C>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store, asked in both ways.
pub(crate) struct Stores {
    client: Client,
    address: (String, u16),
    honest: Pool<Connection>,
    /// Connections without a client library.
    raw: Pool<TcpStream>,
}

impl Stores {
    pub(crate) fn new(url: &str, size: usize) -> Result<Self> {
        let client = Client::open(url).with_context(|| format!("--redis {url}"))?;
        let address = match client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port),
            other => bail!("--redis {url}: the traps know plain TCP only, not {other}"),
        };
        Ok(Self { client, address, honest: Pool::new(size), raw: Pool::new(size) })
    }

    /// Sends the command and waits for its reply.
    pub(crate) fn ask(&self, operation: Operation) -> Answer {
        self.honest.with(|slot| {
            let result = self.query(slot, operation);
            if result.as_ref().is_err_and(RedisError::is_unrecoverable_error) || timed_out(&result) {
                // Its late reply would be taken for the next command's.
                *slot = None;
            }
            match (result, operation) {
                (Ok(Value::Nil), Operation::CacheHit) => Answer::NO_SUCH_KEY,
                (Ok(_), _) => Answer::OK,
                (Err(_), _) => StoreError::Refused.into(),
            }
        })
    }

    fn query(&self, slot: &mut Option<Connection>, operation: Operation) -> RedisResult<Value> {
        let connection = match slot {
            Some(connection) => connection,
            None => {
                let connection = self.client.get_connection_with_timeout(STORE_CONNECT_TIMEOUT)?;
                connection.set_read_timeout(Some(STORE_RESPONSE_TIMEOUT))?;
                slot.insert(connection)
            }
        };
        command(operation).query(connection)
    }

    /// Sends the command, and lets its reply come when it may.
    pub(crate) fn tell(&self, operation: Operation) -> Answer {
        self.raw.with(|slot| match self.send(slot, operation) {
            Ok(()) => Answer::OK,
            Err(_) => {
                *slot = None;
                StoreError::Lost.into()
            }
        })
    }

    /// Asks whether so many keys exist, in one command: next to nothing to send and to read, and a search for each key in
    /// the store.
    pub(crate) fn ask_exists(&self, keys: usize) -> Answer {
        self.raw.with(|slot| match self.exchange(slot, keys) {
            Ok(true) => Answer::OK,
            Ok(false) => StoreError::Refused.into(),
            Err(_) => {
                *slot = None;
                StoreError::Lost.into()
            }
        })
    }

    /// Whether the store has answered a number.
    fn exchange(&self, slot: &mut Option<TcpStream>, keys: usize) -> io::Result<bool> {
        let mut stream = self.connected(slot)?;
        let mut command = format!("*{}\r\n$6\r\nEXISTS\r\n", keys + 1).into_bytes();
        command.extend("$1\r\nk\r\n".as_bytes().repeat(keys));
        stream.write_all(&command)?;
        let (mut reply, mut received) = ([0; 256], 0);
        while !reply[..received].ends_with(b"\r\n") {
            match stream.read(&mut reply[received..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => received += count,
            }
        }
        Ok(reply[0] == b':')
    }

    fn connected<'s>(&self, slot: &'s mut Option<TcpStream>) -> io::Result<&'s TcpStream> {
        match slot {
            Some(stream) => Ok(stream),
            None => {
                let (host, port) = &self.address;
                let stream = TcpStream::connect((host.as_str(), *port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(STORE_RESPONSE_TIMEOUT))?;
                Ok(slot.insert(stream))
            }
        }
    }

    fn send(&self, slot: &mut Option<TcpStream>, operation: Operation) -> io::Result<()> {
        let mut stream = self.connected(slot)?;
        // Replies nobody reads would fill the socket and stop the store's side of it.
        let mut replies = [0; 16 * 1024];
        while let Ok((_, received @ 1..)) = recv(stream, &mut replies, RecvFlags::DONTWAIT) {
            if received < replies.len() {
                break;
            }
        }
        stream.write_all(&command(operation).get_packed_command())
    }
}

fn timed_out(result: &RedisResult<Value>) -> bool {
    result.as_ref().is_err_and(RedisError::is_timeout)
}

fn command(operation: Operation) -> Cmd {
    let key = keys::draw();
    let mut command = match operation {
        // A hold asks no store, so none comes here.
        Operation::CacheHit | Operation::Hold => redis::cmd("GET"),
        Operation::CacheSet => redis::cmd("SET"),
    };
    command.arg(key.as_bytes());
    if operation == Operation::CacheSet {
        command.arg(VALUE);
    }
    command
}
