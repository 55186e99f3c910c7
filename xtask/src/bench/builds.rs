//! `bench-build`: {system malloc, mimalloc} × {thin, fat LTO} on five stacks, measured beside each other in one run.
//!
//! Each build has a target folder of its own, and only the five packages are built there: the features that cargo
//! resolves are those of the five and not of the whole workspace, and so the build that is the default is made again here
//! and compared like the others. The programs of all builds are then stacks of one run, `tokio_mimalloc_thin` and so on. It is a
//! run over redis-server, as `bench-stacks` makes.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use super::{built_stackbench, has, stacks};
use crate::{
    command::{cargo, root, run, target_dir},
    exit_code,
};

/// The five models, one stack each.
const STACKS: [&str; 5] = ["thread-pool", "tokio", "smol", "async-std", "may"];
/// What a build may use to allocate: the values of the variable that `servers/contract/build.rs` reads.
const ALLOCATORS: [&str; 2] = ["mimalloc", "system"];
/// That variable.
const ALLOCATOR: &str = "STACKBENCH_ALLOCATOR";
/// Link-time optimisation; both with one codegen unit.
const LTO: [&str; 2] = ["thin", "fat"];
/// What a request costs is asked without delays.
const SCENARIO: &str = "cache-nodelay";

/// One way to build.
#[derive(Debug, Clone, Copy)]
struct Build {
    allocator: &'static str,
    lto: &'static str,
}

impl Build {
    fn all() -> impl Iterator<Item = Self> {
        ALLOCATORS.into_iter().flat_map(|allocator| LTO.map(|lto| Self { allocator, lto }))
    }

    /// As the report takes it apart again.
    fn name(self) -> String {
        format!("{}_{}", self.allocator, self.lto)
    }

    fn target_dir(self) -> Result<PathBuf> {
        Ok(target_dir()?.join("builds").join(self.name()))
    }

    fn make(self, packages: &[String]) -> Result<std::process::ExitStatus> {
        let mut command = cargo()?;
        command
            .args(["build", "--release", "--locked", "--bins"])
            .env("CARGO_TARGET_DIR", self.target_dir()?)
            .env(ALLOCATOR, self.allocator)
            .env("CARGO_PROFILE_RELEASE_LTO", self.lto)
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
        for package in packages {
            command.args(["--package", package]);
        }
        eprintln!("with {ALLOCATOR}={} CARGO_PROFILE_RELEASE_LTO={}", self.allocator, self.lto);
        run(&mut command)
    }
}

/// `bench-build`: options go to the run.
pub fn bench_build(options: &[OsString]) -> Result<ExitCode> {
    ensure!(!has(options, "--stacks") && !has(options, "--stacks-dir"), "bench-build has stacks of its own");
    stacks::ensure_redis("bench-build", options)?;
    let described = described(&root().join("servers"), &STACKS)?;
    let program = match built_stackbench()? {
        Ok(program) => program,
        Err(code) => return Ok(code),
    };
    let mut packages: Vec<String> = described.iter().map(package).collect::<Result<_>>()?;
    packages.sort();
    packages.dedup();
    let mut variants: Vec<Table> = Vec::new();
    for build in Build::all() {
        let status = build.make(&packages)?;
        if !status.success() {
            return Ok(exit_code(status));
        }
        let bin = build.target_dir()?.join("release");
        for stack in &described {
            variants.push(variant(stack, build, &bin)?);
        }
    }
    measure(&program, variants, options)
}

fn measure(program: &Path, variants: Vec<Table>, options: &[OsString]) -> Result<ExitCode> {
    let dir = target_dir()?.join("builds/stacks");
    fs::create_dir_all(&dir)?;
    let names: Vec<&str> = variants.iter().filter_map(|stack| stack.get("name")?.as_str()).collect();
    let names = format!("{},null", names.join(","));
    let file = Table::from_iter([("stack".to_owned(), Value::Array(variants.into_iter().map(Value::Table).collect()))]);
    fs::write(dir.join("stack.toml"), toml::to_string(&file)?)?;
    let (out, options) = stacks::out(options, "builds");
    let mut command = Command::new(program);
    // Every stack is here four times already, and the table of builds knows no second names.
    command.args(["run", SCENARIO, "--no-aa", "--stacks", &names, "--stacks-dir"]).arg(&dir).arg("--out").arg(&out);
    let status = run(command.args(stacks::over_redis(&options)))?;
    if !matches!(status.code(), Some(0 | 1)) {
        return Ok(exit_code(status));
    }
    run(Command::new(program).arg("report").arg(&out).args(["--format", "builds"]))?;
    Ok(exit_code(status))
}

/// The descriptions of these stacks, wherever in the folder they stand.
fn described(servers: &Path, names: &[&str]) -> Result<Vec<Table>> {
    let mut found: Vec<Table> = Vec::new();
    for entry in fs::read_dir(servers)? {
        let path = entry?.path().join("stack.toml");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let file: Table = text.parse().with_context(|| path.display().to_string())?;
        let stacks = file.get("stack").and_then(Value::as_array).cloned().unwrap_or_default();
        found.extend(stacks.into_iter().filter_map(|stack| stack.as_table().cloned()));
    }
    let one = |name: &&str| {
        let stack = found.iter().find(|stack| stack.get("name").and_then(Value::as_str) == Some(name));
        stack.cloned().with_context(|| format!("there is no stack `{name}` in {}", servers.display()))
    };
    names.iter().map(one).collect()
}

fn package(stack: &Table) -> Result<String> {
    let package = stack.get("package").and_then(Value::as_str);
    Ok(package.with_context(|| format!("a stack without `package`: {:?}", stack.get("name")))?.to_owned())
}

/// A stack as one build of it: another name, programs from another folder, and a word about it in its model.
fn variant(stack: &Table, build: Build, bin: &Path) -> Result<Table> {
    let mut stack = stack.clone();
    let text = |stack: &Table, key: &str| -> Result<String> {
        Ok(stack.get(key).and_then(Value::as_str).with_context(|| format!("stack.toml without `{key}`"))?.to_owned())
    };
    let (name, model) = (text(&stack, "name")?, text(&stack, "model")?);
    ensure!(!name.contains('_'), "`{name}`: the parts of a build's name are separated by `_`");
    stack.insert("name".into(), Value::String(format!("{name}_{}", build.name())));
    stack.insert(
        "model".into(),
        Value::String(format!("{model} (built with {} and {} LTO)", build.allocator, build.lto)),
    );
    let bin = bin.display().to_string();
    for key in ["run", "version"] {
        for word in stack.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::String(word) = word {
                *word = word.replace("{bin}", &bin);
            }
        }
    }
    Ok(stack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_of_a_stack_is_a_stack_with_a_name_and_programs_of_its_own() {
        let found = described(&root().join("servers"), &["tokio", "thread-pool"]).unwrap();
        let build = Build { allocator: "system", lto: "fat" };
        let stack = variant(&found[0], build, Path::new("/b")).unwrap();
        assert_eq!(stack["name"].as_str(), Some("tokio_system_fat"));
        assert!(stack["run"][0].as_str().unwrap().starts_with("/b/stack-"));
        assert!(stack["model"].as_str().unwrap().ends_with("(built with system and fat LTO)"));
    }

    #[test]
    fn a_stack_that_is_not_there_is_named() {
        let error = described(&root().join("servers"), &["tokyo"]).unwrap_err().to_string();
        assert!(error.contains("`tokyo`"), "{error}");
    }

    #[test]
    fn there_are_four_builds() {
        let names: Vec<String> = Build::all().map(Build::name).collect();
        assert_eq!(names, ["mimalloc_thin", "mimalloc_fat", "system_thin", "system_fat"]);
    }
}
