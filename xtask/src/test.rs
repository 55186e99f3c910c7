//! The tests.

use std::{
    ffi::OsString,
    process::{ExitCode, Stdio},
};

use anyhow::Result;

use crate::{
    command::{build_all, cargo, replace},
    exit_code, needs,
};

/// Everything is tested as it is measured, so that the tree is compiled once.
const SCOPE: [&str; 3] = ["--release", "--workspace", "--locked"];

/// `test-all`: options go to the test runner.
pub fn all(options: &[OsString]) -> Result<ExitCode> {
    if !needs::satisfy()? {
        return Ok(ExitCode::FAILURE);
    }
    // Integration tests start programs of other packages, which building the tests alone would not make.
    let status = build_all()?;
    if !status.success() {
        return Ok(exit_code(status));
    }
    let mut command = cargo()?;
    if has_nextest()? {
        command.args(["nextest", "run"]);
    } else {
        command.arg("test");
    }
    command.args(SCOPE).args(options);
    Err(replace(&mut command))
}

/// Nextest is used where it is installed: it runs the tests of all packages at once.
fn has_nextest() -> Result<bool> {
    let status = cargo()?.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    Ok(status.is_ok_and(|status| status.success()))
}
