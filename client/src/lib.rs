//! `stackload`: a load client that takes wrk's command line, prints wrk's report, and adds what wrk hides.
//!
//! Load is closed-loop, as wrk's, or, with a rate, open. In the closed loop each connection sends its next request when
//! the previous answer is complete, and latencies are raw: from just before the first byte of a request is written to
//! the last byte of its answer. Nothing is back-filled for requests that a slow server kept from being sent. wrk
//! back-fills, so its percentiles are larger wherever answers stall. In the open loop requests are due at instants
//! fixed in advance, and latencies are counted from these; raw ones are kept beside them.
//!
//! SIGINT ends a run early with the full report and exit code 0, as in wrk. SIGTERM does the same with exit code 143,
//! where wrk prints nothing.
//!
//! # Layout
//! - [`load`]: a run as a call, for who wants load from Rust.
//! - [`cli`]: the command line; [`url`] and [`units`] read its parts.
//! - [`run`]: threads, window, signals; [`engine`]: the event loops; [`http`]: request and answers; [`tls`];
//!   [`reach`]: whom to load.
//! - [`script`]: wrk's Lua scripts, which the engine knows as its hooks.
//! - [`tally`]: what a loop counts; [`latency`]: exact latencies; [`process`] and [`procfs`]: what processes cost;
//!   [`others`]: what everybody else used.
//! - [`outcome`]: all of it, added up; [`censored`]: percentiles where answers are missing; [`verdict`]: what to think
//!   of it.
//! - [`live`]: the line on a terminal; [`report`]: wrk's text, with [`extended`] for its arithmetic; [`spectrum`]:
//!   wrk2's.
//! - [`result`]: the result file's format, for those who read it; [`result_file`]: filling it in; [`output`]: this and
//!   other files; [`threshold`]: what makes a run a failure.
//! - [`find`]: the highest rate that meets an objective, found by a [`search`] that knows nothing of load.
//! - [`selftest`]: servers that misbehave in known ways, and whether the client sees it.
//! - [`clock`]: the monotonic clock.

pub mod censored;
pub mod cli;
pub mod clock;
pub mod engine;
pub mod extended;
pub mod find;
pub mod http;
pub mod latency;
pub mod live;
pub mod load;
pub mod others;
pub mod outcome;
pub mod output;
pub mod process;
pub mod procfs;
pub mod reach;
pub mod report;
pub mod result;
pub mod result_file;
pub mod run;
pub mod script;
pub mod search;
pub mod selftest;
pub mod spectrum;
pub mod tally;
pub mod threshold;
pub mod tls;
pub mod units;
pub mod url;
pub mod verdict;
