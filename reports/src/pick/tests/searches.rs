//! What a search for capacity says of a need.

use super::*;
use crate::capacity::{
    Ended, Search, SetBy,
    tests::{capacity, search},
};

/// A search whose trials are these: rate, latencies in milliseconds, and who is to blame for a miss.
fn searched(bounds: (f64, f64), trials: &[(f64, u64, Option<SetBy>)], need: &str) -> Answer {
    asked_of(
        search("tokio", bounds, &trials.iter().map(|(rate, _, by)| (*rate, *by)).collect::<Vec<_>>()),
        trials,
        need,
    )
}

fn asked_of(search: Search, trials: &[(f64, u64, Option<SetBy>)], need: &str) -> Answer {
    let trial = |(number, (rate, ms, by)): (u32, &(f64, u64, Option<SetBy>))| {
        with(at("tokio", *rate, *ms), |row| {
            (row.step, row.trial) = (None, number);
            row.verdict = if *by == Some(SetBy::Client) { Verdict::ClientLimited } else { Verdict::Ok };
        })
    };
    let run = run((1..).zip(trials).map(trial).collect());
    let need = Need::parse("--need", need).unwrap();
    Pick::of(&run, Some(&capacity(vec![search])), need, &Asked::default()).unwrap().answers.remove(0)
}

const OWN: Option<SetBy> = Some(SetBy::Stack);
/// Met up to 40,000/s; of 50,000/s and more one trial in two was lucky.
const TRIALS: [(f64, u64, Option<SetBy>); 6] =
    [(20e3, 5, None), (40e3, 8, None), (42e3, 30, OWN), (60e3, 7, None), (60e3, 90, OWN), (80e3, 900, OWN)];

#[test]
fn a_rate_up_to_the_lower_bound_is_met_with_the_figures_of_the_nearest_that_was_tried() {
    let answer = searched((40e3, 42e3), &TRIALS, "rate>=15000,p99<20ms,cpu<40us");
    assert_eq!(groups(&answer), "q: tokio");
    assert_eq!(answer.qualifying[0].at.as_ref().unwrap().offered_per_sec, Some(20e3));
    assert_eq!(groups(&searched((40e3, 42e3), &TRIALS, "rate>=40000,p99<20ms")), "q: tokio");
}

#[test]
fn a_rate_above_the_upper_bound_of_the_stack_is_missed_whatever_a_lucky_trial_said() {
    let answer = searched((40e3, 42e3), &TRIALS, "rate>=50000,p99<20ms");
    assert_eq!(groups(&answer), "l: tokio");
    let lacks = "carries 40,000/s (at 42,000/s it misses p99<20ms), needs >= 50,000/s (20.0 % short)";
    assert_eq!(answer.lacking[0].lacks(), lacks);
}

#[test]
fn between_the_bounds_a_search_does_not_tell() {
    let answer = searched((40e3, 42e3), &TRIALS, "rate>=41000,p99<20ms");
    assert_eq!(groups(&answer), "u: tokio");
    assert!(answer.remedies[0].command.contains("--start 41000"), "{:?}", answer.remedies);
}

#[test]
fn an_upper_bound_of_the_client_says_nothing_of_the_stack() {
    let late = [(40e3, 8, None), (42e3, 30, Some(SetBy::Client)), (42e3, 30, Some(SetBy::Client))];
    let answer = searched((40e3, 42e3), &late, "rate>=42000,p99<20ms");
    assert_eq!(groups(&answer), "u: tokio");
    assert!(answer.remedies[0].command.starts_with("stackbench capacity cache"), "{:?}", answer.remedies);
}

#[test]
fn a_need_that_is_stricter_than_the_objective_is_asked_of_the_trials() {
    assert_eq!(groups(&searched((40e3, 42e3), &TRIALS, "rate>=20000,p99<6ms")), "q: tokio");
    assert_eq!(groups(&searched((40e3, 42e3), &TRIALS, "rate>=40000,p99<6ms")), "l: tokio");
    let looser = searched((40e3, 42e3), &TRIALS, "rate>=42000,p99<50ms");
    assert_eq!(groups(&looser), "q: tokio", "the objective was missed there, and the need is not");
}

#[test]
fn a_search_that_failed_is_a_stack_that_did() {
    let mut failed = search("tokio", (40e3, 42e3), &[(40e3, None)]);
    (failed.ended, failed.error) = (Ended::Failed, Some("the server was killed".to_owned()));
    let answer = asked_of(failed, &[(40e3, 5, None)], "rate>=20000,p99<20ms");
    assert_eq!(answer.lacking[0].lacks(), "failed: the server was killed");
}
