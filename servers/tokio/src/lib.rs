//! What the stacks that stand on hyper and tokio share, however many runtimes they have.
//!
//! # Layout
//! - [`runtime`]: tokio's runtime with the contract's settings
//! - [`serve`]: accept, serve, drain

pub mod runtime;
pub mod serve;
