//! A run directory, read back.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    latency::{self, Observed},
    row::{Row, SCHEMA, Verdict},
    run::RunMeta,
};

/// What held for the whole run.
pub const RUN_FILE: &str = "run.json";
/// One line for each trial.
pub const ROWS_FILE: &str = "rows.jsonl";

/// A run directory's contents, as far as they could be read.
#[derive(Debug, Clone)]
pub struct Run {
    /// What held for the whole run.
    pub meta: RunMeta,
    /// The trials, in the order in which they ended.
    pub rows: Vec<Row>,
    /// The client's distributions, by [`Row::raw`], as far as they could be read.
    pub latencies: BTreeMap<String, Observed>,
    /// What could not be read, each as `file:line: why`. A truncated last line is normal after a kill.
    pub warnings: Vec<String>,
}

/// Why a directory cannot be read as a run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {}; is this a run directory?", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// `run.json` is not what its format says.
    #[error("{} is not what its format says", path.display())]
    Meta {
        /// Which.
        path: PathBuf,
        /// Why, with line and column.
        #[source]
        error: serde_json::Error,
    },
    /// `run.json` has another format, or another version of it.
    #[error("{}: this is `{found}`, and this program reads `{SCHEMA}`", path.display())]
    Schema {
        /// Which.
        path: PathBuf,
        /// What it calls itself.
        found: String,
    },
}

/// Loads run directories.
pub struct RunDir;

impl RunDir {
    /// Reads `run.json`, `rows.jsonl` and the client's result files of a run directory. A damaged row or result file
    /// becomes a warning, because the others are still good; a run without rows is a run that was ended before its
    /// first trial.
    ///
    /// # Errors
    /// When `run.json` is missing or is not one.
    pub fn load(dir: &Path) -> Result<Run, LoadError> {
        let mut run = Self::load_rows(dir)?;
        run.latencies = load_latencies(dir, &run.rows, &mut run.warnings);
        Ok(run)
    }

    /// The same without the client's result files, for what needs no percentiles.
    ///
    /// # Errors
    /// As [`RunDir::load`].
    pub fn load_rows(dir: &Path) -> Result<Run, LoadError> {
        let meta = Self::load_meta(dir)?;
        let path = dir.join(ROWS_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(LoadError::Read { path, error }),
        };
        let (rows, warnings) = parse_rows(&path, &text);
        Ok(Run { meta, rows, latencies: BTreeMap::new(), warnings })
    }

    /// Reads `run.json` alone.
    ///
    /// # Errors
    /// When it is missing or is not one.
    pub fn load_meta(dir: &Path) -> Result<RunMeta, LoadError> {
        /// Read first and alone, so that another version is called that instead of an unknown field.
        #[derive(Deserialize)]
        struct Named {
            schema: String,
        }
        let path = &dir.join(RUN_FILE);
        let text = fs::read(path).map_err(|error| LoadError::Read { path: path.into(), error })?;
        let broken = |error| LoadError::Meta { path: path.into(), error };
        let Named { schema } = serde_json::from_slice(&text).map_err(broken)?;
        if schema != SCHEMA {
            return Err(LoadError::Schema { path: path.into(), found: schema });
        }
        serde_json::from_slice(&text).map_err(broken)
    }
}

fn load_latencies(dir: &Path, rows: &[Row], warnings: &mut Vec<String>) -> BTreeMap<String, Observed> {
    let mut found = BTreeMap::new();
    for raw in rows.iter().filter(|row| row.verdict != Verdict::Failed).filter_map(|row| row.raw.as_ref()) {
        let path = dir.join(raw);
        match latency::load(&path) {
            Ok(latencies) => _ = found.insert(raw.clone(), latencies),
            Err(error) => warnings.push(format!("{}: {error:#}; percentiles are those of the rows", path.display())),
        }
    }
    found
}

/// Bytes, not text: a line cut inside a character must not take the others with it.
fn parse_rows(path: &Path, text: &[u8]) -> (Vec<Row>, Vec<String>) {
    let (mut rows, mut warnings) = (Vec::new(), Vec::new());
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(row) => rows.push(row),
            Err(error) => warnings.push(format!("{}:{}: {}", path.display(), index + 1, without_place(&error))),
        }
    }
    (rows, warnings)
}

/// The parser sees one line at a time and calls each the first.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn write(meta: &RunMeta, rows: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(RUN_FILE), serde_json::to_string_pretty(meta).unwrap()).unwrap();
        fs::write(dir.path().join(ROWS_FILE), rows).unwrap();
        dir
    }

    /// The error with its causes, as the programs print it.
    fn message(result: Result<Run, LoadError>) -> String {
        format!("{:#}", anyhow::Error::new(result.unwrap_err()))
    }

    fn line(stack: &str) -> String {
        serde_json::to_string(&sample::row(stack)).unwrap()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let dir = write(&sample::meta(), &format!("{}\n{}\n", line("tokio"), line("thread-pool")));
        let run = RunDir::load(dir.path()).unwrap();
        assert_eq!(run.meta, sample::meta());
        assert_eq!(run.rows, [sample::row("tokio"), sample::row("thread-pool")]);
        assert!(run.warnings.is_empty());
    }

    #[test]
    fn a_damaged_line_is_named_and_the_others_are_kept() {
        let cut = &line("b")[..100];
        let dir = write(&sample::meta(), &format!("{}\n{{\"scenario\": 7}}\n{}\n{cut}", line("a"), line("c")));
        let run = RunDir::load(dir.path()).unwrap();
        let stacks: Vec<&str> = run.rows.iter().map(|row| row.stack.as_str()).collect();
        assert_eq!(stacks, ["a", "c"]);
        assert_eq!(run.warnings.len(), 2);
        assert!(run.warnings[0].contains("rows.jsonl:2: invalid type"), "{}", run.warnings[0]);
        assert!(run.warnings[1].contains("rows.jsonl:4: EOF"), "{}", run.warnings[1]);
        assert!(!run.warnings[1].contains("line 1"), "{}", run.warnings[1]);
    }

    #[test]
    fn a_missing_result_file_is_named_and_the_row_is_kept() {
        let row = Row { raw: Some("raw/gone.json".to_owned()), ..sample::row("a") };
        let dir = write(&sample::meta(), &serde_json::to_string(&row).unwrap());
        let run = RunDir::load(dir.path()).unwrap();
        assert_eq!(run.rows.len(), 1);
        assert!(run.warnings[0].contains("raw/gone.json: No such file"), "{:?}", run.warnings);
        assert!(RunDir::load_rows(dir.path()).unwrap().warnings.is_empty(), "the rows alone are whole");
    }

    #[test]
    fn a_run_without_rows_is_still_a_run() {
        let dir = write(&sample::meta(), "");
        fs::remove_file(dir.path().join(ROWS_FILE)).unwrap();
        assert!(RunDir::load(dir.path()).unwrap().rows.is_empty());
    }

    #[test]
    fn another_version_of_the_format_is_called_that() {
        let dir = write(&RunMeta { schema: "stackbench-run/9".to_owned(), ..sample::meta() }, "");
        let error = message(RunDir::load(dir.path()));
        assert!(error.contains("run.json") && error.contains("`stackbench-run/9`"), "{error}");
    }

    #[test]
    fn an_unknown_field_of_the_run_is_refused_by_name() {
        let dir = write(&sample::meta(), "");
        let path = dir.path().join(RUN_FILE);
        let text = fs::read_to_string(&path).unwrap().replacen("\"seed\"", "\"sead\": 1, \"seed\"", 1);
        fs::write(&path, text).unwrap();
        let error = message(RunDir::load(dir.path()));
        assert!(error.contains("run.json") && error.contains("sead"), "{error}");
    }

    #[test]
    fn a_folder_that_is_no_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = message(RunDir::load(dir.path()));
        assert!(
            error.ends_with("run.json; is this a run directory?: No such file or directory (os error 2)"),
            "{error}"
        );
    }
}
