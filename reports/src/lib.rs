//! Result files to tables: pure functions of a run directory.
//!
//! # Layout
//! - [`row`]: one trial of one cell, as a line of `rows.jsonl`.
//! - [`run`]: what held for the whole run, as `run.json`.

pub mod row;
pub mod run;

pub use row::Row;
pub use run::RunMeta;
