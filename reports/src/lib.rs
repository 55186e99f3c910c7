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
//! - [`table`]: cells to tables (order, places, notes), panel by panel ([`panel`]), and what stands above them
//!   ([`heading`]).
//! - [`seconds`]: what each trial's window looked like from inside.
//! - [`wall`]: how much of a run's time was beyond its measuring.
//! - [`repeat`]: two runs of the same, and whether they say the same.
//! - [`capacity`]: searches for the highest rate that each stack carries within an objective.
//! - [`pick`]: which stacks meet a need, and what the others lack.
//! - [`card`]: what a reader should know of a stack besides its figures; [`ownership`] is the measured part of it.
//! - [`format`]: how they are drawn; [`number`] is how figures are written.

use std::{fs, path::Path};

use anyhow::{Context, Result};

pub mod capacity;
pub mod card;
pub mod cells;
pub mod dir;
pub mod format;
pub mod heading;
pub mod latency;
pub mod machine;
pub mod noise;
pub mod number;
pub mod ownership;
pub mod panel;
pub mod pick;
pub mod places;
pub mod repeat;
pub mod row;
pub mod run;
#[cfg(test)]
mod sample;
pub mod seconds;
pub mod stats;
pub mod summary;
pub mod table;
pub mod wall;

pub use capacity::Capacity;
pub use dir::{LoadError, Run, RunDir};
pub use format::Format;
pub use row::Row;
pub use run::RunMeta;
use seconds::Seconds;

/// The files [`render`] makes, and how each is drawn.
const FILES: &[(&str, Format)] = &[("report.md", Format::Markdown), ("curves.csv", Format::Curves)];

/// … and one that is made from the client's result files alone.
const SECONDS_FILE: &str = "seconds.csv";

/// A run's tables for a terminal of 120 columns.
pub fn terminal(run: &Run) -> String {
    Format::Terminal.draw(run)
}

/// A run's tables in GitHub's Markdown.
pub fn markdown(run: &Run) -> String {
    Format::Markdown.draw(run)
}

/// Makes (again) every file of a run directory that can be made from the others, and returns what was read, so that the
/// caller need not read it again.
///
/// # Errors
/// When the directory is no run, or a file in it cannot be written.
pub fn render(dir: &Path) -> Result<Run> {
    let run = RunDir::load(dir)?;
    let searches = capacity::load(dir)?;
    let draw = |format: &Format| match &searches {
        None => format.draw(&run),
        // Of a search there is nothing but its table.
        Some(found) => format.draw_capacity(found, &run).unwrap_or_default(),
    };
    let drawn = FILES.iter().map(|(name, format)| (*name, draw(format)));
    // What of it could not be read, the run has warned of.
    let seconds = (SECONDS_FILE, Seconds::load(dir)?.csv);
    // A run without steps has no curves, and one that was ended at once no seconds.
    for (name, text) in drawn.chain([seconds]).filter(|(_, text)| !text.is_empty()) {
        write_whole(&dir.join(name), &text)?;
    }
    Ok(run)
}

/// A run directory in a format, searches for capacity as such.
///
/// # Errors
/// When the directory is no run, or is none that this format draws.
pub fn draw(dir: &Path, format: Format) -> Result<String> {
    drawn(&RunDir::load(dir)?, capacity::load(dir)?.as_ref(), format)
}

fn drawn(run: &Run, searches: Option<&Capacity>, format: Format) -> Result<String> {
    let Some(searches) = searches else { return Ok(format.draw(run)) };
    format.draw_capacity(searches, run).context("--format: this is a search for capacity, which text and md show")
}

/// Readers see the old file or the new one, never half of one.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let unfinished = path.with_added_extension("tmp");
    fs::write(&unfinished, text).with_context(|| format!("cannot write {}", unfinished.display()))?;
    fs::rename(&unfinished, path)
        .with_context(|| format!("cannot rename {} to {}", unfinished.display(), path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendering_makes_the_report_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(dir::RUN_FILE), serde_json::to_string(&sample::meta()).unwrap()).unwrap();
        let line = serde_json::to_string(&sample::row("tokio")).unwrap() + "\n";
        fs::write(dir.path().join(dir::ROWS_FILE), line).unwrap();
        let run = render(dir.path()).unwrap();
        let report = fs::read_to_string(dir.path().join("report.md")).unwrap();
        assert_eq!(report, markdown(&run));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
