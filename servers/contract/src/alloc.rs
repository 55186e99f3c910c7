//! One allocator for every server, so that no stack wins by its malloc.
//!
//! It is mimalloc. With `STACKBENCH_ALLOCATOR=system` in the environment of the build (`build.rs` turns that into the cfg
//! `system_allocator`) it is the system's instead, in every program that links this crate: a feature would have to be
//! forwarded by each stack. That is how `bench-build` compares the two.

/// The allocator this program was built with.
#[cfg(all(feature = "mimalloc", not(system_allocator)))]
pub const ALLOCATOR: &str = "mimalloc";

/// The allocator this program was built with.
#[cfg(not(all(feature = "mimalloc", not(system_allocator))))]
pub const ALLOCATOR: &str = "system allocator";

#[cfg(all(feature = "mimalloc", not(system_allocator)))]
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
