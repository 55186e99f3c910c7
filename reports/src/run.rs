//! A run: everything that held for all of its rows, as `run.json`.
//!
//! Written once before the first trial and again when the run ends, so that a run that was killed can still be read:
//! its [`RunMeta::ended`] is null. The format is closed: an unknown field is an error.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::machine::{CacheInfo, CgroupLimits, MachineInfo, SmtInfo, Ulimit};
use crate::{
    card::Card,
    row::{Mode, Placement, Role},
};

/// What held for a whole run: the contents of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunMeta {
    /// [`crate::row::SCHEMA`].
    pub schema: String,
    /// The harness's command line, program first.
    pub command: Vec<String>,
    /// Seed of the order of cells within a block.
    pub seed: u64,
    /// When the run began, RFC 3339, UTC.
    pub started: String,
    /// When it ended, complete or interrupted; null while it runs, and after it was killed until it is resumed.
    pub ended: Option<String>,
    /// When it was taken up again to measure what was missing, each time; empty for a run made in one go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<String>,
    /// Working directory of the command, which its relative paths start from; null in runs made before it was recorded.
    #[serde(default)]
    pub directory: Option<String>,
    /// Which CPUs the processes might use.
    pub placement: Placement,
    /// The store behind every server.
    pub store: StoreMeta,
    /// The machine.
    pub machine: MachineInfo,
    /// First line of `--version` of each program, by name: `stackbench`, `stackload` and every stack; beside
    /// them the compiler, `rustc`, with its flags if it had any.
    pub versions: BTreeMap<String, String>,
    /// SHA-256 of each program file in hexadecimal, by its path relative to the workspace.
    pub binaries: BTreeMap<String, String>,
    /// SHA-256 in hexadecimal of each scenario file and each `stack.toml` the run was described by, by its path relative
    /// to the workspace; empty in runs made before it was recorded.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// Variables of the environment that runtimes, allocators and the linker of the programs heed, by name; those of other
    /// families are not recorded. Empty in runs made before it was recorded.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The source the programs were built from.
    pub git: GitMeta,
    /// SHA-256 of `Cargo.lock` in hexadecimal; null where there is none.
    pub lock_sha256: Option<String>,
    /// The build profile of the programs.
    pub profile: ProfileMeta,
    /// The allocator that the Rust servers and the embedded store share.
    pub allocator: String,
    /// The scenarios, in the order of the command line, as they were run (options of the command line applied).
    pub scenarios: Vec<ScenarioMeta>,
    /// The stacks, in the order of the command line, or by name.
    pub stacks: Vec<StackMeta>,
    /// How much was planned, so that a reader of a killed run knows what is missing.
    pub plan: PlanMeta,
}

/// The store behind every server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreMeta {
    /// In words, as in [`crate::row::Row::store_name`]: `embedded`, `redis 7.0.15`, …
    pub name: String,
    /// Where it came from.
    pub kind: StoreKind,
    /// Its URL, a password left out; null where each trial starts a store on a port of its own.
    pub url: Option<String>,
    /// The command line that starts it, program first; empty for [`StoreKind::Url`].
    pub command: Vec<String>,
    /// Its settings by name, as far as it told them.
    pub config: BTreeMap<String, String>,
}

/// Where a store came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// The project's own `fake-redis`, started by the harness.
    Embedded,
    /// A `redis-server` of the machine, started by the harness.
    Spawn,
    /// One that was running already, given as a URL.
    Url,
}

/// The source the programs were built from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitMeta {
    /// Commit; null outside a repository.
    pub revision: Option<String>,
    /// Whether tracked files differed from that commit; null outside a repository.
    pub dirty: Option<bool>,
}

/// A build profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileMeta {
    /// Cargo's name for it.
    pub name: String,
    /// Its settings in words: `opt-level 3, lto thin, codegen-units 1`.
    pub settings: String,
}

/// A scenario as it was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioMeta {
    /// Its name, as in [`crate::row::Row::scenario`].
    pub name: String,
    /// One line for headings.
    pub title: String,
    /// The study it reproduces, or why it is there.
    pub source: String,
    /// What it shows and what it cannot.
    pub analysis: String,
    /// Its requests, once for each mode, in the order of the file.
    pub requests: Vec<RequestMeta>,
    /// Delay the store adds, by command, as the file writes it (`20ms`).
    pub delays: BTreeMap<String, String>,
    /// Its steps, in the order of [`crate::row::Row::step`]; none for a scenario without steps, and in runs made before
    /// there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepMeta>,
    /// Of the workers that its steps ask for, those that the machine has too few CPUs for: such steps are not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers_left_out: Vec<u32>,
    /// Connections of the load.
    pub connections: u32,
    /// Length of the window, in seconds.
    pub duration_s: f64,
    /// Length of the warm-up, in seconds.
    pub warmup_s: f64,
    /// Blocks.
    pub trials: u32,
    /// Blocking threads, and blocking store connections.
    pub pool: u32,
    /// Server workers.
    pub workers: u32,
    /// What the store alone answered before the first trial, by command (`get`); none where it was not measured, and in
    /// runs older than the field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub store_ceiling: BTreeMap<String, StoreCeiling>,
}

/// What the store answers when the stacks' own clients ask it without HTTP and without added delay, in commands per
/// second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreCeiling {
    /// On one multiplexed connection, with as many commands in flight as the load has connections.
    pub multiplexed_per_sec: f64,
    /// On as many plain connections as the pool has, a thread for each.
    pub plain_per_sec: f64,
}

/// A step of a scenario: what held there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepMeta {
    /// What the step sets, in words: `GET after 20ms, pool 64`.
    pub title: String,
    /// Delay the store adds, by command.
    pub delays: BTreeMap<String, String>,
    /// What is offered, in words; null in a closed loop, and in runs older than the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Connections of the load.
    pub connections: u32,
    /// Blocking threads, and blocking store connections.
    pub pool: u32,
    /// Workers of a server and CPUs it is bound to; null where steps do not differ in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// Length of the warm-up, in seconds.
    pub warmup_s: f64,
}

/// A request in one mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestMeta {
    /// Its name, as in [`crate::row::Row::request`].
    pub name: String,
    /// Its mode.
    pub mode: Mode,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
}

/// A stack as it was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackMeta {
    /// Its name, as in [`crate::row::Row::stack`].
    pub name: String,
    /// What it is in the suite.
    pub role: Role,
    /// `deployed`, `controlled` or `both`.
    pub panel: String,
    /// Concurrency model in words.
    pub model: String,
    /// Library that parses HTTP.
    pub http: String,
    /// Store client.
    pub redis: String,
    /// Modes it answers.
    pub modes: Vec<Mode>,
    /// Modes it bridges from the other.
    pub bridged: Vec<Mode>,
    /// First line of its `--version`.
    pub version: String,
    /// Settings of its store client by name, in the program's own words; none for one without a store, and in runs made
    /// before programs told them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// What its card says.
    pub notes: String,
    /// The rest of its card, as it was when the run began; absent from runs recorded before there were cards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
}

/// How much was planned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanMeta {
    /// Cells: scenario × stack (twice for each of an A/A pair) × request × mode × step.
    pub cells: u64,
    /// Trials of all cells: the rows a complete run has, those that were [repeated](crate::row::Row::repeated) left out.
    pub trials: u64,
}
