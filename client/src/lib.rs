//! `stackload`: a load client that takes wrk's command line, prints wrk's report, and adds what wrk hides.
//!
//! Load is closed-loop: each connection sends its next request when the previous answer is complete. Latencies are raw:
//! from just before the first byte of a request is written to the last byte of its answer, and nothing is back-filled
//! for requests that a slow server kept from being sent. wrk back-fills, so its percentiles are larger wherever answers
//! stall.
//!
//! SIGINT ends a run early with the full report and exit code 0, as in wrk. SIGTERM does the same with exit code 143,
//! where wrk prints nothing.
//!
//! # Layout
//! - [`cli`]: the command line; [`url`] and [`units`] read its parts.
//! - [`run`]: threads, window, signals; [`engine`]: the event loops; [`http`]: request and answers.
//! - [`tally`]: what a loop counts; [`latency`]: exact latencies; [`process`] and [`procfs`]: what processes cost;
//!   [`others`]: what everybody else used.
//! - [`outcome`]: all of it, added up; [`verdict`]: what to think of it.
//! - [`report`]: wrk's text, with [`extended`] for its arithmetic.
//! - [`result`]: the result file's format, for those who read it; [`result_file`]: writing it.
//! - [`clock`]: the monotonic clock.

pub mod cli;
pub mod clock;
pub mod engine;
pub mod extended;
pub mod http;
pub mod latency;
pub mod others;
pub mod outcome;
pub mod process;
pub mod procfs;
pub mod report;
pub mod result;
pub mod result_file;
pub mod run;
pub mod tally;
pub mod units;
pub mod url;
pub mod verdict;
