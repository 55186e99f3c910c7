//! What a route asks of a store, blocking and asynchronous.

use std::time::Duration;

use thiserror::Error;

use crate::keys::Key;

/// What a `GET` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// A value, received to its last byte.
    Hit,
    /// The store has no such key.
    Miss,
}

/// Why a store operation has no result. Each is answered with a 503 and leaves the HTTP connection usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StoreError {
    /// There is no connection to the store at the moment.
    #[error("the store is not connected")]
    Unavailable,
    /// The connection broke before the reply came.
    #[error("the connection to the store was lost")]
    Lost,
    /// The store did not reply within [`crate::limits::STORE_RESPONSE_TIMEOUT`].
    #[error("the store did not reply in time")]
    Timeout,
    /// The store replied with an error.
    #[error("the store refused the command")]
    Refused,
    /// The store's reply is not one this command can have.
    #[error("the store's reply is not one of this command")]
    Protocol,
}

/// A store for code that waits in place: a thread that blocks, or a coroutine with a stack of its own.
///
/// No `Send` bound: a stack that needs one has it from its concrete type.
pub trait Store {
    /// One `GET`.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn get(&mut self, key: Key) -> Result<Lookup, StoreError>;

    /// One `SET`.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn set(&mut self, key: Key, value: &'static [u8]) -> Result<(), StoreError>;

    /// Keeps the caller for that time and asks no store: blocks what a command blocks, for as long as one that takes so
    /// long to be answered.
    fn hold(&mut self, time: Duration);
}

/// A store for futures. Shared by all requests of a worker, hence `&self`.
///
/// The futures carry no `Send` bound, because some runtimes have stores that are not `Send`; a stack that spawns on
/// many threads does so at a concrete store, whose futures the compiler can look into.
pub trait AsyncStore {
    /// One `GET`.
    fn get(&self, key: Key) -> impl Future<Output = Result<Lookup, StoreError>>;

    /// One `SET`.
    fn set(&self, key: Key, value: &'static [u8]) -> impl Future<Output = Result<(), StoreError>>;

    /// Completes after that time, by the timer of the runtime; where the store is a bridge to blocking threads, one of
    /// them blocks. Seldom called: it may allocate, but must not make the future of a request any larger, which is as
    /// large as that of its largest operation.
    fn hold(&self, time: Duration) -> impl Future<Output = ()>;
}
