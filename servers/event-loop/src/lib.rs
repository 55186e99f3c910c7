//! An epoll loop over HTTP connections, for stacks that wait for readiness themselves.
//!
//! A [`Worker`] owns its connections: it reads, parses, asks its [`Service`], writes, watches slow clients and takes
//! leave. The service says what a request to the store leads to: an answer at once, or one that comes later, when one
//! of the service's own descriptors is ready. Where connections come from is the [`Intake`]'s affair: from an acceptor
//! in the same program, or from another process.
//!
//! # Layout
//! - [`worker`]: the loop
//! - [`service`]: what the loop asks of its owner
//! - `peer`: one connection's turn
//! - [`intake`]: where connections come from
//! - [`acceptor`]: accepts, as long as there are places
//! - [`mailbox`]: from any thread into a loop
//! - [`crew`]: one acceptor and a number of worker threads

pub mod acceptor;
pub mod crew;
pub mod intake;
pub mod mailbox;
mod peer;
pub mod service;
pub mod worker;

pub use acceptor::Places;
pub use intake::{FromAcceptor, Intake};
pub use mailbox::{Bell, Mailbox};
pub use service::{Begun, Registry, Service, Ticket};
pub use worker::Worker;
