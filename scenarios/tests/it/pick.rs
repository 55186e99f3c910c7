//! `stackbench pick` from outside: what its exit code says, of run directories that were written by hand.

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};

use crate::harness::{Bench, root, stackbench};

/// A run of closed loops that is kept in the tree.
const KEPT: &str = "reports/tests/runs/result-1";

/// A run directory with one trial of each stack, made from the first row of the kept run: the stack's name, what was
/// offered per second, and whether it was carried.
fn write(dir: &Path, trials: &[(&str, f64, bool)]) {
    let kept = root().join(KEPT);
    fs::create_dir_all(dir.join("raw")).unwrap();
    fs::copy(kept.join("run.json"), dir.join("run.json")).unwrap();
    let rows = fs::read_to_string(kept.join("rows.jsonl")).unwrap();
    let row: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    let raw = row["raw"].as_str().unwrap();
    fs::copy(kept.join(raw), dir.join(raw)).unwrap();
    let line = |(stack, per_sec, is_carried): &(&str, f64, bool)| {
        let mut row = row.clone();
        let carried = if *is_carried { *per_sec } else { per_sec / 2.0 };
        (row["stack"], row["verdict"], row["reason"]) = (json!(stack), json!("ok"), json!(""));
        row["requests_per_sec"] = json!(carried);
        row["offered"] = json!({
            "per_sec": per_sec, "due": 4000, "unsent": 0, "is_carried": is_carried, "latency_us": row["latency_us"],
            "lag_us_p50": 1, "lag_us_p99": 2,
        });
        row.to_string() + "\n"
    };
    fs::write(dir.join("rows.jsonl"), trials.iter().map(line).collect::<String>()).unwrap();
}

fn pick(dir: &Path, need: &str, more: &[&str]) -> Output {
    stackbench().arg("pick").arg(dir).args(["--need", need]).args(more).output().unwrap()
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_stack_that_qualifies_is_named_in_the_first_line_and_the_exit_code_is_0() {
    let bench = Bench::new();
    write(&bench.path("run"), &[("tokio", 1000.0, true), ("thread-pool", 1000.0, false)]);
    let output = pick(&bench.path("run"), "rate>=1000,p99<1s", &[]);
    let text = shown(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("1 of 2 stacks qualifies; it is tokio at "), "{text}");
    assert!(text.contains("thread-pool (1,000/s offered): carries 500/s"), "{text}");
    let markdown = shown(&pick(&bench.path("run"), "rate>=1000,p99<1s", &["--format", "md"]));
    assert!(markdown.starts_with("# stackbench: who meets `rate>=1000,p99<1s`?\n"), "{markdown}");
}

#[test]
fn that_none_qualifies_or_that_it_cannot_be_told_is_exit_code_1_with_the_command_that_would_tell() {
    let bench = Bench::new();
    write(&bench.path("run"), &[("tokio", 1000.0, true)]);
    let none = pick(&bench.path("run"), "rate>=1000,p99<1us", &[]);
    assert_eq!(none.status.code(), Some(1), "{}", shown(&none));
    assert!(shown(&none).starts_with("None of 1 stack qualifies; the nearest is tokio: p99 "), "{}", shown(&none));
    let untold = pick(&bench.path("run"), "rate>=2000,p99<1s", &[]);
    assert_eq!(untold.status.code(), Some(1), "{}", shown(&untold));
    assert!(shown(&untold).contains("--objective 'p99<1s' --start 2000 --stacks tokio"), "{}", shown(&untold));
}

#[test]
fn the_command_that_is_printed_is_one_that_is_understood() {
    let bench = Bench::new();
    write(&bench.path("run"), &[("tokio", 1000.0, true)]);
    let text = shown(&pick(&bench.path("run"), "rate>=2000,p99<1s", &[]));
    let line = text.lines().find(|line| line.trim_start().starts_with("stackbench capacity")).unwrap();
    let words = line.split_whitespace().skip(1).map(|word| word.trim_matches('\''));
    // What a search refuses once it has understood all that stands before: nothing is measured.
    let output = stackbench().args(words).args(["--resume", "dir"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("cannot be resumed"), "{}", shown(&output));
}

#[test]
fn a_need_that_makes_no_sense_is_refused_with_the_flag_and_the_condition() {
    let bench = Bench::new();
    write(&bench.path("run"), &[("tokio", 1000.0, true)]);
    for (need, told) in [
        ("rate>=0", "--need 'rate>=0': everything meets this"),
        ("rate>=1k,p99<1ms,p99>2ms", "'p99<1ms' and 'p99>2ms' contradict each other"),
        ("rate>=1k,latency<1ms", "there is no field `latency`; there are rate, p50"),
        ("p99<1ms", "--need: 'p99<1ms' says nothing without a rate"),
    ] {
        let output = pick(&bench.path("run"), need, &[]);
        assert_eq!(output.status.code(), Some(2), "{need}: {}", shown(&output));
        assert!(shown(&output).contains(told) && output.stdout.is_empty(), "{need}: {}", shown(&output));
    }
}

#[test]
fn a_folder_that_is_no_run_and_a_request_that_there_is_not_are_refused() {
    let bench = Bench::new();
    let output = pick(&bench.path("none"), "rate>=1k", &[]);
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("run.json; is this a run directory?"), "{}", shown(&output));
    write(&bench.path("run"), &[("tokio", 1000.0, true)]);
    let output = pick(&bench.path("run"), "rate>=1k", &["--request", "nothing"]);
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("--request nothing: "), "{}", shown(&output));
}
