//! The latencies of trials, from the client's result files.

use std::{fs, path::Path};

use anyhow::Result;
pub use stackload::censored::{Observed, Percentile};
use stackload::result::LoadResult;

/// Reads the distributions of a client's result file.
///
/// # Errors
/// When the file cannot be read or is not one.
pub fn load(path: &Path) -> Result<Observed> {
    let result: LoadResult = serde_json::from_slice(&fs::read(path)?)?;
    Observed::of(&result)
}
