//! How fast the machine is at this moment: a fixed piece of work, and the CPU time it takes.
//!
//! On a shared host a neighbour slows others down without taking a CPU from them: he fills the caches and the memory's
//! channels, or computes on the other hardware thread of the core. Neither stolen time nor the table of processes shows
//! that, and every figure of a trial made meanwhile is worse. So the same work is done beside every trial.

use std::{hint::black_box, time::Duration};

use rand::{RngExt as _, SeedableRng, rngs::StdRng};
use rustix::{
    process::getppid,
    time::{ClockId, clock_gettime},
};

use crate::placement;

/// Entries of the table that is wandered through: 16 MiB, more than the caches of a core hold and less than those that
/// cores share, where neighbours are met.
const ENTRIES: usize = 1 << 22;
/// Steps through it, each of which waits for the one before: some milliseconds.
const STEPS: usize = 30_000;
/// System calls that do nothing, because most of what a server under load does happens in the kernel.
const CALLS: usize = 3_000;
/// The table is the same in every run.
const SEED: u64 = 1;

/// The work, prepared.
#[derive(Debug)]
pub struct Yardstick {
    /// A single cycle through all entries, in random order.
    next: Vec<u32>,
}

impl Yardstick {
    /// Prepares the work.
    pub fn new() -> Self {
        let mut next: Vec<u32> = (0..ENTRIES as u32).collect();
        let mut random = StdRng::seed_from_u64(SEED);
        // Sattolo's shuffle, which leaves one cycle: no walk is caught in a small part of the table.
        for index in (1..next.len()).rev() {
            next.swap(index, random.random_range(0..index));
        }
        Self { next }
    }

    /// The CPU time it takes now, on the first of these CPUs; on any, if there are none. Nothing, if the kernel forbids
    /// the binding.
    pub fn measure(&self, cpus: &[u32]) -> Option<Duration> {
        placement::on_cpus(&cpus[..cpus.len().min(1)], || self.work()).ok()
    }

    fn work(&self) -> Duration {
        let began = cpu_time();
        let mut at = 0;
        for _ in 0..STEPS {
            at = self.next[at as usize];
        }
        black_box(at);
        for _ in 0..CALLS {
            black_box(getppid());
        }
        cpu_time().saturating_sub(began)
    }
}

impl Default for Yardstick {
    fn default() -> Self {
        Self::new()
    }
}

/// CPU time of the calling thread. Time in which others have its CPU is not in it.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_comes_to_every_entry() {
        let yardstick = Yardstick::new();
        let (mut at, mut steps) = (0, 0);
        loop {
            at = yardstick.next[at as usize];
            steps += 1;
            if at == 0 {
                break;
            }
        }
        assert_eq!(steps, ENTRIES);
    }

    #[test]
    fn the_work_takes_cpu_time_of_its_own_thread() {
        let cpus = crate::placement::divide(stackbench_reports::row::Placement::Free).unwrap().allowed;
        assert!(Yardstick::new().measure(&cpus).unwrap() > Duration::from_micros(100));
    }
}
