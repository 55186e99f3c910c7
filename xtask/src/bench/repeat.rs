//! `bench-repeat`: the same run twice, and then `stackbench repeat`, which holds the two against each other.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    slice,
};

use anyhow::{Result, ensure};

use super::{
    built_stackbench, has,
    stacks::{missing, out},
};
use crate::{command::run, exit_code};

/// Without delays every stack is measured at its own limit, where runs differ the most.
const SCENARIO: &str = "cache-nodelay";
/// Unless the user says otherwise: three models that differ plainly, and as short as intervals allow.
const DEFAULTS: [(&str, &str); 2] = [("--stacks", "may,tokio,thread-pool"), ("--duration", "2s")];
/// The fewest blocks that a comparison rests on, as `stackbench repeat` has it. Said here once more, because to know it from
/// there this program would have to be built with all of the reports.
const TRIALS_MIN: u32 = 6;
/// Both folders begin alike and end so.
const RUNS: [&str; 2] = ["a", "b"];

/// `bench-repeat`: scenarios may come first, and options go to both runs; `--out DIR` makes `DIR-a` and `DIR-b`.
pub fn bench_repeat(options: &[OsString]) -> Result<ExitCode> {
    ensure!(!has(options, "--quick"), "bench-repeat compares blocks, and --quick makes a single one; without it");
    ensure_blocks(options)?;
    let program = match built_stackbench()? {
        Ok(program) => program,
        Err(code) => return Ok(code),
    };
    let (out, options) = out(options, "repeat");
    let dirs = RUNS.map(|run| suffixed(&out, run));
    let mut worst = ExitCode::SUCCESS;
    for dir in &dirs {
        let status = run(Command::new(&program).arg("run").args(words(&options)).arg("--out").arg(dir))?;
        match status.code() {
            Some(0) => {}
            // Some row failed: what the others say is still worth comparing.
            Some(1) => worst = ExitCode::FAILURE,
            _ => return Ok(exit_code(status)),
        }
    }
    let status = run(Command::new(&program).arg("repeat").args(&dirs))?;
    Ok(if status.success() { worst } else { exit_code(status) })
}

/// Too few blocks are refused before anything is measured, not after it was measured twice.
fn ensure_blocks(options: &[OsString]) -> Result<()> {
    // What is no number is for `stackbench run` to name.
    let trials = value(options, "--trials").and_then(|trials| trials.parse::<u32>().ok());
    ensure!(
        trials.is_none_or(|trials| trials >= TRIALS_MIN),
        "bench-repeat compares within at least {TRIALS_MIN} blocks; with `--trials {TRIALS_MIN}` or more"
    );
    Ok(())
}

/// The value of an option, given as `--flag value` or `--flag=value`.
fn value(options: &[OsString], flag: &str) -> Option<String> {
    let position = options.iter().position(|option| has(slice::from_ref(option), flag))?;
    let option = options[position].to_string_lossy();
    match option.split_once('=') {
        Some((_, value)) => Some(value.to_owned()),
        None => Some(options.get(position + 1)?.to_string_lossy().into_owned()),
    }
}

/// The scenarios, then the defaults that the user does not replace, then the user's options.
fn words(options: &[OsString]) -> Vec<OsString> {
    let scenarios = options.iter().take_while(|word| !word.to_string_lossy().starts_with('-')).count();
    let (scenarios, options) = options.split_at(scenarios);
    let mut words = if scenarios.is_empty() { vec![OsString::from(SCENARIO)] } else { scenarios.to_vec() };
    words.extend(missing(&DEFAULTS, options));
    // `--publish` has a number of trials of its own.
    if !has(options, "--publish") {
        words.extend(missing(&[("--trials", &TRIALS_MIN.to_string())], options));
    }
    words.extend_from_slice(options);
    words
}

/// A folder beside the named one, whose name ends in a dash and the suffix.
fn suffixed(dir: &Path, suffix: &str) -> PathBuf {
    // Taken apart and joined again, so that a slash at the end does not begin a new name.
    let mut name = dir.components().collect::<PathBuf>().into_os_string();
    name.push(format!("-{suffix}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(options: &[&str]) -> Vec<String> {
        let options: Vec<OsString> = options.iter().map(OsString::from).collect();
        words(&options).into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_short_run_of_three_stacks_is_repeated_unless_the_user_says_otherwise() {
        let stacks = ["--stacks", "may,tokio,thread-pool"];
        let usual = [&["cache-nodelay"][..], &stacks, &["--duration", "2s", "--trials", "6"]].concat();
        assert_eq!(words_of(&[]), usual);
        let own = ["cache", "cache-rate", "--stacks=all", "--duration", "4s", "--publish"];
        assert_eq!(words_of(&own), own);
        let seeded = [&["cache-nodelay"][..], &stacks, &["--duration", "2s", "--trials=8", "--seed", "1"]].concat();
        assert_eq!(words_of(&["--trials=8", "--seed", "1"]), seeded);
    }

    #[test]
    fn fewer_than_six_blocks_are_refused_at_once() {
        let is_refused = |options: &[&str]| {
            let options: Vec<OsString> = options.iter().map(OsString::from).collect();
            ensure_blocks(&options).is_err()
        };
        assert!(is_refused(&["--trials", "3"]) && is_refused(&["cache", "--trials=5", "--seed", "1"]));
        for taken in [&["--trials", "6"][..], &["--trials=8"], &["--publish"], &["--seed", "3"], &["--trials"], &[]] {
            assert!(!is_refused(taken), "{taken:?}");
        }
    }

    #[test]
    fn the_two_folders_stand_beside_each_other() {
        for given in ["/tmp/x", "/tmp/x/"] {
            assert_eq!(RUNS.map(|run| suffixed(given.as_ref(), run)), ["/tmp/x-a", "/tmp/x-b"].map(PathBuf::from));
        }
    }
}
