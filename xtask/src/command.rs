//! Printing, running and replacing processes; where things are.

use std::{
    env,
    ffi::OsStr,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use anyhow::{Context, Result, ensure};

/// Beginnings of the variables in which cargo describes the package it runs.
const OF_THE_PACKAGE: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_NAME", "CARGO_CRATE_NAME"];

/// The workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a folder of the workspace")
}

/// Where cargo puts what it builds. A relative `CARGO_TARGET_DIR` is meant from where the user stands, as cargo means
/// it.
pub fn target_dir() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => Ok(env::current_dir().context("the current folder cannot be read")?.join(dir)),
        None => Ok(root().join("target")),
    }
}

/// Cargo, in the workspace: the one that runs this program, if one does.
pub fn cargo() -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).env("CARGO_TARGET_DIR", target_dir()?);
    // `cargo run` describes this package in its environment. A build script that watches such a variable would run
    // again each time that a build is started once by hand and once from here.
    let is_of_this_package = |name: &str| OF_THE_PACKAGE.iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_this_package)) {
        command.env_remove(name);
    }
    Ok(command)
}

/// Builds every program of the workspace in one go. Single packages are never built into the same folder: cargo would
/// resolve their features differently, and programs would differ from those whose hashes were recorded.
pub fn build_all() -> Result<ExitStatus> {
    ensure!(
        find_program("make").is_some(),
        "the load client's LuaJIT is built with make, which is not installed (Debian: apt-get install make)"
    );
    let mut command = cargo()?;
    command.args(["build", "--release", "--workspace", "--bins", "--locked"]);
    run(&mut command)
}

/// Prints a command line, runs it and waits for its end.
pub fn run(command: &mut Command) -> Result<ExitStatus> {
    print(command);
    command.status().with_context(|| cannot_start(command))
}

/// Prints a command line and becomes it, so that signals and exit codes are its own.
pub fn replace(command: &mut Command) -> anyhow::Error {
    print(command);
    let error: io::Error = command.exec();
    anyhow::Error::new(error).context(cannot_start(command))
}

/// The path of a program that a shell would find.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", command.get_program().display())
}

fn print(command: &Command) {
    eprintln!("$ {}", shown(command));
}

/// A command line as a person would type it: cargo by its name, quotes only where needed.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let short = if program.ends_with("cargo") { Path::new("cargo") } else { program };
    let words = std::iter::once(short.as_os_str()).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=,:@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/opt/toolchain/bin/cargo");
        command.args(["run", "--need", "rate>=20 it's", ""]);
        assert_eq!(shown(&command), r"cargo run --need 'rate>=20 it'\''s' ''");
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }
}
