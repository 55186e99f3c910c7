//! What all other processes of the machine used: the noise that a measurement must be told of.
//!
//! It is asked process by process, because what /proc/stat counts per CPU cannot tell it: that is sampled by ticks, and
//! holds interrupts that came while nobody ran.

use std::collections::BTreeSet;

use crate::clock::now_ns;
use crate::process::{Table, reaped};
use crate::procfs;

/// CPU ticks of every process, and when they were read.
#[derive(Debug)]
pub struct Census {
    processes: Table,
    at_ns: u64,
}

impl Census {
    /// Reads the table of processes. Slow: call it outside the window.
    pub fn take() -> Self {
        let processes = procfs::processes().into_iter().map(|stat| ((stat.pid, stat.started_ticks), stat)).collect();
        Self { processes, at_ns: now_ns() }
    }

    /// CPU seconds of all processes but `ours` in a window of `window_ns` that lies between the two readings, taken to be
    /// used evenly between them. What a process used that ended in between is taken from the account that its parent
    /// keeps of children, if it keeps one; that of a parent that has waited for one of `ours` is left out, since nobody
    /// can tell what ours put into it.
    pub fn others_cpu_s(before: &Self, after: &Self, ours: &BTreeSet<u32>, window_ns: u64) -> f64 {
        let mut used = 0;
        for ((pid, started), stat) in after.processes.iter().filter(|((pid, _), _)| !ours.contains(pid)) {
            let then = before.processes.get(&(*pid, *started));
            let then = then.map_or(0, |then| then.user_ticks + then.system_ticks);
            used += (stat.user_ticks + stat.system_ticks).saturating_sub(then);
        }
        for ((pid, _), reaped) in reaped(&before.processes, &after.processes) {
            if !ours.contains(&pid) && !reaped.vanished.iter().any(|pid| ours.contains(pid)) {
                used += reaped.user_ticks + reaped.system_ticks;
            }
        }
        let between_ns = after.at_ns.saturating_sub(before.at_ns);
        let share = if between_ns > window_ns { window_ns as f64 / between_ns as f64 } else { 1.0 };
        used as f64 / procfs::ticks_per_second() as f64 * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::ProcessStat;

    /// A process by its parent, when it started, and its ticks and those of its children.
    fn process((pid, parent): (u32, u32), started_ticks: u64, own: u64, reaped: u64) -> ProcessStat {
        let (system_ticks, reaped_system_ticks) = (own / 2, reaped / 2);
        ProcessStat {
            pid,
            parent,
            group: 0,
            user_ticks: own - system_ticks,
            system_ticks,
            reaped_user_ticks: reaped - reaped_system_ticks,
            reaped_system_ticks,
            started_ticks,
            is_zombie: false,
        }
    }

    fn census<const N: usize>(at_ns: u64, processes: [ProcessStat; N]) -> Census {
        let processes = processes.into_iter().map(|stat| ((stat.pid, stat.started_ticks), stat)).collect();
        Census { processes, at_ns }
    }

    fn assert_used(before: &Census, after: &Census, ours: impl Into<BTreeSet<u32>>, expected_s: f64) {
        let used_s = Census::others_cpu_s(before, after, &ours.into(), 1_000);
        assert!((used_s - expected_s).abs() < 1e-9, "{used_s}");
    }

    #[test]
    fn what_is_not_ours_is_added_up_and_scaled_to_the_window() {
        let before = census(0, [process((1, 0), 10, 100, 0), process((2, 0), 10, 100, 0), process((3, 0), 10, 500, 0)]);
        // Process 1 is ours, 2 has used a second, 3's number now belongs to another, which has used half a second.
        let after =
            census(2_000, [process((1, 0), 10, 900, 0), process((2, 0), 10, 200, 0), process((3, 0), 77, 50, 0)]);
        assert_used(&before, &after, [1], 0.75);
    }

    #[test]
    fn what_began_and_ended_between_the_readings_is_found_with_its_parent() {
        // 2 builds; its child 3 had used 0.4 s, uses 0.2 s more and ends, and others used 2 s in all.
        let before = census(0, [process((2, 1), 10, 0, 1_000), process((3, 2), 10, 40, 0)]);
        let after = census(1_000, [process((2, 1), 10, 0, 1_000 + 60 + 200)]);
        assert_used(&before, &after, [], 2.2);
    }

    #[test]
    fn a_kernel_thread_that_ends_hides_nobody() {
        let before = census(0, [process((1, 0), 1, 0, 0), process((2, 0), 1, 0, 0), process((9, 2), 1, 7_000, 0)]);
        let after = census(1_000, [process((1, 0), 1, 0, 300), process((2, 0), 1, 0, 0)]);
        assert_used(&before, &after, [], 3.0);
    }

    #[test]
    fn what_is_ours_is_nobody_else_s_when_it_ends() {
        // The harness 1 has waited for our server 2, which used 5 s in the window; 3 is a shell that has built something.
        let before = census(0, [process((1, 0), 1, 0, 50), process((2, 1), 1, 100, 0), process((3, 0), 1, 0, 0)]);
        let after = census(1_000, [process((1, 0), 1, 0, 650), process((3, 0), 1, 0, 150)]);
        assert_used(&before, &after, [2], 1.5);
        // Our server has waited for its workers.
        let after = census(1_000, [process((1, 0), 1, 0, 50), process((2, 1), 1, 100, 500), process((3, 0), 1, 0, 0)]);
        assert_used(&before, &after, [2], 0.0);
    }

    #[test]
    fn this_machine_s_processes_can_be_counted() {
        let census = Census::take();
        assert!(census.processes.keys().any(|(pid, _)| *pid == std::process::id()));
    }
}
