//! Processes by their mark: every child of the harness carries one in its environment and hands it down, wherever its
//! descendants go. Process groups and parents do not hold those that want to leave.
//!
//! One that has shed its mark too is known by what it becomes when its parents have ended: a child of the harness that the
//! harness has not started.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid},
};
use stackload::procfs::{self, ProcessStat};

/// How long processes with a mark are looked for: one that forks without end must not hold up the run for ever.
pub const SWEEP_AT_MOST: Duration = Duration::from_secs(5);
/// A killed process is gone as soon as the kernel gets to it.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// Every process whose environment holds `variable=value`. A zombie's environment reads as empty, so it is none of them.
pub fn marked(variable: &str, value: &str) -> Vec<i32> {
    let mark = format!("{variable}={value}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| carries(*pid, &mark)).collect()
}

fn carries(pid: i32, mark: &str) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ"));
    environ.is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes()))
}

/// Kills every process with a mark, and those they start meanwhile; says who was found, as `sleep (pid 42)`.
pub fn end(variable: &str, value: &str) -> Vec<String> {
    let mut found: Vec<(i32, String)> = Vec::new();
    let deadline = Instant::now() + SWEEP_AT_MOST;
    loop {
        let pids = marked(variable, value);
        if pids.is_empty() || Instant::now() > deadline {
            break;
        }
        for pid in pids {
            if found.iter().all(|(known, _)| *known != pid) {
                found.push((pid, named(pid)));
            }
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
    for pid in found.iter().filter_map(|(pid, _)| Pid::from_raw(*pid)) {
        collect(pid);
    }
    found.into_iter().map(|(_, name)| name).collect()
}

/// Kills the children of this process that it has adopted (see [`crate::process::adopt_orphans`]) and that nothing else
/// accounts for; says who was found, as [`end`]. Left alone are
/// - those in a process group of `groups`, or in its own, where its short commands run;
/// - those with the mark, which are known by it: another child of the harness may live by them;
/// - those that are older than `since_ticks`.
///
/// Where several children run, it cannot be told which of them one without a mark came from.
pub fn end_adopted(since_ticks: u64, groups: &BTreeSet<u32>, (variable, value): (&str, &str)) -> Vec<String> {
    // The first process of a container adopts whatever loses its parent there.
    if getpid().is_init() {
        return Vec::new();
    }
    let mark = format!("{variable}={value}");
    let Ok(own) = procfs::process(std::process::id()) else { return Vec::new() };
    let is_adopted = |stat: &ProcessStat| {
        stat.parent == own.pid
            && stat.started_ticks >= since_ticks
            && stat.group != own.group
            && !groups.contains(&stat.group)
            && !carries(stat.pid.cast_signed(), &mark)
    };
    let mut found = Vec::new();
    let deadline = Instant::now() + SWEEP_AT_MOST;
    loop {
        // Whoever loses his parent here is adopted in his turn.
        let adopted: Vec<ProcessStat> = procfs::processes().into_iter().filter(is_adopted).collect();
        if adopted.is_empty() || Instant::now() > deadline {
            return found;
        }
        for stat in adopted {
            let pid = stat.pid.cast_signed();
            let name = named(pid);
            if !stat.is_zombie && !found.contains(&name) {
                found.push(name);
            }
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
                collect(pid);
            }
        }
    }
}

/// A process by its name and number.
pub fn named(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{} (pid {pid})", name.trim())
}

/// Waits for a killed process that has lost its parent, and so has become the harness's child.
fn collect(pid: Pid) {
    let deadline = Instant::now() + GONE_WITHIN;
    while Instant::now() < deadline {
        match waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(None) | Err(Errno::INTR) => std::thread::yield_now(),
            // Collected, or never ours to collect.
            Ok(Some(_)) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_process_that_has_left_its_group_is_found_by_its_mark_and_ended() {
        let value = format!("{:x}", rand::random::<u64>());
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 300 & wait"]).env("STRAY", &value).stdout(Stdio::null());
        let mut shell = shell.process_group(0).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        // The child is another shell until it has become `sleep`.
        while !marked("STRAY", &value).into_iter().any(|pid| named(pid).starts_with("sleep")) {
            assert!(Instant::now() < deadline, "the shell's child is there");
            std::thread::yield_now();
        }
        let ended = end("STRAY", &value).join(", ");
        assert!(ended.contains("sh (pid ") && ended.contains("sleep (pid "), "{ended}");
        assert!(marked("STRAY", &value).is_empty());
        let _ = shell.wait();
    }

    #[test]
    fn nobody_is_found_by_a_mark_that_nobody_carries() {
        assert!(end("STRAY", "of nobody").is_empty());
    }
}
