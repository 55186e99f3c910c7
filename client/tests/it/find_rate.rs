//! The search for the highest rate.

use std::thread;
use std::time::Duration;

use crate::server::{OK, Server, Then};
use crate::stackload::run;

/// Twenty milliseconds for each answer: a connection carries fifty a second.
fn slow() -> Server {
    Server::start(|peer| {
        thread::sleep(Duration::from_millis(20));
        peer.send(OK);
        Then::Stay
    })
}

/// The bounds in the last line.
fn bounds(stdout: &str) -> (f64, f64) {
    let line = stdout.lines().last().unwrap_or_default();
    let rates: Vec<f64> = line
        .split_whitespace()
        .filter_map(|word| word.trim_end_matches(',').strip_suffix("/s")?.parse().ok())
        .collect();
    let [lower, upper] = rates[..] else { panic!("no bounds: {stdout}") };
    (lower, upper)
}

#[test]
fn the_bounds_lie_around_what_the_server_can_carry() {
    let server = slow();
    let found =
        run(&["-t1", "-c4", "-d400ms", "-R100", "--arrival", "constant", "--find-rate", "p99<10s", &server.url()]);
    assert_eq!(found.code, Some(0), "{}", found.stdout);
    let (lower, upper) = bounds(&found.stdout);
    // Four connections carry two hundred at most; a busy machine makes a sleep longer, and so that less.
    assert!(lower < 215.0 && upper > 20.0 && upper <= lower * 1.06, "{}", found.stdout);
    assert!(found.stdout.contains("  missed: "), "{}", found.stdout);
}

#[test]
fn an_objective_that_no_rate_meets_is_told_with_what_was_seen_instead() {
    let server = slow();
    let found = run(&["-t1", "-c4", "-d100ms", "-R100", "--find-rate", "p50<1us", &server.url()]);
    assert_eq!(found.code, Some(3), "{}", found.stdout);
    assert!(found.stdout.contains("missed: p50<1us: it is 2"), "{}", found.stdout);
    assert!(found.stdout.contains("Highest rate: missed at every rate tried, down to 1/s"), "{}", found.stdout);
}

#[test]
fn what_belongs_to_a_single_run_is_refused_beside_a_search() {
    for flags in [["--json", "/dev/null"], ["--fail-if", "p99>1s"], ["--requests", "5"], ["--ramp", "1:5"]] {
        let refused = run(&[&["--find-rate", "p99<1s"][..], &flags, &["http://127.0.0.1:1/"]].concat());
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("--find-rate makes many runs"), "{}", refused.stderr);
    }
}
