//! Writing the result file.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::cli::{Options, VERSION_LINE};
use crate::latency::Distribution;
use crate::outcome::{Outcome, encode, hdr_of};
use crate::result::{ClientVerdict, Histograms, LoadModel, LoadResult, LoadShape, SCHEMA};

/// The file cannot be written.
#[derive(Debug, Error)]
#[error("stackload: --json {}: {reason}", path.display())]
pub struct Unwritable {
    path: PathBuf,
    reason: io::Error,
}

/// A result file in the making, under a name of its own until it is whole: readers never see half of one.
#[derive(Debug)]
pub struct ResultFile {
    path: PathBuf,
    draft_path: PathBuf,
    draft: File,
}

impl ResultFile {
    /// Creates the draft beside the final place, so that a folder that cannot be written is found out before the run.
    pub fn create(path: &Path) -> Result<Self, Unwritable> {
        let refuse = |reason| Unwritable { path: path.to_owned(), reason };
        let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
            return Err(refuse(io::Error::from(io::ErrorKind::IsADirectory)));
        };
        let draft_path = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
        let draft = File::create(&draft_path).map_err(refuse)?;
        Ok(Self { path: path.to_owned(), draft_path, draft })
    }

    /// Writes the result and gives the file its name.
    pub fn write(mut self, result: &LoadResult) -> Result<(), Unwritable> {
        let mut write = || -> io::Result<()> {
            let mut text = serde_json::to_vec(result)?;
            text.push(b'\n');
            self.draft.write_all(&text)?;
            self.draft.sync_data()?;
            fs::rename(&self.draft_path, &self.path)
        };
        write().map_err(|reason| Unwritable { path: self.path.clone(), reason })
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        // Gone already if it was renamed.
        let _ = fs::remove_file(&self.draft_path);
    }
}

/// The whole account of a run.
pub fn assemble(
    options: &Options,
    command: Vec<String>,
    outcome: &Outcome,
    raw: &Distribution,
    verdict: ClientVerdict,
) -> LoadResult {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let window = &outcome.window;
    LoadResult {
        schema: SCHEMA.to_owned(),
        version: VERSION_LINE.to_owned(),
        command,
        url: options.url_text.clone(),
        load: LoadShape {
            model: LoadModel::Closed,
            threads: options.threads,
            connections: options.connections,
            depth: 1,
            duration_s: seconds(options.duration_ns),
            warmup_s: seconds(options.warmup_ns),
            spread_s: seconds(options.spread_ns),
            timeout_s: seconds(options.timeout_ns),
        },
        window_started_unix_us: window.opened_unix_us,
        window_s: seconds(window.length_ns()),
        requests: outcome.requests,
        requests_total: outcome.requests_total,
        in_flight_at_end: outcome.ages_us.len() as u64,
        bytes: outcome.bytes,
        statuses: outcome.statuses.clone(),
        errors: outcome.errors_total.as_map().clone(),
        latency_us: raw.summary(),
        histograms: Histograms { raw: encode(&hdr_of(raw.counts().iter().copied())), corrected: None },
        censored: outcome.censored(),
        connections: outcome.connections.clone(),
        occupancy: outcome.occupancy,
        per_second: outcome.per_second.clone(),
        event_loop_turn_us: outcome.turns,
        client: window.client,
        watched: window.watched.clone(),
        others_cpu_s: window.others_cpu_s,
        cpus: window.cpus.clone(),
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_draft_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        drop(ResultFile::create(&folder.path().join("a.json")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_unwritable_place_is_named_with_its_flag() {
        for path in ["/nonexistent/a.json", "/proc", "/"] {
            let message = ResultFile::create(Path::new(path)).unwrap_err().to_string();
            assert!(message.starts_with(&format!("stackload: --json {path}: ")), "{message}");
        }
    }
}
