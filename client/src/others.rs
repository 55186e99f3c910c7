//! What all other processes of the machine used: the noise that a measurement must be told of.
//!
//! It is asked process by process, because what /proc/stat counts per CPU cannot tell it: that is sampled by ticks, and
//! holds interrupts that came while nobody ran.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::now_ns;
use crate::procfs;

/// CPU ticks of every process, and when they were read.
#[derive(Debug)]
pub struct Census {
    ticks: BTreeMap<(u32, u64), u64>,
    at_ns: u64,
}

impl Census {
    /// Reads the table of processes. Slow: call it outside the window.
    pub fn take() -> Self {
        let ticks = procfs::processes()
            .into_iter()
            .map(|stat| ((stat.pid, stat.started_ticks), stat.user_ticks + stat.system_ticks))
            .collect();
        Self { ticks, at_ns: now_ns() }
    }

    /// CPU seconds of all processes but `ours` in a window of `window_ns` that lies between the two readings, taken to be
    /// used evenly between them. What a process used that began and ended in between is not seen.
    pub fn others_cpu_s(before: &Self, after: &Self, ours: &BTreeSet<u32>, window_ns: u64) -> f64 {
        let grown = |(identity, ticks): (&(u32, u64), &u64)| {
            ticks.saturating_sub(before.ticks.get(identity).copied().unwrap_or_default())
        };
        let used: u64 = after.ticks.iter().filter(|((pid, _), _)| !ours.contains(pid)).map(grown).sum();
        let between_ns = after.at_ns.saturating_sub(before.at_ns);
        let share = if between_ns > window_ns { window_ns as f64 / between_ns as f64 } else { 1.0 };
        used as f64 / procfs::ticks_per_second() as f64 * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census<const N: usize>(at_ns: u64, ticks: [((u32, u64), u64); N]) -> Census {
        Census { ticks: BTreeMap::from(ticks), at_ns }
    }

    #[test]
    fn what_is_not_ours_is_added_up_and_scaled_to_the_window() {
        let before = census(0, [((1, 10), 100), ((2, 10), 100), ((3, 10), 500)]);
        // Process 1 is ours, 2 has used a second, 3's number now belongs to another, which has used half a second.
        let after = census(2_000, [((1, 10), 900), ((2, 10), 200), ((3, 77), 50)]);
        let used_s = Census::others_cpu_s(&before, &after, &BTreeSet::from([1]), 1_000);
        assert!((used_s - 0.75).abs() < 1e-9, "{used_s}");
    }

    #[test]
    fn this_machine_s_processes_can_be_counted() {
        let census = Census::take();
        assert!(census.ticks.keys().any(|(pid, _)| *pid == std::process::id()));
    }
}
