//! `stackbench report`: the files and formats of a run that is kept in the tree.

use std::{fs, path::PathBuf, process::Output};

use tempfile::TempDir;

use crate::harness::{root, stackbench};

/// A copy of a run of two stacks, three trials each.
fn run() -> TempDir {
    let kept = root().join("reports/tests/runs/result-1");
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("raw")).unwrap();
    let raw = fs::read_dir(kept.join("raw")).unwrap().map(|entry| entry.unwrap().file_name());
    let files = raw.map(|name| PathBuf::from("raw").join(name));
    for file in files.chain(["run.json", "rows.jsonl"].map(PathBuf::from)) {
        fs::copy(kept.join(&file), dir.path().join(file)).unwrap();
    }
    dir
}

fn report(run: &TempDir, options: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = stackbench().arg("report").arg(run.path()).args(options).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn all_files_of_a_run_are_made_and_are_what_the_formats_print() {
    let run = run();
    let (code, _, stderr) = report(&run, &[]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for (file, format) in [("report.md", "md"), ("summary.csv", "csv"), ("summary.json", "json")] {
        let (code, stdout, stderr) = report(&run, &["--format", format]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{format}");
        assert_eq!(stdout, fs::read_to_string(run.path().join(file)).unwrap(), "{format}");
    }
}

#[test]
fn a_damaged_row_and_a_missing_result_file_are_named_and_the_rest_is_there() {
    let run = run();
    let rows = fs::read_to_string(run.path().join("rows.jsonl")).unwrap();
    fs::write(run.path().join("rows.jsonl"), rows.replacen("\"trial\":1", "\"trial\":\"one\"", 1)).unwrap();
    fs::remove_file(run.path().join("raw/tokio-1.json")).unwrap();
    for options in [&[][..], &["--format", "csv"], &["--format", "json"], &["--format", "md"]] {
        let (code, _, stderr) = report(&run, options);
        assert_eq!(code, Some(0), "{options:?}: {stderr}");
        for named in ["rows.jsonl:1: column", "field `trial`", "raw/tokio-1.json: No such file"] {
            assert!(stderr.contains(named), "{options:?}: {named} is not in {stderr}");
        }
    }
    let lines = fs::read_to_string(run.path().join("summary.csv")).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
}

#[test]
fn a_document_gets_the_table_of_a_run() {
    let run = run();
    let document = run.path().join("README.md");
    fs::write(&document, "# a\n<!-- table -->\nold\n<!-- /table -->\nrest\n").unwrap();
    let (code, _, stderr) = report(&run, &["--splice", document.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let spliced = fs::read_to_string(&document).unwrap();
    assert!(spliced.starts_with("# a\n<!-- table -->\n| server CPU µs per request | HTTP |"), "{spliced}");
    assert!(spliced.contains("\n| tokio | hyper | redis |") && spliced.contains("`stackbench run "), "{spliced}");
    assert!(spliced.ends_with("\n<!-- /table -->\nrest\n") && !spliced.contains("old"), "{spliced}");
}

#[test]
fn what_cannot_be_done_is_refused_and_nothing_is_written() {
    let run = run();
    let document = run.path().join("README.md");
    fs::write(&document, "# a\n<!-- table -->\n").unwrap();
    let splice = ["--splice", document.to_str().unwrap()];
    for (options, told) in [
        (&splice[..], "README.md is as it was: line 2: no line `<!-- /table -->`"),
        (&["--splice", "/no/such.md"], "cannot read /no/such.md"),
        (&["--splice", "a.md", "--format", "md"], "cannot be used with"),
        (&["--format", "pdf"], "there are: text, md, html, csv, json, "),
        (&["--format", "wrk"], "no trial of this run has a wrk report"),
    ] {
        let (code, stdout, stderr) = report(&run, options);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{options:?}");
        assert!(stderr.contains(told), "{options:?}: {stderr}");
    }
    assert_eq!(fs::read_to_string(&document).unwrap(), "# a\n<!-- table -->\n");
}
