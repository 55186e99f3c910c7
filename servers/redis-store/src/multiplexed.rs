//! The multiplexed client: few connections, any number of commands in flight on each.
//!
//! A supervisor task per connection, on the stack's own [`Runtime`], connects, publishes the connection, and drives it.
//! The driver ends when the store goes; then the connection is withdrawn and the supervisor tries once to replace it at
//! once. The commands that were in flight wait for that attempt and are sent again, once. If it fails, requests fail at
//! once until a later one succeeds.

use std::{
    cell::Cell,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, Cmd, RedisResult, Value, aio::MultiplexedConnection};
use stack_contract::{
    AsyncStore, Lookup, StoreError,
    keys::Key,
    limits::{STORE_BACKOFF_LONGEST, STORE_CONNECT_TIMEOUT, STORE_QUEUE_COMMANDS, STORE_WRITE_BYTES},
};
// Channels need no runtime.
use tokio::sync::{oneshot, watch};

#[cfg(feature = "tokio")]
use crate::runtime::{self, Tokio};
use crate::{backoff::Backoff, reply, runtime::Runtime, socket, target::Target};

/// A set of multiplexed connections, one per worker. Cheap to clone; all clones share the connections.
#[derive(Debug, Clone)]
pub struct MultiplexedStore<R> {
    connections: Arc<[Slot]>,
    runtime: R,
}

/// Where a supervisor publishes its connection while it has one.
#[derive(Debug, Default)]
struct Slot(watch::Sender<State>);

#[derive(Debug, Clone, Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// How many attempts to connect have ended, one way or the other.
    attempts: u64,
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Numbers the threads that use a store, so that each keeps to one connection without any counting.
    static THREAD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

#[cfg(feature = "tokio")]
impl MultiplexedStore<Tokio> {
    /// [`Self::connect_on`] the tokio runtime this is called in, for a program that has no other: see
    /// [`runtime::prefer_tokio`].
    pub async fn connect(target: &Target, connections: u32) -> Self {
        runtime::prefer_tokio();
        Self::connect_on(&Tokio, target, connections).await
    }
}

impl<R: Runtime> MultiplexedStore<R> {
    /// Starts `connections` connections, driven by `runtime`, and gives each one attempt to come up before it returns. A
    /// store that is not there is not an error: the supervisors go on trying.
    pub async fn connect_on(runtime: &R, target: &Target, connections: u32) -> Self {
        let slots: Arc<[Slot]> = (0..connections.max(1)).map(|_| Slot::default()).collect();
        let store = Self { connections: slots, runtime: runtime.clone() };
        let first_attempts: Vec<_> = (0..store.connections.len())
            .map(|index| {
                let (attempted, first_attempt) = oneshot::channel();
                let slots = Arc::clone(&store.connections);
                runtime.spawn(supervise(runtime.clone(), target.clone(), slots, index, attempted));
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
        let State { connection, attempts } = slot.state();
        let reply = connection.ok_or(StoreError::Unavailable)?.send_packed_command(command).await;
        match &reply {
            Err(error) if reply::is_broken(error) => {}
            _ => return Ok(reply),
        }
        // Both commands may be repeated. Once, as the blocking store does, and as there with a response timeout anew.
        match slot.next_attempt(attempts).await {
            Some(mut connection) => Ok(connection.send_packed_command(command).await),
            None => Ok(reply),
        }
    }
}

impl Slot {
    fn state(&self) -> State {
        self.0.borrow().clone()
    }

    /// What came of the first attempt to connect after so many. The supervisor makes it soon, or gives it up.
    async fn next_attempt(&self, attempts: u64) -> Option<MultiplexedConnection> {
        let mut states = self.0.subscribe();
        let state = states.wait_for(|state| state.attempts > attempts).await.ok()?;
        state.connection.clone()
    }

    fn withdraw(&self) {
        self.0.send_modify(|state| state.connection = None);
    }

    fn publish(&self, connection: Option<MultiplexedConnection>) {
        self.0.send_modify(|state| *state = State { connection, attempts: state.attempts + 1 });
    }
}

/// Keeps the connection of one slot alive for as long as the runtime lives.
async fn supervise<R: Runtime>(
    runtime: R,
    target: Target,
    slots: Arc<[Slot]>,
    index: usize,
    attempted: oneshot::Sender<()>,
) {
    let mut attempted = Some(attempted);
    let mut backoff = Backoff::default();
    loop {
        let attempt = tokio::select! {
            attempt = open(&runtime, &target) => attempt,
            () = runtime.sleep(STORE_CONNECT_TIMEOUT) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        };
        match attempt {
            Ok((connection, driver)) => {
                target.journal.up();
                let since = Instant::now();
                slots[index].publish(Some(connection));
                let _ = attempted.take().map(|first| first.send(()));
                driver.await;
                slots[index].withdraw();
                target.journal.down(&"connection lost");
                if since.elapsed() > STORE_BACKOFF_LONGEST {
                    backoff.reset();
                    continue;
                }
                // A store that accepts only to close must not make us spin; nobody need wait for that.
                slots[index].publish(None);
            }
            Err(error) => {
                slots[index].publish(None);
                target.journal.down(&error);
                let _ = attempted.take().map(|first| first.send(()));
            }
        }
        runtime.sleep(backoff.next()).await;
    }
}

async fn open<R: Runtime>(
    runtime: &R,
    target: &Target,
) -> RedisResult<(MultiplexedConnection, impl Future<Output = ()>)> {
    let connected = runtime.connect(&target.host, target.port).await?;
    socket::configure(&connected, target)?;
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(Some(target.response_timeout))
        .set_pipeline_buffer_size(STORE_QUEUE_COMMANDS)
        .set_write_backpressure_boundary(STORE_WRITE_BYTES);
    let info = target.client.get_connection_info().redis_settings();
    MultiplexedConnection::new_with_config(info, R::stream(connected), config).await
}

impl<R: Runtime> AsyncStore for MultiplexedStore<R> {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        reply::of_get(self.request(&reply::get_command(&key)).await?)
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        reply::of_set(self.request(&reply::set_command(&key, value)).await?)
    }

    fn hold(&self, time: Duration) -> impl Future<Output = ()> {
        self.runtime.sleep(time)
    }
}
