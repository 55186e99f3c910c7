//! The programs the tests call, the files they read, and how to get them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::command::find_program;

/// Programs the tests call and files they read, and the Debian package of each.
const NEEDS: &[(&str, &str)] = &[
    // LuaJIT is built with it.
    ("make", "make"),
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("redis-benchmark", "redis-tools"),
    // What the pages of reports are tested in.
    ("chromium", "chromium"),
    ("wrk", "wrk"),
    // The last of the scripts that the load client must run as wrk does.
    ("/usr/share/doc/wrk/examples/scripts/stop.lua", "wrk"),
];

/// Installs the packages that are its arguments, and sees to it that no daemon is left running.
const INSTALL: &str = include_str!("install.sh");

/// How packages may be installed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// This is root.
    Root,
    /// `sudo` asks for no password.
    Sudo,
    /// Not by this program.
    None,
}

/// Makes sure that every program is there, installing what is missing where that is allowed. False, after a message
/// that says what to do, when something is still missing.
pub fn satisfy() -> Result<bool> {
    let packages = missing();
    if packages.is_empty() {
        return Ok(true);
    }
    eprintln!("the tests need programs that are not here; packages: {}", packages.join(" "));
    let means = means();
    if means != Means::None {
        install(means, &packages)?;
    }
    let packages = missing();
    if !packages.is_empty() {
        eprintln!("{}", advice(&packages));
    }
    Ok(packages.is_empty())
}

/// Packages of what is not there, each once.
fn missing() -> Vec<&'static str> {
    let absent = NEEDS.iter().filter(|(need, _)| !is_there(need));
    let mut packages: Vec<&str> = absent.map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

fn is_there(need: &str) -> bool {
    if need.starts_with('/') { Path::new(need).exists() } else { find_program(need).is_some() }
}

fn means() -> Means {
    if find_program("apt-get").is_none() {
        return Means::None;
    }
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if is_root {
        return Means::Root;
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if sudo.status().is_ok_and(|status| status.success()) { Means::Sudo } else { Means::None }
}

/// Installs packages. A failure is not an error here: what is missing afterwards is what counts.
fn install(means: Means, packages: &[&str]) -> Result<()> {
    let mut command = match means {
        Means::Sudo => {
            let mut command = Command::new("sudo");
            command.args(["-n", "sh"]);
            command
        }
        Means::Root | Means::None => Command::new("sh"),
    };
    eprintln!("installing them with apt-get; a redis-server daemon is not started");
    command.args(["-c", INSTALL, "install"]).args(packages).stdin(Stdio::null());
    // The script goes in by `-c`, so that nothing is read from a terminal; it is too long to be printed.
    eprintln!("$ apt-get update && apt-get install -y --no-install-recommends {}", packages.join(" "));
    let status = command.status().context("cannot start a shell")?;
    if !status.success() {
        eprintln!("apt-get did not succeed ({status})");
    }
    Ok(())
}

fn advice(packages: &[&str]) -> String {
    format!(
        "error: these packages are missing, and this program may not install them: {0}\n\
         On Debian or Ubuntu, as root:\n\n    apt-get update && apt-get install --no-install-recommends {0}\n\n\
         Elsewhere: put redis-server, redis-cli, redis-benchmark (Redis 7), wrk (4.1 or newer) and chromium on the PATH, \
         and wrk's example scripts into /usr/share/doc/wrk/examples/scripts (a container may leave documentation out: \
         install with `-o DPkg::Options::=--path-include=/usr/share/doc/wrk/*`).\n\
         Then run `cargo test-all` again. No daemon is needed: the tests start their own.",
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_a_command_to_copy() {
        let text = advice(&["redis-tools", "wrk"]);
        assert!(text.contains("    apt-get update && apt-get install --no-install-recommends redis-tools wrk\n"));
    }

    #[test]
    fn programs_of_one_package_stand_together_so_that_it_is_named_once() {
        let mut packages: Vec<&str> = NEEDS.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        let mut sorted = packages.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(packages.len(), sorted.len());
    }
}
