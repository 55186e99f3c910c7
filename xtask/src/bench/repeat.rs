//! `bench-repeat`: the same run twice, and then `stackbench repeat`, which holds the two against each other.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
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
const DEFAULTS: [(&str, &str); 2] = [("--stacks", "may,tokio,thread-pool"), ("--duration", "1s")];
/// The fewest blocks that a comparison rests on.
const TRIALS: (&str, &str) = ("--trials", "6");
/// Both folders begin alike and end so.
const RUNS: [&str; 2] = ["a", "b"];

/// `bench-repeat`: scenarios may come first, and options go to both runs; `--out DIR` makes `DIR-a` and `DIR-b`.
pub fn bench_repeat(options: &[OsString]) -> Result<ExitCode> {
    ensure!(!has(options, "--quick"), "bench-repeat compares blocks, and --quick makes a single one; without it");
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

/// The scenarios, then the defaults that the user does not replace, then the user's options.
fn words(options: &[OsString]) -> Vec<OsString> {
    let scenarios = options.iter().take_while(|word| !word.to_string_lossy().starts_with('-')).count();
    let (scenarios, options) = options.split_at(scenarios);
    let mut words = if scenarios.is_empty() { vec![OsString::from(SCENARIO)] } else { scenarios.to_vec() };
    words.extend(missing(&DEFAULTS, options));
    // `--publish` has a number of trials of its own.
    if !has(options, "--publish") {
        words.extend(missing(&[TRIALS], options));
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
        let usual = [&["cache-nodelay"][..], &stacks, &["--duration", "1s", "--trials", "6"]].concat();
        assert_eq!(words_of(&[]), usual);
        let own = ["cache", "cache-rate", "--stacks=all", "--duration", "4s", "--publish"];
        assert_eq!(words_of(&own), own);
        let seeded = [&["cache-nodelay"][..], &stacks, &["--duration", "1s", "--trials=8", "--seed", "1"]].concat();
        assert_eq!(words_of(&["--trials=8", "--seed", "1"]), seeded);
    }

    #[test]
    fn the_two_folders_stand_beside_each_other() {
        for given in ["/tmp/x", "/tmp/x/"] {
            assert_eq!(RUNS.map(|run| suffixed(given.as_ref(), run)), ["/tmp/x-a", "/tmp/x-b"].map(PathBuf::from));
        }
    }
}
