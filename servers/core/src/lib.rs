//! The server under all runtimes of the controlled panel: one HTTP codec, one RESP multiplexer, one bridge to the
//! blocking client. What differs between its stacks is what a [`Runtime`] gives: accept, connect, read, write and sleep.
//! Spawning is the stack's own, at concrete types.
//!
//! A stack is then:
//! 1. a unit type that implements [`Runtime`];
//! 2. a `main` that makes the [`Server`] and the [`Stores`], spawns the drivers of the [`MultiplexedStore`] and one
//!    [`accept`] loop for each listener, which spawns a [`serve`] for each connection;
//! 3. on its first thread, [`Server::run_until`] the wish to stop.
//!
//! # Layout
//! - [`runtime`]: what a runtime gives
//! - [`server`]: places for connections, and their end
//! - [`accept`]: the accept loop
//! - [`serve`]: one connection
//! - [`multiplexed`]: the asynchronous store
//! - [`pool`]: the blocking store, on threads of its own
//! - `slots`: where a request waits for its outcome

pub mod accept;
pub mod multiplexed;
pub mod pool;
pub mod runtime;
pub mod serve;
pub mod server;
mod slots;

pub use accept::accept;
pub use multiplexed::MultiplexedStore;
pub use pool::BlockingPool;
pub use runtime::Runtime;
pub use serve::{Stores, serve};
pub use server::{Place, Server};
