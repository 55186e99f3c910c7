//! Bad input: one clear message that names the file, line or flag and the remedy; exit 2; nothing left running.

use std::{fs, net::TcpListener};

use crate::harness::{Bench, Ran, stackbench};

/// A run that must not begin.
fn refused(ran: &Ran, words: &[&str]) {
    let stderr = ran.stderr();
    assert_eq!(ran.code(), 2, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "`{word}` is not in:\n{stderr}");
    }
    assert!(ran.rows.is_empty());
}

#[test]
fn an_unknown_scenario_is_refused_with_the_names_there_are() {
    refused(&Bench::new().run("cahce", &[]), &["`cahce`", "there are: cache, cache-nodelay"]);
}

#[test]
fn an_unknown_stack_is_refused_with_the_names_there_are() {
    refused(&Bench::new().run("cache", &["--stacks", "tokyo"]), &["--stacks", "`tokyo`", "thread-pool"]);
}

#[test]
fn a_repeat_of_what_is_no_run_is_refused_with_the_folder() {
    let bench = Bench::new();
    let none = bench.path("no-run");
    let output = stackbench().arg("repeat").args([&none, &none]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(&format!("{}/run.json; is this a run directory?", none.display())), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn an_unknown_flag_is_refused() {
    refused(&Bench::new().run("cache", &["--stack", "tokio"]), &["--stack"]);
}

#[test]
fn a_malformed_duration_is_refused_with_its_flag() {
    refused(&Bench::new().run("cache", &["--duration", "10"]), &["--duration", "`10` is not a duration"]);
}

#[test]
fn an_unknown_key_of_a_scenario_is_refused_with_file_line_and_key() {
    let bench = Bench::new();
    let path = bench.scenario("", 10);
    let text = fs::read_to_string(&path).unwrap().replace("timeout =", "timout =");
    refused(&bench.run(&bench.scenario_file(&text), &[]), &["short.toml", "line 12", "timout"]);
}

#[test]
fn an_unknown_key_of_a_stack_is_refused_with_file_line_and_key() {
    let bench = Bench::new();
    fs::write(bench.path("stack.toml"), "[[stack]]\nname = \"x\"\ncolour = \"red\"\n").unwrap();
    let dir = bench.path("").display().to_string();
    refused(&bench.run("cache", &["--stacks-dir", &dir]), &["stack.toml", "line 3", "colour"]);
}

#[test]
fn a_store_that_is_not_there_is_refused_with_its_url() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("redis://127.0.0.1:{port}");
    let bench = Bench::new();
    // Twice: a refused run leaves its folder free for the next attempt.
    for _ in 0..2 {
        refused(&bench.run("cache-nodelay", &["--redis", &url]), &["--redis", &url]);
    }
    assert!(!bench.path("out").exists());
}

#[test]
fn a_store_without_delays_is_refused_where_the_scenario_has_them() {
    refused(&Bench::new().run("cache", &["--redis", "spawn"]), &["--redis spawn", "embedded"]);
}

#[test]
fn a_word_that_is_no_store_is_refused() {
    refused(&Bench::new().run("cache", &["--redis", "memcached"]), &["--redis", "embedded", "spawn"]);
}

#[test]
fn a_run_directory_that_holds_a_run_is_refused_and_kept() {
    let bench = Bench::new();
    fs::create_dir(bench.path("out")).unwrap();
    fs::write(bench.path("out").join("run.json"), "precious").unwrap();
    refused(&bench.run("cache", &[]), &["--out", "run.json"]);
    assert_eq!(fs::read_to_string(bench.path("out").join("run.json")).unwrap(), "precious");
}

#[test]
fn a_run_directory_that_cannot_be_made_is_refused() {
    let bench = Bench::new();
    fs::write(bench.path("file"), "").unwrap();
    let below = bench.path("file/out").display().to_string();
    let output = stackbench().args(["run", "cache", "--out", &below]).output().unwrap();
    refused(&bench.ran(output), &["--out", &below]);
}

#[test]
fn too_few_file_descriptors_are_refused_with_the_remedy() {
    let bench = Bench::new();
    let program = env!("CARGO_BIN_EXE_stackbench");
    let line =
        format!("ulimit -n 512 && exec {program} run cache --placement free --out {}", bench.path("out").display());
    let output =
        std::process::Command::new("sh").args(["-c", &line]).current_dir(crate::harness::root()).output().unwrap();
    refused(&bench.ran(output), &["file descriptors", "512", "ulimit"]);
}

#[test]
fn zero_is_refused_wherever_a_number_is_asked_for() {
    for flag in ["--connections", "--trials", "--workers", "--pool"] {
        refused(&Bench::new().run("cache", &[flag, "0"]), &[flag]);
    }
}

#[test]
fn what_no_machine_can_do_is_refused_with_its_flag() {
    for (flag, value) in
        [("--connections", "4294967295"), ("--pool", "99999999"), ("--duration", "9223372036854775807s")]
    {
        refused(&Bench::new().run("cache", &[flag, value]), &[flag]);
    }
}

#[test]
fn a_folder_that_is_no_run_has_no_report() {
    let bench = Bench::new();
    let output = stackbench().arg("report").arg(bench.path("")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("run.json"));
}
