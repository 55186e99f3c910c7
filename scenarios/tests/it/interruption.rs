//! Ctrl-C and `kill -9`: rows are kept, and nothing is left running.

use std::{collections::HashSet, fs};

use rustix::process::Signal;

use crate::harness::{Bench, descendants, eventually, finish, is_alive, kill, runs, start, traps};

fn nobody_is_left(pids: &HashSet<u32>) {
    eventually("every process of the run is gone", || pids.iter().all(|pid| !is_alive(*pid)).then_some(()));
}

#[test]
fn ctrl_c_in_a_trial_keeps_the_rows_stops_every_child_and_exits_130() {
    let bench = Bench::new();
    let scenario = bench.scenario("", 10);
    // Sixty trials: the run cannot be over before the signal comes.
    let child = start(bench.command(&scenario, &["--stacks", "tokio", "--trials", "30"]));
    let rows = bench.path("out").join("rows.jsonl");
    eventually("a row", || fs::read_to_string(&rows).ok().filter(|text| text.contains('\n')));
    let pids = eventually("the next trial's client", || {
        let pids = descendants(child.id());
        runs(&pids, "stackload").then_some(pids)
    });
    kill(child.id(), Signal::INT);
    let ran = bench.ran(finish(child));
    assert_eq!(ran.code(), 130, "{}", ran.stderr());
    assert!(!ran.written.is_empty() && ran.rows.len() < 60);
    assert!(ran.stdout().contains("interrupted"), "{}", ran.stdout());
    assert!(ran.out.join("report.md").is_file());
    nobody_is_left(&pids);
}

#[test]
fn a_killed_harness_leaves_no_server_behind_not_even_one_that_forks() {
    let bench = Bench::new();
    let scenario = bench.scenario("", 10);
    let traps = traps();
    let mut child =
        start(bench.command(&scenario, &["--stacks", "forks", "--stacks-dir", &traps, "--duration", "60s"]));
    let pids = eventually("the client, the server and its fork", || {
        let pids = descendants(child.id());
        (runs(&pids, "stackload") && runs(&pids, "stack-traps") && runs(&pids, "sleep")).then_some(pids)
    });
    kill(child.id(), Signal::KILL);
    child.wait().unwrap();
    nobody_is_left(&pids);
}
