//! One allocator for every server, so that no stack wins by its malloc.

/// The allocator this program was built with.
#[cfg(feature = "mimalloc")]
pub const ALLOCATOR: &str = "mimalloc";

/// The allocator this program was built with.
#[cfg(not(feature = "mimalloc"))]
pub const ALLOCATOR: &str = "system allocator";

#[cfg(feature = "mimalloc")]
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
