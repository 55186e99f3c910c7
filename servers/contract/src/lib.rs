//! What every server of the suite answers, and what all of them share.
//!
//! # Layout
//! - [`routes`]: which path does what; one file a route
//! - [`store`]: what a route asks of a store, blocking and asynchronous
//! - [`answer`]: the exact answers
//! - [`keys`]: which keys are asked for
//! - [`program`]: arguments, `--version`, start
//! - [`shutdown`]: the wish to stop
//! - [`listener`]: the listening socket
//! - [`limits`]: every limit, and the descriptors raised to fit
//! - [`alloc`]: the one allocator
//! - [`settings`]: what `--version` says of the store client

pub mod alloc;
pub mod answer;
pub mod keys;
pub mod limits;
pub mod listener;
pub mod program;
pub mod routes;
pub mod settings;
pub mod shutdown;
pub mod store;

pub use answer::Answer;
pub use program::{Args, NeedsStore, Program};
pub use routes::{Mode, Operation, Route};
pub use shutdown::Shutdown;
pub use store::{AsyncStore, Lookup, Store, StoreError};
