//! Runs that older versions have made. `runs/result-1` is part of a real one, whose result files are of the first version;
//! their lists of seconds and of connections are cut short.

use std::{fs, path::PathBuf};

use stackbench_reports::{RunDir, markdown};
use stackload::result::LoadResult;

fn run_of_first_results() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/runs/result-1")
}

#[test]
fn a_run_whose_result_files_are_of_the_first_version_is_reported_whole() {
    let run = RunDir::load(&run_of_first_results()).unwrap();
    assert!(run.warnings.is_empty(), "{:?}", run.warnings);
    assert_eq!((run.rows.len(), run.latencies.len()), (6, 6));
    let report = markdown(&run);
    let line = report.lines().find(|line| line.contains("| thread-pool | bridged |")).unwrap();
    // The trials' own medians are 84.4, 88.4 and 90.3 ms.
    assert!(line.contains("| 87.2 ms | 105 ms |"), "{line}");
}

#[test]
fn an_unknown_version_is_named_with_those_that_can_be_read() {
    let text = fs::read_to_string(run_of_first_results().join("raw/tokio-1.json")).unwrap();
    assert_eq!(LoadResult::parse(text.as_bytes()).unwrap().censored.unsent, 0);
    let of_version = |version: &str| text.replacen("stackload-result/1", version, 1);
    LoadResult::parse(of_version("stackload-result/2").as_bytes()).unwrap();
    let error = LoadResult::parse(of_version("stackload-result/9").as_bytes()).unwrap_err().to_string();
    let expected = "this is `stackload-result/9`, and this program reads `stackload-result/1`, `stackload-result/2`, \
                    `stackload-result/3`";
    assert_eq!(error, expected);
}

#[test]
fn a_result_file_that_breaks_its_own_format_is_told_where() {
    let text = fs::read_to_string(run_of_first_results().join("raw/tokio-1.json")).unwrap();
    let error = LoadResult::parse(text.replacen("\"url\"", "\"uri\"", 1).as_bytes()).unwrap_err();
    let told = format!("{error:#}");
    assert!(told.starts_with("this is not what `stackload-result/1` says: unknown field `uri`"), "{told}");
    assert!(LoadResult::parse(b"{").is_err());
}
