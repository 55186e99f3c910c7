//! What the stacks that stand on hyper and tokio share, however many runtimes they have.
//!
//! # Layout
//! - [`runtime`]: tokio's runtime with the contract's settings
//! - [`door`]: where connections come from, as `stack-hyper-service` wants it

pub mod door;
pub mod runtime;

pub use door::Door;
