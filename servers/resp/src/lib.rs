//! A RESP multiplexer without I/O: one store connection, any number of commands in flight.
//!
//! The owner of a socket submits commands, each with a ticket that comes back with its outcome; writes what there is
//! to write; and feeds in whatever bytes arrive. Order, time-outs, reconnecting, sending again and AUTH happen in here,
//! by the rules of `redis-store`'s multiplexed client:
//!
//! - A command without a reply within [`Target::response_timeout`] is answered [`StoreError::Timeout`]; its late reply is
//!   swallowed, and the connection stays.
//! - When a connection is lost that worked for a while, another one is tried at once. What was in flight is sent again on
//!   it, once; if the attempt fails, its outcome is [`StoreError::Lost`].
//! - While there is no connection, commands fail at once; attempts are made in growing pauses.
//!
//! ```
//! # use std::{net::SocketAddr, time::Instant};
//! use stack_contract::keys::Key;
//! use stack_resp::{Command, Multiplexer, Reply, Target};
//!
//! let target = Target::parse("redis://127.0.0.1:6379")?;
//! let (mut multiplexer, now) = (Multiplexer::new(&target), Instant::now());
//! assert!(multiplexer.connect_at().is_some_and(|instant| instant <= now + target.response_timeout()));
//! multiplexer.connecting();
//! multiplexer.connected(now);
//! multiplexer.submit(Command::Get(Key::new(7)), "ticket", now);
//! assert_eq!(multiplexer.output(), b"*2\r\n$3\r\nGET\r\n$7\r\ncache:7\r\n");
//! multiplexer.written(multiplexer.output().len());
//! multiplexer.receive(b"$3\r\nabc\r\n", now);
//! assert_eq!(multiplexer.next_outcome(), Some(("ticket", Ok(Reply::Hit))));
//! # Ok::<(), stack_resp::TargetError>(())
//! ```
//!
//! [`StoreError::Timeout`]: stack_contract::StoreError::Timeout
//! [`StoreError::Lost`]: stack_contract::StoreError::Lost
//!
//! # Layout
//! - [`multiplexer`]: commands in, bytes out; bytes in, outcomes out
//! - [`command`]: what is asked, and what came of it
//! - `replies`: replies as they arrive, skipped in place
//! - `greeting`: what a connection begins with, where the URL demands it
//! - [`socket`]: the settings of a store's socket

pub mod command;
mod greeting;
pub mod multiplexer;
mod replies;

pub use command::{Command, Outcome, Reply};
pub use multiplexer::Multiplexer;
pub use stack_redis_store::{Target, TargetError, socket};
