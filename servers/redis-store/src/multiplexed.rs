//! The multiplexed client: few connections, any number of commands in flight on each.
//!
//! A supervisor task per connection connects, publishes the connection, and drives it. The driver ends when the store
//! goes, so the connection is withdrawn at once and requests fail at once, until the supervisor has a new one.

use std::{
    cell::Cell,
    io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use redis::{AsyncConnectionConfig, Cmd, RedisResult, Value, aio::MultiplexedConnection};
use socket2::SockRef;
use stack_contract::{
    AsyncStore, Lookup, StoreError,
    keys::Key,
    limits::{STORE_CONNECT_TIMEOUT, STORE_RESPONSE_TIMEOUT},
};
use tokio::{net::TcpStream, time};

use crate::{
    backoff::{self, Backoff},
    reply,
    target::Target,
};

/// A set of multiplexed connections, one per worker. Cheap to clone; all clones share the connections.
#[derive(Debug, Clone)]
pub struct MultiplexedStore {
    connections: Arc<[Slot]>,
}

/// Where a supervisor publishes its connection while it has one.
#[derive(Debug, Default)]
struct Slot(RwLock<Option<MultiplexedConnection>>);

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Numbers the threads that use a store, so that each keeps to one connection without any counting.
    static THREAD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

impl MultiplexedStore {
    /// Starts `connections` connections, driven by the runtime this is called in, and gives each one attempt to come up
    /// before it returns. A store that is not there is not an error: the supervisors go on trying.
    pub async fn connect(target: &Target, connections: u32) -> Self {
        let slots: Arc<[Slot]> = (0..connections.max(1)).map(|_| Slot::default()).collect();
        let store = Self { connections: slots };
        let first_attempts: Vec<_> = (0..store.connections.len())
            .map(|index| {
                let (attempted, first_attempt) = tokio::sync::oneshot::channel();
                tokio::spawn(supervise(target.clone(), Arc::clone(&store.connections), index, attempted));
                first_attempt
            })
            .collect();
        for attempt in first_attempts {
            // An error would mean that the supervisor is gone, that is, the runtime: nobody is left to notice.
            let _ = attempt.await;
        }
        store
    }

    async fn request(&self, command: &Cmd) -> Result<RedisResult<Value>, StoreError> {
        let slot = &self.connections[THREAD.get() % self.connections.len()];
        let mut connection = slot.connection().ok_or(StoreError::Unavailable)?;
        Ok(connection.send_packed_command(command).await)
    }
}

impl Slot {
    fn connection(&self) -> Option<MultiplexedConnection> {
        // Nothing panics with the lock held, and a value is never half written.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, connection: Option<MultiplexedConnection>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

/// Keeps the connection of one slot alive for as long as the runtime lives.
async fn supervise(target: Target, slots: Arc<[Slot]>, index: usize, attempted: tokio::sync::oneshot::Sender<()>) {
    let mut attempted = Some(attempted);
    let mut backoff = Backoff::default();
    loop {
        let attempt = time::timeout(STORE_CONNECT_TIMEOUT, open(&target)).await;
        let attempt = attempt.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        match attempt {
            Ok((connection, driver)) => {
                target.journal.up();
                slots[index].publish(Some(connection));
                let _ = attempted.take().map(|first| first.send(()));
                let since = Instant::now();
                driver.await;
                slots[index].publish(None);
                target.journal.down(&"connection lost");
                // A store that accepts only to close must not make us spin.
                if since.elapsed() > backoff::LONGEST {
                    backoff.reset();
                }
            }
            Err(error) => {
                target.journal.down(&error);
                let _ = attempted.take().map(|first| first.send(()));
            }
        }
        time::sleep(backoff.next()).await;
    }
}

async fn open(target: &Target) -> RedisResult<(MultiplexedConnection, impl Future<Output = ()>)> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    SockRef::from(&stream).set_tcp_nodelay(true)?;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(STORE_RESPONSE_TIMEOUT));
    let info = target.client.get_connection_info().redis_settings();
    MultiplexedConnection::new_with_config(info, stream, config).await
}

impl AsyncStore for MultiplexedStore {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        reply::of_get(self.request(&reply::get_command(&key)).await?)
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        reply::of_set(self.request(&reply::set_command(&key, value)).await?)
    }
}
