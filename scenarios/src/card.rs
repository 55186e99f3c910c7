//! What a stack's card needs beyond its `stack.toml`.

use std::{collections::BTreeMap, fs, io, path::Path};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use stackbench_reports::{
    card::Card,
    ownership::{self, Ownership, OwnershipFile},
    row::Mode,
};

use crate::stack::Stack;

/// The part of a stack's card that a run records.
pub fn of(stack: &Stack) -> Card {
    Card {
        threads: stack.threads.clone().unwrap_or_else(|| threads(stack)),
        deviations: stack.deviations.clone(),
        upstream: stack.upstream,
        ownership: stack.ownership.clone(),
    }
}

/// What its command line suggests: `--workers` threads serve, and where a blocking client has to be kept away from
/// them, `--pool` more wait for the store. Of a stack that is native in `/sync` this says too little.
fn threads(stack: &Stack) -> String {
    let takes = |placeholder: &str| stack.run.iter().any(|word| word.contains(placeholder));
    let blocks = takes("{pool}") && stack.bridged.contains(&Mode::Sync);
    match (takes("{workers}"), blocks) {
        (true, true) => "--workers that serve, and --pool that block on the store".to_owned(),
        (true, false) => "--workers".to_owned(),
        (false, true) => "--pool".to_owned(),
        (false, false) => "its own choice".to_owned(),
    }
}

/// What was measured of the stacks of a folder, by name; empty where nothing was.
///
/// # Errors
/// Names the file and, for what the format forbids, line and field.
pub fn measured(stack_file: &Path) -> Result<BTreeMap<String, Ownership>> {
    let path = stack_file.with_file_name(ownership::FILE);
    match fs::read(&path) {
        Ok(text) => {
            parse(&text).with_context(|| format!("in {}; to make it anew: cargo xtask ownership", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn parse(text: &[u8]) -> Result<BTreeMap<String, Ownership>> {
    /// Read first and alone, so that another version is called that instead of an unknown field.
    #[derive(Deserialize)]
    struct Named {
        schema: String,
    }
    let Named { schema } = serde_json::from_slice(text)?;
    ensure!(schema == ownership::SCHEMA, "this is `{schema}`, and this program reads `{}`", ownership::SCHEMA);
    Ok(serde_json::from_slice::<OwnershipFile>(text)?.stacks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack;

    const MEASURED: &str = r#"{
        "schema": "stackbench-ownership/1",
        "stacks": {
            "t": {
                "package": "stack-t",
                "libraries": [],
                "crates": {"registry": 3, "workspace": 1},
                "build": null
            }
        }
    }"#;

    fn beside(text: &str) -> Result<BTreeMap<String, Ownership>> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(ownership::FILE), text).unwrap();
        measured(&dir.path().join("stack.toml"))
    }

    #[test]
    fn what_was_measured_lies_beside_the_stack() {
        assert_eq!(beside(MEASURED).unwrap()["t"].crates.registry, 3);
    }

    #[test]
    fn a_folder_where_nothing_was_measured_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(measured(&dir.path().join("stack.toml")).unwrap().is_empty());
    }

    #[test]
    fn an_unknown_field_is_refused_with_file_line_and_field() {
        let error = format!("{:#}", beside(&MEASURED.replace("\"workspace\"", "\"workspce\"")).unwrap_err());
        for part in ["ownership.json", "workspce", "line 7", "cargo xtask ownership"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn another_version_of_the_format_is_called_that() {
        let error = format!("{:#}", beside(&MEASURED.replace("ownership/1", "ownership/9")).unwrap_err());
        assert!(error.contains("`stackbench-ownership/9`"), "{error}");
    }

    #[test]
    fn threads_follow_from_the_command_line_unless_they_are_told() {
        let servers = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("servers");
        let mut stack = stack::discover(&servers.join("tokio")).unwrap().remove(0);
        stack.threads = None;
        assert_eq!(of(&stack).threads, "--workers that serve, and --pool that block on the store");
        stack.bridged = Vec::new();
        assert_eq!(of(&stack).threads, "--workers");
        stack.threads = Some("one for each connection".to_owned());
        assert_eq!(of(&stack).threads, "one for each connection");
    }
}
