//! The stacks, as far as ownership is concerned. Whether their files are right is for the harness to say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;

/// The folder of the built programs, as `stack.toml` names it.
const BIN: &str = "{bin}/";

/// A stack with a Rust package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    pub name: String,
    /// Where its `stack.toml` lies.
    pub folder: PathBuf,
    /// All stacks of that folder.
    pub siblings: Vec<String>,
    pub package: String,
    /// The name of its program, which is that of a binary of the package.
    pub program: String,
    /// The command line that prints its version.
    pub version: Vec<String>,
    /// The libraries that make it what it is, if its file names them.
    pub libraries: Vec<String>,
}

#[derive(Deserialize)]
struct StackFile {
    stack: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    package: Option<String>,
    run: Vec<String>,
    version: Vec<String>,
    #[serde(default)]
    libraries: Vec<String>,
}

/// Every stack with a Rust package in the direct subfolders, sorted by folder.
pub fn discover(dir: &Path) -> Result<Vec<Stack>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.retain(|folder| folder.join("stack.toml").is_file());
    folders.sort();
    let mut found = Vec::new();
    for folder in folders {
        found.extend(of_folder(&folder).with_context(|| format!("in {}", folder.join("stack.toml").display()))?);
    }
    Ok(found)
}

fn of_folder(folder: &Path) -> Result<Vec<Stack>> {
    let StackFile { stack } = toml::from_str(&fs::read_to_string(folder.join("stack.toml"))?)?;
    let siblings: Vec<String> = stack.iter().map(|entry| entry.name.clone()).collect();
    let mut found = Vec::new();
    for entry in stack {
        let Some(package) = entry.package else { continue };
        let program = entry.run.first().and_then(|word| word.strip_prefix(BIN));
        let program = program.with_context(|| format!("stack `{}`: run does not begin with {BIN}", entry.name))?;
        found.push(Stack {
            folder: folder.to_owned(),
            siblings: siblings.clone(),
            program: program.to_owned(),
            package,
            name: entry.name,
            version: entry.version,
            libraries: entry.libraries,
        });
    }
    Ok(found)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A stack of that name, alone in its folder.
    pub fn stack(name: &str, folder: &Path) -> Stack {
        Stack {
            name: name.to_owned(),
            folder: folder.to_owned(),
            siblings: vec![name.to_owned()],
            package: format!("stack-{name}"),
            program: format!("stack-{name}"),
            version: Vec::new(),
            libraries: Vec::new(),
        }
    }

    #[test]
    fn stacks_of_other_languages_are_left_out_and_keys_of_others_do_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("two");
        fs::create_dir(&folder).unwrap();
        let text = r#"
            [[stack]]
            name = "t"
            package = "stack-t"
            run = ["{bin}/stack-t", "--listen", "{listen}"]
            version = []
            whatever = 7
            [[stack]]
            name = "django"
            run = ["python3"]
            version = []
        "#;
        fs::write(folder.join("stack.toml"), text).unwrap();
        let found = discover(dir.path()).unwrap();
        let siblings = vec!["t".to_owned(), "django".to_owned()];
        assert_eq!(found, [Stack { siblings, ..stack("t", &folder) }]);
    }

    #[test]
    fn every_stack_of_this_workspace_is_found() {
        let names: Vec<String> =
            discover(&crate::command::root().join("servers")).unwrap().into_iter().map(|stack| stack.name).collect();
        assert!(names.iter().any(|name| name == "tokio") && names.iter().any(|name| name == "null"), "{names:?}");
    }
}
