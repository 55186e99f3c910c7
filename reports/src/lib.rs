//! Result files to tables: pure functions of a run directory.
//!
//! # Layout
//! - [`row`]: one trial of one cell, as a line of `rows.jsonl`.
//! - [`run`]: what held for the whole run, as `run.json`; [`machine`] is the part of it about the machine.
//! - [`dir`]: a run directory, read back; damaged lines are named and skipped.
//! - [`latency`]: the client's histograms, merged over trials.
//! - [`stats`]: what several trials say (intervals, paired ratios, many comparisons).
//! - [`summary`]: trials to cells (medians, ranges or intervals, the worst verdict).
//! - [`noise`]: by how much two names of one stack differ; [`places`]: which stacks differ by more.
//! - [`cells`]: all cells of a run in one list, for formats that are no tables of stacks.
//! - [`standing`]: these with their places; [`command`] is how the command lines of their trials are written.
//! - [`seeds`]: what is published by others, to stand beside.
//! - [`table`]: cells to tables (order, places, notes), panel by panel ([`panel`]), and what stands above them
//!   ([`heading`]).
//! - [`seconds`]: what each trial's window looked like from inside; [`wrk`]: what the load client printed of it.
//! - [`wall`]: how much of a run's time was beyond its measuring.
//! - [`repeat`]: two runs of the same, and whether they say the same; [`compare`]: two runs of anything, cell by cell;
//!   [`differing`]: in what two runs differ.
//! - [`capacity`]: searches for the highest rate that each stack carries within an objective.
//! - [`page`]: a run as one HTML file.
//! - [`pick`]: which stacks meet a need, and what the others lack.
//! - [`card`]: what a reader should know of a stack besides its figures; [`ownership`] is the measured part of it.
//! - [`format`]: how they are drawn; [`number`] is how figures are written.
//! - [`splice`]: the newest table, put into a document between two comments.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

pub mod capacity;
pub mod card;
pub mod cells;
pub mod command;
pub mod compare;
pub mod differing;
pub mod dir;
pub mod format;
pub mod heading;
pub mod latency;
pub mod machine;
pub mod noise;
pub mod number;
pub mod ownership;
pub mod page;
pub mod panel;
pub mod pick;
pub mod places;
pub mod repeat;
pub mod row;
pub mod run;
#[cfg(test)]
mod sample;
pub mod seconds;
pub mod seeds;
pub mod splice;
pub mod standing;
pub mod stats;
pub mod summary;
pub mod table;
pub mod wall;
pub mod wrk;

pub use capacity::Capacity;
pub use dir::{LoadError, Run, RunDir};
use format::FORMATS;
pub use format::Format;
pub use row::Row;
pub use run::RunMeta;
use seconds::Seconds;

/// The files [`render`] makes, and how each is drawn.
const FILES: &[(&str, Format)] = &[
    ("report.md", Format::Markdown),
    ("report.html", Format::Html),
    ("summary.csv", Format::Csv),
    ("summary.json", Format::Json),
    ("curves.csv", Format::Curves),
    ("seconds.csv", Format::Seconds),
];

/// … and the one that is made from the client's wrk reports …
const WRK_FILE: &str = "wrk.md";
/// … with the name of its format; the others are in [`format::FORMATS`].
const WRK: &str = "wrk";

/// What a format makes of a run directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drawn {
    /// All of it.
    pub text: String,
    /// What could not be read, and is not in it.
    pub warnings: Vec<String>,
}

/// A run's tables for a terminal of 120 columns.
pub fn terminal(run: &Run) -> String {
    Format::Terminal.draw(run, &Seconds::default())
}

/// A run's tables in GitHub's Markdown.
pub fn markdown(run: &Run) -> String {
    Format::Markdown.draw(run, &Seconds::default())
}

/// Makes (again) every file of a run directory that can be made from the others, and returns what was read, so that the
/// caller need not read it again.
///
/// # Errors
/// When the directory is no run, or a file in it cannot be written.
pub fn render(dir: &Path) -> Result<Run> {
    let (mut run, seconds) = RunDir::load_with_seconds(dir)?;
    let searches = capacity::load(dir)?;
    let draw = |format: &Format| match &searches {
        None => format.draw(&run, &seconds),
        // Of a search there is nothing but its table.
        Some(found) => format.draw_capacity(found, &run, &seconds).unwrap_or_default(),
    };
    let drawn = FILES.iter().map(|(name, format)| (*name, draw(format)));
    let reports = if searches.is_none() { wrk::draw(dir, &run) } else { Drawn::default() };
    // A run without steps has no curves, and one that was ended at once no seconds and no reports.
    for (name, text) in drawn.chain([(WRK_FILE, reports.text)]).filter(|(_, text)| !text.is_empty()) {
        write_whole(&dir.join(name), text.as_bytes())?;
    }
    run.warnings.extend(reports.warnings);
    Ok(run)
}

/// A run directory in a format, searches for capacity as such.
///
/// # Errors
/// When the directory is no run, or is none that this format draws.
pub fn draw(dir: &Path, format: Format) -> Result<Drawn> {
    let (run, seconds) = RunDir::load_with_seconds(dir)?;
    let text = match capacity::load(dir)? {
        None => format.draw(&run, &seconds),
        Some(found) => format.draw_capacity(&found, &run, &seconds).context(OF_RUNS_ONLY)?,
    };
    Ok(Drawn { text, warnings: run.warnings })
}

/// A run directory in the format of this name.
///
/// # Errors
/// As [`draw`]; and when no format has this name, which lists those there are.
pub fn draw_named(dir: &Path, name: &str) -> Result<Drawn> {
    if name == WRK {
        return draw_wrk(dir);
    }
    let Some(format) = Format::named(name) else {
        let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).chain([WRK]).collect();
        bail!("--format: no format is named `{name}`; there are: {}", names.join(", "));
    };
    draw(dir, format)
}

fn draw_wrk(dir: &Path) -> Result<Drawn> {
    let run = RunDir::load_rows(dir)?;
    ensure!(capacity::load(dir)?.is_none(), OF_RUNS_ONLY);
    let Drawn { text, warnings } = wrk::draw(dir, &run);
    ensure!(!text.is_empty(), "--format: no trial of this run has a wrk report");
    Ok(Drawn { text, warnings: [run.warnings, warnings].concat() })
}

/// Said of formats that show cells: the trials of a search are none.
const OF_RUNS_ONLY: &str = "--format: this is a search for capacity, which text, md, html and seconds show; its bounds as \
                             JSON are in its capacity.json";

/// Readers see the old file or the new one, never half of one. Who may read and write it stays as it was.
fn write_whole(path: &Path, contents: &[u8]) -> Result<()> {
    let unfinished = path.with_added_extension("tmp");
    let write = || -> Result<()> {
        fs::write(&unfinished, contents).with_context(|| format!("cannot write {}", unfinished.display()))?;
        if let Ok(old) = fs::metadata(path) {
            fs::set_permissions(&unfinished, old.permissions())
                .with_context(|| format!("cannot set the permissions of {}", unfinished.display()))?;
        }
        fs::rename(&unfinished, path)
            .with_context(|| format!("cannot rename {} to {}", unfinished.display(), path.display()))
    };
    write().inspect_err(|_| _ = fs::remove_file(&unfinished))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A run directory of one trial with its wrk report, and without its result file.
    fn dir() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let row = Row { wrk: Some("1.wrk.txt".to_owned()), raw: Some("1.json".to_owned()), ..sample::row("tokio") };
        fs::write(dir.path().join(dir::RUN_FILE), serde_json::to_string(&sample::meta()).unwrap()).unwrap();
        fs::write(dir.path().join(dir::ROWS_FILE), serde_json::to_string(&row).unwrap() + "\n").unwrap();
        fs::write(dir.path().join("1.wrk.txt"), "Running 4s test @ x\nRequests/sec:  10000.00\n").unwrap();
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn rendering_makes_the_reports_and_leaves_nothing_else() {
        let dir = dir();
        let run = render(dir.path()).unwrap();
        let made = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(made("report.md"), markdown(&run));
        for (name, format) in [("summary.csv", "csv"), ("summary.json", "json"), ("wrk.md", "wrk")] {
            assert_eq!(made(name), draw_named(dir.path(), format).unwrap().text);
        }
        assert_eq!(
            names(dir.path()),
            [
                "1.wrk.txt",
                "report.html",
                "report.md",
                "rows.jsonl",
                "run.json",
                "summary.csv",
                "summary.json",
                "wrk.md"
            ]
        );
    }

    #[test]
    fn rendering_again_makes_the_same_files() {
        let dir = dir();
        let made = || {
            render(dir.path()).unwrap();
            names(dir.path()).into_iter().map(|name| fs::read(dir.path().join(name)).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(made(), made());
    }

    #[test]
    fn what_is_damaged_is_named_by_every_format_and_the_rest_is_there() {
        let dir = dir();
        let path = dir.path().join(dir::ROWS_FILE);
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"scenario\": 7}\n").unwrap();
        for (name, _) in FORMATS {
            let drawn = draw_named(dir.path(), name).unwrap();
            let [row, raw] = [&drawn.warnings[0], &drawn.warnings[1]];
            assert!(
                row.contains("rows.jsonl:2: column") && raw.contains("1.json: No such file"),
                "{name}: {row} {raw}"
            );
        }
        fs::remove_file(dir.path().join("1.wrk.txt")).unwrap();
        let wrk = draw_named(dir.path(), WRK).unwrap();
        assert!(wrk.warnings.iter().any(|warning| warning.contains("rows.jsonl:2")), "{:?}", wrk.warnings);
        assert!(wrk.warnings.iter().any(|warning| warning.contains("1.wrk.txt: No such file")), "{:?}", wrk.warnings);
        let warnings = render(dir.path()).unwrap().warnings;
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(names(dir.path()).contains(&"summary.csv".to_owned()));
    }

    #[test]
    fn an_unknown_format_is_refused_with_those_there_are() {
        let error = draw_named(dir().path(), "pdf").unwrap_err().to_string();
        assert_eq!(
            error,
            "--format: no format is named `pdf`; there are: text, md, html, csv, json, curves, seconds, builds, wrk"
        );
    }

    #[test]
    fn a_run_without_wrk_reports_says_so() {
        let dir = dir();
        fs::write(dir.path().join(dir::ROWS_FILE), "").unwrap();
        let error = draw_named(dir.path(), WRK).unwrap_err().to_string();
        assert_eq!(error, "--format: no trial of this run has a wrk report");
    }
}
