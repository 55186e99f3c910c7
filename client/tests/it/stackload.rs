//! Running the client.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use ::stackload::result::{ErrorKind, LoadResult};

/// What a run left behind.
pub struct Run {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The client with its arguments; output is captured.
pub fn command(arguments: &[&str]) -> Command {
    prepared(Command::new(env!("CARGO_BIN_EXE_stackload")), arguments)
}

/// wrk with its arguments.
pub fn wrk_command(arguments: &[&str]) -> Command {
    assert!(
        Path::new("/usr/bin/wrk").exists(),
        "this test runs beside the real wrk: apt install wrk (Debian package wrk)"
    );
    prepared(Command::new("wrk"), arguments)
}

fn prepared(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the client.
pub fn run(arguments: &[&str]) -> Run {
    command(arguments).output().unwrap().into()
}

/// Runs wrk.
pub fn run_wrk(arguments: &[&str]) -> Run {
    wrk_command(arguments).output().unwrap().into()
}

/// Runs the client, expects success, and reads its result file.
pub fn load(arguments: &[&str]) -> (LoadResult, Run) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    let run = run(&[arguments, &["--json", path.to_str().unwrap()]].concat());
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    (read_result(&path), run)
}

/// Reads a result file.
pub fn read_result(path: &Path) -> LoadResult {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// How many errors of a kind a result has.
pub fn errors(result: &LoadResult, kind: ErrorKind) -> u64 {
    result.errors.get(&kind).copied().unwrap_or(0)
}

/// A script in a file of its own.
pub fn script(source: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".lua").tempfile().unwrap();
    std::fs::write(file.path(), source).unwrap();
    file
}
