//! The contract's stores for code that runs on [`may`]'s stackful coroutines, and the waiting they are made of.
//!
//! A coroutine calls what looks like a blocking function and is suspended instead, so both stores are a plain
//! [`Store`](stack_contract::Store). What must not happen is that something blocks the thread below it; hence nothing
//! here waits but by [`Watched`] and by may's own primitives.
//!
//! # Thread-local variables
//! A coroutine may be suspended on one thread and resumed on another, while the compiler may compute the address of a
//! thread-local variable once for a whole function. So a function that uses one, whether itself or by what is inlined
//! into it, must not use it again after it was suspended. Functions marked `inline(never)` here are so for that reason.
//!
//! # Layout
//! - [`runtime`]: may's settings
//! - [`stores`]: both stores of one connection
//! - [`pool`]: blocking clients, shared by any number of coroutines: `/sync`
//! - `socket`: the `redis` crate's blocking interface over a socket that suspends
//! - [`multiplexed`]: multiplexed connections, driven by coroutines: `/async`
//! - `wire`: a connection to the store
//! - [`watched`]: a socket that a coroutine can wait for
//! - [`alarm`]: wakes a coroutine that has waited long enough

pub mod alarm;
pub mod multiplexed;
pub mod pool;
pub mod runtime;
mod socket;
pub mod stores;
pub mod watched;
mod wire;

pub use alarm::Alarm;
pub use multiplexed::MultiplexedStore;
pub use pool::PooledStore;
pub use stores::Stores;
pub use watched::Watched;
