//! `stackbench doctor`, on whatever machine this is.

use std::{net::TcpListener, process::Command};

use crate::harness::{Bench, root, stackbench};

fn lines(more: &[&str]) -> (Option<i32>, Vec<String>) {
    let output = stackbench().arg("doctor").args(more).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text.lines().map(str::to_owned).collect())
}

#[test]
fn the_exit_code_is_1_exactly_when_something_is_bad() {
    let (code, lines) = lines(&[]);
    let is_bad = lines.iter().any(|line| line.starts_with("bad   "));
    assert_eq!(code, Some(i32::from(is_bad)), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("open files: ")), "{lines:?}");
}

#[test]
fn every_finding_that_is_not_ok_is_followed_by_what_mends_it() {
    // Whatever this machine is like, so few open files are bad for every scenario.
    let few = "ulimit -n 500 && exec \"$0\" doctor";
    let program = env!("CARGO_BIN_EXE_stackbench");
    let output = Command::new("sh").args(["-c", few, program]).current_dir(root()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(output.status.code(), Some(1), "{lines:?}");
    let is_wanting = |line: &str| line.starts_with("bad   ") || line.starts_with("note  ");
    let pairs: Vec<&[&str]> = lines.windows(2).filter(|pair| is_wanting(pair[0])).collect();
    for pair in &pairs {
        assert!(pair[1].starts_with("      "), "{pair:?}");
    }
    let open_files = pairs.iter().find(|pair| pair[0].starts_with("bad   open files: 500 are allowed"));
    let [_, remedy] = open_files.unwrap_or_else(|| panic!("{lines:?}")) else { unreachable!("windows of two") };
    assert!(remedy.contains("prlimit") && remedy.contains("--nofile="), "{remedy}");
}

#[test]
fn a_load_of_more_connections_than_there_are_ports_is_bad() {
    let bench = Bench::new();
    let (code, lines) = lines(&[&bench.scenario("", 1_000_000)]);
    assert_eq!(code, Some(1), "{lines:?}");
    for what in ["bad   open files: ", "bad   ports for connections: "] {
        assert!(lines.iter().any(|line| line.starts_with(what)), "{what} is not in {lines:?}");
    }
}

#[test]
fn a_listener_that_is_not_of_the_suite_is_nobody_s_business() {
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let (_, lines) = lines(&[]);
    assert!(!lines.iter().any(|line| line.contains(&format!("port {port})"))), "{lines:?}");
}

#[test]
fn a_scenario_that_is_not_there_is_named() {
    let output = stackbench().args(["doctor", "cash"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && stderr.contains("no scenario is named `cash`"), "{stderr}");
}
