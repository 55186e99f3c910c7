//! Plain threads and epoll: each worker's loop owns its client connections and its store connection, and nothing is
//! shared between workers.
//!
//! # Layout
//! - [`link`]: the store connection in the loop's own set of descriptors
//! - [`store`]: that connection as the contract's asynchronous store
//! - [`tasks`]: the futures of the requests that wait for it
//! - [`pool`]: `/sync`, on threads that may block

pub mod link;
pub mod pool;
pub mod store;
pub mod tasks;
