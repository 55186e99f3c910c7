//! The stores under coroutines, and the two programs that use them.
//!
//! # Layout
//! - `stores`: what both stores do, beside a stand-in for a store
//! - `paused`: a store that does not answer blocks no worker

// Not all of what it can do is needed here.
#[allow(dead_code)]
#[path = "../../../redis-store/tests/it/double.rs"]
mod double;
mod paused;
mod stores;
