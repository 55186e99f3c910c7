//! `stackbench doctor`, on whatever machine this is.

use std::net::TcpListener;

use crate::harness::{Bench, stackbench};

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
    let (_, lines) = lines(&[]);
    for pair in lines.windows(2).filter(|pair| pair[0].starts_with("bad   ") || pair[0].starts_with("note  ")) {
        assert!(pair[1].starts_with("      "), "{pair:?}");
    }
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
