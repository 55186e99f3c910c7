//! `bench-stacks`: the whole field over redis-server, once with one worker on a CPU of its own and once on all CPUs.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Result, bail, ensure};

use super::{built_stackbench, has};
use crate::{
    command::{find_program, root, run},
    exit_code,
};

/// What a request costs is asked without delays.
const SCENARIO: &str = "cache-nodelay";
/// What both runs have in common, unless the user says otherwise.
const COMMON: [(&str, &str); 1] = [("--stacks", "all")];
/// The store of every verb that asks what a request costs, unless the user says otherwise: the real one, and the pool
/// that servers have by default.
const STORE: [(&str, &str); 2] = [("--redis", "spawn"), ("--pool", "16")];
/// The two runs: the folder of each, and how it places the server. Placed `free` a server has a worker for each CPU.
const RUNS: [(&str, &[&str]); 2] =
    [("pinned", &["--placement", "pinned", "--workers", "1"]), ("free", &["--placement", "free"])];

/// `bench-stacks`: options go to both runs; `--out DIR` names the folder that both are made in.
pub fn bench_stacks(options: &[OsString]) -> Result<ExitCode> {
    for flag in ["--placement", "--workers"] {
        if has(options, flag) {
            bail!(
                "bench-stacks measures both placements, with the workers of each; without {flag}, or by `stackbench run`"
            );
        }
    }
    ensure_redis("bench-stacks", options)?;
    let program = match built_stackbench()? {
        Ok(program) => program,
        Err(code) => return Ok(code),
    };
    let (out, options) = out(options, "stacks");
    let mut worst = ExitCode::SUCCESS;
    for (name, placement) in RUNS {
        let mut command = Command::new(&program);
        command.args(["run", SCENARIO]).args(placement).args(words(&options)).arg("--out").arg(out.join(name));
        let status = run(&mut command)?;
        match status.code() {
            Some(0) => {}
            // Some row failed: the other run is still worth making.
            Some(1) => worst = ExitCode::FAILURE,
            _ => return Ok(exit_code(status)),
        }
    }
    // The second run has just printed its tables; the first one's have scrolled away.
    print_again(&program, &out.join(RUNS[0].0))?;
    Ok(worst)
}

/// Refuses a verb that measures over redis-server where there is none and the user names no other store.
pub fn ensure_redis(verb: &str, options: &[OsString]) -> Result<()> {
    ensure!(
        has(options, "--redis") || find_program("redis-server").is_some(),
        "{verb} measures over redis-server, which is not installed (Debian: apt-get install redis-server); \
         with `--redis embedded` it measures over the project's own store"
    );
    Ok(())
}

fn print_again(program: &Path, dir: &Path) -> Result<()> {
    run(Command::new(program).arg("report").arg(dir).args(["--format", "text"]))?;
    Ok(())
}

/// The common options that the user does not replace, and then those of [`over_redis`].
fn words(options: &[OsString]) -> Vec<OsString> {
    let mut words = missing(&COMMON, options);
    words.extend(over_redis(options));
    words
}

/// The store and the other defaults that the user does not replace, and then the user's options.
pub fn over_redis(options: &[OsString]) -> Vec<OsString> {
    let mut words = missing(&STORE, options);
    words.extend_from_slice(options);
    words
}

/// The defaults that the user does not replace.
pub fn missing(defaults: &[(&str, &str)], options: &[OsString]) -> Vec<OsString> {
    let missing = defaults.iter().filter(|(flag, _)| !has(options, flag));
    missing.flat_map(|(flag, value)| [flag, value].map(OsString::from)).collect()
}

/// The folder of the runs, and the options without it. Where the user names none, it is called by the time and `what`.
pub fn out(options: &[OsString], what: &str) -> (PathBuf, Vec<OsString>) {
    let mut rest = Vec::new();
    let mut out = None;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if option == OsStr::new("--out") {
            out = options.next().map(PathBuf::from);
        } else if let Some(dir) = option.to_str().and_then(|text| text.strip_prefix("--out=")) {
            out = Some(PathBuf::from(dir));
        } else {
            rest.push(option.clone());
        }
    }
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    (out.unwrap_or_else(|| root().join("reports").join(format!("{now}-{what}"))), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_whole_field_is_measured_over_redis_server_unless_the_user_says_otherwise() {
        assert_eq!(words(&[]), os(&["--stacks", "all", "--redis", "spawn", "--pool", "16"]));
        let own = words(&os(&["--stacks=tokio,null", "--trials", "1"]));
        assert_eq!(own, os(&["--redis", "spawn", "--pool", "16", "--stacks=tokio,null", "--trials", "1"]));
    }

    #[test]
    fn the_folder_is_taken_out_of_the_options() {
        for given in [&["--out", "/tmp/x", "--seed", "1"][..], &["--seed", "1", "--out=/tmp/x"]] {
            assert_eq!(out(&os(given), "stacks"), (PathBuf::from("/tmp/x"), os(&["--seed", "1"])));
        }
        assert!(out(&[], "stacks").0.starts_with(root().join("reports")));
    }
}
