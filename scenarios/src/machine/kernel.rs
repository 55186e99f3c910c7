//! How the kernel was built and set.

use std::{collections::BTreeMap, fs, io::Read};

use flate2::read::GzDecoder;

use super::{Kernel, text_of};

/// Options of its build that decide to whom CPU time is charged: interrupts apart from the interrupted, and user and
/// kernel time by the clock instead of by samples.
const ACCOUNTING: [&str; 2] = ["CONFIG_IRQ_TIME_ACCOUNTING", "CONFIG_VIRT_CPU_ACCOUNTING_GEN"];

/// Settings that show in figures.
const SYSCTLS: [&str; 10] = [
    "kernel.io_uring_disabled",
    "kernel.sched_autogroup_enabled",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
    "vm.overcommit_memory",
];

impl Kernel<'_> {
    /// A setting, its parts separated by single spaces.
    pub(crate) fn sysctl(self, name: &str) -> Option<String> {
        let text = text_of(&self.proc.join("sys").join(name.replace('.', "/")))?;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    pub(super) fn sysctls(self) -> BTreeMap<String, Option<String>> {
        SYSCTLS.iter().map(|name| ((*name).to_owned(), self.sysctl(name))).collect()
    }

    pub(super) fn mitigations(self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.sys.join("devices/system/cpu/vulnerabilities"));
        let told = entries.into_iter().flatten().flatten();
        told.filter_map(|entry| Some((entry.file_name().into_string().ok()?, text_of(&entry.path())?))).collect()
    }

    /// The choice, which the kernel marks by brackets.
    pub(super) fn transparent_huge_pages(self) -> Option<String> {
        let text = text_of(&self.sys.join("kernel/mm/transparent_hugepage/enabled"))?;
        Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
    }

    /// The kernel's configuration, where it publishes it or the distribution has left it.
    pub(super) fn configuration(self) -> Option<String> {
        let unpacked = || {
            let mut text = String::new();
            GzDecoder::new(fs::File::open(self.proc.join("config.gz")).ok()?).read_to_string(&mut text).ok()?;
            Some(text)
        };
        unpacked().or_else(|| {
            let release = text_of(&self.proc.join("sys/kernel/osrelease"))?;
            fs::read_to_string(format!("/boot/config-{release}")).ok()
        })
    }
}

/// Whether each of the options of [`ACCOUNTING`] is on. An option that is not mentioned is off.
pub(super) fn cpu_accounting(configuration: Option<&str>) -> BTreeMap<String, Option<bool>> {
    let is_on = |name: &str, text: &str| text.lines().any(|line| line.strip_prefix(name) == Some("=y"));
    ACCOUNTING.iter().map(|name| ((*name).to_owned(), configuration.map(|text| is_on(name, text)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_kernel_are_on_off_or_unknown() {
        let text = "CONFIG_IRQ_TIME_ACCOUNTING=y\n# CONFIG_VIRT_CPU_ACCOUNTING_GEN is not set\n";
        let told: Vec<Option<bool>> = cpu_accounting(Some(text)).into_values().collect();
        assert_eq!(told, [Some(true), Some(false)]);
        assert!(cpu_accounting(None).values().all(Option::is_none));
    }

    #[test]
    fn settings_are_told_on_one_line_and_those_a_kernel_has_not_are_null() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/net/ipv4");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("tcp_rmem"), "4096\t131072\t6291456\n").unwrap();
        let sysctls = Kernel { proc: root.path(), sys: root.path() }.sysctls();
        assert_eq!(sysctls["net.ipv4.tcp_rmem"].as_deref(), Some("4096 131072 6291456"));
        assert_eq!((sysctls.len(), &sysctls["kernel.io_uring_disabled"]), (SYSCTLS.len(), &None));
    }

    #[test]
    fn a_packed_configuration_is_read() {
        use std::io::Write as _;
        let root = tempfile::tempdir().unwrap();
        let file = fs::File::create(root.path().join("config.gz")).unwrap();
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::default());
        packed.write_all(b"CONFIG_IRQ_TIME_ACCOUNTING=y\n").unwrap();
        packed.finish().unwrap();
        let told = Kernel { proc: root.path(), sys: root.path() }.configuration().unwrap();
        assert_eq!(told, "CONFIG_IRQ_TIME_ACCOUNTING=y\n");
    }

    #[test]
    fn the_choice_of_huge_pages_is_the_one_in_brackets() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("kernel/mm/transparent_hugepage");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("enabled"), "always [madvise] never\n").unwrap();
        let told = Kernel { proc: root.path(), sys: root.path() }.transparent_huge_pages();
        assert_eq!(told.as_deref(), Some("madvise"));
    }
}
