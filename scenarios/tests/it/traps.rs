//! Servers that cheat or break: each is named in its row for what it does, and the run goes on.

use stackbench_reports::row::{Row, Verdict};

use crate::harness::{Bench, traps};

/// Runs one trap in one mode beside a good stack, and returns the trap's row.
fn caught(trap: &str, delays: &str, connections: u32, more: &[&str]) -> Row {
    let bench = Bench::new();
    let scenario = bench.scenario(delays, connections);
    let one_mode = std::fs::read_to_string(&scenario).unwrap().replace("[\"sync\", \"async\"]", "[\"sync\"]");
    let scenario = bench.scenario_file(&one_mode);
    let (stacks, traps) = (format!("{trap},tokio"), traps());
    let options: Vec<&str> = ["--stacks", &stacks, "--stacks-dir", &traps].iter().chain(more).copied().collect();
    let ran = bench.run(&scenario, &options);
    assert_eq!(ran.rows.len(), 2, "{}\n{}", ran.stdout(), ran.stderr());
    let (trapped, others): (Vec<Row>, Vec<Row>) = ran.rows.iter().cloned().partition(|row| row.stack == trap);
    assert_eq!(others[0].error, None, "the others go on");
    let failed = trapped[0].verdict == Verdict::Failed;
    assert_eq!(ran.code(), i32::from(failed), "a failed row is exit 1");
    assert!(ran.stdout().contains(trap));
    trapped.into_iter().next().unwrap()
}

fn fails(trap: &str, delays: &str, words: &[&str]) {
    let row = caught(trap, delays, 20, &[]);
    assert_eq!(row.verdict, Verdict::Failed, "{}", row.reason);
    let error = row.error.expect("a failed row says why");
    for word in words {
        assert!(error.contains(word), "`{word}` is not in `{error}`");
    }
    assert_eq!(row.requests, 0, "a failed row has no figures");
}

#[test]
fn a_server_that_never_asks_the_store_is_named() {
    fails("no-store", "", &["answers without touching the store"]);
}

#[test]
fn a_server_that_answers_before_the_store_does_is_named() {
    fails("early-answer", "", &["answers before the store does"]);
}

#[test]
fn a_server_that_stops_asking_the_store_after_verification_is_named_by_the_store_s_counters() {
    fails("late-cheat", "", &["answers without touching the store", "set at the store"]);
}

#[test]
fn a_server_that_begins_to_answer_early_after_verification_is_named_by_its_latency() {
    let row = caught("late-early", "set = \"20ms\"", 20, &[]);
    assert_eq!(row.verdict, Verdict::Impossible, "{:?} {}", row.error, row.reason);
    assert!(row.reason.contains("answers before the store does"), "{}", row.reason);
}

#[test]
fn a_server_that_serves_16_connections_and_starves_the_rest_is_named() {
    let row = caught("starve", "", 2000, &["--duration", "2s"]);
    assert_eq!(row.verdict, Verdict::Starved, "{:?} {}", row.error, row.reason);
    assert!(row.reason.contains("serves 16 of 2000 connections and starves 1984"), "{}", row.reason);
    assert_eq!(row.never_answered, 1984);
    assert!(row.occupancy > 0.9, "starvation does not show in the occupancy: {}", row.occupancy);
}

#[test]
fn answers_with_another_body_or_status_are_named() {
    for (trap, word) in [("wrong-body", "unexpected-body"), ("wrong-length", "unexpected-body"), ("errors", "status")] {
        let row = caught(trap, "", 20, &[]);
        assert_eq!(row.verdict, Verdict::Errors, "{trap}: {:?} {}", row.error, row.reason);
        assert!(row.reason.contains(word), "{trap}: {}", row.reason);
    }
}

#[test]
fn a_server_that_dies_under_load_is_a_row_with_its_exit_status_and_last_words() {
    fails("dies", "", &["exit status: 3", "was one too many"]);
}

#[test]
fn a_server_that_does_not_start_is_a_row_with_its_last_words() {
    fails("no-start", "", &["before it listened", "this trap never starts"]);
}

#[test]
fn a_server_that_never_gets_ready_is_a_row() {
    fails("never-ready", "", &["/check did not answer 200"]);
}

#[test]
fn a_server_that_ignores_sigterm_is_named_and_killed() {
    fails("ignores-sigterm", "", &["ignored SIGTERM"]);
}

#[test]
fn a_server_that_prints_without_end_is_measured_and_its_log_is_bounded() {
    let row = caught("chatter", "", 20, &[]);
    assert_ne!(row.verdict, Verdict::Failed, "{:?}", row.error);
}
