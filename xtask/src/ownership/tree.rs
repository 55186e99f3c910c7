//! The crates a program is made of, as cargo resolves them for its package alone.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use crate::{
    command::{cargo, root},
    ownership::{format::Crates, registry::Version},
};

/// The crates of a package's programs, each once. Build scripts' and tests' own are left out: they are not in the
/// program.
#[derive(Debug, PartialEq, Eq)]
pub struct Tree {
    /// Name and version.
    registry: BTreeSet<(String, String)>,
    ours: BTreeSet<String>,
}

impl Tree {
    /// Asks cargo.
    pub fn of(package: &str) -> Result<Self> {
        let mut command = cargo()?;
        command.args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--locked"]);
        let output = command.output().context("cannot start cargo")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo tree failed: {}", complaint.trim());
        Ok(Self::read(&String::from_utf8_lossy(&output.stdout), &root().to_string_lossy()))
    }

    /// Lines are `name v1.2.3`, and for a crate of this machine `name v1.2.3 (/path)`; ` (*)` ends one that was shown
    /// before, `(proc-macro)` may stand in between.
    fn read(text: &str, root: &str) -> Self {
        let mut tree = Self { registry: BTreeSet::new(), ours: BTreeSet::new() };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
            if line.contains(&format!("({root}/")) {
                tree.ours.insert(name.to_owned());
            } else {
                tree.registry.insert((name.to_owned(), version.trim_start_matches('v').to_owned()));
            }
        }
        tree
    }

    /// How many there are.
    pub fn crates(&self) -> Crates {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Crates { registry: count(self.registry.len()), workspace: count(self.ours.len()) }
    }

    /// Whether a crate is one of this workspace.
    pub fn is_ours(&self, name: &str) -> bool {
        self.ours.contains(name)
    }

    /// The version of a crate; of several, the highest.
    pub fn version(&self, name: &str) -> Option<&str> {
        let versions = self.registry.iter().filter(|(known, _)| known == name).map(|(_, version)| version.as_str());
        versions.max_by_key(|version| Version::parse(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
stack-t v0.1.0 (/home/me/suite/servers/t)
hyper v1.12.0
syn v2.0.100 (proc-macro)
redis v0.32.7
redis v1.8.1
stack-contract v0.1.0 (/home/me/suite/servers/contract)
hyper v1.12.0 (*)
stack-contract v0.1.0 (/home/me/suite/servers/contract) (*)

";

    #[test]
    fn each_crate_is_counted_once_and_ours_apart() {
        let tree = Tree::read(TEXT, "/home/me/suite");
        assert_eq!(tree.crates(), Crates { registry: 4, workspace: 2 });
        assert!(tree.is_ours("stack-contract") && !tree.is_ours("hyper"));
    }

    #[test]
    fn of_two_versions_the_higher_one_counts() {
        let tree = Tree::read(TEXT, "/home/me/suite");
        assert_eq!(tree.version("redis"), Some("1.8.1"));
        assert_eq!(tree.version("fred"), None);
    }
}
