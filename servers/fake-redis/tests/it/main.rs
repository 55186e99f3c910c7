//! `fake-redis` from outside: bytes over sockets, real clients, and Debian's redis-server as the judge.

mod clients;
mod control;
mod delays;
mod differential;
mod errors;
mod raw;
mod server;
