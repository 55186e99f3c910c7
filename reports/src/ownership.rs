//! `ownership.json`: what it means to own a stack, measured by `cargo xtask ownership` and read by whoever draws cards.
//!
//! The file lies beside the stack's `stack.toml`. The format is closed: an unknown field is an error. This module needs
//! serde and nothing else, because the program that writes the file is compiled before anything can be measured and
//! takes the definition from here by path.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Name and version of the format.
pub const SCHEMA: &str = "stackbench-ownership/1";

/// The file of a folder that holds it.
pub const FILE: &str = "ownership.json";

/// The contents of an `ownership.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnershipFile {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was measured, by the name of the stack.
    pub stacks: BTreeMap<String, Ownership>,
}

/// What was measured of one stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ownership {
    /// Its workspace package.
    pub package: String,
    /// The libraries that make it what it is, in the order in which its `--version` (or `libraries`) names them.
    pub libraries: Vec<Library>,
    /// The crates in its tree.
    pub crates: Crates,
    /// Its build from nothing; null until one was made.
    pub build: Option<Build>,
}

/// A library as it was locked, and as its registry has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// The version in the stack's tree.
    pub locked: String,
    /// When that was published, `YYYY-MM-DD`; null where the registry does not say.
    pub locked_date: Option<String>,
    /// The newest version that is neither yanked nor a pre-release; null if there is none.
    pub newest: Option<String>,
    /// When that was published.
    pub newest_date: Option<String>,
    /// Versions published in the 12 months before [`Self::as_of`], neither yanked nor pre-releases.
    pub releases_12_months: u32,
    /// The day on which the registry was asked.
    pub as_of: String,
}

/// How many crates a stack's program is made of (`cargo tree -e normal`: without build scripts and tests).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crates {
    /// From the registry; two versions of one crate are two.
    pub registry: u32,
    /// From this workspace, its own included.
    pub workspace: u32,
}

/// A release build into an empty folder; the sources were there already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The day.
    pub date: String,
    /// The CPUs it might use.
    pub cpus: u32,
    /// The compiler, as it names itself.
    pub rustc: String,
    /// How long it took; other programs of the machine make it longer.
    pub wall_s: f64,
    /// CPU time of cargo and all it started; other programs of the machine hardly matter to it.
    pub cpu_s: f64,
    /// Size of the program file.
    pub binary_bytes: u64,
    /// The same without symbols and line tables; null where there was no `strip`.
    pub stripped_bytes: Option<u64>,
}
