//! What the kernel grants a process.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use rustix::process::{Resource, getrlimit};
use stackbench_reports::run::{CgroupLimits, Ulimit};

use super::{Kernel, text_of};

/// The limits that a run may meet, by the shell's names.
const LIMITS: [(&str, Resource); 5] = [
    ("as", Resource::As),
    ("memlock", Resource::Memlock),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("stack", Resource::Stack),
];

/// Limits of this process, which its children inherit.
pub(super) fn ulimits() -> BTreeMap<String, Ulimit> {
    let limit = |resource| {
        let limit = getrlimit(resource);
        Ulimit { soft: limit.current, hard: limit.maximum }
    };
    LIMITS.iter().map(|(name, resource)| ((*name).to_owned(), limit(*resource))).collect()
}

impl Kernel<'_> {
    /// Limits of the control group (version 2) of this process; none where there is no such group.
    pub(crate) fn cgroup(self) -> Option<CgroupLimits> {
        let folder = self.cgroup_folder()?;
        let limits = CgroupLimits {
            cpu_max: self.tightest(&folder, "cpu.max").map(|(_, text)| text),
            memory_max: self.tightest(&folder, "memory.max").map(|(_, text)| text),
        };
        Some(limits)
    }

    /// CPUs that the control group may use at most, and the file that says so.
    pub(crate) fn cpu_quota(self) -> Option<(f64, PathBuf)> {
        let (path, text) = self.tightest(&self.cgroup_folder()?, "cpu.max")?;
        let (quota, period) = text.split_once(' ')?;
        Some((quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?, path))
    }

    /// TCP connections in TIME_WAIT.
    pub(crate) fn time_wait(self) -> Option<u64> {
        let text = text_of(&self.proc.join("net/sockstat"))?;
        let mut words = text.lines().find_map(|line| line.strip_prefix("TCP:"))?.split_whitespace();
        words.find(|word| *word == "tw")?;
        words.next()?.parse().ok()
    }

    /// The folder of this process's group.
    fn cgroup_folder(self) -> Option<PathBuf> {
        let membership = text_of(&self.proc.join("self/cgroup"))?;
        let group = membership.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/').to_owned();
        Some(self.cgroup_root()?.join(group))
    }

    /// Where groups of version 2 are mounted.
    fn cgroup_root(self) -> Option<PathBuf> {
        let mounts = text_of(&self.proc.join("self/mountinfo"))?;
        // Before the dash: identifiers, the mounted folder, where it is mounted, …; after it, the kind.
        let of_version_2 = |line: &&str| line.split_once(" - ").is_some_and(|(_, kind)| kind.starts_with("cgroup2 "));
        Some(PathBuf::from(mounts.lines().find(of_version_2)?.split(' ').nth(4)?))
    }

    /// The file with the tightest limit of a group and all groups above it, and its text; one without a limit if none of
    /// them has one. A group's own limit says nothing of those around it.
    fn tightest(self, folder: &Path, name: &str) -> Option<(PathBuf, String)> {
        let root = self.cgroup_root()?;
        let groups = folder.ancestors().take_while(|group| group.starts_with(&root));
        let told = groups.filter_map(|group| Some((group.join(name), text_of(&group.join(name))?)));
        told.min_by(|(_, a), (_, b)| amount(a).total_cmp(&amount(b)))
    }
}

/// A limit as a number: a quota is a share of its period.
fn amount(text: &str) -> f64 {
    let mut numbers = text.split(' ').map_while(|word| word.parse::<f64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(quota), Some(period)) => quota / period,
        (Some(bytes), None) => bytes,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A machine whose process is in the group `outer/own`, with these quotas.
    fn in_group(outer: &str, own: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let mount = root.path().join("fs/cgroup");
        fs::create_dir_all(mount.join("outer/own")).unwrap();
        fs::write(mount.join("outer/cpu.max"), outer).unwrap();
        fs::write(mount.join("outer/own/cpu.max"), own).unwrap();
        fs::write(mount.join("outer/own/memory.max"), "max\n").unwrap();
        fs::create_dir_all(root.path().join("self")).unwrap();
        fs::write(root.path().join("self/cgroup"), "4:memory:/x\n0::/outer/own\n").unwrap();
        let mounts = format!("29 23 0:26 / {} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n", mount.display());
        fs::write(root.path().join("self/mountinfo"), mounts).unwrap();
        root
    }

    #[test]
    fn the_quota_that_binds_is_the_tightest_of_all_groups_around_a_process() {
        let root = in_group("150000 100000\n", "max 100000\n");
        let kernel = Kernel { proc: root.path(), sys: root.path() };
        let (cpus, path) = kernel.cpu_quota().unwrap();
        assert!((cpus - 1.5).abs() < 1e-9 && path.ends_with("outer/cpu.max"), "{cpus} {}", path.display());
        let limits = kernel.cgroup().unwrap();
        assert_eq!((limits.cpu_max.as_deref(), limits.memory_max.as_deref()), (Some("150000 100000"), Some("max")));
    }

    #[test]
    fn a_group_without_a_quota_has_none() {
        let root = in_group("max 100000\n", "max 100000\n");
        let kernel = Kernel { proc: root.path(), sys: root.path() };
        assert_eq!(kernel.cpu_quota(), None);
        assert_eq!(kernel.cgroup().unwrap().cpu_max.as_deref(), Some("max 100000"));
    }

    #[test]
    fn connections_in_time_wait_are_counted_by_the_kernel() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("net")).unwrap();
        let text = "sockets: used 27\nTCP: inuse 8 orphan 0 tw 34 alloc 8 mem 120\nUDP: inuse 0 mem 0\n";
        fs::write(root.path().join("net/sockstat"), text).unwrap();
        assert_eq!(Kernel { proc: root.path(), sys: root.path() }.time_wait(), Some(34));
    }

    #[test]
    fn this_process_has_a_limit_of_open_files() {
        assert!(ulimits()["nofile"].soft.is_some());
    }
}
