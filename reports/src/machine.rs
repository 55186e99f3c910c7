//! The machine a run was made on, as far as it tells: part of `run.json`.
//!
//! What a machine does not say is null or empty, and so is what a run did not record because it is older than the field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The machine a run was made on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineInfo {
    /// Host name.
    pub host: String,
    /// The processor's name for itself.
    pub cpu_model: String,
    /// Logical CPUs the run might use.
    pub cpus: u32,
    /// Physical cores behind them.
    pub physical_cores: u32,
    /// Kernel name, release and version.
    pub kernel: String,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
    /// Frequency governor; null where the machine does not say (most virtual ones).
    pub governor: Option<String>,
    /// Limit of open files per process, as the run had it.
    pub nofile: u64,
    /// The kernel's bound on a listen backlog.
    pub somaxconn: u64,
    /// Load averages over 1, 5 and 15 minutes just before the first trial.
    pub loadavg: [f64; 3],
    /// Hardware threads.
    #[serde(default)]
    pub smt: Option<SmtInfo>,
    /// Caches, the nearest to the core first.
    #[serde(default)]
    pub caches: Vec<CacheInfo>,
    /// Whether cores may exceed their nominal frequency.
    #[serde(default)]
    pub boost: Option<bool>,
    /// Whether the processor says that it is a virtual machine's; not every architecture has a word for it.
    #[serde(default)]
    pub is_virtual: Option<bool>,
    /// The hypervisor's name, or that of the machine it pretends to be.
    #[serde(default)]
    pub hypervisor: Option<String>,
    /// What the kernel reads the time from.
    #[serde(default)]
    pub clock_source: Option<String>,
    /// What the kernel does about each known weakness of the processor, by the weakness's name.
    #[serde(default)]
    pub mitigations: BTreeMap<String, String>,
    /// Options of the kernel's build that decide to whom CPU time is charged, by name; null where the kernel does not
    /// publish its configuration.
    #[serde(default)]
    pub cpu_accounting: BTreeMap<String, Option<bool>>,
    /// Settings of the kernel that matter here, by sysctl's names; null for one that this kernel has not.
    #[serde(default)]
    pub sysctls: BTreeMap<String, Option<String>>,
    /// `always`, `madvise` or `never`.
    #[serde(default)]
    pub transparent_huge_pages: Option<String>,
    /// Limits of the control group (version 2) that the run was in.
    #[serde(default)]
    pub cgroup: Option<CgroupLimits>,
    /// Limits of each process, by the shell's names for them (`nofile`, `nproc`, …).
    #[serde(default)]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// TCP connections in TIME_WAIT just before the first trial.
    #[serde(default)]
    pub time_wait_before: Option<u64>,
}

/// Hardware threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtInfo {
    /// Whether cores run more than one.
    pub active: bool,
    /// CPUs that share a core, a list in the kernel's notation (`0,4`) for each core.
    pub siblings: Vec<String>,
}

/// All caches of one level, kind and size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheInfo {
    /// 1 is the nearest to the core.
    pub level: u8,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// Size of each, in bytes.
    pub size_bytes: u64,
    /// CPUs that share one, a list in the kernel's notation (`0-3`) for each cache.
    pub shared_by: Vec<String>,
}

/// Limits of a control group, in the kernel's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CgroupLimits {
    /// CPU time and the period in which it may be used, in microseconds (`150000 100000`), or `max 100000` for no limit.
    pub cpu_max: Option<String>,
    /// Memory in bytes, or `max` for no limit.
    pub memory_max: Option<String>,
}

/// A limit of the resources of a process; null where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// What holds now.
    pub soft: Option<u64>,
    /// Up to where the process may raise it.
    pub hard: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_was_recorded_before_the_later_fields_is_read() {
        let text = r#"{"host": "box", "cpu_model": "c", "cpus": 2, "physical_cores": 2, "kernel": "Linux", "memory_bytes": 1,
            "governor": null, "nofile": 20000, "somaxconn": 4096, "loadavg": [0.1, 0.2, 0.3]}"#;
        let machine: MachineInfo = serde_json::from_str(text).unwrap();
        assert_eq!((machine.cpus, machine.smt, machine.caches.len()), (2, None, 0));
        assert!(machine.sysctls.is_empty() && machine.time_wait_before.is_none());
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused() {
        assert!(serde_json::from_str::<CgroupLimits>(r#"{"cpu_max": null, "memory_max": null, "io_max": 1}"#).is_err());
    }
}
