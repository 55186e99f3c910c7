//! The run directory: made once, appended to, never overwritten.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use stackbench_reports::{
    dir::{ROWS_FILE as ROWS, RUN_FILE as META},
    row::Row,
};

use crate::machine;

/// An open run directory.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// None until the run has begun, so that a run refused at its start leaves a folder that can be used again.
    rows: Option<File>,
    /// Whether the folder was made for this run.
    is_new: bool,
}

impl RunDir {
    /// Makes the directory with what belongs in it.
    ///
    /// # Errors
    /// When it holds a run already, or cannot be written; the message says which, and the flag that helps.
    pub fn create(path: &Path) -> Result<Self> {
        for name in [META, ROWS] {
            ensure!(
                !path.join(name).exists(),
                "--out {}: there is a run in it already ({name}); name another folder",
                path.display()
            );
        }
        let is_new = !path.exists();
        let make = |dir: &Path| {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}; is --out writable?", dir.display()))
        };
        make(&path.join("raw"))?;
        make(&path.join("logs"))?;
        // Children have other working directories, and are given paths into this one.
        let path = path.canonicalize()?;
        Ok(Self { path, rows: None, is_new })
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins the run: from here on there is something to keep.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn begin(&mut self, meta: &impl Serialize) -> Result<()> {
        let rows = OpenOptions::new().create_new(true).append(true).open(self.path.join(ROWS));
        let rows =
            rows.with_context(|| format!("cannot write {}; is --out writable?", self.path.join(ROWS).display()))?;
        self.rows = Some(rows);
        self.write_meta(meta)
    }

    /// Writes `run.json`, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_meta(&self, meta: &impl Serialize) -> Result<()> {
        let (target, draft) = (self.path.join(META), self.path.join(format!("{META}.new")));
        let mut file = File::create(&draft).with_context(|| format!("cannot write {}", draft.display()))?;
        serde_json::to_writer_pretty(&mut file, meta)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&draft, &target).with_context(|| format!("cannot write {}", target.display()))
    }

    /// Appends a row and sees it onto the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, row: &Row) -> Result<()> {
        let mut line = serde_json::to_vec(row)?;
        line.push(b'\n');
        let rows = self.rows.as_mut().context("the run has not begun")?;
        rows.write_all(&line).and_then(|()| rows.sync_data()).context("cannot append the row")
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Nothing was measured: only the logs of what was tried are in it, and the error has told what they say.
        if self.rows.is_none() && self.is_new {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The folder of a run that names none: `reports/<UTC>-<host>`.
pub fn default_path(root: &Path) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    root.join("reports").join(format!("{now}-{}", machine::host()))
}

/// Points `reports/latest` at a run of the reports folder; others are left alone.
pub fn point_latest(root: &Path, run: &Path) {
    let Some(name) = run.file_name() else { return };
    let reports = root.join("reports");
    if run.parent().and_then(|parent| parent.canonicalize().ok()) != reports.canonicalize().ok() {
        return;
    }
    let (link, draft) = (reports.join("latest"), reports.join(format!(".latest-{}", std::process::id())));
    // A convenience: a run is no worse for lacking it.
    if symlink(name, &draft).is_ok() && fs::rename(&draft, &link).is_err() {
        let _ = fs::remove_file(&draft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_holds_a_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = RunDir::create(dir.path()).unwrap();
        run.begin(&"meta").unwrap();
        let error = RunDir::create(dir.path()).unwrap_err().to_string();
        assert!(error.contains("run.json") && error.contains("--out"), "{error}");
    }

    #[test]
    fn a_run_that_never_began_leaves_no_folder_of_its_own_and_no_rows_in_another_s() {
        let dir = tempfile::tempdir().unwrap();
        drop(RunDir::create(&dir.path().join("new")).unwrap());
        assert!(!dir.path().join("new").exists());
        drop(RunDir::create(dir.path()).unwrap());
        assert!(RunDir::create(dir.path()).is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_refused_with_the_flag() {
        let error = format!("{:#}", RunDir::create(Path::new("/proc/nowhere")).unwrap_err());
        assert!(error.contains("--out"), "{error}");
    }
}
