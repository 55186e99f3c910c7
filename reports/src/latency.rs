//! The latencies of trials, and the client's result files that hold them.

use std::{fs, path::Path};

use anyhow::Result;
pub use stackload::censored::{Observed, Percentile};
use stackload::result::LoadResult;

/// Reads a client's result file.
///
/// # Errors
/// When the file cannot be read, is of an unknown version or is none.
pub fn read(path: &Path) -> Result<LoadResult> {
    LoadResult::parse(&fs::read(path)?)
}
