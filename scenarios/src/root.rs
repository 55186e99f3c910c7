//! Where things are: the workspace, and the programs built from it.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// The workspace's two landmarks.
const LANDMARKS: [&str; 2] = ["servers", "scenarios"];

/// The workspace and its programs.
#[derive(Debug, Clone)]
pub struct Places {
    /// The workspace's root.
    pub root: PathBuf,
    /// The folder of this very program, where the others lie too.
    pub bin: PathBuf,
}

impl Places {
    /// Looks for the workspace from the working directory upwards, then from this program upwards.
    ///
    /// # Errors
    /// When neither lies in a workspace.
    pub fn find() -> Result<Self> {
        let program = env::current_exe().context("where is this program?")?;
        let bin = program.parent().context("a program lies in a folder")?.to_owned();
        let here = env::current_dir().context("where is the working directory?")?;
        let is_root =
            |dir: &&Path| LANDMARKS.iter().all(|name| dir.join(name).is_dir()) && dir.join("Cargo.toml").is_file();
        let root = here.ancestors().find(is_root).or_else(|| bin.ancestors().find(is_root));
        let root =
            root.context("run stackbench inside its workspace: no folder above holds servers/ and scenarios/")?;
        Ok(Self { root: root.to_owned(), bin })
    }

    /// Makes sure that a program of the workspace is built.
    ///
    /// # Errors
    /// Names it and the command that builds it.
    pub fn require(&self, program: &str) -> Result<()> {
        ensure!(
            self.bin.join(program).is_file(),
            "{} is not built; run: cargo build --release --workspace --bins --locked",
            self.bin.join(program).display()
        );
        Ok(())
    }
}
