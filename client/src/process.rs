//! What processes cost: the kernel's CPU clocks and counters, read at both edges of the window.
//!
//! A process's CPU clock counts nanoseconds, but not those of its children; so a tree is read process by process. The
//! clocks of those that have ended are gone: what these used is known from whoever waited for them, to a tick of 10 ms.
//! Everything that is slow to read (the table of processes, the context switches of thousands of threads) is read
//! outside the window: before its opening and after its closing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::clock::now_ns;
use crate::procfs::{self, Held, ProcessStat};
use crate::result::{ProcessUsage, TreeUsage};

/// A process, told from a later one with the same number by when it started.
pub(crate) type Identity = (u32, u64);

/// Processes as they were at one edge.
pub(crate) type Table = BTreeMap<Identity, ProcessStat>;

/// What a process came to wait for between two readings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reaped {
    /// CPU ticks in user mode that the processes it waited for, and theirs, used between the readings.
    pub(crate) user_ticks: u64,
    /// In kernel mode.
    pub(crate) system_ticks: u64,
    /// Those of them that were there at the first reading.
    pub(crate) vanished: Vec<u32>,
}

/// What processes used that ended between two readings, by who waited for them and was there at the second.
///
/// When a process ends, all it has used goes to the account that its parent keeps of children, along with its own account
/// of them: nothing is lost on the way up. So a parent's account has grown by the whole lives of those that ended, and
/// what they had used before the first reading is taken off. A process whose parent ended too is taken to have gone to
/// the next that is left above; one that outlived its parent, and went elsewhere, is taken off in the wrong place. A
/// parent that ignores SIGCHLD keeps no account: there is nothing to be found, and less than nothing is none.
pub(crate) fn reaped(before: &Table, after: &Table) -> BTreeMap<Identity, Reaped> {
    let by_pid: BTreeMap<u32, &ProcessStat> = before.iter().map(|((pid, _), stat)| (*pid, stat)).collect();
    let mut used_before: BTreeMap<Identity, Reaped> = BTreeMap::new();
    for (_, vanished) in before.iter().filter(|(identity, _)| !after.contains_key(identity)) {
        let mut above = by_pid.get(&vanished.parent);
        // No line of parents is longer than the table, even if process ids that came around again made it a ring.
        for _ in 0..before.len() {
            let Some(stat) = above else { break };
            let identity = (stat.pid, stat.started_ticks);
            if after.contains_key(&identity) {
                let sum = used_before.entry(identity).or_default();
                sum.user_ticks += vanished.user_ticks + vanished.reaped_user_ticks;
                sum.system_ticks += vanished.system_ticks + vanished.reaped_system_ticks;
                sum.vanished.push(vanished.pid);
                break;
            }
            above = by_pid.get(&stat.parent);
        }
    }
    let account = |(identity, now): (&Identity, &ProcessStat)| {
        let (user, system) =
            before.get(identity).map_or((0, 0), |then| (then.reaped_user_ticks, then.reaped_system_ticks));
        let known = used_before.remove(identity).unwrap_or_default();
        let reaped = Reaped {
            user_ticks: now.reaped_user_ticks.saturating_sub(user + known.user_ticks),
            system_ticks: now.reaped_system_ticks.saturating_sub(system + known.system_ticks),
            vanished: known.vanished,
        };
        (*identity, reaped)
    };
    after.iter().map(account).collect()
}

/// Readings of one process at one edge.
#[derive(Debug, Clone)]
struct Reading {
    cpu_ns: u64,
    stat: ProcessStat,
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
            .into_iter()
            .map(|(identity, stat)| (identity, Reading { cpu_ns: 0, stat, switches: Switches::read(identity.0) }))
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

    /// Reads the tick counters, right after the clocks. Who has ended since the tree was found is in his parent's account
    /// already, and forgotten.
    pub fn read_ticks_at_open(&mut self) {
        self.at_open.retain(|(pid, started), reading| match procfs::process(*pid) {
            Ok(stat) if stat.started_ticks == *started => {
                reading.stat = stat;
                true
            }
            _ => false,
        });
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
            // A newcomer's whole life lies in the window.
            let before = self.at_open.get(identity);
            let then_ns = before.map_or(0, |before| before.cpu_ns);
            let now_ns = self.closed_cpu_ns.get(identity).copied();
            let now_ns = now_ns.or_else(|| procfs::cpu_clock_ns(identity.0).ok()).unwrap_or(then_ns);
            cpu_ns += now_ns.saturating_sub(then_ns);
            let (user, system) = before.map_or((0, 0), |before| (before.stat.user_ticks, before.stat.system_ticks));
            user_ticks += stat.user_ticks.saturating_sub(user);
            system_ticks += stat.system_ticks.saturating_sub(system);
            let memory = procfs::memory(identity.0);
            total.rss_peak_bytes += memory.rss_peak_bytes;
            total.threads += memory.threads;
            let switches = before.map(|before| before.switches.clone()).unwrap_or_default();
            total.context_switches += Switches::in_window(&switches, &Switches::read(identity.0), window_ns);
        }
        let mut ended_ticks = 0;
        for reaped in self.reaped(&members).into_values() {
            user_ticks += reaped.user_ticks;
            system_ticks += reaped.system_ticks;
            ended_ticks += reaped.user_ticks + reaped.system_ticks;
        }
        let ticks_per_s = procfs::ticks_per_second() as f64;
        total.cpu_s = cpu_ns as f64 / 1e9 + ended_ticks as f64 / ticks_per_s;
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

    /// What those used that ended in the window. A process alone is accounted without its children.
    fn reaped(&self, members: &Table) -> BTreeMap<Identity, Reaped> {
        match self.scope {
            Scope::Alone => BTreeMap::new(),
            Scope::WithDescendants => {
                let at_open = self.at_open.iter().map(|(identity, reading)| (*identity, reading.stat.clone()));
                reaped(&at_open.collect(), members)
            }
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

    /// The process ids of the tree, as it is now and as it was at the opening edge.
    pub fn pids(&self) -> BTreeSet<u32> {
        self.members().keys().chain(self.at_open.keys()).map(|(pid, _)| *pid).collect()
    }

    /// The root as it was at the opening edge.
    fn root_identity(&self) -> Option<Identity> {
        self.at_open.keys().find(|(pid, _)| *pid == self.root).copied()
    }

    /// The root, those who are known and still there (their parents may be gone), and all descendants of these.
    fn members(&self) -> Table {
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

    /// A process started at tick 10 that ran in user mode, and whose children spent a tenth as much in kernel mode.
    fn process(pid: u32, parent: u32, own: u64, reaped: u64) -> ProcessStat {
        ProcessStat {
            pid,
            parent,
            group: 0,
            user_ticks: own,
            system_ticks: 0,
            reaped_user_ticks: reaped,
            reaped_system_ticks: reaped / 10,
            started_ticks: 10,
            is_zombie: false,
        }
    }

    fn table<const N: usize>(processes: [ProcessStat; N]) -> Table {
        processes.into_iter().map(|stat| ((stat.pid, stat.started_ticks), stat)).collect()
    }

    #[test]
    fn children_that_came_and_went_are_in_their_parent_s_account() {
        let before = table([process(1, 0, 100, 1_000)]);
        let after = table([process(1, 0, 150, 1_500)]);
        let reaped = &reaped(&before, &after)[&(1, 10)];
        assert_eq!((reaped.user_ticks, reaped.system_ticks, reaped.vanished.len()), (500, 50, 0));
    }

    #[test]
    fn what_a_child_had_used_when_the_window_opened_is_not_of_the_window() {
        // 2 and its child 3 end; 2 used 30 more and 3 used 40 more, and both were waited for.
        let before = table([process(1, 0, 100, 1_000), process(2, 1, 200, 50), process(3, 2, 7, 0)]);
        let after = table([process(1, 0, 100, 1_000 + 200 + 50 + 7 + 30 + 40)]);
        let reaped = &reaped(&before, &after)[&(1, 10)];
        assert_eq!((reaped.user_ticks, reaped.vanished.as_slice()), (70, [2, 3].as_slice()));
    }

    #[test]
    fn a_newcomer_s_children_count_in_full() {
        let (before, after) = (table([process(1, 0, 0, 0)]), table([process(1, 0, 0, 0), process(2, 1, 5, 60)]));
        assert_eq!(reaped(&before, &after)[&(2, 10)].user_ticks, 60);
    }

    #[test]
    fn a_parent_that_keeps_no_account_takes_nothing_from_others() {
        // 2 ignores SIGCHLD, and the rich 3 ends; 1 has waited for 40.
        let before = table([process(1, 0, 0, 0), process(2, 1, 0, 0), process(3, 2, 9_000, 0)]);
        let after = table([process(1, 0, 0, 40), process(2, 1, 0, 0)]);
        let reaped = reaped(&before, &after);
        assert_eq!((reaped[&(1, 10)].user_ticks, reaped[&(2, 10)].user_ticks), (40, 0));
    }

    #[test]
    fn a_root_that_ended_and_a_ring_of_parents_are_nobody_s() {
        let before = table([process(1, 0, 500, 0), process(2, 1, 5, 0), process(3, 4, 5, 0), process(4, 3, 5, 0)]);
        let after = table([process(2, 1, 5, 0)]);
        assert_eq!(reaped(&before, &after)[&(2, 10)], Reaped::default());
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
