//! The run directory: made once, appended to, never overwritten.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    fs::{FallocateFlags, fallocate},
    io::{Errno, retry_on_intr},
};
use serde::Serialize;
use signal_hook::consts::SIGXFSZ;
use stackbench_reports::{
    dir::{ROWS_FILE as ROWS, RUN_FILE as META},
    row::Row,
};

use crate::machine;

/// Room that a run directory must have left for a failed trial to be the stack's fault and not the disk's: more than the
/// files of any trial take, two logs of a megabyte among them.
const ROOM_BYTES: u64 = 8 * 1024 * 1024;

/// An open run directory, which nobody else can open for writing.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// The directory itself, locked. The kernel takes the lock back when the harness is gone, however it went.
    _lock: File,
    /// None until the run has begun, so that a run refused at its start leaves a folder that can be used again.
    rows: Option<File>,
    /// Whether the folder was made for this run.
    is_new: bool,
}

impl RunDir {
    /// Makes the directory with what belongs in it.
    ///
    /// # Errors
    /// When it holds a run already, belongs to a run under way, or cannot be written; the message says which, and the flag
    /// that helps.
    pub fn create(path: &Path) -> Result<Self> {
        let is_new = !path.exists();
        let make = |dir: &Path| {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}; is --out writable?", dir.display()))
        };
        make(path)?;
        // Children have other working directories, and are given paths into this one.
        let lock = locked(path).context("--out")?;
        for name in [META, ROWS] {
            ensure!(
                !path.join(name).exists(),
                "--out {0}: there is a run in it already ({name}); name another folder, or finish it with --resume {0}",
                path.display()
            );
        }
        make(&path.join("raw"))?;
        make(&path.join("logs"))?;
        Ok(Self { path: path.canonicalize()?, _lock: lock, rows: None, is_new })
    }

    /// Opens the directory of a run that is to be resumed. Nothing in it changes before [`resume`](Self::resume).
    ///
    /// # Errors
    /// When there is no such directory, or its run is under way.
    pub fn reopen(path: &Path) -> Result<Self> {
        let lock = locked(path).context("--resume")?;
        Ok(Self { path: path.canonicalize()?, _lock: lock, rows: None, is_new: false })
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the run has begun, or gone on.
    pub fn has_begun(&self) -> bool {
        self.rows.is_some()
    }

    /// Begins the run: from here on there is something to keep.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn begin(&mut self, meta: &impl Serialize) -> Result<()> {
        survive_size_limits()?;
        self.write_meta(meta).context("is --out writable?")?;
        let path = self.path.join(ROWS);
        let rows = OpenOptions::new().create_new(true).append(true).open(&path);
        self.rows = Some(rows.with_context(|| format!("cannot write {}", path.display()))?);
        sync_names(&self.path);
        Ok(())
    }

    /// Goes on with the run: what follows the first `whole` bytes of its rows, a row that was cut off, is dropped.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn resume(&mut self, meta: &impl Serialize, whole: u64) -> Result<()> {
        survive_size_limits()?;
        self.write_meta(meta)?;
        let path = self.path.join(ROWS);
        let rows = OpenOptions::new().create(true).append(true).open(&path);
        let rows = rows.and_then(|rows| rows.set_len(whole).map(|()| rows));
        self.rows = Some(rows.with_context(|| format!("cannot write {}", path.display()))?);
        sync_names(&self.path);
        Ok(())
    }

    /// Writes `run.json`, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_meta(&self, meta: &impl Serialize) -> Result<()> {
        self.write_json(META, meta)
    }

    /// Writes a file of this name, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let (target, draft) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let text = serde_json::to_vec_pretty(value)?;
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(&text)?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        write().with_context(|| format!("cannot write {}", draft.display()))?;
        fs::rename(&draft, &target).with_context(|| format!("cannot write {}", target.display()))?;
        sync_names(&self.path);
        Ok(())
    }

    /// Appends a row and sees it onto the disk, and before it the report it names; the client has seen to its result file.
    ///
    /// # Errors
    /// When it cannot be written; the rows before it are as they were.
    pub fn append(&mut self, row: &Row) -> Result<()> {
        let mut line = serde_json::to_vec(row)?;
        line.push(b'\n');
        if let Some(wrk) = &row.wrk {
            let path = self.path.join(wrk);
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.with_context(|| format!("cannot write {}", path.display()))?;
        }
        sync_names(&self.path.join("raw"));
        let rows = self.rows.as_mut().context("the run has not begun")?;
        let before = rows.metadata()?.len();
        let written = rows.write_all(&line).and_then(|()| rows.sync_data());
        if written.is_err() {
            // Half a row is worth nothing, and in the way of the next.
            let _ = rows.set_len(before);
        }
        written.with_context(|| format!("cannot write {}", self.path.join(ROWS).display()))
    }

    /// Makes sure that there is room for another trial's files. Asked after a failed one, which might be the disk's fault.
    ///
    /// # Errors
    /// Names the file that could not be made, and why.
    pub fn require_room(&self) -> Result<()> {
        let path = self.path.join("raw").join(".room");
        let room = File::create(&path).and_then(|file| {
            match retry_on_intr(|| fallocate(&file, FallocateFlags::empty(), 0, ROOM_BYTES)) {
                // Such a file system cannot be asked.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
                result => Ok(result?),
            }
        });
        let _ = fs::remove_file(&path);
        let what = || format!("there is no room left: cannot write {} of {ROOM_BYTES} bytes", path.display());
        room.with_context(what)
    }
}

/// Sees new names in a folder onto the disk. File systems that do not let folders be synced are left to their own ways.
fn sync_names(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// The directory, locked against every other harness.
fn locked(path: &Path) -> Result<File> {
    let folder = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    ensure!(folder.metadata()?.is_dir(), "{} is no folder", path.display());
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => bail!(
            "{} is locked by another stackbench, whose run is under way there; wait until it has ended, or name another folder",
            path.display()
        ),
        // A file system without locks: its runs are not kept apart, and no worse for it.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(folder),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// A file that may not grow any more is to be an error that names it, and not the end of the program.
fn survive_size_limits() -> io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map(drop)
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

    fn message<T>(result: Result<T>) -> String {
        format!("{:#}", result.err().expect("this is refused"))
    }

    #[test]
    fn a_folder_that_holds_a_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = RunDir::create(dir.path()).unwrap();
        run.begin(&"meta").unwrap();
        drop(run);
        let error = message(RunDir::create(dir.path()));
        assert!(error.contains("run.json") && error.contains("--out") && error.contains("--resume"), "{error}");
    }

    #[test]
    fn a_folder_whose_run_is_under_way_is_refused_until_that_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path()).unwrap();
        for refused in [message(RunDir::create(dir.path())), message(RunDir::reopen(dir.path()))] {
            assert!(refused.contains(&dir.path().display().to_string()) && refused.contains("locked"), "{refused}");
        }
        drop(run);
        assert!(RunDir::create(dir.path()).is_ok());
    }

    #[test]
    fn a_row_that_was_cut_off_is_dropped_when_the_run_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let rows = dir.path().join(ROWS);
        fs::write(&rows, "whole\nhal").unwrap();
        let mut run = RunDir::reopen(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&rows).unwrap(), "whole\nhal", "nothing changes before the run goes on");
        run.resume(&"meta", 6).unwrap();
        assert_eq!(fs::read_to_string(&rows).unwrap(), "whole\n");
    }

    #[test]
    fn a_folder_with_room_says_so_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path()).unwrap();
        run.require_room().unwrap();
        assert_eq!(fs::read_dir(dir.path().join("raw")).unwrap().count(), 0);
        fs::remove_dir(dir.path().join("raw")).unwrap();
        assert!(message(run.require_room()).contains("raw/.room"));
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
