//! What stacks of blocking threads share.
//!
//! # Layout
//! - [`queue`]: work that waits for threads, threads that wait for work
//! - [`sleeper`]: a thread that sleeps until it is woken
//! - [`wait`]: waits for a future on a thread that has nothing else to do

pub mod queue;
pub mod sleeper;
pub mod wait;

pub use queue::Queue;
pub use sleeper::Sleeper;
pub use wait::Waiter;
