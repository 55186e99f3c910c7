//! Result files to tables: pure functions of a run directory.
//!
//! # Layout
//! - [`row`]: one trial of one cell, as a line of `rows.jsonl`.

pub mod row;
