//! A run directory, read back.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use stackload::result::LoadResult;

use crate::{
    latency::{self, Observed},
    row::{Row, SCHEMA, Verdict},
    run::RunMeta,
    seconds::{Seconds, TrialSeconds},
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
    /// What could not be read and what to do about it, once for each reason: `file:line: why`, or `file:line and 7 more:
    /// why`. A truncated last line is normal after a kill.
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
    #[error("{} is not what its format says{}", path.display(), remedy(made_by.as_deref()))]
    Meta {
        /// Which.
        path: PathBuf,
        /// The revision of the program that wrote it, as far as it tells.
        made_by: Option<String>,
        /// Why, with field, line and column.
        #[source]
        error: serde_path_to_error::Error<serde_json::Error>,
    },
    /// `run.json` has another format, or another version of it.
    #[error("{}: this is `{found}`, and this program reads `{SCHEMA}`{}", path.display(), remedy(made_by.as_deref()))]
    Schema {
        /// Which.
        path: PathBuf,
        /// What it calls itself.
        found: String,
        /// The revision of the program that wrote it, as far as it tells.
        made_by: Option<String>,
    },
}

fn remedy(made_by: Option<&str>) -> String {
    made_by
        .map(|revision| format!("; it was written by the program of revision {revision}: use that"))
        .unwrap_or_default()
}

/// Loads run directories.
pub struct RunDir;

impl RunDir {
    /// Reads `run.json`, `rows.jsonl` and the client's result files of a run directory. A damaged row or result file, or a
    /// second row of a trial, becomes a warning, because the others are still good; a run without rows is a run that was
    /// ended before its first trial.
    ///
    /// # Errors
    /// When `run.json` is missing or is not one.
    pub fn load(dir: &Path) -> Result<Run, LoadError> {
        let mut run = Self::load_rows(dir)?;
        let Run { rows, latencies, warnings, .. } = &mut run;
        read_results(dir, rows, warnings, |row, result| keep_latencies(latencies, row, result));
        Ok(run)
    }

    /// The same with what each trial's window looked like second by second.
    ///
    /// # Errors
    /// As [`RunDir::load`].
    pub fn load_with_seconds(dir: &Path) -> Result<(Run, Seconds), LoadError> {
        let (mut run, mut seconds) = (Self::load_rows(dir)?, Seconds::default());
        let Run { rows, latencies, warnings, .. } = &mut run;
        read_results(dir, rows, warnings, |row, result| {
            keep_latencies(latencies, row, result)?;
            seconds.insert(row.raw.as_deref().unwrap_or_default(), TrialSeconds::of_result(result)?);
            Ok(())
        });
        Ok((run, seconds))
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
        let broken = |error| LoadError::Meta { path: path.into(), made_by: revision(&text), error };
        let Named { schema } = parse(&text).map_err(broken)?;
        if schema != SCHEMA {
            return Err(LoadError::Schema { path: path.into(), found: schema, made_by: revision(&text) });
        }
        parse(&text).map_err(broken)
    }
}

/// Parses JSON; an error knows the field.
fn parse<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(text))
}

/// The revision that a `run.json` of whatever version names.
fn revision(text: &[u8]) -> Option<String> {
    let meta: serde_json::Value = serde_json::from_slice(text).ok()?;
    Some(meta.get("git")?.get("revision")?.as_str()?.to_owned())
}

/// What could not be read: a place for each time, by the reason.
#[derive(Debug, Default)]
struct Warnings(Vec<(String, Vec<String>)>);

impl Warnings {
    fn add(&mut self, place: String, why: String) {
        match self.0.iter_mut().find(|(known, _)| *known == why) {
            Some((_, places)) => places.push(place),
            None => self.0.push((why, vec![place])),
        }
    }

    /// One line for each reason.
    fn lines(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|(why, places)| match places.as_slice() {
            [first, _, ..] => format!("{first} and {} more: {why}", places.len() - 1),
            places => format!("{}: {why}", places.join("")),
        })
    }
}

/// Hands each row's result file to `keep`. A file that cannot be read, or whose contents cannot be kept, is a warning.
fn read_results(
    dir: &Path,
    rows: &[Row],
    warnings: &mut Vec<String>,
    mut keep: impl FnMut(&Row, &LoadResult) -> anyhow::Result<()>,
) {
    let mut unread = Warnings::default();
    for (row, raw) in rows.iter().filter_map(|row| Some((row, row.raw.as_ref()?))) {
        let path = dir.join(raw);
        if let Err(error) = latency::read(&path).and_then(|result| keep(row, &result)) {
            unread.add(path.display().to_string(), format!("{error:#}; it is missing from the percentiles"));
        }
    }
    warnings.extend(unread.lines());
}

/// The answers of a trial that failed are not those that were to be measured.
fn keep_latencies(latencies: &mut BTreeMap<String, Observed>, row: &Row, result: &LoadResult) -> anyhow::Result<()> {
    if let (Some(raw), false) = (&row.raw, row.verdict == Verdict::Failed) {
        latencies.insert(raw.clone(), Observed::of(result)?);
    }
    Ok(())
}

/// Bytes, not text: a line cut inside a character must not take the others with it.
fn parse_rows(path: &Path, text: &[u8]) -> (Vec<Row>, Vec<String>) {
    let (mut rows, mut warnings) = (Vec::new(), Warnings::default());
    let mut slots = HashSet::new();
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let place = format!("{}:{}", path.display(), index + 1);
        match Row::parse(line) {
            Ok(row) if row.repeated || slots.insert(row.slot()) => rows.push(row),
            Ok(row) => {
                warnings.add(place, format!("a second row of {}; it is left out, remove one of the two", row.slot()))
            }
            // Each row is written with its line's end: what has none was cut off, and a resumed run drops it.
            Err(error) if index + 1 == lines.len() => {
                warnings.add(place, format!("{error}; `stackbench run --resume DIR` measures it again"));
            }
            Err(error) => {
                warnings.add(
                    place,
                    format!("{error}; remove the line, and `stackbench run --resume DIR` measures it again"),
                );
            }
        }
    }
    (rows, warnings.lines().collect())
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
        let remedies =
            ["; remove the line, and `stackbench run --resume DIR`", "; `stackbench run --resume DIR` measures"];
        assert!(run.warnings[0].contains("rows.jsonl:2: column"), "{}", run.warnings[0]);
        assert!(run.warnings[1].contains("rows.jsonl:4: column"), "{}", run.warnings[1]);
        for (warning, remedy) in run.warnings.iter().zip(remedies) {
            assert!(warning.contains(remedy) && !warning.contains("line 1"), "{warning}");
        }
    }

    #[test]
    fn a_damaged_row_is_told_with_the_field() {
        let line = serde_json::to_string(&sample::row("a")).unwrap();
        let bad = line.replacen("\"threads\":3", "\"threads\":\"three\"", 1);
        let run = RunDir::load(write(&sample::meta(), &format!("{bad}\n{line}\n")).path()).unwrap();
        assert_eq!(run.rows.len(), 1);
        assert!(
            run.warnings[0].contains("field `server.threads`: invalid type: string \"three\""),
            "{}",
            run.warnings[0]
        );
    }

    #[test]
    fn a_second_row_of_a_trial_is_named_and_left_out() {
        let line = |us: f64, repeated| {
            let mut row = Row { repeated, ..sample::row("a") };
            row.server.cpu_us_per_request = us;
            serde_json::to_string(&row).unwrap()
        };
        let rows = [line(1.0, true), line(2.0, false), line(3.0, false)].join("\n");
        let run = RunDir::load_rows(write(&sample::meta(), &rows).path()).unwrap();
        let costs: Vec<f64> = run.rows.iter().map(|row| row.server.cpu_us_per_request).collect();
        assert_eq!(costs, [1.0, 2.0]);
        let expected = "rows.jsonl:3: a second row of `cache a cache_set async block 1`; it is left out";
        assert!(run.warnings[0].contains(expected), "{:?}", run.warnings);
    }

    #[test]
    fn what_keeps_many_files_from_being_read_is_said_once() {
        let rows = [1, 2, 3].map(|trial| {
            serde_json::to_string(&Row { trial, raw: Some(format!("raw/{trial}.json")), ..sample::row("a") }).unwrap()
        });
        let dir = write(&sample::meta(), &rows.join("\n"));
        let run = RunDir::load(dir.path()).unwrap();
        assert_eq!(run.warnings.len(), 1);
        assert!(run.warnings[0].contains("raw/1.json and 2 more: No such file"), "{:?}", run.warnings);
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
        assert!(error.contains("the program of revision 0123456789abcdef: use that"), "{error}");
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
