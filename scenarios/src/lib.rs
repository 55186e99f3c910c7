//! Runs every stack through the same scenarios and tabulates what it found.

pub mod conformance;
