//! Cards: what the harness says of a stack, on its command line and in what a run leaves.

use std::fs;

use stackbench_reports::RunDir;

use crate::harness::{Bench, stackbench, traps};

fn cards(stacks: &str) -> String {
    let output = stackbench().args(["list", "--cards", "--stacks-dir", &traps(), "--stacks", stacks]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_card_says_everything_a_reader_should_know() {
    let text = cards("tokio");
    for label in [
        "role",
        "panel",
        "model",
        "threads",
        "HTTP",
        "store client",
        "/sync",
        "/async",
        "version",
        "deviations",
        "notes",
    ] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(label)), "{label}: {text}");
    }
    assert!(text.starts_with("tokio\n") && text.contains("(hyper "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
}

#[test]
fn cards_stand_in_the_order_in_which_they_were_asked_for() {
    let text = cards("null,thread-pool");
    let (null, threads) = (text.find("null\n").unwrap(), text.find("\nthread-pool\n").unwrap());
    assert!(null < threads, "{text}");
}

#[test]
fn a_stack_that_nobody_measured_says_how_to() {
    assert!(cards("no-store").contains("cargo xtask ownership"));
}

#[test]
fn a_run_records_the_cards_and_its_report_shows_them() {
    let bench = Bench::new();
    let run = bench.run(&bench.scenario("", 4), &["--stacks", "null"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let meta = RunDir::load(&run.out).unwrap().meta;
    assert_eq!(meta.stacks[0].card.as_ref().unwrap().threads, "--workers, and one that accepts");
    let report = fs::read_to_string(run.out.join("report.md")).unwrap();
    assert!(report.contains("### Card: null") && report.contains("**threads**: --workers"), "{report}");
}
