//! Tests of what is a regression.

use super::*;

#[test]
fn only_what_is_worse_beyond_noise_and_beyond_the_threshold_is_a_regression() {
    let a = run_of(0, 8, &[row("may", 20.0), row("tokio", 30.0), row("smol", 30.0)]);
    let b = run_of(1, 8, &[row("may", 20.1), row("tokio", 39.0), row("smol", 20.0)]);
    let comparison = compare(&a, &b);
    let stacks = |threshold: f64| {
        comparison.regressions(threshold).into_iter().map(|regression| regression.stack).collect::<Vec<_>>()
    };
    assert_eq!([stacks(0.0), stacks(0.1), stacks(0.29)], [["tokio"], ["tokio"], ["tokio"]]);
    assert!(stacks(0.31).is_empty());
    let words = comparison.regressions(0.1)[0].words();
    let expected = "cache: cache_set, async: tokio server CPU per request is dearer: 30.0 µs → 39.0 µs, B ÷ A 1.300 [";
    assert!(words.starts_with(expected), "{words}");
}

#[test]
fn a_rate_regresses_by_what_it_lost_of_the_baselines() {
    let slower = Row { requests_per_sec: 8_000.0, ..row("tokio", 30.0) };
    let comparison = compare(&run_of(0, 8, &[row("tokio", 30.0)]), &run_of(1, 8, &[slower]));
    assert_eq!(line(&comparison, "tokio", Quantity::Rate).finding, Finding::Worse);
    assert_eq!([comparison.regressions(0.19).len(), comparison.regressions(0.21).len()], [1, 0]);
}

#[test]
fn what_is_no_stack_cannot_regress() {
    let ceiling = |us: f64| Row { role: Role::Ceiling, ..row("null", us) };
    let comparison = compare(&run_of(0, 8, &[ceiling(10.0)]), &run_of(1, 8, &[ceiling(20.0)]));
    assert_eq!(cpu(&comparison, "null"), Finding::Worse);
    assert!(comparison.regressions(0.05).is_empty());
}

#[test]
fn a_stack_that_breaks_is_a_regression_whatever_the_threshold_and_one_that_was_broken_is_not() {
    for verdict in [Verdict::Failed, Verdict::Errors, Verdict::Starved, Verdict::Impossible] {
        let broken = Row { verdict, reason: "it did not answer".to_owned(), ..row("tokio", 30.0) };
        let (sound, broken) = (run_of(0, 1, &[row("tokio", 30.0)]), run_of(1, 1, &[broken]));
        let regressions = compare(&sound, &broken).regressions(1.0);
        let expected = format!("is `{}` in B and was not in A: it did not answer", table::verdict_word(verdict));
        assert_eq!(regressions.iter().map(|regression| &regression.what).collect::<Vec<_>>(), [&expected]);
        assert!(compare(&broken, &sound).regressions(0.0).is_empty());
        assert!(compare(&broken, &broken).regressions(0.0).is_empty());
        let mut elsewhere = broken.clone();
        elsewhere.meta.scenarios[0].connections = 9;
        assert!(compare(&sound, &elsewhere).regressions(0.0).is_empty(), "it was asked for something else");
    }
}

#[test]
fn a_rate_that_most_trials_no_longer_carry_is_a_regression_and_one_disturbed_trial_is_none() {
    let a = run_of(0, 3, &[open("tokio", 20_000, true)]);
    let lost = run_of(1, 3, &[open("tokio", 20_000, false)]);
    let comparison = compare(&a, &lost);
    assert_eq!(line(&comparison, "tokio", Quantity::Rate).finding, Finding::Carried([true, false]));
    let what: Vec<String> = comparison.regressions(1.0).into_iter().map(|regression| regression.what).collect();
    assert_eq!(what, ["carried the offered rate in A and does not in B"]);
    assert!(compare(&lost, &a).regressions(0.0).is_empty());
    let mut disturbed = run_of(1, 3, &[open("tokio", 20_000, true)]);
    disturbed.rows[0].offered.as_mut().unwrap().is_carried = Some(false);
    assert!(compare(&a, &disturbed).regressions(0.0).is_empty());
}
