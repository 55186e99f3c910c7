//! `stackbench compare` from outside: what it prints, refuses, and by which code it exits. The runs are one that is kept in the
//! tree and copies of it with other figures.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use crate::harness::{Bench, root, stackbench};

/// A copy of the kept run: three trials each of thread-pool, which is sound, and tokio, which is not. `change` is made to
/// each row, `machine` to the run.
fn copy(bench: &Bench, name: &str, change: impl Fn(&mut Value), machine: impl Fn(&mut Value)) -> PathBuf {
    let (kept, dir) = (root().join("reports/tests/runs/result-1"), bench.path(name));
    fs::create_dir_all(dir.join("raw")).unwrap();
    for file in fs::read_dir(kept.join("raw")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.join("raw").join(file.file_name())).unwrap();
    }
    let mut meta: Value = serde_json::from_slice(&fs::read(kept.join("run.json")).unwrap()).unwrap();
    meta["started"] = format!("2026-11-22T10:00:00Z, {name}").into();
    machine(&mut meta);
    fs::write(dir.join("run.json"), meta.to_string()).unwrap();
    let rows = fs::read_to_string(kept.join("rows.jsonl")).unwrap();
    let changed = rows.lines().map(|line| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        change(&mut row);
        format!("{row}\n")
    });
    fs::write(dir.join("rows.jsonl"), changed.collect::<String>()).unwrap();
    dir
}

fn untouched(_: &mut Value) {}

/// What a request costs thread-pool, so many times.
fn dearer(times: f64) -> impl Fn(&mut Value) {
    move |row| {
        if row["stack"] == "thread-pool" {
            for field in ["cpu_us_per_request", "cpu_s"] {
                row["server"][field] = (row["server"][field].as_f64().unwrap() * times).into();
            }
        }
    }
}

struct Compared {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn compare(a: &Path, b: &Path, options: &[&str]) -> Compared {
    let Output { status, stdout, stderr } = stackbench().arg("compare").args([a, b]).args(options).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Compared { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

#[test]
fn a_run_that_says_the_same_exits_with_0() {
    let bench = Bench::new();
    let (a, b) = (copy(&bench, "a", untouched, untouched), copy(&bench, "b", untouched, untouched));
    let Compared { code, stdout, stderr } = compare(&a, &b, &["--threshold", "5%"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("within noise") && stdout.contains("Nothing does by more than noise."), "{stdout}");
    assert!(stdout.contains("tokio: impossible in A (answers before the store does"), "{stdout}");
    assert!(stderr.is_empty(), "{stderr}");
}

#[test]
fn a_regression_beyond_the_threshold_exits_with_3_and_names_it() {
    let bench = Bench::new();
    let (a, b) = (copy(&bench, "a", untouched, untouched), copy(&bench, "b", dearer(1.3), untouched));
    let by_default = compare(&a, &b, &[]);
    assert_eq!(by_default.code, Some(0), "{}", by_default.stderr);
    assert!(by_default.stdout.contains("dearer"), "{}", by_default.stdout);
    for share in ["10%", "0.1"] {
        let Compared { code, stdout, stderr } = compare(&a, &b, &["--threshold", share]);
        assert_eq!(code, Some(3), "{stderr}");
        let named =
            "Regressions beyond 10 %\n───────────────────────\n- cache: cache_hit, async: thread-pool server CPU per";
        assert!(stdout.contains(named), "{stdout}");
        assert_eq!(stderr, "stackbench: 1 regression beyond --threshold 10 %: thread-pool\n");
    }
    let page = compare(&a, &b, &["--format", "html"]).stdout;
    assert!(page.starts_with("<!doctype html>") && page.contains("class=\"worse\">dearer"), "{page}");
    assert_eq!(compare(&a, &b, &["--threshold", "40%"]).code, Some(0));
    assert_eq!(compare(&b, &a, &["--threshold", "10%"]).code, Some(0), "it became cheaper");
}

#[test]
fn a_stack_that_fails_where_it_did_not_exits_with_3_whatever_the_threshold() {
    let bench = Bench::new();
    let fails = |row: &mut Value| {
        if row["stack"] == "thread-pool" {
            (row["verdict"], row["error"]) = ("failed".into(), "it did not start".into());
        }
    };
    let (a, b) = (copy(&bench, "a", untouched, untouched), copy(&bench, "b", fails, untouched));
    assert_eq!(compare(&a, &b, &[]).code, Some(0));
    let Compared { code, stdout, stderr } = compare(&a, &b, &["--threshold", "100%"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stdout.contains("thread-pool is `failed` in B and was not in A: it did not start"), "{stdout}");
}

#[test]
fn another_machine_exits_with_2_unless_it_is_asked_for() {
    let bench = Bench::new();
    let other = |meta: &mut Value| meta["machine"]["cpu_model"] = "Other CPU".into();
    let (a, b) = (copy(&bench, "a", untouched, untouched), copy(&bench, "b", untouched, other));
    let Compared { code, stdout, stderr } = compare(&a, &b, &[]);
    assert_eq!(code, Some(2), "{stderr}");
    for word in ["processor", "AMD EPYC", "Other CPU", "--across-machines"] {
        assert!(stderr.contains(word), "`{word}` is not in:\n{stderr}");
    }
    assert!(stdout.is_empty());
    let asked = compare(&a, &b, &["--across-machines"]);
    assert_eq!(asked.code, Some(0), "{}", asked.stderr);
    assert!(asked.stdout.contains("not made on the same ground"), "{}", asked.stdout);
}

#[test]
fn bad_values_and_folders_exit_with_2_and_name_the_flag_or_the_file() {
    let bench = Bench::new();
    let a = copy(&bench, "a", untouched, untouched);
    for (options, flag) in [
        (["--threshold", "5"], "--threshold"),
        (["--threshold", "much"], "--threshold"),
        (["--figure", "speed"], "--figure"),
        (["--format", "pdf"], "--format"),
    ] {
        let Compared { code, stderr, .. } = compare(&a, &a, &options);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(flag), "{stderr}");
    }
    let none = compare(&a, &bench.path("no-run"), &[]);
    assert_eq!(none.code, Some(2), "{}", none.stderr);
    assert!(none.stderr.contains("no-run/run.json; is this a run directory?"), "{}", none.stderr);
}

#[test]
fn a_search_for_capacity_is_not_held_against_an_ordinary_run() {
    let bench = Bench::new();
    let (a, b) = (copy(&bench, "a", untouched, untouched), copy(&bench, "b", untouched, untouched));
    let search = r#"{"schema": "stackbench-capacity/1", "objective": "p99<20ms", "settings": {"start_per_sec": 5000,
        "least_per_sec": 10, "most_per_sec": 1e6, "precision": 0.05, "confirmations": 3, "trials_max": 48,
        "repeats_max": 12}, "searches": []}"#;
    fs::write(b.join("capacity.json"), search).unwrap();
    let Compared { code, stderr, .. } = compare(&a, &b, &[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("is a search for capacity and") && stderr.contains("compare two of a kind"), "{stderr}");
}

#[test]
fn a_damaged_row_is_named_and_the_others_are_compared() {
    let bench = Bench::new();
    let (a, b) = (copy(&bench, "a", untouched, untouched), copy(&bench, "b", untouched, untouched));
    let rows = b.join("rows.jsonl");
    fs::write(&rows, format!("{}{{\"scenario\": 7}}\n", fs::read_to_string(&rows).unwrap())).unwrap();
    let Compared { code, stdout, stderr } = compare(&a, &b, &["--threshold", "5%"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("b/rows.jsonl:7: "), "{stderr}");
    assert!(stdout.contains("within noise"), "{stdout}");
}
