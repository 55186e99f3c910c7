//! Both stores against a store that does as it is told.

mod blocking;
mod double;
mod multiplexed;
#[cfg(feature = "smol")]
mod smol;
