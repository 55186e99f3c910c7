//! The `redis` crate's two clients as stores of the contract.
//!
//! Neither sends a command of its own: no PING before a request, no name on connecting. Both begin without a store,
//! fail fast while there is none, and come back by themselves.
//!
//! # Layout
//! - [`target`]: which store
//! - [`blocking`]: one connection, one command at a time
//! - `multiplexed`: few connections, any number of commands in flight (a feature, as it needs tokio)
//! - `reply`: what a reply or an error means
//! - `journal`: says once that the store went, and once that it is back
//! - `backoff`: how often to try again

mod backoff;
pub mod blocking;
mod journal;
#[cfg(feature = "multiplexed")]
pub mod multiplexed;
mod reply;
pub mod target;

pub use blocking::{BlockingStore, Connector};
#[cfg(feature = "multiplexed")]
pub use multiplexed::MultiplexedStore;
pub use target::{Target, TargetError};
