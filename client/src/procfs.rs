//! Reading the kernel's accounts of processes and CPUs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};

use crate::result::CpuTicks;

/// One line of /proc/PID/stat, as far as it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStat {
    /// Process id.
    pub pid: u32,
    /// The parent's.
    pub parent: u32,
    /// Its process group; 0 for one that cannot be seen from here.
    pub group: u32,
    /// CPU ticks in user mode.
    pub user_ticks: u64,
    /// CPU ticks in kernel mode.
    pub system_ticks: u64,
    /// CPU ticks in user mode of the children that it has waited for, and of theirs.
    pub reaped_user_ticks: u64,
    /// CPU ticks of those in kernel mode.
    pub reaped_system_ticks: u64,
    /// When it started, in ticks since boot.
    pub started_ticks: u64,
    /// Whether it has ended and only waits to be collected.
    pub is_zombie: bool,
}

/// Clock ticks of /proc per second.
pub fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

/// A file of /proc. The standard library asks for its size, which is always 0, and then begins with 32 bytes; a client
/// that looks through all processes should not be seen in its own account.
fn text(path: &str) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(4096);
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// One process.
pub fn process(pid: u32) -> io::Result<ProcessStat> {
    let line = text(&format!("/proc/{pid}/stat"))?;
    parse_stat(&line).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not understood")))
}

/// All processes. One that ends while the table is read is left out.
pub fn processes() -> Vec<ProcessStat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| process(pid).ok()).collect()
}

/// The command's name stands in parentheses and may hold anything, parentheses too: fields count from the last one.
fn parse_stat(line: &str) -> Option<ProcessStat> {
    let (before, after) = (line.split_once(" (")?, line.rsplit_once(") ")?);
    let fields: Vec<&str> = after.1.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(ProcessStat {
        pid: before.0.parse().ok()?,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: number(1)? as u32,
        group: number(2).unwrap_or_default() as u32,
        user_ticks: number(11)?,
        system_ticks: number(12)?,
        reaped_user_ticks: number(13)?,
        reaped_system_ticks: number(14)?,
        started_ticks: number(19)?,
    })
}

/// CPU time of a process since its start, in nanoseconds, all its threads (ended ones too) and none of its children.
pub fn cpu_clock_ns(pid: u32) -> io::Result<u64> {
    // The kernel's encoding of "CPU clock of process PID, from the scheduler": see clock_getcpuclockid(3). The C
    // function makes a system call of its own to check the process, which the read below does anyway.
    const CPUCLOCK_SCHED: libc::clockid_t = 2;
    let clock = (!(pid as libc::clockid_t) << 3) | CPUCLOCK_SCHED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the duration of the call, which writes nothing else; a clock id that names
    // no process makes it fail with EINVAL. rustix has no type for such clock ids.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Memory and threads, from /proc/PID/status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Peak resident set, in bytes.
    pub rss_peak_bytes: u64,
    /// Threads.
    pub threads: u64,
}

/// Of a process; zeros if it is gone.
pub fn memory(pid: u32) -> Memory {
    let status = text(&format!("/proc/{pid}/status")).unwrap_or_default();
    Memory { rss_peak_bytes: field(&status, "VmHWM:") * 1024, threads: field(&status, "Threads:") }
}

/// What a process holds in memory at this moment, exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Resident set, in bytes.
    pub rss_bytes: u64,
    /// Proportional set size, in bytes: memory that n processes share counts for one n-th in each.
    pub pss_bytes: u64,
}

/// Of a process, from /proc/PID/smaps_rollup; zeros if it has ended. None where the kernel does not say, because the
/// process is somebody else's or the kernel was built without this account.
///
/// Slow: the kernel walks all page tables of the process, which takes milliseconds for each hundred MiB. The faster
/// figure of /proc/PID/status may be off by a hundred pages for each CPU.
pub fn held(pid: u32) -> Option<Held> {
    match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        Ok(rollup) => Some(Held { rss_bytes: field(&rollup, "Rss:") * 1024, pss_bytes: field(&rollup, "Pss:") * 1024 }),
        // A zombie has no memory any more.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Some(Held::default()),
        Err(_) if fs::metadata(format!("/proc/{pid}")).is_err() => Some(Held::default()),
        Err(_) => None,
    }
}

/// Context switches of each thread of a process; empty if it is gone.
pub fn context_switches(pid: u32) -> BTreeMap<u32, u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeMap::new() };
    let threads = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let switches = threads.filter_map(|thread| {
        let status = text(&format!("/proc/{pid}/task/{thread}/status")).ok()?;
        Some((thread, field(&status, "voluntary_ctxt_switches:") + field(&status, "nonvoluntary_ctxt_switches:")))
    });
    switches.collect()
}

/// The number after a name at the start of a line.
fn field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Ticks of every CPU since boot.
pub fn cpus() -> Vec<CpuTicks> {
    let stat = text("/proc/stat").unwrap_or_default();
    stat.lines().filter_map(parse_cpu).collect()
}

fn parse_cpu(line: &str) -> Option<CpuTicks> {
    let (cpu, ticks) = line.strip_prefix("cpu")?.split_once(' ')?;
    let ticks: Vec<u64> = ticks.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks[..] else { return None };
    Some(CpuTicks { cpu: cpu.parse().ok()?, user: user + nice, system, irq: irq + softirq, idle: idle + iowait, steal })
}

/// What each CPU did between two readings.
pub fn cpus_between(before: &[CpuTicks], after: &[CpuTicks]) -> Vec<CpuTicks> {
    let zero = CpuTicks::default();
    let difference = |now: &CpuTicks| {
        let then = before.iter().find(|then| then.cpu == now.cpu).unwrap_or(&zero);
        CpuTicks {
            cpu: now.cpu,
            user: now.user.saturating_sub(then.user),
            system: now.system.saturating_sub(then.system),
            irq: now.irq.saturating_sub(then.irq),
            idle: now.idle.saturating_sub(then.idle),
            steal: now.steal.saturating_sub(then.steal),
        }
    };
    after.iter().map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_may_hold_parentheses_and_blanks() {
        let line = "42 (a) R 7 (x) S 7 6 1 0 -1 4194304 1 0 0 0 11 12 13 14 20 0 1 0 555 1000 10";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.group, stat.is_zombie), (42, 7, 6, false));
        assert_eq!((stat.user_ticks, stat.system_ticks, stat.started_ticks), (11, 12, 555));
        assert_eq!((stat.reaped_user_ticks, stat.reaped_system_ticks), (13, 14));
    }

    #[test]
    fn cpu_lines_are_added_up_by_state() {
        let ticks = parse_cpu("cpu3 1 2 3 4 5 6 7 8 0 0").unwrap();
        assert_eq!(ticks, CpuTicks { cpu: 3, user: 3, system: 3, irq: 13, idle: 9, steal: 8 });
        assert_eq!(parse_cpu("cpu  1 2 3 4 5 6 7 8 0 0"), None);
        assert_eq!(parse_cpu("intr 1"), None);
    }

    #[test]
    fn this_process_is_in_the_table() {
        let own = std::process::id();
        assert!(processes().iter().any(|stat| stat.pid == own));
        assert!(memory(own).threads > 0 && !context_switches(own).is_empty());
    }

    #[test]
    fn what_a_process_shares_is_in_its_resident_set_and_only_partly_in_its_proportional_one() {
        let own = held(std::process::id()).unwrap();
        assert!(own.pss_bytes > 0 && own.pss_bytes <= own.rss_bytes, "{own:?}");
        // The kernel's limit of process ids is 2^22.
        assert_eq!(held(1 << 23), Some(Held::default()));
    }
}
