//! The verbs that end in `stackbench`.
//!
//! # Layout
//! - [`stacks`]: the whole field in two placements.
//! - [`builds`]: the same stacks in several builds.
//! - [`repeat`]: the same run twice.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};

use crate::{
    command::{build_all, replace, root, target_dir},
    exit_code,
};

pub mod builds;
pub mod repeat;
pub mod stacks;

/// The main job: the study the suite began with, the same without its waits, and the same at rates that are offered. How
/// often and how long each is measured stands in its file; on two cores they take less than an hour together.
const MAIN_SCENARIOS: [&str; 3] = ["cache", "cache-nodelay", "cache-rate"];
/// What `bench-quick` leaves of them: the curves are none in a look.
const QUICK_SCENARIOS: [&str; 2] = ["cache", "cache-nodelay"];
/// What `bench-quick` looks at: one stack of each of the five models that the comparison is about, and the ceiling. The
/// whole field would take more than the two minutes that a look may take. Of the two stacks on may it is the one that
/// conforms fully.
const QUICK_STACKS: &str = "thread-pool,tokio,async-std,smol,may,null";

/// `bench-all`.
pub fn all(options: &[OsString]) -> Result<ExitCode> {
    measure(MAIN_SCENARIOS.map(OsString::from).to_vec(), options)
}

/// `bench-quick`.
pub fn quick(options: &[OsString]) -> Result<ExitCode> {
    let mut words = vec![OsString::from("--quick")];
    if !has(options, "--stacks") {
        words.extend(["--stacks", QUICK_STACKS].map(OsString::from));
    }
    words.extend_from_slice(options);
    measure(QUICK_SCENARIOS.map(OsString::from).to_vec(), &words)
}

/// `bench-everything`.
pub fn everything(options: &[OsString]) -> Result<ExitCode> {
    let scenarios = scenario_files()?.into_iter().map(PathBuf::into_os_string).collect();
    measure(scenarios, options)
}

/// `bench-capacity`.
pub fn capacity(options: &[OsString]) -> Result<ExitCode> {
    stackbench(["capacity".into()].iter().chain(options))
}

/// `check-all`.
pub fn check(options: &[OsString]) -> Result<ExitCode> {
    stackbench(["check".into()].iter().chain(options))
}

/// `bench-doctor`.
pub fn doctor(options: &[OsString]) -> Result<ExitCode> {
    stackbench(["doctor".into()].iter().chain(options))
}

/// `bench-pick`.
pub fn pick(options: &[OsString]) -> Result<ExitCode> {
    stackbench(["pick".into()].iter().chain(options))
}

/// `bench-report`.
pub fn report(options: &[OsString]) -> Result<ExitCode> {
    stackbench(["report".into()].iter().chain(options))
}

/// `bench-compare`.
pub fn compare(options: &[OsString]) -> Result<ExitCode> {
    stackbench(["compare".into()].iter().chain(options))
}

fn measure(scenarios: Vec<OsString>, options: &[OsString]) -> Result<ExitCode> {
    let verb = OsString::from("run");
    stackbench([&verb].into_iter().chain(&scenarios).chain(options))
}

/// Builds all, then becomes `stackbench` with these words, where the user stands: paths in the words are the user's.
fn stackbench<'a>(words: impl Iterator<Item = &'a OsString>) -> Result<ExitCode> {
    match built_stackbench()? {
        Ok(program) => Err(replace(Command::new(program).args(words))),
        Err(code) => Ok(code),
    }
}

/// Builds all. Then the path of `stackbench`, or the exit code of the build that failed.
pub fn built_stackbench() -> Result<Result<PathBuf, ExitCode>> {
    let status = build_all()?;
    if !status.success() {
        return Ok(Err(exit_code(status)));
    }
    Ok(Ok(target_dir()?.join("release/stackbench")))
}

/// Whether an option is given, as `--flag value` or `--flag=value`.
pub fn has(options: &[OsString], flag: &str) -> bool {
    let is = |word: &OsStr| {
        word.to_string_lossy().strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    options.iter().any(|word| is(word))
}

/// Every scenario file, by name.
fn scenario_files() -> Result<Vec<PathBuf>> {
    let dir = root().join("scenarios");
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        path.extension().is_some_and(|e| e == "toml") && path.file_name().is_some_and(|n| n != "Cargo.toml")
    });
    files.sort();
    ensure!(!files.is_empty(), "there is no scenario file in {}", dir.display());
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_only_begins_alike_is_another() {
        assert!(!has(&["--trials-max".into()], "--trials"));
    }
}
