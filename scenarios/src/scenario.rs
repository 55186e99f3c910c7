//! Scenario files: what is asked of every stack, under which load, over which store. The format is documented field by
//! field in `scenarios/README.md`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use stackbench_reports::row::Mode;

use crate::units;

mod fault;
mod rate;
mod steps;

pub use fault::{Fault, HOLDING_CONNECTIONS, Player, What};
pub use rate::{RATE_MAX, Rate, Share};
pub use steps::{Step, Steps};

/// The shortest warm-up: connections are made, code is paged in, the allocator has grown.
const WARMUP_MIN: Duration = Duration::from_secs(1);
/// A warm-up lasts this many of the longest delay, so that the start's phase pattern has gone.
pub const WARMUP_DELAYS: u32 = 5;
/// Where `{mode}` stands in a path, the mode's word is put.
const MODE_PLACEHOLDER: &str = "{mode}";
/// Commands that a delay may be given to: those the contract's routes send.
const DELAYED: [&str; 2] = ["get", "set"];
/// Connections a server must accept beside these: those of verification, and a margin.
pub const SPARE_CONNECTIONS: u32 = 64;
/// What the load client takes at most.
pub const CONNECTIONS_MAX: u32 = 1 << 20;
/// More threads than this no machine of ours can start.
pub const POOL_MAX: u32 = 1 << 16;
/// More workers, or client threads, than any machine has CPUs.
pub const WORKERS_MAX: u32 = 1 << 12;
/// A run of more blocks than this has no end worth waiting for.
pub const TRIALS_MAX: u32 = 1_000;
/// Windows and delays: the client's clock ticks in microseconds, and a thousand of them leave something to measure.
pub const DURATION_MIN: Duration = Duration::from_millis(1);
/// … and a day is long enough for anything.
pub const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// One scenario file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What `stackbench run` and the tables call it.
    pub name: String,
    /// One line for headings.
    pub title: String,
    /// The study it reproduces, or why it is there.
    pub source: String,
    /// What it shows, and what it cannot.
    pub analysis: String,
    /// The store it needs.
    #[serde(default)]
    pub store: StoreSpec,
    /// The load.
    pub load: Load,
    /// How servers are started.
    pub server: ServerSpec,
    /// How often it is run.
    pub run: RunSpec,
    /// What changes from step to step.
    #[serde(default)]
    pub steps: Steps,
    /// What is asked.
    #[serde(rename = "request")]
    pub requests: Vec<Request>,
    /// What goes wrong in the window: that of the step.
    #[serde(skip)]
    pub fault: Option<Fault>,
    /// The file it was read from.
    #[serde(skip)]
    pub file: PathBuf,
}

/// What a scenario asks of the store.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSpec {
    /// How long after its arrival each named command is answered. Empty: at once.
    #[serde(default)]
    pub delays: BTreeMap<String, Delay>,
}

/// A latency the store adds to a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Delay(#[serde(deserialize_with = "units::duration")] pub Duration);

/// The load of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// How sends are scheduled.
    pub model: LoadModel,
    /// What an open loop offers; none in a closed one.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// How the instants at which its requests are due are spread.
    #[serde(default)]
    pub arrival: Arrival,
    /// Keep-alive connections.
    pub connections: u32,
    /// Requests in flight per connection.
    #[serde(default = "one")]
    pub depth: u32,
    /// Client threads; by default one for each CPU of the client.
    pub threads: Option<u32>,
    /// Length of the window.
    #[serde(deserialize_with = "units::duration")]
    pub duration: Duration,
    /// Length of the warm-up before the window.
    #[serde(default, deserialize_with = "units::optional_duration")]
    pub warmup: Option<Duration>,
    /// Age at which a request counts as timed out.
    #[serde(deserialize_with = "units::duration")]
    pub timeout: Duration,
}

fn one() -> u32 {
    1
}

/// How sends are scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadModel {
    /// Each connection sends its next request when the previous answer is complete.
    Closed,
    /// Requests are due at instants fixed before the trial, whether or not the server is ready.
    Open,
}

/// How the instants of an open loop are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrival {
    /// At exponentially distributed distances, as requests of many independent users come.
    #[default]
    Poisson,
    /// At equal distances.
    Constant,
}

impl Arrival {
    /// As the load client spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Poisson => "poisson",
            Self::Constant => "constant",
        }
    }
}

/// How servers are started.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSpec {
    /// Blocking threads, and blocking store connections.
    pub pool: u32,
    /// Workers; by default the CPUs the placement gives the server.
    pub workers: Option<u32>,
    /// CPUs it is bound to; by default those that the placement gives it. Only steps over workers set it.
    #[serde(skip)]
    pub cpus: Option<u32>,
}

/// How often a scenario is run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Blocks: each cell is measured once in every block.
    pub trials: u32,
}

/// One request of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What the tables call it.
    pub name: String,
    /// HTTP method.
    pub method: String,
    /// Target; `{mode}` in it becomes `sync` or `async`.
    pub path: String,
    /// Which modes are asked.
    pub modes: Vec<Mode>,
    /// Headers beside `Host`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The status every answer must have.
    pub status: u16,
    /// The body every answer must have.
    pub body: String,
    /// Store commands that one answer implies.
    #[serde(default)]
    pub store: BTreeMap<String, u64>,
}

impl Request {
    /// The target for one mode.
    pub fn target(&self, mode: Mode) -> String {
        in_mode(&self.path, mode)
    }
}

/// A path with the word of a mode in its place.
pub fn in_mode(path: &str, mode: Mode) -> String {
    path.replace(MODE_PLACEHOLDER, mode_word(mode))
}

/// A mode as paths and `stack.toml` spell it.
pub fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Sync => "sync",
        Mode::Async => "async",
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// Names the file and, for what the format forbids, line and key.
    pub fn load(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read the scenario file {}", path.display()))?;
        let mut scenario: Self =
            toml::from_str(&text).with_context(|| format!("in the scenario file {}", path.display()))?;
        path.clone_into(&mut scenario.file);
        scenario.validate().with_context(|| format!("in the scenario file {}", path.display()))?;
        Ok(scenario)
    }

    /// What the types cannot say. Each step is a scenario of its own and must be sound as one.
    ///
    /// # Errors
    /// Names step and key.
    pub fn validate(&self) -> Result<()> {
        self.steps.validate()?;
        let shares = self.at_steps().iter().any(|step| matches!(step.scenario.load.rate, Some(Rate::Share(_))));
        ensure!(
            !shares || self.steps.rate.contains(&Rate::Max),
            "rate: a share is one of what a stack reaches at most; put \"max\" into [steps] rate, so that this is measured"
        );
        for step in self.at_steps() {
            let named = || step.number.map_or_else(String::new, |n| format!("in step {n} ({})", step.title));
            let checked = step.scenario.validate_one();
            if step.number.is_some() { checked.with_context(named)? } else { checked? }
        }
        Ok(())
    }

    fn validate_one(&self) -> Result<()> {
        ensure!(is_name(&self.name), "name: `{}` must be letters, digits, `-` and `_`", self.name);
        ensure!(!self.requests.is_empty(), "there must be at least one [[request]]");
        let within = |key: &str, value: u32, most: u32| {
            ensure!((1..=most).contains(&value), "{key} must be between 1 and {most}, not {value}");
            Ok(())
        };
        within("load.connections", self.load.connections, CONNECTIONS_MAX)?;
        within("load.threads", self.load.threads.unwrap_or(1), WORKERS_MAX)?;
        within("server.workers", self.server.workers.unwrap_or(1), WORKERS_MAX)?;
        within("server.pool", self.server.pool, POOL_MAX)?;
        within("run.trials", self.run.trials, TRIALS_MAX)?;
        let lasts = |key: &str, value: Duration| {
            let (least, most) = (units::show_duration(DURATION_MIN), units::show_duration(DURATION_MAX));
            ensure!((DURATION_MIN..=DURATION_MAX).contains(&value), "{key} must be between {least} and {most}");
            Ok(())
        };
        match (self.load.model, self.load.rate) {
            (LoadModel::Closed, Some(_)) => {
                bail!("load.rate: a closed loop has none; write model = \"open\", or leave it out")
            }
            (LoadModel::Open, None) => bail!("load.rate: an open loop needs one, here or in [steps]"),
            _ => {}
        }
        if let Some(fault) = &self.fault {
            fault.validate(self)?;
        }
        lasts("load.duration", self.load.duration)?;
        lasts("load.timeout", self.load.timeout)?;
        for (command, delay) in &self.store.delays {
            ensure!(
                DELAYED.contains(&command.as_str()),
                "store.delays: `{command}` must be one of {}",
                DELAYED.join(", ")
            );
            lasts(&format!("store.delays.{command}"), delay.0)?;
        }
        ensure!(
            self.load.depth == 1,
            "load.depth: the load client keeps one request in flight per connection; write 1"
        );
        if let Some(warmup) = self.load.warmup {
            let least = self.longest_delay() * WARMUP_DELAYS;
            ensure!(
                warmup >= least,
                "load.warmup: {} is shorter than {WARMUP_DELAYS} of the longest delay; write at least {}, or leave it out",
                units::show_duration(warmup),
                units::show_duration(least)
            );
        }
        for (index, request) in self.requests.iter().enumerate() {
            let again = self.requests[..index].iter().any(|other| other.name == request.name);
            ensure!(!again, "two requests are named `{}`", request.name);
            request.validate(&self.store).with_context(|| format!("request `{}`", request.name))?;
        }
        Ok(())
    }

    /// The longest delay of the store, zero if it delays nothing.
    pub fn longest_delay(&self) -> Duration {
        self.store.delays.values().map(|delay| delay.0).max().unwrap_or_default()
    }

    /// The delay one answer of a request waits for at least: the sum over its store commands, which follow each other.
    pub fn delay_of(&self, request: &Request) -> Duration {
        request
            .store
            .iter()
            .filter_map(|(command, n)| Some(self.store.delays.get(command)?.0 * u32::try_from(*n).ok()?))
            .sum()
    }

    /// Connections of the load and of the fault.
    pub fn connections(&self) -> u32 {
        let connections = self.load.connections;
        connections + self.fault.map_or(0, |fault| fault.further_connections(connections))
    }

    /// Length of the warm-up.
    pub fn warmup(&self) -> Duration {
        self.load.warmup.unwrap_or_else(|| WARMUP_MIN.max(self.longest_delay() * WARMUP_DELAYS))
    }
}

impl Request {
    fn validate(&self, store: &StoreSpec) -> Result<()> {
        ensure!(is_name(&self.name), "the name must be letters, digits, `-` and `_`");
        ensure!(!self.modes.is_empty(), "modes must name `sync`, `async` or both");
        ensure!(self.path.starts_with('/'), "path: `{}` must begin with `/`", self.path);
        ensure!(
            self.modes.len() == 1 || self.path.contains(MODE_PLACEHOLDER),
            "path: with two modes it must hold `{MODE_PLACEHOLDER}`"
        );
        ensure!(self.method == "GET", "method: the load client sends GET only, not `{}`", self.method);
        ensure!(self.modes.len() == 1 || self.modes[0] != self.modes[1], "modes: a mode is named twice");
        ensure!((100..=599).contains(&self.status), "status: {} is no HTTP status", self.status);
        let printable = |text: &str| text.chars().all(|c| !c.is_control());
        ensure!(printable(&self.path) && !self.path.contains(' '), "path must hold no blanks or control characters");
        ensure!(
            self.headers.iter().all(|(name, value)| printable(name) && printable(value)),
            "headers must hold no control characters"
        );
        let delays: Vec<Duration> = self
            .store
            .keys()
            .map(|command| store.delays.get(command).map_or(Duration::ZERO, |delay| delay.0))
            .collect();
        if delays.windows(2).any(|pair| pair[0] != pair[1]) {
            bail!("store: commands with different delays cannot be mixed on one connection");
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Every scenario file of a folder, by file name; `Cargo.toml` is none.
///
/// # Errors
/// As [`Scenario::load`]; and if two files give the same name.
pub fn discover(dir: &Path) -> Result<Vec<(PathBuf, Scenario)>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .with_context(|| format!("cannot list the scenario folder {}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension().is_some_and(|e| e == "toml") && path.file_name().is_some_and(|n| n != "Cargo.toml")
        })
        .collect();
    // By name: `cache` before `cache-nodelay`, which the suffix would turn round.
    paths.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
    let mut found: Vec<(PathBuf, Scenario)> = Vec::new();
    for path in paths {
        let scenario = Scenario::load(&path)?;
        if let Some((other, _)) = found.iter().find(|(_, s)| s.name == scenario.name) {
            bail!("{} and {} are both named `{}`", other.display(), path.display(), scenario.name);
        }
        found.push((path, scenario));
    }
    Ok(found)
}

/// A scenario by its name, or by the path of its file.
///
/// # Errors
/// Lists the names there are when the given one is none of them.
pub fn find(dir: &Path, name_or_path: &str) -> Result<Scenario> {
    let path = Path::new(name_or_path);
    if path.extension().is_some_and(|e| e == "toml") {
        return Scenario::load(path);
    }
    let found = discover(dir)?;
    let names: Vec<String> = found.iter().map(|(_, s)| s.name.clone()).collect();
    found.into_iter().map(|(_, s)| s).find(|s| s.name == name_or_path).with_context(|| {
        format!(
            "no scenario is named `{name_or_path}`; there are: {} (or give the path of a .toml file)",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests;
