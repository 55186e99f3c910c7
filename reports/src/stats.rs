//! What several trials say: an interval of the median, ratios within blocks, and a correction for asking often.
//!
//! # Layout
//! - [`mod@median`]: the order-statistic interval of a median.
//! - [`ratio`]: the mean log-ratio of two stacks over blocks, with Student's t.
//! - [`mod@holm`]: p-values of many comparisons, corrected.
//! - [`chance`]: what is to be expected where nothing differs.
//!
//! The unit is always the trial. Seconds within a window depend on each other, and nothing here is made from them.

pub mod chance;
pub mod holm;
pub mod median;
pub mod ratio;

pub use holm::holm;
pub use median::{Interval, median};
pub use ratio::{Blocks, LogRatio};

/// With fewer trials the smallest and the largest do not hold the true median between them with [`CONFIDENCE`] (five:
/// 93.75 %), so there is no interval of the median; and Student's t over so few blocks says more about its assumptions
/// than about the stacks.
pub const TRIALS_MIN: usize = 6;

/// What an interval covers at least.
pub const CONFIDENCE: f64 = 0.95;

/// The greatest corrected p-value at which a difference is called one.
pub const SIGNIFICANCE: f64 = 1.0 - CONFIDENCE;
