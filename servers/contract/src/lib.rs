//! What every server of the suite answers, and what all of them share.
//!
//! # Layout
//! - [`alloc`]: the one allocator
//! - [`limits`]: every limit, and the descriptors raised to fit
//! - [`listener`]: the listening socket

pub mod alloc;
pub mod limits;
pub mod listener;
