//! An HTTP/1.1 server codec without I/O, for stacks that speak HTTP themselves.
//!
//! The owner of a socket feeds [`Connection`] whatever bytes arrive, asks it for requests, gives it answers, and
//! writes what it has to say. Everything the protocol demands happens in here: keep-alive, pipelining, HTTP/1.0,
//! `Connection`, HEAD, request bodies, `Expect`, the limits, and the answers to what is no request at all.
//!
//! ```
//! use stack_contract::{Answer, Route};
//! use stack_http1::Connection;
//!
//! let mut connection = Connection::new();
//! connection.receive(b"GET /check HTTP/1.1\r\nHost: here\r\n\r\n");
//! while let Some(request) = connection.next_request() {
//!     let Route::Answer(answer) = Route::resolve(request.method, request.path()) else { continue };
//!     connection.answer(answer);
//! }
//! assert!(connection.output().starts_with(b"HTTP/1.1 200 OK\r\n"));
//! ```
//!
//! # Layout
//! - [`connection`]: bytes in, requests out; answers in, bytes out
//! - `head`: one request head, and how its body is framed
//! - `body`: skips a body
//! - `render`: one answer as bytes
//! - `date`: the `Date` header, formatted once a second
//! - [`session`]: the codec with its socket, for stacks that wait for readiness themselves

mod body;
pub mod connection;
mod date;
mod head;
mod render;
pub mod session;

pub use connection::{Connection, Request};
pub use session::{Fill, Next, Session};
