//! What goes wrong in the course of a window, and what the row says of it.

use std::fs;

use stackbench_reports::row::{FaultEffect, Row, Verdict};

use crate::harness::{Bench, Ran, traps};

/// The short scenario, `/async` only, at 400/s over 2.4 s and what these faults add to that.
fn with_faults(bench: &Bench, faults: &[&str]) -> String {
    let text = fs::read_to_string(bench.scenario("", 20)).unwrap();
    let open = text
        .replace("model = \"closed\"", "model = \"open\"\nrate = 400")
        .replace("500ms", "2400ms")
        .replace("[\"sync\", \"async\"]", "[\"async\"]");
    let faults: String = faults.iter().map(|fault| format!("[[steps.fault]]\n{fault}\n")).collect();
    bench.scenario_file(&open.replace("[[request]]", &format!("{faults}[[request]]")))
}

/// A run of one stack under these faults.
fn under(stack: &str, faults: &[&str]) -> Ran {
    let bench = Bench::new();
    let ran = bench.run(&with_faults(&bench, faults), &["--stacks", stack, "--stacks-dir", &traps()]);
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout(), ran.stderr());
    ran
}

/// The row of a step.
fn at(ran: &Ran, step: u32) -> &Row {
    ran.rows.iter().find(|row| row.step == Some(step)).unwrap()
}

/// What the fault of the only step did.
fn effect(ran: &Ran) -> FaultEffect {
    let [row] = &ran.rows[..] else { panic!("one row: {}", ran.stdout()) };
    row.fault.unwrap_or_else(|| panic!("no effect: {row:?}"))
}

/// How much is asked in the window after the fault, at the least: Poisson arrivals, five standard deviations off.
const ASKED: u64 = 600;

#[test]
fn while_the_store_is_paused_requests_wait_and_none_is_lost() {
    let ran = under("tokio", &["what = \"store-paused\"\nat = \"500ms\"\nlasting = \"400ms\""]);
    let effect = effect(&ran);
    assert!(effect.from_s > 0.3 && effect.to_s - effect.from_s >= 0.4, "{effect:?}");
    assert_eq!((effect.lost, effect.unavailable, effect.unexpected), (0, 0, 0));
    // Of what came from the pause on, more than one in a hundred had waited for most of it.
    assert!(effect.p99_us_during.unwrap() > 200_000, "{effect:?}");
    assert!(effect.p99_us_before.unwrap() < 200_000, "{effect:?}");
    assert!(ran.stdout().contains("store paused for 400ms: what it did"), "{}", ran.stdout());
}

#[test]
fn while_the_store_is_killed_requests_are_answered_503_and_afterwards_as_before() {
    let ran = under("tokio", &["what = \"store-killed\"\nat = \"500ms\"\nlasting = \"300ms\""]);
    let (effect, row) = (effect(&ran), &ran.rows[0]);
    assert!(effect.unavailable > 0 && effect.lost == 0, "{effect:?}");
    assert_ne!(row.verdict, Verdict::Errors, "refusing is what is asked for: {}", row.reason);
    assert!(row.requests > effect.unavailable + effect.unexpected + ASKED, "{} answers, {effect:?}", row.requests);
    assert_eq!(row.store.cpu_s, 0.0, "of a store that came and went the cost is not known");
}

#[test]
fn a_server_that_drops_connections_when_the_store_fails_loses_requests_and_that_is_named() {
    let ran = under("drops", &["what = \"store-killed\"\nat = \"500ms\"\nlasting = \"300ms\""]);
    let (effect, row) = (effect(&ran), &ran.rows[0]);
    assert!(effect.lost > 0, "{effect:?}");
    assert_eq!(row.verdict, Verdict::Errors, "{}", row.reason);
    assert!(row.reason.contains("× eof") || row.reason.contains("× read"), "{}", row.reason);
}

#[test]
fn a_store_that_hangs_up_errs_or_is_slow_costs_answers_at_most() {
    let ran = under(
        "thread-pool",
        &[
            "what = \"store-connections-killed\"\nat = \"500ms\"",
            "what = { store-errors = \"50%\" }\nat = \"500ms\"\nlasting = \"500ms\"",
            "what = { store-slower = \"100ms\" }\nat = \"500ms\"\nlasting = \"500ms\"",
        ],
    );
    let [killed, errors, slower] = [0, 1, 2].map(|step| at(&ran, step).fault.unwrap());
    for effect in [killed, errors, slower] {
        assert_eq!((effect.lost, effect.unexpected), (0, 0), "{effect:?}");
    }
    // Half of two hundred.
    assert!((50..=150).contains(&errors.unavailable), "{errors:?}");
    assert_eq!(slower.unavailable, 0);
    assert!(slower.p99_us_during.unwrap() >= 100_000, "{slower:?}");
    assert!(killed.to_s - killed.from_s < 0.3, "it takes no time of its own: {killed:?}");
}

#[test]
fn an_overload_offers_what_is_missing_to_the_share_of_the_maximum() {
    let faults = ["what = \"maximum\"", "what = { overload = \"150%\" }\nat = \"500ms\"\nlasting = \"500ms\""];
    let ran = under("sleeps", &faults);
    // Twenty connections, each busy for 20 ms with a request.
    let most = at(&ran, 0).requests_per_sec;
    let beside = at(&ran, 1).fault.unwrap().beside.unwrap();
    assert_eq!(beside.offered_per_sec, (1.5 * most - 400.0).round());
    assert!(beside.requests_per_sec > 0.0 && beside.lost == 0, "{beside:?}");
    assert!(ran.stdout().contains("offered/s"), "{}", ran.stdout());
}

#[test]
fn handlers_that_are_held_and_clients_that_hardly_read_hold_up_nobody_else() {
    let ran = under(
        "tokio",
        &[
            "what = { held-handlers = \"10%\" }\nat = \"500ms\"\nlasting = \"500ms\"",
            "what = { slow-readers = 20 }\nat = \"500ms\"\nlasting = \"500ms\"",
        ],
    );
    let [held, slow] = [0, 1].map(|step| at(&ran, step).fault.unwrap());
    let beside = held.beside.unwrap();
    assert_eq!(beside.offered_per_sec, 40.0);
    assert!(beside.p99_us >= 50_000, "the second client's requests are those that are held: {beside:?}");
    assert_eq!((held.lost, beside.lost, slow.lost), (0, 0, 0));
}

#[test]
fn a_fault_that_the_store_cannot_play_is_left_out_and_that_is_said() {
    let bench = Bench::new();
    let faults = ["what = \"nothing\"", "what = { store-errors = \"1%\" }\nat = \"1s\"\nlasting = \"1s\""];
    let ran = bench.run(&with_faults(&bench, &faults), &["--stacks", "thread-pool", "--redis", "spawn", "--no-aa"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let left_out = "left out, because --redis spawn cannot do it: 1 % store errors for 1s";
    assert!(ran.stdout().contains(left_out), "{}", ran.stdout());
    assert_eq!(ran.rows.len(), 1);
}

#[test]
fn a_window_that_is_too_short_for_its_faults_is_refused_before_anything_is_measured() {
    let bench = Bench::new();
    let scenario = with_faults(&bench, &["what = \"store-paused\"\nat = \"1s\"\nlasting = \"1s\""]);
    let refused = bench.run(&scenario, &["--stacks", "may", "--duration", "800ms"]);
    assert_eq!(refused.code(), 2);
    let error = refused.stderr();
    assert!(error.contains("at = 1s must leave time before it and after it, within load.duration (800ms)"), "{error}");
    assert!(error.contains("with the options of the command line"), "{error}");
}
