//! From facts to findings.

use std::fmt;

use super::facts::{Facts, Uring};
use crate::verdict::noise::NOISE;

/// From this share of the CPU time on, others are worth a word; from [`NOISE`] on, trials would be `noisy`.
const WORTH_A_WORD: f64 = 0.01;
/// Ports beside those of the load: servers, stores, and what else runs here.
const SPARE_PORTS: u64 = 1_000;
/// With fewer cores, client and store share one.
const CORES_APART: usize = 3;
/// A long run's files and logs take less, …
const ROOM_BYTES: u64 = 1 << 30;
/// … and the main job's not much less than this.
const ROOM_BYTES_MIN: u64 = 256 << 20;
/// Clocks that are read without a system call, by the machines that have them.
const FAST_CLOCKS: [&str; 5] =
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "riscv_clocksource"];
/// What is named of a list.
const NAMED_MAX: usize = 3;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// To be known when figures are read, or what only some runs meet.
    Note,
    /// Figures would be spoilt, or trials fail.
    Bad,
}

/// One thing about the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was seen, in a line.
    pub seen: String,
    /// What mends it: a command where there is one. None where nothing is to be mended.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(seen: impl Into<String>) -> Self {
        Self { level: Level::Ok, seen: seen.into(), remedy: None }
    }

    fn note(seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Note, seen: seen.into(), remedy: Some(remedy.into()) }
    }

    fn bad(seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Bad, seen: seen.into(), remedy: Some(remedy.into()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Bad => "bad",
        };
        write!(f, "{level:<5} {}", self.seen)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "\n      {remedy}"))
    }
}

/// All findings, in the order of a run: what it needs, then what disturbs it. Of what the machine does not tell there is
/// no finding.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let each = [
        open_files,
        backlog,
        syn_backlog,
        ports,
        programs,
        io_uring,
        room,
        leftovers,
        cores,
        quota,
        governor,
        boost,
        hardware_threads,
        clock,
        swap,
        others,
        steal,
    ];
    each.iter().filter_map(|look| look(facts)).collect()
}

fn open_files(facts: &Facts) -> Option<Finding> {
    let (needed, hard) = (facts.needs.descriptors, facts.open_files_hard);
    if hard >= needed {
        return Some(Finding::ok(format!("open files: {hard} are allowed, {needed} are needed")));
    }
    Some(Finding::bad(
        format!("open files: {hard} are allowed, and {needed} are needed; the run will not start"),
        format!("sudo prlimit --pid $$ --nofile={needed}:{needed}"),
    ))
}

fn backlog(facts: &Facts) -> Option<Finding> {
    let (most, connections) = (facts.somaxconn?, facts.connections());
    let seen = format!("backlog of listeners: {most}, for {connections} connections that come at once");
    if most >= connections {
        return Some(Finding::ok(seen));
    }
    let remedy = format!("sudo sysctl -w net.core.somaxconn={}", connections.next_power_of_two());
    Some(Finding::bad(format!("{seen}; those beyond it wait a second or more to be tried again"), remedy))
}

fn syn_backlog(facts: &Facts) -> Option<Finding> {
    let (most, connections) = (facts.syn_backlog?, facts.connections());
    let seen = format!("half-open connections: {most} are remembered");
    if most >= connections {
        return Some(Finding::ok(seen));
    }
    let remedy = format!("sudo sysctl -w net.ipv4.tcp_max_syn_backlog={}", connections.next_power_of_two());
    Some(Finding::note(format!("{seen}, and {connections} connections come at once"), remedy))
}

fn ports(facts: &Facts) -> Option<Finding> {
    let (there, waiting) = (facts.ports?, facts.time_wait.unwrap_or_default());
    let needed = facts.connections() + SPARE_PORTS;
    let seen = format!("ports for connections: {there}, of which {waiting} are in TIME_WAIT; {needed} are needed");
    let remedy = "sudo sysctl -w net.ipv4.ip_local_port_range='10240 65535'";
    Some(match there {
        _ if there < needed => Finding::bad(seen, remedy),
        _ if there < needed + waiting => Finding::note(format!("{seen}: wait a minute, or widen the range"), remedy),
        _ => Finding::ok(seen),
    })
}

fn programs(facts: &Facts) -> Option<Finding> {
    if facts.missing.is_empty() {
        return Some(Finding::ok("programs: redis-server and wrk are here"));
    }
    let names = facts.missing.join(", ");
    Some(Finding::note(
        format!("programs: no {names}; `--redis spawn`, the tests and the comparison of clients need them"),
        format!("sudo apt-get install --no-install-recommends {}", facts.missing.join(" ")),
    ))
}

fn io_uring(facts: &Facts) -> Option<Finding> {
    let seen = "io_uring: forbidden, so the rows of compio will be `failed` and the run's exit code 1";
    Some(match facts.uring {
        Uring::Allowed => Finding::ok("io_uring: allowed"),
        Uring::OffBySysctl => {
            Finding::note(format!("{seen} (kernel.io_uring_disabled)"), "sudo sysctl -w kernel.io_uring_disabled=0")
        }
        Uring::Refused => Finding::note(
            format!("{seen}; the sandbox or the kernel refuses it"),
            "docker run --security-opt seccomp=unconfined … (or a kernel with CONFIG_IO_URING)",
        ),
    })
}

fn room(facts: &Facts) -> Option<Finding> {
    let free = facts.free_bytes?;
    let seen = format!("disk: {} MiB are free for the run directory", free >> 20);
    Some(match free {
        ROOM_BYTES.. => Finding::ok(seen),
        ROOM_BYTES_MIN.. => Finding::note(format!("{seen}; a long run may fill them"), ELSEWHERE),
        _ => Finding::bad(format!("{seen}; rows may be lost"), ELSEWHERE),
    })
}

/// What helps where a disk is full.
const ELSEWHERE: &str = "cargo bench-all --out /a/folder/with/room";

fn leftovers(facts: &Facts) -> Option<Finding> {
    if facts.leftovers.is_empty() {
        return Some(Finding::ok("processes of earlier runs: none listens"));
    }
    let words = facts.leftovers.iter().map(|left| format!("{} (pid {}, port {})", left.name, left.pid, left.port));
    let pids: Vec<String> = facts.leftovers.iter().map(|left| left.pid.to_string()).collect();
    Some(Finding::bad(
        format!(
            "processes of the suite listen: {}; a run was killed, or another is under way",
            listed(words.collect())
        ),
        format!("kill {}", pids.join(" ")),
    ))
}

fn cores(facts: &Facts) -> Option<Finding> {
    let (cores, cpus) = (facts.cores, facts.cpus);
    let seen = format!("cores: {cores}, with {cpus} CPUs");
    Some(match (cores, cpus) {
        (_, 0..=1) => Finding::bad(
            format!("{seen}; server, client and store cannot have CPUs of their own"),
            "cargo bench-all --placement free (and only to try things out)",
        ),
        (CORES_APART.., _) => Finding::ok(seen),
        _ => Finding::note(
            format!("{seen}; client and store share what the server does not use, and are often the limit"),
            "compare what a request costs the server, not requests per second; or take a machine of 4 cores",
        ),
    })
}

fn quota(facts: &Facts) -> Option<Finding> {
    let Some((quota, path)) = &facts.quota else {
        return Some(Finding::ok("CPU quota of the control group: none"));
    };
    let seen = format!("CPU quota of the control group: {quota:.2} CPUs, of {} there are", facts.cpus_without_quota);
    if *quota >= facts.cpus_without_quota as f64 {
        return Some(Finding::ok(seen));
    }
    Some(Finding::bad(
        format!("{seen}; whoever is over it stands still for the rest of its period"),
        format!("echo max | sudo tee {}", path.display()),
    ))
}

fn governor(facts: &Facts) -> Option<Finding> {
    let governor = facts.governor.as_deref()?;
    if governor == "performance" {
        return Some(Finding::ok("frequency governor: performance"));
    }
    Some(Finding::bad(
        format!("frequency governor: {governor}; the same work takes more or less CPU time from one trial to the next"),
        "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    ))
}

fn boost(facts: &Facts) -> Option<Finding> {
    if !facts.boost? {
        return Some(Finding::ok("turbo: off"));
    }
    let files = "/sys/devices/system/cpu/cpufreq/boost (AMD), echo 1 | sudo tee \
                 /sys/devices/system/cpu/intel_pstate/no_turbo (Intel)";
    Some(Finding::note(
        "turbo: on; speed depends on heat and on what other cores do",
        format!("echo 0 | sudo tee {files}"),
    ))
}

fn hardware_threads(facts: &Facts) -> Option<Finding> {
    if !facts.smt? {
        return Some(Finding::ok("SMT: off, or the cores have one thread each"));
    }
    Some(Finding::note(
        "SMT: on; parties get whole cores, but the threads of one slow each other down",
        "echo off | sudo tee /sys/devices/system/cpu/smt/control",
    ))
}

fn clock(facts: &Facts) -> Option<Finding> {
    let clock = facts.clock_source.as_deref()?;
    if FAST_CLOCKS.contains(&clock) {
        return Some(Finding::ok(format!("clock: {clock}")));
    }
    Some(Finding::bad(
        format!("clock: {clock}; each look at it is a system call, which servers and client make for each request"),
        "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource",
    ))
}

fn swap(facts: &Facts) -> Option<Finding> {
    match facts.swap_used_bytes? {
        0 => Some(Finding::ok("swap: not in use")),
        used => Some(Finding::note(
            format!("swap: {} MiB in use; what a server touches may have to be read from disk", used >> 20),
            "sudo swapoff -a",
        )),
    }
}

fn others(facts: &Facts) -> Option<Finding> {
    let (share, busiest) = (facts.others_share, &facts.busiest);
    let seen = format!("other programs: {:.1} % of the CPU time in a second", 100.0 * share);
    if share < WORTH_A_WORD {
        return Some(Finding::ok(seen));
    }
    let words = busiest.iter().map(|one| format!("{} (pid {}) {:.0} %", one.name, one.pid, 100.0 * one.share));
    let seen = format!("{seen}: {}", listed(words.collect()));
    let remedy = match busiest.first() {
        Some(one) => format!("stop it, or wait for it: kill {}", one.pid),
        None => "top".to_owned(),
    };
    Some(match share > NOISE {
        true => Finding::bad(format!("{seen}; trials will be `noisy`"), remedy),
        false => Finding::note(seen, remedy),
    })
}

fn steal(facts: &Facts) -> Option<Finding> {
    let share = facts.steal_share;
    let seen = format!("stolen by the hypervisor: {:.1} % of the CPU time in a second", 100.0 * share);
    let remedy = "take another time, or a host of your own; `vmstat 1` shows it in the column `st`";
    Some(match share {
        share if share > NOISE => Finding::bad(format!("{seen}; trials will be `noisy`"), remedy),
        share if share >= WORTH_A_WORD => Finding::note(seen, remedy),
        _ => Finding::ok(seen),
    })
}

/// The first of a list, and how many more there are.
fn listed(words: Vec<String>) -> String {
    let more = words.len().saturating_sub(NAMED_MAX);
    let named = words.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

#[cfg(test)]
mod tests;
