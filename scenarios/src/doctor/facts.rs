//! What the machine says of itself, read here and now. It takes a second, in which nothing is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};
use rustix::thread::sched_getaffinity;
use stackbench_reports::row::Placement;
use stackload::procfs;

use crate::{machine::Kernel, placement};

/// How long other programs and the hypervisor are watched: with ticks of 10 ms, a hundredth of one CPU can be told.
const WATCHED: Duration = Duration::from_secs(1);
/// Programs that only some jobs need.
const PROGRAMS: [&str; 2] = ["redis-server", "wrk"];
/// Beginnings of the names of the suite's own servers and stores.
const OURS: [&str; 2] = ["stack-", "fake-redis"];
/// A listening socket, in the tables of /proc/net.
const LISTENING: &str = "0A";

/// What a run needs.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Connections of the load at most.
    pub connections: Option<u32>,
    /// Open files of a process at most.
    pub descriptors: u64,
}

/// Whether this process may use io_uring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Uring {
    /// It may.
    #[default]
    Allowed,
    /// kernel.io_uring_disabled says no.
    OffBySysctl,
    /// A sandbox, or the kernel for lack of it.
    Refused,
}

/// A program that uses the CPUs.
#[derive(Debug, Clone, PartialEq)]
pub struct Busy {
    /// Its name, as far as the kernel keeps it.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// Its share of the CPU time that a run may use.
    pub share: f64,
}

/// A process of the suite that listens although no run of ours is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its name.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// A port it listens on.
    pub port: u16,
}

/// What findings rest on; none where the machine does not say.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What a run needs.
    pub needs: Needs,
    /// The hard limit of open files.
    pub open_files_hard: u64,
    /// The kernel's bound on a listen backlog.
    pub somaxconn: Option<u64>,
    /// Half-open connections it remembers.
    pub syn_backlog: Option<u64>,
    /// Ports it gives to clients.
    pub ports: Option<u64>,
    /// Connections in TIME_WAIT.
    pub time_wait: Option<u64>,
    /// Of the programs that some jobs need, those that are not here.
    pub missing: Vec<&'static str>,
    /// Whether io_uring may be used.
    pub uring: Uring,
    /// Room where the run directory is to be.
    pub free_bytes: Option<u64>,
    /// Processes of the suite that listen.
    pub leftovers: Vec<Leftover>,
    /// Physical cores that a run may use.
    pub cores: usize,
    /// CPUs that a run may use.
    pub cpus: usize,
    /// CPUs that it might use if the control group had no quota.
    pub cpus_without_quota: usize,
    /// CPUs that the control group's quota comes to, and the file that says so.
    pub quota: Option<(f64, PathBuf)>,
    /// Frequency governor.
    pub governor: Option<String>,
    /// Whether cores may exceed their nominal frequency.
    pub boost: Option<bool>,
    /// Whether cores run several threads.
    pub smt: Option<bool>,
    /// What the kernel reads the time from.
    pub clock_source: Option<String>,
    /// Swap in use.
    pub swap_used_bytes: Option<u64>,
    /// Share of the CPU time that other programs used.
    pub others_share: f64,
    /// The busiest of them, busiest first.
    pub busiest: Vec<Busy>,
    /// Share of the CPU time that the hypervisor took.
    pub steal_share: f64,
}

impl Facts {
    /// Looks at the machine; `out` is where the run directory is to be.
    ///
    /// # Errors
    /// When this process's CPUs cannot be read.
    pub fn collect(needs: Needs, out: &Path) -> Result<Self> {
        let kernel = Kernel::running();
        let allowed = placement::divide(Placement::Free)?.allowed;
        let affinity = sched_getaffinity(None).context("cannot read this process's CPU affinity")?;
        let number = |name: &str| kernel.sysctl(name)?.parse().ok();
        let watched = watch(&allowed);
        Ok(Self {
            needs,
            open_files_hard: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
            somaxconn: number("net.core.somaxconn"),
            syn_backlog: number("net.ipv4.tcp_max_syn_backlog"),
            ports: kernel.sysctl("net.ipv4.ip_local_port_range").and_then(|text| width(&text)),
            time_wait: kernel.time_wait(),
            missing: PROGRAMS.into_iter().filter(|program| !is_on_path(program)).collect(),
            uring: uring(number("kernel.io_uring_disabled").unwrap_or_default()),
            free_bytes: free_bytes(out),
            leftovers: leftovers(),
            cores: placement::physical_cores(&allowed).len(),
            cpus: allowed.len(),
            cpus_without_quota: affinity.count() as usize,
            quota: kernel.cpu_quota(),
            governor: kernel.governor(),
            boost: kernel.boost(),
            smt: kernel.smt().map(|smt| smt.active),
            clock_source: kernel.clock_source(),
            swap_used_bytes: fs::read_to_string("/proc/swaps").ok().map(|text| swap_used(&text)),
            others_share: watched.others_share,
            busiest: watched.busiest,
            steal_share: watched.steal_share,
        })
    }

    /// Connections of the load.
    pub fn connections(&self) -> u64 {
        u64::from(self.needs.connections.unwrap_or_default())
    }
}

/// How many ports a range of the kernel's (`32768 60999`) has.
fn width(range: &str) -> Option<u64> {
    let (low, high) = range.split_once(' ')?;
    Some((high.parse::<u64>().ok()? + 1).saturating_sub(low.parse().ok()?))
}

/// Bytes of all lines of /proc/swaps, whose fourth column counts KiB.
fn swap_used(swaps: &str) -> u64 {
    let used = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    used.sum::<u64>() * 1024
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Of the file system of a folder, or of the nearest one above it that is there.
fn free_bytes(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let room = rustix::fs::statvfs(there).ok()?;
    Some(room.f_bavail * room.f_frsize)
}

/// Asks for a ring of no entries, which no kernel gives: what it says shows whether it would give another.
fn uring(disabled: u64) -> Uring {
    let nowhere = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the kernel reads the parameters at the address, checks it, and answers EFAULT; nothing of ours is written,
    // and no descriptor is made. rustix has the call only for those who bring a ring's memory with them.
    let answer = unsafe { libc::syscall(libc::SYS_io_uring_setup, 0, nowhere) };
    let refused = answer < 0 && {
        let error = std::io::Error::last_os_error().raw_os_error();
        matches!(error, Some(libc::EPERM | libc::ENOSYS | libc::EACCES))
    };
    match (refused, disabled) {
        (false, _) => Uring::Allowed,
        (true, 1..) => Uring::OffBySysctl,
        (true, 0) => Uring::Refused,
    }
}

struct Watched {
    others_share: f64,
    busiest: Vec<Busy>,
    steal_share: f64,
}

/// Watches all processes but this one, and the CPUs that a run may use.
fn watch(allowed: &[u32]) -> Watched {
    let ticks = || -> BTreeMap<(u32, u64), u64> {
        let stats = procfs::processes().into_iter();
        stats.map(|stat| ((stat.pid, stat.started_ticks), stat.user_ticks + stat.system_ticks)).collect()
    };
    let (processes_before, cpus_before, began) = (ticks(), procfs::cpus(), Instant::now());
    // There is no state to wait for: it is the time itself in which others work.
    thread::sleep(WATCHED);
    let (processes, cpus) = (ticks(), procfs::cpus_between(&cpus_before, &procfs::cpus()));
    let capacity = began.elapsed().as_secs_f64() * procfs::ticks_per_second() as f64 * allowed.len() as f64;
    let stolen: u64 = cpus.iter().filter(|cpu| allowed.contains(&cpu.cpu)).map(|cpu| cpu.steal).sum();
    let used = used_between(&processes_before, &processes, std::process::id());
    let share = |ticks: u64| ticks as f64 / capacity;
    let busy = |(pid, ticks): &(u32, u64)| Busy { name: name_of(*pid), pid: *pid, share: share(*ticks) };
    Watched {
        others_share: share(used.iter().map(|(_, ticks)| ticks).sum()),
        busiest: used.iter().map(busy).collect(),
        steal_share: share(stolen),
    }
}

/// Processes that used CPU time between two readings, and how many ticks of it, busiest first. One that came meanwhile has
/// used all its time between them.
fn used_between(before: &BTreeMap<(u32, u64), u64>, after: &BTreeMap<(u32, u64), u64>, own: u32) -> Vec<(u32, u64)> {
    let grown = after
        .iter()
        .map(|(identity, ticks)| (identity.0, ticks.saturating_sub(before.get(identity).copied().unwrap_or_default())));
    let mut used: Vec<(u32, u64)> = grown.filter(|(pid, ticks)| *pid != own && *ticks > 0).collect();
    used.sort_by_key(|(_, ticks)| std::cmp::Reverse(*ticks));
    used
}

fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// Processes of the suite that listen.
fn leftovers() -> Vec<Leftover> {
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default());
    let listening: BTreeMap<String, u16> = tables.iter().flat_map(|table| table.lines().filter_map(listener)).collect();
    let mut pids: BTreeSet<u32> = procfs::processes().into_iter().map(|stat| stat.pid).collect();
    pids.remove(&std::process::id());
    let leftovers = pids.into_iter().filter_map(|pid| {
        let name = name_of(pid);
        let is_ours = OURS.iter().any(|beginning| name.starts_with(beginning));
        let port = if is_ours { sockets(pid).iter().find_map(|inode| listening.get(inode)) } else { None };
        port.map(|port| Leftover { name, pid, port: *port })
    });
    leftovers.collect()
}

/// The number and the port of a listening socket, from a line of a table of /proc/net.
fn listener(line: &str) -> Option<(String, u16)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (*state == LISTENING).then(|| ((*inode).to_owned(), port))
}

/// Numbers of the sockets that a process has open.
fn sockets(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let number = |link: PathBuf| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    links.filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_range_of_ports_includes_both_ends() {
        assert_eq!(width("32768 60999"), Some(28_232));
        assert_eq!(width("32768"), None);
    }

    #[test]
    fn swap_is_added_up_over_its_files() {
        let text = "Filename\tType\tSize\tUsed\tPriority\n/a partition 2048 512 -2\n/b file 2048 1024 -3\n";
        assert_eq!(swap_used(text), 1536 * 1024);
        assert_eq!(swap_used("Filename\tType\tSize\tUsed\tPriority\n"), 0);
    }

    #[test]
    fn what_others_used_is_told_busiest_first_and_without_ourselves() {
        let before = BTreeMap::from([((1, 10), 100), ((2, 10), 100), ((3, 10), 500)]);
        // Number 3 now belongs to another; number 4 is idle.
        let after = BTreeMap::from([((1, 10), 190), ((2, 10), 120), ((3, 77), 50), ((4, 10), 0)]);
        assert_eq!(used_between(&before, &after, 1), [(3, 50), (2, 20)]);
    }

    #[test]
    fn only_listening_sockets_have_a_port_that_counts() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4711 1 ffff 100";
        assert_eq!(listener(line), Some(("4711".to_owned(), 8080)));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listener("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn a_listener_of_this_process_is_found_among_its_sockets() {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let listening: BTreeMap<String, u16> = table.lines().filter_map(listener).collect();
        let own = sockets(std::process::id());
        assert!(own.iter().any(|inode| listening.get(inode) == Some(&port)));
    }

    #[test]
    fn programs_are_looked_for_on_the_path() {
        assert!(is_on_path("sh") && !is_on_path("a-program-that-nobody-has"));
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let facts = Facts::collect(Needs::default(), &folder.path().join("not/yet/there")).unwrap();
        assert!(facts.cpus >= 1 && facts.cores >= 1 && facts.open_files_hard > 0);
        assert!(facts.free_bytes.is_some_and(|bytes| bytes > 0));
    }
}
