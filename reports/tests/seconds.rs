//! The seconds of a run: one that is kept in the tree, with seconds put into its result files.

use std::{fs, path::Path};

use serde_json::{Value, json};
use stackbench_reports::{RunDir, row::Row};
use tempfile::TempDir;

/// A run of one trial, whose result file says of each second what this says: answers and errors.
fn run_of(seconds: &[(u64, u64)]) -> (TempDir, Row) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/result-1");
    let rows = fs::read_to_string(kept.join("rows.jsonl")).unwrap();
    let line = rows.lines().next().unwrap();
    let row = Row::parse(line.as_bytes()).unwrap();
    let raw = row.raw.clone().unwrap();
    let mut result: Value = serde_json::from_slice(&fs::read(kept.join(&raw)).unwrap()).unwrap();
    // Each second has the latencies of the whole window.
    let latency = result["histograms"]["raw"].clone();
    let second = |&(requests, errors): &(u64, u64)| json!({ "requests": requests, "bytes": 0, "errors": errors, "latency": latency });
    result["per_second"] = seconds.iter().map(second).collect();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("raw")).unwrap();
    fs::copy(kept.join("run.json"), dir.path().join("run.json")).unwrap();
    fs::write(dir.path().join("rows.jsonl"), line).unwrap();
    fs::write(dir.path().join(raw), result.to_string()).unwrap();
    (dir, row)
}

/// The values of some columns, line by line.
fn columns(csv: &str, names: &[&str]) -> Vec<String> {
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let at = |name: &&str| header.iter().position(|column| column == name).unwrap();
    lines.map(|line| names.iter().map(|name| line[at(name)]).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_second_of_a_trial_is_a_line() {
    let (dir, row) = run_of(&[(700, 0), (650, 3)]);
    let (run, seconds) = RunDir::load_with_seconds(dir.path()).unwrap();
    assert!(run.warnings.is_empty(), "{:?}", run.warnings);
    let csv = seconds.csv(&run.rows);
    assert_eq!(
        columns(&csv, &["stack", "trial", "second", "answers", "errors", "latency_from"]),
        ["thread-pool 1 1 700 0 sent", "thread-pool 1 2 650 3 sent"]
    );
    let window = &run.latencies[&row.raw.unwrap()];
    let p50: Vec<String> = columns(&csv, &["p50_us"]);
    let exact = window.quantile(0.5).unwrap().us;
    assert!((p50[0].parse::<f64>().unwrap() / exact - 1.0).abs() < 0.01, "{} is not about {exact}", p50[0]);
}

#[test]
fn they_are_made_with_the_other_reports() {
    let (dir, _) = run_of(&[(700, 0), (650, 3)]);
    stackbench_reports::render(dir.path()).unwrap();
    let written = fs::read_to_string(dir.path().join("seconds.csv")).unwrap();
    let (run, seconds) = RunDir::load_with_seconds(dir.path()).unwrap();
    assert_eq!(written, seconds.csv(&run.rows));
}

#[test]
fn a_result_file_that_is_gone_is_named_and_the_others_are_there() {
    let (dir, row) = run_of(&[(700, 0)]);
    let gone = Row { trial: 2, raw: Some("raw/gone.json".to_owned()), ..row };
    let rows = dir.path().join("rows.jsonl");
    let text = format!("{}\n{}\n", fs::read_to_string(&rows).unwrap(), serde_json::to_string(&gone).unwrap());
    fs::write(&rows, text).unwrap();
    let (run, seconds) = RunDir::load_with_seconds(dir.path()).unwrap();
    assert_eq!(columns(&seconds.csv(&run.rows), &["trial", "second"]), ["1 1"]);
    assert_eq!(run.warnings.len(), 1);
    assert!(run.warnings[0].contains("raw/gone.json: No such file"), "{:?}", run.warnings);
}
