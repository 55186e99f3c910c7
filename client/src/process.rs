//! What processes cost: the kernel's CPU clocks and counters, read at both edges of the window.
//!
//! A process's CPU clock counts nanoseconds, but not those of its children; so a tree is read process by process.
//! Everything that is slow to read (the table of processes, the context switches of thousands of threads) is read
//! outside the window: before its opening and after its closing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::clock::now_ns;
use crate::procfs::{self, Held, ProcessStat};
use crate::result::{ProcessUsage, TreeUsage};

/// A process, told from a later one with the same number by when it started.
type Identity = (u32, u64);

/// Readings of one process at one edge.
#[derive(Debug, Clone, Default)]
struct Reading {
    cpu_ns: u64,
    user_ticks: u64,
    system_ticks: u64,
    switches: Switches,
}

/// Context switches of a process, by thread, and when they were read.
#[derive(Debug, Clone, Default)]
struct Switches {
    by_thread: BTreeMap<u32, u64>,
    at_ns: u64,
}

impl Switches {
    fn read(pid: u32) -> Self {
        Self { by_thread: procfs::context_switches(pid), at_ns: now_ns() }
    }

    /// How many fall into a window of `window_ns`, by two readings that enclose it. A thread that was there at the
    /// first reading is taken to have switched evenly between the two; one that came later counts in full.
    fn in_window(before: &Self, after: &Self, window_ns: u64) -> u64 {
        let between_ns = after.at_ns.saturating_sub(before.at_ns);
        let share = if between_ns > window_ns { window_ns as f64 / between_ns as f64 } else { 1.0 };
        let (mut old, mut new) = (0, 0);
        for (thread, count) in &after.by_thread {
            match before.by_thread.get(thread) {
                Some(earlier) => old += count.saturating_sub(*earlier),
                None => new += count,
            }
        }
        (old as f64 * share).round() as u64 + new
    }
}

/// Whether the children belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The process itself only.
    Alone,
    /// The process and its descendants.
    WithDescendants,
}

/// A process tree under observation.
#[derive(Debug)]
pub struct Tree {
    root: u32,
    scope: Scope,
    at_open: BTreeMap<Identity, Reading>,
    /// CPU clocks at the closing edge.
    closed_cpu_ns: BTreeMap<Identity, u64>,
    opened_ns: u64,
    closed_ns: u64,
}

impl Tree {
    /// Finds the members of the tree. Slow: call it before the window opens.
    pub fn find(root: u32, scope: Scope) -> io::Result<Self> {
        let (at_open, closed_cpu_ns) = (BTreeMap::new(), BTreeMap::new());
        let mut tree = Self { root, scope, at_open, closed_cpu_ns, opened_ns: 0, closed_ns: 0 };
        procfs::process(root)?;
        tree.at_open = tree
            .members()
            .into_keys()
            .map(|(pid, started)| {
                let reading = Reading { switches: Switches::read(pid), ..Reading::default() };
                ((pid, started), reading)
            })
            .collect();
        Ok(tree)
    }

    /// Reads the CPU clocks as the window opens.
    pub fn read_clocks_at_open(&mut self) {
        for ((pid, _), reading) in &mut self.at_open {
            reading.cpu_ns = procfs::cpu_clock_ns(*pid).unwrap_or(0);
        }
        self.opened_ns = now_ns();
    }

    /// Reads the tick counters, right after the clocks.
    pub fn read_ticks_at_open(&mut self) {
        for ((pid, _), reading) in &mut self.at_open {
            if let Ok(stat) = procfs::process(*pid) {
                (reading.user_ticks, reading.system_ticks) = (stat.user_ticks, stat.system_ticks);
            }
        }
    }

    /// Reads the CPU clocks as the window closes.
    pub fn read_clocks_at_close(&mut self) {
        for identity in self.at_open.keys() {
            if let Ok(cpu_ns) = procfs::cpu_clock_ns(identity.0) {
                self.closed_cpu_ns.insert(*identity, cpu_ns);
            }
        }
        self.closed_ns = now_ns();
    }

    /// Finds out who is left and who is new, and adds up. Slow: call it after the window has closed.
    pub fn usage(&self) -> TreeUsage {
        let members = self.members();
        let window_ns = self.closed_ns.saturating_sub(self.opened_ns);
        let mut total = ProcessUsage::default();
        let mut cpu_ns = 0;
        let (mut user_ticks, mut system_ticks) = (0, 0);
        for (identity, stat) in &members {
            let nothing = Reading::default();
            let before = self.at_open.get(identity).unwrap_or(&nothing);
            let now_ns = self.closed_cpu_ns.get(identity).copied();
            // A newcomer's whole life lies in the window.
            let now_ns = now_ns.or_else(|| procfs::cpu_clock_ns(identity.0).ok()).unwrap_or(before.cpu_ns);
            cpu_ns += now_ns.saturating_sub(before.cpu_ns);
            user_ticks += stat.user_ticks.saturating_sub(before.user_ticks);
            system_ticks += stat.system_ticks.saturating_sub(before.system_ticks);
            let memory = procfs::memory(identity.0);
            total.rss_peak_bytes += memory.rss_peak_bytes;
            total.threads += memory.threads;
            total.context_switches += Switches::in_window(&before.switches, &Switches::read(identity.0), window_ns);
        }
        total.cpu_s = cpu_ns as f64 / 1e9;
        let ticks_per_s = procfs::ticks_per_second() as f64;
        total.user_s = user_ticks as f64 / ticks_per_s;
        total.sys_s = system_ticks as f64 / ticks_per_s;
        let pids = |found: &mut dyn Iterator<Item = &Identity>| found.map(|(pid, _)| *pid).collect();
        TreeUsage {
            pid: self.root,
            total,
            processes: members.len() as u64,
            appeared: pids(&mut members.keys().filter(|identity| !self.at_open.contains_key(identity))),
            vanished: pids(&mut self.at_open.keys().filter(|identity| !members.contains_key(identity))),
            alive: self.root_identity().is_some_and(|root| members.get(&root).is_some_and(|stat| !stat.is_zombie)),
        }
    }

    /// What the tree holds in memory now, added up; none if a member's account cannot be read. Slow, and it makes the
    /// processes wait for their memory maps: call it after everything else has been read.
    pub fn held(&self) -> Option<Held> {
        self.members().into_keys().map(|(pid, _)| procfs::held(pid)).try_fold(Held::default(), |sum, held| {
            let held = held?;
            Some(Held { rss_bytes: sum.rss_bytes + held.rss_bytes, pss_bytes: sum.pss_bytes + held.pss_bytes })
        })
    }

    /// The proportional set size alone, as [`held`](Self::held).
    pub fn pss_bytes(&self) -> Option<u64> {
        self.held().map(|held| held.pss_bytes)
    }

    /// The process ids of the tree as it is now.
    pub fn pids(&self) -> BTreeSet<u32> {
        self.members().into_keys().map(|(pid, _)| pid).collect()
    }

    /// The root as it was at the opening edge.
    fn root_identity(&self) -> Option<Identity> {
        self.at_open.keys().find(|(pid, _)| *pid == self.root).copied()
    }

    /// The root, those who are known and still there (their parents may be gone), and all descendants of these.
    fn members(&self) -> BTreeMap<Identity, ProcessStat> {
        if self.scope == Scope::Alone {
            let root = procfs::process(self.root).ok().map(|stat| ((stat.pid, stat.started_ticks), stat));
            return root.into_iter().collect();
        }
        let processes = procfs::processes();
        let is_known = |stat: &ProcessStat| match self.at_open.is_empty() {
            true => stat.pid == self.root,
            false => self.at_open.contains_key(&(stat.pid, stat.started_ticks)),
        };
        let mut inside: BTreeSet<u32> = processes.iter().filter(|stat| is_known(stat)).map(|stat| stat.pid).collect();
        loop {
            let before = inside.len();
            inside.extend(
                processes.iter().filter(|stat| inside.contains(&stat.parent)).map(|stat| stat.pid).collect::<Vec<_>>(),
            );
            if inside.len() == before {
                break;
            }
        }
        let members = processes.into_iter().filter(|stat| inside.contains(&stat.pid));
        members.map(|stat| ((stat.pid, stat.started_ticks), stat)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switches<const N: usize>(at_ns: u64, by_thread: [(u32, u64); N]) -> Switches {
        Switches { by_thread: BTreeMap::from(by_thread), at_ns }
    }

    #[test]
    fn switches_are_scaled_to_the_window_and_those_of_new_threads_count_in_full() {
        let before = switches(1_000, [(1, 10), (2, 20)]);
        // Thread 2 has ended, thread 3 is new; the readings are 1.25 windows apart.
        let after = switches(2_250, [(1, 60), (3, 100)]);
        assert_eq!(Switches::in_window(&before, &after, 1_000), 40 + 100);
        // A process that was not there before.
        assert_eq!(Switches::in_window(&Switches::default(), &after, 1_000), 160);
    }

    #[test]
    fn a_process_sees_its_own_cpu_time_grow() {
        let mut tree = Tree::find(std::process::id(), Scope::Alone).unwrap();
        tree.read_clocks_at_open();
        tree.read_ticks_at_open();
        let mut sum = 0u64;
        for number in 0..2_000_000u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(number));
        }
        tree.read_clocks_at_close();
        let usage = tree.usage();
        assert!(usage.alive && usage.processes == 1 && usage.total.threads >= 1);
        assert!(usage.total.cpu_s > 0.0 && usage.total.cpu_s < 60.0, "{:?}", usage.total);
        assert!(usage.total.rss_peak_bytes > 100_000);
    }

    #[test]
    fn a_process_that_does_not_exist_is_an_error() {
        // The kernel's limit of process ids is 2^22.
        assert!(Tree::find(1 << 23, Scope::WithDescendants).is_err());
    }
}
