//! The files that a run leaves: each is a function of the result.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use thiserror::Error;

use crate::censored::decode;
use crate::cli::Options;
use crate::result::LoadResult;
use crate::spectrum::spectrum;
use crate::verdict::kind_name;

/// What a file looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The whole result.
    Json,
    /// A table of one row.
    Csv,
    /// The percentile spectrum.
    Hgrm,
    /// One JSON object a second.
    Ndjson,
}

impl Format {
    /// The flag that asks for it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Json => "--json",
            Self::Csv => "--csv",
            Self::Hgrm => "--hgrm",
            Self::Ndjson => "--ndjson",
        }
    }

    fn render(self, result: &LoadResult) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Json => {
                let mut text = serde_json::to_vec(result)?;
                text.push(b'\n');
                Ok(text)
            }
            Self::Csv => csv(result),
            Self::Hgrm => {
                let histograms = &result.histograms;
                let latencies = decode(histograms.corrected.as_ref().unwrap_or(&histograms.raw))?;
                Ok(spectrum(&latencies).into_bytes())
            }
            Self::Ndjson => ndjson(result),
        }
    }
}

fn csv(result: &LoadResult) -> anyhow::Result<Vec<u8>> {
    let latency = result.latency_corrected_us.unwrap_or(result.latency_us);
    let errors: u64 = result.errors.values().sum();
    let per_request = |value: f64| if result.requests == 0 { 0.0 } else { value / result.requests as f64 };
    let columns = [
        ("url", result.url.clone()),
        ("threads", result.load.threads.to_string()),
        ("connections", result.load.connections.to_string()),
        ("offered_per_s", result.schedule.map(|schedule| schedule.rate_to.to_string()).unwrap_or_default()),
        ("window_s", result.window_s.to_string()),
        ("requests", result.requests.to_string()),
        ("requests_per_s", (result.requests as f64 / result.window_s).to_string()),
        ("bytes", result.bytes.to_string()),
        ("errors", errors.to_string()),
        ("in_flight_at_end", result.in_flight_at_end.to_string()),
        ("unsent", result.censored.unsent.to_string()),
        ("latency", if result.latency_corrected_us.is_some() { "corrected" } else { "raw" }.to_owned()),
        ("mean_us", latency.mean.to_string()),
        ("p50_us", latency.p50.to_string()),
        ("p75_us", latency.p75.to_string()),
        ("p90_us", latency.p90.to_string()),
        ("p99_us", latency.p99.to_string()),
        ("p999_us", latency.p999.to_string()),
        ("max_us", latency.max.to_string()),
        ("occupancy", result.occupancy.to_string()),
        ("client_cpu_us_per_request", per_request(result.client.cpu_s * 1e6).to_string()),
        ("verdict", kind_name(result.verdict.kind)),
    ];
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(columns.each_ref().map(|(name, _)| *name))?;
    table.write_record(columns.each_ref().map(|(_, value)| value.as_str()))?;
    table.into_inner().context("flushing into memory")
}

fn ndjson(result: &LoadResult) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    for (number, second) in result.per_second.iter().enumerate() {
        let latencies = decode(&second.latency)?;
        let at = |quantile| if latencies.is_empty() { 0 } else { latencies.value_at_quantile(quantile) };
        let line = json!({
            "second": number,
            "requests": second.requests,
            "bytes": second.bytes,
            "errors": second.errors,
            "p50_us": at(0.5),
            "p90_us": at(0.9),
            "p99_us": at(0.99),
            "max_us": at(1.0),
        });
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// A file cannot be written.
#[derive(Debug, Error)]
#[error("stackload: {} {}: {reason}", format.flag(), path.display())]
pub struct Unwritable {
    format: Format,
    path: PathBuf,
    reason: io::Error,
}

/// All files that were asked for.
#[derive(Debug)]
pub struct Outputs(Vec<(Format, PathBuf)>);

impl Outputs {
    /// Makes sure before the run that they can be written.
    pub fn create(options: &Options) -> Result<Self, Unwritable> {
        for (format, path) in &options.outputs {
            // Creates its draft and takes it away again: a script may end the program at any time.
            drop(Draft::create(path).map_err(|reason| Unwritable { format: *format, path: path.clone(), reason })?);
        }
        Ok(Self(options.outputs.clone()))
    }

    /// Writes them. One that cannot be written keeps none of the others from it.
    pub fn write(self, result: &LoadResult) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for (format, path) in self.0 {
            let written = format.render(result).and_then(|bytes| {
                let write = Draft::create(&path).and_then(|draft| draft.write(&bytes));
                write.map_err(|reason| Unwritable { format, path, reason }.into())
            });
            outcome = outcome.and(written);
        }
        outcome
    }
}

/// A file in the making, under a name of its own until it is whole: readers never see half of one. What is no regular
/// file, as `/dev/stdout`, a pipe or a link, is written as it is: it must not be replaced.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
    draft_path: Option<PathBuf>,
    draft: File,
}

impl Draft {
    /// Creates it beside the final place.
    fn create(path: &Path) -> io::Result<Self> {
        let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        };
        let path = path.to_owned();
        if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            let draft = File::options().write(true).open(&path)?;
            return Ok(Self { path, draft_path: None, draft });
        }
        let draft_path = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
        let draft = File::create(&draft_path)?;
        Ok(Self { path, draft_path: Some(draft_path), draft })
    }

    /// Writes the content and gives the file its name.
    fn write(mut self, content: &[u8]) -> io::Result<()> {
        if self.draft_path.is_none() && self.draft.metadata()?.is_file() {
            // What a link leads to may have been longer.
            self.draft.set_len(0)?;
        }
        self.draft.write_all(content)?;
        let Some(draft_path) = &self.draft_path else { return Ok(()) };
        self.draft.sync_data()?;
        fs::rename(draft_path, &self.path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already if it was renamed.
        let _ = self.draft_path.as_ref().map(fs::remove_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_draft_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        drop(Draft::create(&folder.path().join("a.json")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_regular_file_is_written_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "long before").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        Draft::create(&link).unwrap().write(b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_unwritable_place_is_named_with_its_flag_before_the_run() {
        for (flag, path) in [("--json", "/nonexistent/a.json"), ("--csv", "/proc"), ("--hgrm", "/")] {
            let options = crate::cli::parse([flag, path, "http://h/"].map(Into::into)).unwrap();
            let message = Outputs::create(&options).unwrap_err().to_string();
            assert!(message.starts_with(&format!("stackload: {flag} {path}: ")), "{message}");
        }
    }
}
