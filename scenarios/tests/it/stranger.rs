//! What servers/README.md promises under "Add a stack", done as it says: a folder is copied under a new name into a
//! tree of its own, built, and is then listed, checked and measured. No other file is touched.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use stackbench_reports::row::{Row, Verdict};

use crate::harness::{Bench, programs, root};

/// The stack that is copied: with few libraries, because all of them are compiled here once more.
const COPIED: &str = "thread-pool";
/// What the copy is called.
const NAME: &str = "stranger";
/// What a tree is made of. The rest is documents, tools and results.
const TREE: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "client",
    "reports/Cargo.toml",
    "reports/src",
    "scenarios",
    "servers",
    "xtask",
    "rustfmt.toml",
];
/// Folders that others put beside sources: builds and virtual environments.
const LEFT_OUT: [&str; 3] = ["target", ".venv", "node_modules"];
/// Twelve times what a check takes on a quiet machine: tests run beside each other.
const BUDGET: &str = "120s";
/// A build to be tested and not measured: quick to make.
const QUICK_BUILD: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "none"),
];

/// A copy of the workspace, and the folder its programs lie in.
struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Made anew each time. What was compiled of other people's crates is kept for the next time.
    fn copy() -> Self {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join(NAME);
        let tree = Self { root: base.join("tree"), target: base.join("target") };
        if tree.root.exists() {
            fs::remove_dir_all(&tree.root).unwrap();
        }
        for entry in TREE {
            copy(&root().join(entry), &tree.root.join(entry)).unwrap_or_else(|error| panic!("{entry}: {error}"));
        }
        tree
    }

    fn bin(&self) -> PathBuf {
        self.target.join("release")
    }

    fn stackbench(&self) -> Command {
        let mut command = Command::new(self.bin().join("stackbench"));
        command.current_dir(&self.root);
        command
    }

    /// Every file of the tree with its contents; the lock file, which cargo writes, apart.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.root, &mut files).unwrap();
        files.remove(&self.root.join("Cargo.lock"));
        files
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if !LEFT_OUT.iter().any(|left_out| name == *left_out) {
            copy(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

fn collect(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(())
}

/// Steps 1 and 2: copy a folder; name the package and the stack.
fn new_folder(tree: &Tree) {
    let folder = tree.root.join("servers").join(NAME);
    copy(&tree.root.join("servers").join(COPIED), &folder).unwrap();
    for file in ["Cargo.toml", "stack.toml"] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        fs::write(folder.join(file), text.replace(COPIED, NAME)).unwrap();
    }
}

/// Step 4: build it. Cargo enters the new package in the lock file by itself.
fn build(tree: &Tree) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&tree.root).args(["build", "--release", "--bins", "--offline", "--package"]);
    command.arg(format!("stack-{NAME}")).env("CARGO_TARGET_DIR", &tree.target).envs(QUICK_BUILD);
    good(&command.output().unwrap());
    // The harness and its programs are those of the other tree, and lie beside the new one.
    let others = ["stackload", "fake-redis", "stack-null"].map(|program| programs().join(program));
    for program in others.iter().map(PathBuf::as_path).chain([Path::new(env!("CARGO_BIN_EXE_stackbench"))]) {
        fs::copy(program, tree.bin().join(program.file_name().unwrap())).unwrap();
    }
}

fn good(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

#[test]
fn a_stack_copied_under_a_new_name_is_listed_checked_and_measured_without_touching_another_file() {
    let tree = Tree::copy();
    new_folder(&tree);
    let before = tree.files();
    build(&tree);

    let listed = good(&tree.stackbench().arg("list").output().unwrap());
    assert!(listed.contains(&format!("  {NAME} ")), "{listed}");

    let checked = tree.stackbench().args(["check", "--stacks", NAME, "--budget", BUDGET]).output().unwrap();
    assert!(good(&checked).contains(&format!("{NAME}: ok: ")));

    let bench = Bench::new();
    let scenario = bench.scenario("", 20);
    let mut run = tree.stackbench();
    run.args(["run", &scenario, "--stacks", &format!("{NAME},null"), "--placement", "free", "--out"]);
    let ran = bench.ran(run.arg(bench.path("out")).output().unwrap());
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let rows: Vec<&Row> = ran.rows.iter().filter(|row| row.stack == NAME).collect();
    assert_eq!(rows.len(), 2, "sync and async");
    assert!(rows.iter().all(|row| row.verdict != Verdict::Failed && row.requests > 0));
    assert!(ran.stdout().contains(NAME));

    assert!(tree.files() == before, "no other file was touched");
}
