//! may's settings, the same for every stack on it.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The stack of a coroutine, in words of 8 bytes: 64 KiB, of which only what was touched takes memory. An overflow hits
/// a guard page and ends the program with SIGSEGV, so there is a wide margin; see the stack's card for what is used.
pub const STACK_WORDS: usize = 8 * 1024;

/// Sets may up. To be called before the first coroutine is made.
pub fn configure(workers: u32) {
    let config = may::config();
    config.set_workers(workers as usize).set_stack_size(STACK_WORDS);
    // By default each thread takes a CPU for itself. No other stack does that.
    config.set_worker_pin(false);
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

/// The number of the calling thread among those that ask.
#[inline(never)]
pub(crate) fn thread_number() -> usize {
    THREAD.get()
}
