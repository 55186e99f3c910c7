//! A release build into an empty folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use jiff::civil::Date;

use crate::{
    command::{cargo, find_program, run, target_dir},
    ownership::{format::Build, stacks::Stack},
};

/// Clock ticks a second in `/proc`: part of the kernel's interface, the same on every machine that Rust builds for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Builds a stack's program from nothing, and removes what was built.
pub fn cold(stack: &Stack, today: Date) -> Result<Build> {
    // Downloads are the network's time, not the build's.
    ensure!(run(cargo()?.args(["fetch", "--locked", "--quiet"]))?.success(), "cargo fetch failed");
    let folder = Scratch::make(&target_dir()?.join(format!("cold-build-{}", process::id())))?;
    let mut command = cargo()?;
    command.args(["build", "--release", "--locked", "--quiet", "--package", &stack.package, "--bin", &stack.program]);
    command.env("CARGO_TARGET_DIR", &folder.0);
    let (began, cpu_before) = (Instant::now(), cpu_of_children()?);
    ensure!(run(&mut command)?.success(), "the build failed");
    let (wall_s, cpu_s) = (began.elapsed().as_secs_f64(), cpu_of_children()? - cpu_before);
    let program = folder.0.join("release").join(&stack.program);
    Ok(Build {
        date: today.to_string(),
        cpus: thread::available_parallelism().ok().and_then(|cpus| u32::try_from(cpus.get()).ok()).unwrap_or(1),
        rustc: rustc()?,
        wall_s: tenths(wall_s),
        cpu_s: tenths(cpu_s),
        binary_bytes: size(&program)?,
        stripped_bytes: stripped(&program)?,
    })
}

/// A folder that goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn make(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// CPU seconds of all children that this process has waited for, and of theirs.
fn cpu_of_children() -> Result<f64> {
    ticks_of_children(&fs::read_to_string("/proc/self/stat").context("cannot read /proc/self/stat")?)
        .map(|ticks| ticks / TICKS_PER_SECOND)
        .context("/proc/self/stat is not of the form known here")
}

/// Fields 16 and 17. The second, the program's name, may hold anything, so fields are counted behind its bracket.
fn ticks_of_children(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(13);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

/// The compiler that cargo calls.
fn rustc() -> Result<String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program).arg("--version").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `rustc 1.95.0 (59807616e 2026-04-14)`: the version says it all.
    Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// More digits would be those of the machine's mood.
fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?.len())
}

/// The size without symbols; `None` where there is no `strip`.
fn stripped(program: &Path) -> Result<Option<u64>> {
    let Some(strip) = find_program("strip") else { return Ok(None) };
    let bare = program.with_added_extension("stripped");
    let mut command = Command::new(strip);
    command.arg("--strip-all").arg("-o").arg(&bare).arg(program).stdin(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) { size(&bare).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticks_of_children_are_found_behind_any_name() {
        let stat = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 700 34 20 0 1";
        assert_eq!(ticks_of_children(stat), Some(734.0));
        assert_eq!(ticks_of_children("42 (x) S 1"), None);
        assert!(cpu_of_children().unwrap() >= 0.0);
    }

    #[test]
    fn a_program_is_not_larger_without_its_symbols() {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        if let Some(bytes) = stripped(&copy).unwrap() {
            assert!(bytes <= size(&copy).unwrap());
        }
    }
}
