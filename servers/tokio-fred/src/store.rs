//! fred as an asynchronous store of the contract, with the settings and the manners of the stores of `redis-store`.
//!
//! fred reconnects by itself, in pauses that grow. Left to itself it also keeps, for as long as the store is away, each
//! command whose connection was lost and each that is given to it in the meantime. So commands have one attempt each,
//! and what should happen to them is decided here: a supervisor listens to what fred says of its connection; while
//! there is none, requests fail at once, and a command that was lost waits for the next attempt to connect and is sent
//! once more.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use fred::{
    bytes::Bytes,
    prelude::{
        Builder, Client, ClientLike, Config, Error, ErrorKind, EventInterface, FredResult, KeysInterface, Value,
    },
    types::config::ReconnectPolicy,
};
use socket2::TcpKeepalive;
use stack_contract::{
    AsyncStore, Lookup, StoreError,
    keys::Key,
    limits::{STORE_BACKOFF_FIRST, STORE_BACKOFF_LONGEST, STORE_CONNECT_TIMEOUT, STORE_RESPONSE_TIMEOUT},
};
use stack_redis_store::{journal::Journal, socket::PROBE_INTERVAL};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time,
};

/// A set of fred clients, one per worker, each with one connection for any number of commands in flight.
#[derive(Debug)]
pub struct FredStore {
    slots: Arc<[Slot]>,
}

/// One client, and what its supervisor knows of its connection.
#[derive(Debug)]
struct Slot {
    client: Client,
    link: watch::Sender<Link>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Link {
    up: bool,
    /// How many attempts to connect have ended, one way or the other.
    attempts: u64,
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Numbers the threads that use a store, so that each keeps to one client without any counting.
    static THREAD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

impl FredStore {
    /// Starts `connections` clients on the runtime this is called in, and gives each one attempt to connect before it
    /// returns. A store that is not there is not an error: they go on trying.
    ///
    /// # Errors
    /// When fred refuses the configuration.
    pub async fn connect(config: &Config, connections: u32) -> Result<Self> {
        let journal = Arc::new(Journal::default());
        let mut slots = Vec::new();
        for _ in 0..connections {
            slots.push(Slot { client: client(config).context("fred")?, link: watch::Sender::default() });
        }
        let slots: Arc<[Slot]> = slots.into();
        for index in 0..slots.len() {
            tokio::spawn(supervise(Arc::clone(&slots), index, Arc::clone(&journal)));
        }
        for slot in slots.iter() {
            slot.attempt_after(0).await;
        }
        Ok(Self { slots })
    }

    /// Sends a command, and once more if its connection is lost: both of ours may be repeated.
    async fn request<'a, F: Future<Output = FredResult<Value>>>(
        &'a self,
        command: impl Fn(&'a Client) -> F,
    ) -> Result<Value, StoreError> {
        let slot = &self.slots[THREAD.get() % self.slots.len()];
        let Link { up, attempts } = *slot.link.borrow();
        if !up {
            return Err(StoreError::Unavailable);
        }
        let error = match command(&slot.client).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !is_lost(&error) {
            return Err(meaning(&error));
        }
        // Others need not find out for themselves. What the supervisor has said since is newer than what we know.
        slot.link.send_if_modified(|link| link.attempts == attempts && std::mem::take(&mut link.up));
        if !slot.attempt_after(attempts).await {
            return Err(StoreError::Lost);
        }
        command(&slot.client).await.map_err(|error| meaning(&error))
    }
}

impl Slot {
    /// Waits for the first attempt to connect after so many, and says whether there is a connection now.
    async fn attempt_after(&self, attempts: u64) -> bool {
        let mut link = self.link.subscribe();
        // Cannot fail: the sender is ours.
        link.wait_for(|link| link.attempts > attempts).await.is_ok_and(|link| link.up)
    }
}

fn client(config: &Config) -> FredResult<Client> {
    // A first attempt that fails is followed by others, too.
    let config = Config { fail_fast: false, ..config.clone() };
    let mut pauses = ReconnectPolicy::new_exponential(0, ms(STORE_BACKOFF_FIRST), ms(STORE_BACKOFF_LONGEST), 2);
    pauses.set_jitter(0);
    Builder::from_config(config)
        .set_policy(pauses)
        .with_connection_config(|connection| {
            connection.connection_timeout = STORE_CONNECT_TIMEOUT;
            connection.internal_command_timeout = STORE_CONNECT_TIMEOUT;
            connection.max_command_attempts = 1;
            connection.auto_client_setname = false;
            connection.tcp.nodelay = Some(true);
            // A host that vanished says nothing: the kernel has to find out.
            connection.tcp.user_timeout = Some(STORE_RESPONSE_TIMEOUT);
            let probes = TcpKeepalive::new().with_time(STORE_RESPONSE_TIMEOUT).with_interval(PROBE_INTERVAL);
            connection.tcp.keepalive = Some(probes);
        })
        .with_performance_config(|performance| performance.default_command_timeout = STORE_RESPONSE_TIMEOUT)
        .build()
}

fn ms(duration: Duration) -> u32 {
    // Cannot fail: these are pauses of less than a second.
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Keeps a client going, and notes what it says of its connection.
async fn supervise(slots: Arc<[Slot]>, index: usize, journal: Arc<Journal>) {
    let Slot { client, link } = &slots[index];
    let (mut errors, mut connections) = (client.error_rx(), client.reconnect_rx());
    let keep_going = async {
        loop {
            // Ends when fred holds an error to be final; none of ours is.
            let _ = client.connect().await;
            time::sleep(STORE_BACKOFF_LONGEST).await;
        }
    };
    let listen = async {
        loop {
            // Errors first: fred names the loss of one connection before it opens the next.
            tokio::select! {
                biased;
                error = errors.recv() => match error {
                    Ok((error, server)) => {
                        journal.down(&error);
                        // With a server it speaks of the connection it had, without one of an attempt to connect.
                        let attempt = u64::from(server.is_none());
                        link.send_modify(|link| *link = Link { up: false, attempts: link.attempts + attempt });
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                connected = connections.recv() => match connected {
                    Ok(_server) => {
                        journal.up();
                        link.send_modify(|link| *link = Link { up: true, attempts: link.attempts + 1 });
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    };
    tokio::join!(keep_going, listen);
}

/// Whether the command went with its connection.
fn is_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::IO | ErrorKind::Canceled)
}

fn meaning(error: &Error) -> StoreError {
    match error.kind() {
        ErrorKind::Timeout => StoreError::Timeout,
        ErrorKind::Protocol | ErrorKind::Parse => StoreError::Protocol,
        _ if is_lost(error) => StoreError::Lost,
        // The store's own errors have many kinds.
        _ => StoreError::Refused,
    }
}

impl AsyncStore for FredStore {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        match self.request(|client| client.get(key.clone())).await? {
            Value::String(_) | Value::Bytes(_) => Ok(Lookup::Hit),
            Value::Null => Ok(Lookup::Miss),
            _ => Err(StoreError::Protocol),
        }
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let value = Bytes::from_static(value);
        match self.request(|client| client.set(key.clone(), value.clone(), None, None, false)).await? {
            Value::String(reply) if reply == "OK" => Ok(()),
            _ => Err(StoreError::Protocol),
        }
    }

    fn hold(&self, time: Duration) -> impl Future<Output = ()> {
        time::sleep(time)
    }
}
