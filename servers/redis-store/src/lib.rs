//! The `redis` crate's two clients as stores of the contract.
//!
//! Neither sends a command of its own: no PING before a request, no name on connecting. Both begin without a store,
//! fail fast while there is none, and come back by themselves.
//!
//! # Layout
//! - [`target`]: which store
//! - [`blocking`]: one connection, one command at a time
//! - `multiplexed`: few connections, any number of commands in flight
//! - `bridged`: the blocking client behind an asynchronous store
//! - `runtime`: what these two ask of a runtime, and tokio's answer
//! - [`socket`]: the settings of a multiplexed connection's socket
//! - `reply`: what a reply or an error means
//! - [`journal`]: says once that the store went, and once that it is back
//! - [`backoff`]: how often to try again

pub mod backoff;
pub mod blocking;
#[cfg(feature = "multiplexed")]
pub mod bridged;
pub mod journal;
#[cfg(feature = "multiplexed")]
pub mod multiplexed;
mod reply;
#[cfg(feature = "multiplexed")]
pub mod runtime;
pub mod socket;
pub mod target;

pub use blocking::{BlockingStore, Connector};
#[cfg(feature = "multiplexed")]
pub use bridged::BridgedStore;
#[cfg(feature = "multiplexed")]
pub use multiplexed::MultiplexedStore;
#[cfg(feature = "multiplexed")]
pub use runtime::Runtime;
#[cfg(feature = "tokio")]
pub use runtime::{Tokio, TokioThreads};
pub use target::{Target, TargetError};
