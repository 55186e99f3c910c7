//! The controlled panel's server on tokio, against a store that does as it is told.

#[path = "../../../redis-store/tests/it/double.rs"]
mod double;
mod serving;
mod stores;
