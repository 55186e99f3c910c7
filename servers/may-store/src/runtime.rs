//! may's settings, the same for every stack on it.

use std::{cell::Cell, fs, os::fd::AsRawFd, time::Duration};

use may::coroutine;
use thiserror::Error;

/// The stack of a coroutine, in words of 8 bytes: 64 KiB, of which only what was touched takes memory. An overflow hits
/// a guard page and ends the program with SIGSEGV, so there is a wide margin; see the stack's card for what is used.
pub const STACK_WORDS: usize = 8 * 1024;

/// Memory mappings of one coroutine: its stack and the guard page below.
const MAPPINGS: u64 = 2;

/// Memory mappings for all else, among them the thousand stacks that may keeps in stock.
const SPARE_MAPPINGS: u64 = 4096;

/// Where Linux says how many memory mappings a process may have.
const MAX_MAP_COUNT: &str = "/proc/sys/vm/max_map_count";

/// There cannot be so many coroutines.
#[derive(Debug, Error)]
#[error(
    "{connections} connections need {needed} memory mappings for the stacks of their coroutines, but the system allows \
     {allowed}: raise it (`sysctl -w vm.max_map_count={needed}` as root) or ask for fewer connections"
)]
pub struct MappingsError {
    /// What was asked for.
    pub connections: u32,
    /// The mappings that takes.
    pub needed: u64,
    /// The mappings there may be.
    pub allowed: u64,
}

/// Whether there can be a coroutine for each of so many connections. If there is no memory for a stack, may panics.
///
/// # Errors
/// When the system does not allow so many memory mappings. The message names both figures and the remedy.
pub fn require_stacks(connections: u32) -> Result<(), MappingsError> {
    let needed = MAPPINGS * u64::from(connections) + SPARE_MAPPINGS;
    let limit = fs::read_to_string(MAX_MAP_COUNT).ok().and_then(|text| text.trim().parse().ok());
    match limit {
        Some(allowed) if allowed < needed => Err(MappingsError { connections, needed, allowed }),
        // A system that does not say has no such limit.
        _ => Ok(()),
    }
}

/// Sets may up. To be called before the first coroutine is made.
pub fn configure(workers: u32) {
    let config = may::config();
    config.set_workers(workers as usize).set_stack_size(STACK_WORDS);
    // By default each thread takes a CPU for itself. No other stack does that.
    config.set_worker_pin(false);
}

thread_local! {
    /// Zero on the threads that were not told: they are may's for timers, and seldom ask.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Tells the calling thread its number among may's workers, which may keeps to itself.
#[inline(never)]
pub(crate) fn set_worker(number: usize) {
    WORKER.set(number);
}

/// The number of the calling thread among may's workers.
#[inline(never)]
pub(crate) fn worker() -> usize {
    WORKER.get()
}

/// Suspends the coroutine for that time.
pub(crate) fn sleep(time: Duration) {
    coroutine::sleep(time);
    // may's thread for timers goes on with who has slept, as far as that goes. What follows is a worker's to do: they are
    // counted, and whoever else's time has come would have to wait.
    coroutine::yield_now();
}

/// Whether this worker's event loop is the one that will watch the socket: may goes by the descriptor's number.
pub(crate) fn is_watched_by(worker: usize, socket: &impl AsRawFd) -> bool {
    let workers = may::config().get_workers();
    socket.as_raw_fd() as usize % workers == worker % workers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_without_room_for_its_stacks_is_refused_with_the_remedy() {
        require_stacks(10_000).unwrap();
        // More than any system allows.
        let message = require_stacks(u32::MAX).unwrap_err().to_string();
        for part in ["4294967295 connections", "8589938686", "vm.max_map_count"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
