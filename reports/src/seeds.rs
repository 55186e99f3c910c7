//! What the published studies say that scenarios reproduce: their figures, beside ours, with their sources.
//!
//! Nothing here was measured by this project. Each study is a file of `reports/seeds/`, in a closed format of its own, and
//! part of the program; figures that follow from others are not stored but computed.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use crate::row::Mode;

/// Name and version of the format of a file of `seeds/`.
pub const SCHEMA: &str = "stackbench-seed/1";

/// The files.
const FILES: [&str; 2] =
    [include_str!("../seeds/django-workers-cache.json"), include_str!("../seeds/watermark-jobs.json")];

/// Milliseconds of a second.
const MS_PER_S: f64 = 1e3;

/// A published study.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// [`SCHEMA`].
    pub schema: String,
    /// Its name: that of its file.
    pub name: String,
    /// What was measured, for a heading.
    pub title: String,
    /// Where it is published.
    pub origin: Origin,
    /// The machine in its own words; null where it states none.
    pub machine: Option<String>,
    /// What made the load.
    pub tool: Tool,
    /// How that was called.
    pub command: String,
    /// The scenario whose requests do the same work; null where none does.
    pub same_work: Option<SameWork>,
    /// What a reader of its figures has to know.
    pub note: String,
    /// Its figures, in the order of the publication.
    pub figures: Vec<Published>,
}

/// Where a study is published.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// URL of the repository.
    pub repository: String,
    /// File in it.
    pub path: String,
    /// A commit that has the file as it was read.
    pub commit: String,
    /// SPDX identifier of the repository's licence; null where none was found.
    pub licence: Option<String>,
}

/// What made a study's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// wrk, whose mean latencies cannot be checked: it adds latencies that it did not measure, and leaves out those above
    /// its timeout.
    Wrk,
}

/// A scenario that asks for the same work.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SameWork {
    /// Its name.
    pub scenario: String,
    /// In which sense, and where not.
    pub words: String,
}

/// What is published of one model under one request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// What was measured: a server and its model of concurrency.
    pub model: String,
    /// Request's name.
    pub request: String,
    /// Mode; null where the study has none.
    pub mode: Option<Mode>,
    /// Connections of the load.
    pub connections: u32,
    /// Answers of any status per second.
    pub requests_per_sec: f64,
    /// Mean latency as printed, in milliseconds.
    pub latency_mean_ms: f64,
    /// Errors by kind; `status` are answers of a status above 399.
    pub errors: BTreeMap<String, u64>,
}

impl Published {
    /// c/X, connections over rate, in milliseconds: the mean time between two requests of a connection, which by Little's
    /// law is the mean latency of a closed loop that waits for nothing else.
    pub fn latency_by_rate_ms(&self) -> f64 {
        f64::from(self.connections) / self.requests_per_sec * MS_PER_S
    }
}

/// All studies.
pub fn all() -> &'static [Study] {
    static STUDIES: LazyLock<Vec<Study>> = LazyLock::new(|| {
        FILES.iter().map(|text| serde_json::from_str(text).expect("a test has read every one of them")).collect()
    });
    &STUDIES
}

/// The studies whose requests do the same work as a scenario's.
pub fn beside(scenario: &str) -> Vec<&'static Study> {
    let is_same = |study: &&Study| study.same_work.as_ref().is_some_and(|same| same.scenario == scenario);
    all().iter().filter(is_same).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_read_and_is_what_the_format_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        let mut files: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort_unstable();
        let names: Vec<String> = all().iter().map(|study| format!("{}.json", study.name)).collect();
        assert_eq!(files, names);
        for study in all() {
            assert_eq!(study.schema, SCHEMA);
            assert!(!study.figures.is_empty());
            assert!(study.figures.iter().all(|figure| figure.requests_per_sec > 0.0 && figure.connections > 0));
        }
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused() {
        let text = FILES[0].replacen("\"model\"", "\"latency_by_rate_ms\": 1, \"model\"", 1);
        let error = serde_json::from_str::<Study>(&text).unwrap_err().to_string();
        assert!(error.contains("unknown field `latency_by_rate_ms`"), "{error}");
    }

    #[test]
    fn the_mean_that_a_rate_implies_is_computed() {
        let gevent = &beside("cache")[0].figures[0];
        assert_eq!((gevent.model.as_str(), gevent.connections), ("gunicorn, gevent", 2000));
        assert!((gevent.latency_by_rate_ms() - 75.02).abs() < 0.01, "{}", gevent.latency_by_rate_ms());
        // What was printed beside it says 10 ms more.
        assert!((gevent.latency_mean_ms - 84.83).abs() < 1e-9);
    }

    #[test]
    fn only_the_scenario_that_asks_for_the_same_work_has_a_study_beside_it() {
        let names: Vec<&str> = beside("cache").iter().map(|study| study.name.as_str()).collect();
        assert_eq!(names, ["django-workers-cache"]);
        assert!(beside("cache-nodelay").is_empty() && beside("cache-rate").is_empty());
    }

    #[test]
    fn the_study_of_the_server_models_is_there_whole() {
        let study = beside("cache")[0];
        assert_eq!(study.figures.len(), 14);
        let timeouts: u64 = study.figures.iter().filter_map(|figure| figure.errors.get("timeout")).sum();
        assert_eq!(timeouts, 317 + 177 + 322 + 28 + 93);
    }
}
