//! Scenarios that offer a rate.

use std::fs;

use stackbench_reports::{
    RunDir,
    row::{Offered, Row, Verdict},
};

use crate::harness::{Bench, Ran, traps};

/// The short scenario, `/sync` only, at these rates.
fn offering(bench: &Bench, rates: &str) -> String {
    let text = fs::read_to_string(bench.scenario("", 10)).unwrap();
    let steps = format!("[steps]\nrate = {rates}\n[run]");
    let text = text.replace("model = \"closed\"", "model = \"open\"").replace("[run]", &steps);
    bench.scenario_file(&text.replace("[\"sync\", \"async\"]", "[\"sync\"]"))
}

/// The row of a step, and what was offered there.
fn at(ran: &Ran, step: u32, stack: &str) -> (Row, Option<Offered>) {
    let row = ran.rows.iter().find(|row| row.step == Some(step) && row.stack == stack);
    let row = row.unwrap_or_else(|| panic!("step {step}: {}\n{}", ran.stdout(), ran.stderr()));
    assert_eq!(row.error, None);
    (row.clone(), row.offered)
}

#[test]
fn a_rate_is_offered_to_every_stack_alike_and_a_share_is_one_of_its_own_maximum() {
    let bench = Bench::new();
    let scenario = offering(&bench, "[\"max\", 200, \"10%\"]");
    let ran = bench.run(&scenario, &["--stacks", "thread-pool,null", "--seed", "7"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let (maximum, closed) = at(&ran, 0, "thread-pool");
    assert_eq!(closed, None, "the maximum is that of a closed loop");
    let (row, offered) = at(&ran, 1, "thread-pool");
    let offered = offered.unwrap();
    assert_eq!((offered.per_sec, row.ceiling_per_sec), (200.0, Some(200.0)));
    // Poisson: a hundred due in half a second, give or take five standard deviations.
    assert!((50..=150).contains(&offered.due), "{} due", offered.due);
    assert!(offered.latency_us.p99 >= row.latency_us.p50, "{offered:?}");
    let (_, share) = at(&ran, 2, "thread-pool");
    assert_eq!(share.unwrap().per_sec, (maximum.requests_per_sec / 10.0).round());
    let null: Vec<Option<u32>> = ran.rows.iter().filter(|row| row.stack == "null").map(|row| row.step).collect();
    assert_eq!(null, [Some(0)], "nobody needs to know what null does at a given rate");
    let steps = RunDir::load(&ran.out).unwrap().meta.scenarios[0].steps.clone();
    assert_eq!(steps[2].rate.as_deref(), Some("10 % of its maximum"));
    assert!(ran.stdout().contains("p99 latency from the due instants"), "{}", ran.stdout());
}

#[test]
fn a_rate_that_a_stack_cannot_carry_is_a_row_that_says_what_it_carried() {
    let bench = Bench::new();
    // Ten connections, each busy for 20 ms with a request: five hundred a second, and no more.
    let ran = bench.run(&offering(&bench, "[5000]"), &["--stacks", "sleeps", "--stacks-dir", &traps()]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let (row, offered) = at(&ran, 0, "sleeps");
    let offered = offered.unwrap();
    assert!(offered.unsent > 0 && row.requests < offered.due / 5, "{offered:?}");
    assert!(offered.latency_us.p50 > row.latency_us.p50, "what waits for a connection waits from when it was due");
    // Tests run beside each other: where others used the machine, that is said instead.
    if row.verdict != Verdict::Noisy {
        assert!(row.reason.contains("offered 5000/s, carried "), "{:?}: {}", row.verdict, row.reason);
    }
}

#[test]
fn the_same_instants_are_offered_in_a_block_whoever_is_asked() {
    let bench = Bench::new();
    let ran = bench.run(&offering(&bench, "[300]"), &["--stacks", "thread-pool,smol", "--seed", "41"]);
    let seeds: Vec<&String> = ran
        .rows
        .iter()
        .flat_map(|row| row.commands["client"].iter().filter(|word| word.starts_with("--seed=")))
        .collect();
    assert_eq!(seeds, ["--seed=42", "--seed=42"], "{}", ran.stderr());
}
