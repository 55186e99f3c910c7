//! Ceilings, and the comparison of the store's counts with the answers.

use std::{fs, path::Path};

use stackload::result::ErrorKind;

use super::*;
use crate::{stack, verdict::tests::healthy};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn cache() -> Scenario {
    Scenario::load(&root().join("scenarios/cache.toml")).unwrap()
}

/// A stack whose `/sync` holds a blocking connection and whose `/async` does not.
fn tokio() -> Stack {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(root().join("servers/tokio/stack.toml"), dir.path().join("stack.toml")).unwrap();
    stack::discover(dir.path()).unwrap().remove(0)
}

/// Asks something of a trial of `cache_set` (200 ms, 2000 connections) with a pool of so many.
fn of_trial<T>(mode: Mode, pool: u32, null_rate: Option<f64>, ask: impl FnOnce(&Trial) -> T) -> T {
    let mut scenario = cache();
    scenario.server.pool = pool;
    let (stack, version) = (tokio(), Ok(String::new()));
    let request = scenario.requests.iter().find(|request| request.name == "cache_set").unwrap();
    ask(&Trial {
        scenario: &scenario,
        step: None,
        stack: &stack,
        twin: None,
        version: &version,
        request,
        mode,
        block: 1,
        attempt: Attempt::First,
        workers: 1,
        rate: Ok(None),
        beside_rate: None,
        arrival_seed: 7,
        null_rate,
        server_sha256: None,
        weighs_connections: false,
    })
}

fn ceiling(mode: Mode, pool: u32, null_rate: Option<f64>) -> (f64, String) {
    let reports = BTreeMap::from([("set".to_owned(), DelayReport { mean_us: 200_000.0, late_us_p99: 0.0 })]);
    of_trial(mode, pool, null_rate, |trial| {
        let null = trial.null_rate.map(|rate| (rate, "null server"));
        lowest(trial.delay_ceiling(&reports), [None, null])
    })
    .unwrap()
}

#[test]
fn second_names_and_repeated_trials_have_files_of_their_own() {
    let label = |twin, attempt| {
        of_trial(Mode::Async, 16, None, |trial| {
            Trial { twin, attempt, server_sha256: None, rate: Ok(None), ..*trial }.label()
        })
    };
    assert_eq!(label(None, Attempt::First), "cache-tokio-cache_set-async-1");
    assert_eq!(label(Some(2), Attempt::First), "cache-tokio-cache_set-async-1-twin");
    assert_eq!(label(None, Attempt::Again), "cache-tokio-cache_set-async-1-again");
    assert_eq!(label(Some(2), Attempt::Again), "cache-tokio-cache_set-async-1-twin-again");
}

#[test]
fn the_ceiling_is_connections_over_the_measured_delay() {
    assert_eq!(ceiling(Mode::Async, 16, None), (10_000.0, "2000 connections / 200.00 ms".to_owned()));
}

#[test]
fn a_pool_that_is_smaller_than_the_load_lowers_the_ceiling_of_the_mode_that_uses_it() {
    assert_eq!(ceiling(Mode::Sync, 16, None), (80.0, "16 blocking connections / 200.00 ms".to_owned()));
    assert_eq!(ceiling(Mode::Sync, 2000, None).0, 10_000.0);
}

#[test]
fn the_null_server_s_rate_is_the_ceiling_where_it_is_lower() {
    assert_eq!(ceiling(Mode::Async, 16, Some(9_000.0)).0, 9_000.0);
    assert_eq!(ceiling(Mode::Async, 16, Some(90_000.0)).0, 10_000.0);
}

fn compared(counts: &[(&str, u64)], result: LoadResult) -> Result<(), String> {
    let counts = counts.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let measured = Measured { loaded: Loaded { result, played: None }, counts, reports: BTreeMap::new() };
    of_trial(Mode::Async, 16, None, |trial| trial.compare_counts(&measured)).map_err(|error| error.to_string())
}

#[test]
fn counts_between_the_answers_and_the_answers_with_those_in_flight_are_right() {
    // 11 000 answers in all, 20 requests in flight at the end.
    for set in [11_000, 11_010, 11_020] {
        assert_eq!(compared(&[("set", set)], healthy()), Ok(()));
    }
    assert!(compared(&[("set", 10_999)], healthy()).unwrap_err().contains("without touching the store"));
    assert!(compared(&[("set", 11_021)], healthy()).unwrap_err().contains("too often"));
}

#[test]
fn a_command_no_request_implies_is_named() {
    let error = compared(&[("set", 11_000), ("del", 12)], healthy()).unwrap_err();
    assert!(error.contains("12 × del"), "{error}");
}

#[test]
fn an_error_leaves_room_for_the_command_it_may_have_cost_but_an_expected_status_does_not() {
    let with = |kind| LoadResult { errors: BTreeMap::from([(kind, 5)]), ..healthy() };
    assert_eq!(compared(&[("set", 11_025)], with(ErrorKind::Eof)), Ok(()));
    assert!(compared(&[("set", 11_025)], with(ErrorKind::Status)).is_err());
}
