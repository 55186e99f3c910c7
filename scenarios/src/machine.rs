//! The machine, the sources and the build, as a run records them.
//!
//! # Layout
//! - `hardware`: cores, caches, frequency, clock; `kernel`: how it was built and set; `limits`: what it grants a process.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};
use sha2::{Digest, Sha256};
use stackbench_reports::run::{GitMeta, MachineInfo, ProfileMeta};

use crate::server::ask;

mod hardware;
mod kernel;
mod limits;

/// Where the kernel tells of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel<'a> {
    /// `/proc`, but in tests.
    pub proc: &'a Path,
    /// `/sys`, but in tests.
    pub sys: &'a Path,
}

impl Kernel<'static> {
    /// The one that runs.
    pub(crate) fn running() -> Self {
        Self { proc: Path::new("/proc"), sys: Path::new("/sys") }
    }
}

/// The machine as it is now, of whose CPUs `cpus` may be used; what it does not tell is empty, 0 or null.
pub fn machine(cpus: u32) -> MachineInfo {
    let kernel = Kernel::running();
    let uname = rustix::system::uname();
    let word = |c: &std::ffi::CStr| c.to_string_lossy().into_owned();
    let cpuinfo = text_of(&kernel.proc.join("cpuinfo")).unwrap_or_default();
    let meminfo = text_of(&kernel.proc.join("meminfo")).unwrap_or_default();
    MachineInfo {
        host: host(),
        cpu_model: value_of(&cpuinfo, "model name").unwrap_or_default(),
        cpus,
        physical_cores: physical_cores(kernel),
        kernel: format!("{} {} {}", word(uname.sysname()), word(uname.release()), word(uname.version())),
        memory_bytes: value_of(&meminfo, "MemTotal").and_then(|text| kibibytes(&text)).unwrap_or_default(),
        governor: kernel.governor(),
        nofile: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        somaxconn: kernel.sysctl("net.core.somaxconn").and_then(|text| text.parse().ok()).unwrap_or_default(),
        loadavg: loadavg(kernel),
        smt: kernel.smt(),
        caches: kernel.caches(),
        boost: kernel.boost(),
        is_virtual: hardware::is_virtual(&cpuinfo),
        hypervisor: kernel.hypervisor(),
        clock_source: kernel.clock_source(),
        mitigations: kernel.mitigations(),
        cpu_accounting: kernel::cpu_accounting(kernel.configuration().as_deref()),
        sysctls: kernel.sysctls(),
        transparent_huge_pages: kernel.transparent_huge_pages(),
        cgroup: kernel.cgroup(),
        ulimits: limits::ulimits(),
        time_wait_before: kernel.time_wait(),
    }
}

/// The machine's name for itself.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A file's text, trimmed.
fn text_of(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The value of the first line `key: value`.
fn value_of(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim_start().strip_prefix(':')?.trim().to_owned()))
}

fn kibibytes(text: &str) -> Option<u64> {
    Some(text.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn physical_cores(kernel: Kernel) -> u32 {
    u32::try_from(kernel.siblings().len()).unwrap_or(u32::MAX)
}

fn loadavg(kernel: Kernel) -> [f64; 3] {
    let text = text_of(&kernel.proc.join("loadavg")).unwrap_or_default();
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
}

/// The source the programs were built from, as git tells it.
pub fn git(root: &Path) -> GitMeta {
    let dirty = ask("git", &["status", "--porcelain"], root).map(|text| !text.is_empty());
    GitMeta { revision: ask("git", &["rev-parse", "HEAD"], root), dirty }
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The release profile, as the workspace's Cargo.toml sets it: all programs are built with it and no other.
pub fn profile(root: &Path) -> ProfileMeta {
    let settings = fs::read_to_string(root.join("Cargo.toml")).ok().and_then(|text| {
        let manifest: toml::Table = text.parse().ok()?;
        let release = manifest.get("profile")?.get("release")?.as_table()?.clone();
        Some(release.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", "))
    });
    ProfileMeta {
        name: "release".to_owned(),
        settings: settings.unwrap_or_else(|| "unknown".to_owned()).replace('"', ""),
    }
}
