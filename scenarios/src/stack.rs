//! `stack.toml`: what a stack is, how it is started and what it promises.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use stackbench_reports::{
    card::Upstream,
    ownership::Ownership,
    row::{Mode, Role},
};

use crate::card;

/// The file that makes a folder a stack.
const STACK_FILE: &str = "stack.toml";

/// One stack, as its `stack.toml` describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// What `--stacks` and the tables call it.
    pub name: String,
    /// What it is in the suite.
    pub role: Role,
    /// Which panel it belongs to.
    pub panel: Panel,
    /// Its concurrency model, in words.
    pub model: String,
    /// Its language.
    pub language: String,
    /// The library that parses HTTP.
    pub http: String,
    /// The store client.
    pub redis: String,
    /// Whether it uses a store at all.
    pub store: UsesStore,
    /// Which of `/sync` and `/async` it answers.
    pub modes: Vec<Mode>,
    /// Modes that are bridged from the other mode.
    #[serde(default)]
    pub bridged: Vec<Mode>,
    /// Modes in which no more requests than `--pool` are at the store at once, which bounds what a store with delays
    /// lets through. Without it: `sync`, and those that are bridged.
    pub pool_bounded: Option<Vec<Mode>>,
    /// Rust: the workspace package.
    pub package: Option<String>,
    /// Other languages: the command that builds it.
    #[serde(default)]
    pub build: Vec<String>,
    /// The command line that starts it.
    pub run: Vec<String>,
    /// The command line that prints its version.
    pub version: Vec<String>,
    /// Environment variables of both.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Paths that must exist; otherwise it is "not installed".
    #[serde(default)]
    pub requires: Vec<String>,
    /// The command that installs it.
    #[serde(default)]
    pub setup: String,
    /// Conformance cases that are expected to fail.
    #[serde(default)]
    pub deviations: Vec<String>,
    /// For the card.
    #[serde(default)]
    pub notes: String,
    /// For the card: how many threads it runs, where that is not what its command line suggests.
    pub threads: Option<String>,
    /// For the card: the libraries that make it what it is, if not those its `--version` names.
    #[serde(default)]
    pub libraries: Vec<String>,
    /// For the card: what upstream says of itself, where that overrides what its releases suggest.
    pub upstream: Option<Upstream>,
    /// For the card: what `cargo xtask ownership` measured, from the file beside this one.
    #[serde(skip)]
    pub ownership: Option<Ownership>,
    /// The file that describes it.
    #[serde(skip)]
    pub file: PathBuf,
    /// Whether it is part of `bench-all`.
    #[serde(default = "yes")]
    pub default: bool,
}

fn yes() -> bool {
    true
}

/// Which comparison a stack belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Panel {
    /// What people run.
    Deployed,
    /// One codec and one multiplexer under every runtime.
    Controlled,
    /// Both.
    Both,
}

/// Whether a stack uses a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsesStore {
    /// It is given a Redis.
    Redis,
    /// It answers from memory or from a timer.
    None,
}

/// The values that stand for the placeholders of a command line.
#[derive(Debug, Clone)]
pub struct Placeholders {
    /// `{bin}`: the folder of the workspace's programs.
    pub bin: PathBuf,
    /// `{root}`: the workspace.
    pub root: PathBuf,
    /// `{listen}`: where to listen.
    pub listen: String,
    /// `{redis}`: the store's URL.
    pub redis: String,
    /// `{workers}`.
    pub workers: u32,
    /// `{pool}`.
    pub pool: u32,
    /// `{max_connections}`.
    pub max_connections: u32,
}

impl Placeholders {
    fn fill(&self, text: &str) -> String {
        text.replace("{bin}", &self.bin.display().to_string())
            .replace("{root}", &self.root.display().to_string())
            .replace("{listen}", &self.listen)
            .replace("{redis}", &self.redis)
            .replace("{workers}", &self.workers.to_string())
            .replace("{pool}", &self.pool.to_string())
            .replace("{max_connections}", &self.max_connections.to_string())
    }

    /// Fills the placeholders of a whole command line.
    pub fn command(&self, words: &[String]) -> Vec<String> {
        words.iter().map(|word| self.fill(word)).collect()
    }
}

impl Stack {
    /// Whether a mode holds one of `--pool` blocking store connections for as long as the store takes to answer: the
    /// blocking client's own mode does, and so does one that is bridged to or from blocking threads, unless these are
    /// more.
    pub fn is_pool_bounded(&self, mode: Mode) -> bool {
        match &self.pool_bounded {
            Some(modes) => modes.contains(&mode),
            None => mode == Mode::Sync || self.bridged.contains(&mode),
        }
    }

    /// What to do when its program is not there.
    pub fn how_to_get(&self) -> String {
        match (self.language.as_str(), self.setup.as_str()) {
            (_, setup) if !setup.is_empty() => format!("is it installed? ({setup})"),
            ("rust", _) => "is it built? (cargo build --release --workspace --bins --locked)".to_owned(),
            _ => format!("is it built? ({})", self.build.join(" ")),
        }
    }

    /// The paths in `requires` that are not there, relative to the workspace.
    pub fn missing(&self, root: &Path) -> Vec<String> {
        self.requires.iter().filter(|path| !root.join(path).exists()).cloned().collect()
    }

    fn validate(&self) -> Result<()> {
        ensure!(
            !self.name.is_empty() && self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'),
            "name: `{}` must be letters, digits, `-` and `_`",
            self.name
        );
        ensure!(!self.modes.is_empty(), "modes must name `sync`, `async` or both");
        ensure!(!self.run.is_empty(), "run must hold a command line");
        ensure!(!self.version.is_empty(), "version must hold a command line: no version, no measurement");
        ensure!(
            self.upstream.is_none() || !self.notes.trim().is_empty(),
            "upstream: whoever calls a project discontinued says in notes who says so"
        );
        for mode in &self.bridged {
            ensure!(self.modes.contains(mode), "bridged names a mode that modes does not");
        }
        for mode in self.pool_bounded.iter().flatten() {
            ensure!(self.modes.contains(mode), "pool_bounded names a mode that modes does not");
        }
        for word in self.run.iter().chain(&self.version) {
            unknown_placeholder(word)?;
        }
        Ok(())
    }
}

/// Refuses `{words}` that nothing fills.
fn unknown_placeholder(word: &str) -> Result<()> {
    const KNOWN: [&str; 7] = ["bin", "root", "listen", "redis", "workers", "pool", "max_connections"];
    let mut rest = word;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, tail)) = after.split_once('}') else { break };
        ensure!(KNOWN.contains(&name), "`{word}`: there is no placeholder {{{name}}}; there are {}", KNOWN.join(", "));
        rest = tail;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StackFile {
    stack: Vec<Stack>,
}

/// Every stack of a folder: those of its own `stack.toml` and of its direct subfolders', sorted by folder.
///
/// # Errors
/// Names the file and, for what the format forbids, line and key; also when two stacks share a name.
pub fn discover(dir: &Path) -> Result<Vec<Stack>> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .with_context(|| format!("cannot list the stacks folder {}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path().join(STACK_FILE)))
        .chain([dir.join(STACK_FILE)])
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "no {STACK_FILE} in {} or its subfolders", dir.display());
    let mut stacks: Vec<Stack> = Vec::new();
    for file in files {
        let mut measured = card::measured(&file)?;
        for mut stack in read(&file).with_context(|| format!("in {}", file.display()))? {
            stack.ownership = measured.remove(&stack.name);
            stack.file.clone_from(&file);
            if stacks.iter().any(|other| other.name == stack.name) {
                bail!("in {}: another stack is named `{}` already", file.display(), stack.name);
            }
            stacks.push(stack);
        }
    }
    Ok(stacks)
}

fn read(file: &Path) -> Result<Vec<Stack>> {
    let text = fs::read_to_string(file)?;
    let StackFile { stack } = toml::from_str(&text)?;
    for one in &stack {
        one.validate().with_context(|| format!("stack `{}`", one.name))?;
    }
    Ok(stack)
}

/// Picks stacks by name, in the order of the names; without names, those that are part of `bench-all`.
///
/// # Errors
/// Lists the names there are when a given one is none of them.
pub fn select(all: Vec<Stack>, names: &[String]) -> Result<Vec<Stack>> {
    if names.is_empty() {
        return Ok(all.into_iter().filter(|stack| stack.default).collect());
    }
    let mut picked: Vec<Stack> = Vec::new();
    for name in names {
        let stack = all.iter().find(|stack| &stack.name == name).with_context(|| {
            let names: Vec<&str> = all.iter().map(|stack| stack.name.as_str()).collect();
            format!("--stacks: no stack is named `{name}`; there are: {}", names.join(", "))
        })?;
        ensure!(!picked.iter().any(|other| other.name == stack.name), "--stacks: `{name}` is named twice");
        picked.push(stack.clone());
    }
    Ok(picked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[stack]]
        name = "t"
        role = "stack"
        panel = "deployed"
        model = "threads"
        language = "rust"
        http = "own"
        redis = "redis"
        store = "redis"
        modes = ["sync", "async"]
        bridged = ["async"]
        package = "stack-t"
        run = ["{bin}/stack-t", "--listen", "{listen}", "--redis", "{redis}"]
        version = ["{bin}/stack-t", "--version"]
    "#;

    fn folder(text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("t")).unwrap();
        fs::write(dir.path().join("t").join(STACK_FILE), text).unwrap();
        dir
    }

    #[test]
    fn a_folder_with_a_stack_file_is_a_stack() {
        let stacks = discover(folder(GOOD).path()).unwrap();
        assert_eq!(stacks.len(), 1);
        assert!(stacks[0].default && stacks[0].is_pool_bounded(Mode::Async));
    }

    #[test]
    fn a_stack_can_say_which_of_its_modes_the_pool_bounds() {
        let stacks = discover(folder(&(GOOD.to_owned() + "pool_bounded = [\"sync\"]\n")).path()).unwrap();
        assert!(stacks[0].is_pool_bounded(Mode::Sync) && !stacks[0].is_pool_bounded(Mode::Async));
        let stray = GOOD.replace("\"sync\", ", "") + "pool_bounded = [\"sync\"]\n";
        let error = format!("{:#}", discover(folder(&stray).path()).unwrap_err());
        assert!(error.contains("pool_bounded"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_file_line_and_key() {
        let dir = folder(&GOOD.replace("model", "modell"));
        let error = format!("{:#}", discover(dir.path()).unwrap_err());
        assert!(error.contains("t/stack.toml") && error.contains("line 6") && error.contains("modell"), "{error}");
    }

    #[test]
    fn an_unknown_placeholder_is_refused() {
        let dir = folder(&GOOD.replace("{redis}", "{rdis}"));
        let error = format!("{:#}", discover(dir.path()).unwrap_err());
        assert!(error.contains("no placeholder {rdis}"), "{error}");
    }

    #[test]
    fn whoever_calls_upstream_discontinued_has_to_say_why() {
        let discontinued = GOOD.to_owned() + "upstream = \"discontinued\"\n";
        let error = format!("{:#}", discover(folder(&discontinued).path()).unwrap_err());
        assert!(error.contains("stack `t`") && error.contains("notes"), "{error}");
        let reasoned = discontinued + "notes = \"Its README says so.\"\n";
        assert_eq!(discover(folder(&reasoned).path()).unwrap()[0].upstream, Some(Upstream::Discontinued));
    }

    #[test]
    fn an_unknown_stack_is_refused_with_the_names_there_are() {
        let stacks = discover(folder(GOOD).path()).unwrap();
        let error = select(stacks, &["nope".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`nope`") && error.contains("there are: t"), "{error}");
    }
}
