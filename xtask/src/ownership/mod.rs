//! `cargo xtask ownership`: measures what it means to own each stack, and writes it beside its `stack.toml`.
//!
//! # Layout
//! - [`format`]: the file, as the reports define it.
//! - [`stacks`]: which stacks there are, as far as this verb has to know them.
//! - [`tree`]: the crates of a program.
//! - [`registry`]: versions and dates from cargo's copy of the registry's index.
//! - [`build`]: a build from nothing.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{
    command::{cargo, root, run, target_dir},
    ownership::{
        format::{Build, FILE, Library, Ownership, OwnershipFile, SCHEMA},
        registry::Index,
        stacks::Stack,
        tree::Tree,
    },
};

mod build;
// The one definition of the file, without the crates that the reports need beside it.
#[path = "../../../reports/src/ownership.rs"]
mod format;
mod registry;
mod stacks;
mod tree;

const USAGE: &str = "\
usage: cargo xtask ownership [--stacks a,b] [--no-build] [--offline]
  --stacks a,b  these stacks [default: all that are Rust]
  --no-build    leave the cold builds as they were measured before: they take a minute each
  --offline     take the registry as cargo saw it last";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    stacks: Vec<String>,
    no_build: bool,
    offline: bool,
}

/// The verb.
pub fn ownership(words: &[OsString]) -> Result<ExitCode> {
    let Some(options) = parse(words)? else {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let stacks = chosen(&options)?;
    if !options.offline {
        refresh_index();
    }
    let index = Index::of_cargo()?;
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let mut surveyor = Surveyor { index, today, no_build: options.no_build, builds: BTreeMap::new() };
    let mut all_good = true;
    for (position, stack) in stacks.iter().enumerate() {
        eprintln!("[{} of {}] {}", position + 1, stacks.len(), stack.name);
        // Recorded after each, so that a long run that is broken off keeps what it has.
        if let Err(error) = surveyor.measure(stack).and_then(|measured| record(stack, measured)) {
            eprintln!("stack `{}`: {error:#}", stack.name);
            all_good = false;
        }
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures one stack after the other.
struct Surveyor {
    index: Index,
    today: Date,
    no_build: bool,
    /// By package and program: stacks that share a program share its build.
    builds: BTreeMap<(String, String), Build>,
}

impl Surveyor {
    fn measure(&mut self, stack: &Stack) -> Result<Ownership> {
        let tree = Tree::of(&stack.package)?;
        let libraries = self.libraries(stack, &tree)?;
        let build =
            if self.no_build { before(stack)?.and_then(|before| before.build) } else { Some(self.build(stack)?) };
        Ok(Ownership { package: stack.package.clone(), libraries, crates: tree.crates(), build })
    }

    /// Those of others that make the stack what it is.
    fn libraries(&self, stack: &Stack, tree: &Tree) -> Result<Vec<Library>> {
        let named = if stack.libraries.is_empty() { named_by_itself(stack)? } else { stack.libraries.clone() };
        let others = named.iter().filter(|name| !tree.is_ours(name));
        let found = others.map(|name| {
            let locked = tree.version(name).with_context(|| {
                format!("`{name}` is not in the tree of {}; give `libraries` in its stack.toml", stack.package)
            })?;
            self.index.library(name, locked, self.today)
        });
        found.collect()
    }

    fn build(&mut self, stack: &Stack) -> Result<Build> {
        let key = (stack.package.clone(), stack.program.clone());
        if let Some(build) = self.builds.get(&key) {
            return Ok(build.clone());
        }
        let build = build::cold(stack, self.today)?;
        self.builds.insert(key, build.clone());
        Ok(build)
    }
}

/// `None`: help was asked for.
fn parse(words: &[OsString]) -> Result<Option<Options>> {
    let mut options = Options::default();
    let mut words = words.iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        match (flag.as_str(), value) {
            ("--stacks", value) => {
                let value = value.or_else(|| words.next()).context("--stacks needs names")?;
                options.stacks.extend(value.split(',').map(str::to_owned));
            }
            ("--no-build", None) => options.no_build = true,
            ("--offline", None) => options.offline = true,
            ("--help" | "-h", None) => return Ok(None),
            (other, _) => bail!("`{other}` is no option of this verb\n{USAGE}"),
        }
    }
    Ok(Some(options))
}

fn chosen(options: &Options) -> Result<Vec<Stack>> {
    let all = stacks::discover(&root().join("servers"))?;
    if options.stacks.is_empty() {
        return Ok(all);
    }
    let named = |name: &String| {
        all.iter().find(|stack| stack.name == *name).cloned().with_context(|| {
            let names: Vec<&str> = all.iter().map(|stack| stack.name.as_str()).collect();
            format!("--stacks: no stack with a Rust package is named `{name}`; there are: {}", names.join(", "))
        })
    };
    options.stacks.iter().map(named).collect()
}

/// Lets cargo ask the registry about every crate of the lock file; changes no file of ours.
fn refresh_index() {
    let refreshed = cargo().and_then(|mut cargo| run(cargo.args(["update", "--dry-run", "--quiet"])));
    if !refreshed.is_ok_and(|status| status.success()) {
        eprintln!("cargo could not ask the registry: versions are as it saw them last");
    }
}

/// The libraries that a program names in its `--version`.
fn named_by_itself(stack: &Stack) -> Result<Vec<String>> {
    let bin = target_dir()?.join("release");
    let words: Vec<String> = stack.version.iter().map(|word| word.replace("{bin}", &bin.to_string_lossy())).collect();
    let (program, arguments) = words.split_first().context("`version` is empty")?;
    let output = Command::new(program).args(arguments).current_dir(root()).output().with_context(|| {
        format!(
            "cannot ask {program} for its libraries; build it (cargo build --release --workspace --bins --locked) or \
             give `libraries` in its stack.toml"
        )
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    libraries_of(line).with_context(|| format!("`{line}` names no libraries; give `libraries` in its stack.toml"))
}

/// `stack-t 0.1.0 (hyper 1.12.0, tokio 1.54.1; mimalloc)`: what stands in the brackets before the allocator.
fn libraries_of(version: &str) -> Option<Vec<String>> {
    let (_, inside) = version.split_once('(')?;
    let (libraries, _allocator) = inside.split_once(';')?;
    let name = |library: &str| library.split_whitespace().next().map(str::to_owned);
    Some(libraries.split(',').filter_map(name).collect())
}

fn file(stack: &Stack) -> PathBuf {
    stack.folder.join(FILE)
}

/// What was measured of it before.
fn before(stack: &Stack) -> Result<Option<Ownership>> {
    Ok(load(&file(stack))?.stacks.remove(&stack.name))
}

fn load(path: &Path) -> Result<OwnershipFile> {
    let empty = OwnershipFile { schema: SCHEMA.to_owned(), stacks: BTreeMap::new() };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(empty),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let advice = || format!("{} is not what its format says; delete it to have it made anew", path.display());
    let found: OwnershipFile = serde_json::from_slice(&text).with_context(advice)?;
    ensure!(found.schema == SCHEMA, "{}: it is `{}` and not `{SCHEMA}`", advice(), found.schema);
    Ok(found)
}

/// Writes what was measured; entries of stacks that are gone go too.
fn record(stack: &Stack, measured: Ownership) -> Result<()> {
    let path = file(stack);
    let mut contents = load(&path)?;
    contents.stacks.insert(stack.name.clone(), measured);
    contents.stacks.retain(|name, _| stack.siblings.contains(name));
    let text = serde_json::to_string_pretty(&contents)? + "\n";
    let unfinished = path.with_added_extension("tmp");
    fs::write(&unfinished, text).with_context(|| format!("cannot write {}", unfinished.display()))?;
    fs::rename(&unfinished, &path).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("wrote {}", path.strip_prefix(env::current_dir()?).unwrap_or(&path).display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Option<Options>> {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_understood_and_others_are_answered_with_the_usage() {
        let options = parsed(&["--stacks", "a,b", "--no-build", "--stacks=c"]).unwrap().unwrap();
        let stacks = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(options, Options { stacks, no_build: true, offline: false });
        assert_eq!(parsed(&["--help"]).unwrap(), None);
        let error = parsed(&["--stack", "a"]).unwrap_err().to_string();
        assert!(error.contains("`--stack`") && error.contains("usage:"), "{error}");
    }

    #[test]
    fn libraries_are_those_that_a_version_names() {
        let named = libraries_of("stack-t 0.1.0 (hyper 1.12.0, redis 1.8.1 and 0.32.7; mimalloc)").unwrap();
        assert_eq!(named, ["hyper", "redis"]);
        assert_eq!(libraries_of("stack-t 0.1.0"), None);
    }

    #[test]
    fn what_is_recorded_is_read_back_and_entries_of_stacks_that_are_gone_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut stack = stacks::tests::stack("t", dir.path());
        let crates = format::Crates { registry: 3, workspace: 1 };
        let measured = || Ownership { package: "stack-t".to_owned(), libraries: Vec::new(), crates, build: None };
        stack.siblings = vec!["t".to_owned(), "u".to_owned()];
        record(&stack, measured()).unwrap();
        stack.name = "u".to_owned();
        record(&stack, measured()).unwrap();
        assert_eq!(load(&file(&stack)).unwrap().stacks.len(), 2);
        stack.siblings = vec!["u".to_owned()];
        record(&stack, measured()).unwrap();
        assert_eq!(load(&file(&stack)).unwrap().stacks.into_keys().collect::<Vec<_>>(), ["u"]);
        assert_eq!(before(&stack).unwrap(), Some(measured()));
    }

    #[test]
    fn a_file_of_another_format_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let stack = stacks::tests::stack("t", dir.path());
        fs::write(file(&stack), r#"{"schema": "stackbench-ownership/9", "stacks": {}}"#).unwrap();
        let error = format!("{:#}", before(&stack).unwrap_err());
        assert!(error.contains("ownership.json") && error.contains("ownership/9"), "{error}");
    }
}
