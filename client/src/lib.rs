//! `stackload` as a library: the result file's format, for those who read it.
//!
//! # Layout
//! - [`result`]: the result file.

pub mod result;
