//! The machine, the sources and the build, as a run records them.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};
use sha2::{Digest, Sha256};
use stackbench_reports::run::{GitMeta, MachineInfo, ProfileMeta};

use crate::server::ask;

/// The machine as it is now, of whose CPUs `cpus` may be used; what it does not tell is empty, 0 or null.
pub fn machine(cpus: u32) -> MachineInfo {
    let uname = rustix::system::uname();
    let word = |c: &std::ffi::CStr| c.to_string_lossy().into_owned();
    MachineInfo {
        host: host(),
        cpu_model: line_of("/proc/cpuinfo", "model name").unwrap_or_default(),
        cpus,
        physical_cores: physical_cores(),
        kernel: format!("{} {} {}", word(uname.sysname()), word(uname.release()), word(uname.version())),
        memory_bytes: line_of("/proc/meminfo", "MemTotal").and_then(|text| kibibytes(&text)).unwrap_or_default(),
        governor: text_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        nofile: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        somaxconn: text_of("/proc/sys/net/core/somaxconn").and_then(|text| text.parse().ok()).unwrap_or_default(),
        loadavg: loadavg(),
    }
}

/// The machine's name for itself.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn text_of(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn line_of(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim_start().strip_prefix(':')?.trim().to_owned()))
}

fn kibibytes(text: &str) -> Option<u64> {
    Some(text.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn physical_cores() -> u32 {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu") else { return 0 };
    let siblings = entries
        .filter_map(|entry| text_of(&entry.ok()?.path().join("topology/thread_siblings_list").display().to_string()));
    u32::try_from(siblings.collect::<BTreeSet<String>>().len()).unwrap_or(u32::MAX)
}

fn loadavg() -> [f64; 3] {
    let text = text_of("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
}

/// The source the programs were built from, as git tells it.
pub fn git(root: &Path) -> GitMeta {
    let dirty = ask("git", &["status", "--porcelain", "--untracked-files=no"], root).map(|text| !text.is_empty());
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
