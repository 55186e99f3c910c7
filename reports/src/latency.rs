//! The latencies of trials, from the client's result files.

use std::{fs, path::Path};

use anyhow::Result;
pub use stackload::censored::{Observed, Percentile};
use stackload::result::LoadResult;

/// Reads the distributions of a client's result file.
///
/// # Errors
/// When the file cannot be read, is of an unknown version or is none.
pub fn load(path: &Path) -> Result<Observed> {
    Observed::of(&LoadResult::parse(&fs::read(path)?)?)
}
