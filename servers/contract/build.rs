//! Turns the workspace's lock file into a table, so that the versions a server prints are the ones it was built with; and
//! a variable of the environment into the choice of the allocator.

use std::{env, fs, io, path::Path};

/// `system` or `mimalloc`; see `src/alloc.rs`.
const ALLOCATOR: &str = "STACKBENCH_ALLOCATOR";

fn main() -> io::Result<()> {
    choose_allocator()?;
    let variable = |name| env::var(name).map_err(io::Error::other);
    let lock = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let table = fs::read_to_string(lock)?
        .split("[[package]]")
        .skip(1)
        .filter_map(|package| Some(format!("    ({:?}, {:?}),\n", field(package, "name")?, field(package, "version")?)))
        .collect::<String>();
    fs::write(Path::new(&variable("OUT_DIR")?).join("locked.rs"), format!("&[\n{table}]"))
}

fn choose_allocator() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed={ALLOCATOR}");
    println!("cargo::rustc-check-cfg=cfg(system_allocator)");
    match env::var(ALLOCATOR).as_deref() {
        Err(_) | Ok("" | "mimalloc") => {}
        Ok("system") => println!("cargo::rustc-cfg=system_allocator"),
        Ok(other) => return Err(io::Error::other(format!("{ALLOCATOR}={other}: write `mimalloc` or `system`"))),
    }
    Ok(())
}

/// The value of a `key = "value"` line.
fn field<'a>(package: &'a str, key: &str) -> Option<&'a str> {
    package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
}
