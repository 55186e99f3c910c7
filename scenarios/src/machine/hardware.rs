//! What the kernel tells of the hardware.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use stackbench_reports::run::{CacheInfo, SmtInfo};

use super::{Kernel, text_of, value_of};

impl Kernel<'_> {
    /// Hardware threads, and who shares a core.
    pub(crate) fn smt(self) -> Option<SmtInfo> {
        let active = text_of(&self.sys.join("devices/system/cpu/smt/active"))? == "1";
        Some(SmtInfo { active, siblings: self.siblings() })
    }

    /// CPUs that share a core, as the kernel writes lists, in the order of their first CPU.
    pub(super) fn siblings(self) -> Vec<String> {
        let lists = self.cpus().into_iter().filter_map(|cpu| text_of(&cpu.join("topology/thread_siblings_list")));
        in_order(lists.collect())
    }

    /// The caches of all CPUs, those that are alike together.
    pub(crate) fn caches(self) -> Vec<CacheInfo> {
        let mut found: BTreeMap<(u8, String, u64), BTreeSet<String>> = BTreeMap::new();
        for cpu in self.cpus() {
            for index in entries(&cpu.join("cache"), "index") {
                let told = |name: &str| text_of(&index.join(name));
                let (Some(level), Some(kind)) = (told("level").and_then(|text| text.parse().ok()), told("type")) else {
                    continue;
                };
                let (Some(size), Some(shared)) = (told("size").and_then(|text| size(&text)), told("shared_cpu_list"))
                else {
                    continue;
                };
                found.entry((level, kind, size)).or_default().insert(shared);
            }
        }
        let caches = found.into_iter().map(|((level, kind, size_bytes), shared)| CacheInfo {
            level,
            kind,
            size_bytes,
            shared_by: in_order(shared),
        });
        caches.collect()
    }

    /// Frequency governor of the first CPU; all have the same unless somebody went to great pains.
    pub(crate) fn governor(self) -> Option<String> {
        text_of(&self.sys.join("devices/system/cpu/cpu0/cpufreq/scaling_governor"))
    }

    /// Whether cores may exceed their nominal frequency.
    pub(crate) fn boost(self) -> Option<bool> {
        let told = |path: &str| text_of(&self.sys.join("devices/system/cpu").join(path));
        told("cpufreq/boost").map(|text| text == "1").or_else(|| told("intel_pstate/no_turbo").map(|text| text == "0"))
    }

    /// What the kernel reads the time from.
    pub(crate) fn clock_source(self) -> Option<String> {
        text_of(&self.sys.join("devices/system/clocksource/clocksource0/current_clocksource"))
    }

    /// The hypervisor as it calls itself, or as the machine it pretends to be is called.
    pub(crate) fn hypervisor(self) -> Option<String> {
        let told = |path: &str| text_of(&self.sys.join(path)).filter(|text| !text.is_empty());
        told("hypervisor/type").or_else(|| {
            // A real machine has a maker too.
            let is_virtual = text_of(&self.proc.join("cpuinfo")).and_then(|text| is_virtual(&text))?;
            let (vendor, product) = (told("class/dmi/id/sys_vendor"), told("class/dmi/id/product_name"));
            let words: Vec<String> = [vendor, product].into_iter().flatten().collect();
            (is_virtual && !words.is_empty()).then(|| words.join(" "))
        })
    }

    /// The folders of all CPUs.
    fn cpus(self) -> Vec<PathBuf> {
        entries(&self.sys.join("devices/system/cpu"), "cpu")
    }
}

/// Whether the flags of the processor say that it is a virtual machine's; none where there are no flags.
pub(super) fn is_virtual(cpuinfo: &str) -> Option<bool> {
    let flags = value_of(cpuinfo, "flags")?;
    Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

/// Entries of a folder that are named by a word and a number, in the order of the numbers.
fn entries(folder: &std::path::Path, word: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix(word)?.parse::<u32>().ok();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut numbered: Vec<(u32, PathBuf)> = paths.filter_map(|path| Some((number(&path)?, path))).collect();
    numbered.sort();
    numbered.into_iter().map(|(_, path)| path).collect()
}

/// Lists of CPUs, each once, in the order of their first CPU.
fn in_order(lists: BTreeSet<String>) -> Vec<String> {
    let first = |list: &String| list.split(['-', ',']).next().and_then(|cpu| cpu.parse::<u32>().ok());
    let mut lists: Vec<String> = lists.into_iter().collect();
    lists.sort_by_key(first);
    lists
}

/// `32K` or `2M` in bytes.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return text.parse().ok(),
    };
    Some(number.parse::<u64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn caches_that_are_alike_stand_together_with_the_cpus_that_share_each() {
        let root = tempfile::tempdir().unwrap();
        for cpu in 0..12 {
            let folder = format!("devices/system/cpu/cpu{cpu}/cache");
            let half = if cpu < 6 { "0-5\n" } else { "6-11\n" };
            let own = format!("{cpu}\n");
            for (index, level, kind, size, shared) in
                [(0, "1\n", "Data\n", "32K\n", own.as_str()), (3, "3\n", "Unified\n", "32768K\n", half)]
            {
                let parts = [("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)];
                for (name, text) in parts {
                    told(root.path(), &format!("{folder}/index{index}/{name}"), text);
                }
            }
        }
        let caches = Kernel { proc: root.path(), sys: root.path() }.caches();
        assert_eq!((caches.len(), caches[0].size_bytes, caches[0].shared_by.len()), (2, 32 << 10, 12));
        assert_eq!(caches[0].shared_by[2], "2", "in the order of the CPUs, not of their names");
        assert_eq!((caches[1].level, caches[1].size_bytes), (3, 32 << 20));
        assert_eq!(caches[1].shared_by, ["0-5", "6-11"]);
    }

    #[test]
    fn hardware_threads_are_told_with_the_cores_they_share() {
        let root = tempfile::tempdir().unwrap();
        told(root.path(), "devices/system/cpu/smt/active", "1\n");
        for cpu in 0..4 {
            let siblings = format!("{},{}\n", cpu % 2, cpu % 2 + 2);
            told(root.path(), &format!("devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"), &siblings);
        }
        let smt = Kernel { proc: root.path(), sys: root.path() }.smt().unwrap();
        assert_eq!((smt.active, smt.siblings), (true, vec!["0,2".to_owned(), "1,3".to_owned()]));
    }

    #[test]
    fn boost_is_told_the_right_way_round_by_either_driver() {
        let root = tempfile::tempdir().unwrap();
        let kernel = Kernel { proc: root.path(), sys: root.path() };
        assert_eq!(kernel.boost(), None);
        told(root.path(), "devices/system/cpu/intel_pstate/no_turbo", "1\n");
        assert_eq!(kernel.boost(), Some(false));
        told(root.path(), "devices/system/cpu/cpufreq/boost", "1\n");
        assert_eq!(kernel.boost(), Some(true));
    }

    #[test]
    fn a_virtual_processor_says_so_among_its_flags() {
        assert_eq!(is_virtual("model name\t: x\nflags\t\t: fpu hypervisor lahf_lm\n"), Some(true));
        assert_eq!(is_virtual("flags\t\t: fpu lahf_lm\n"), Some(false));
        assert_eq!(is_virtual("Features\t: fp asimd\n"), None);
    }

    #[test]
    fn sizes_of_caches_are_read() {
        assert_eq!([size("32K"), size("2M"), size("512"), size("")], [Some(32 << 10), Some(2 << 20), Some(512), None]);
    }
}
