//! At which step a stack is asked, and what other steps tell.

use super::*;

fn step_of(answer: &Answer) -> Option<f64> {
    let groups = [&answer.qualifying, &answer.borderline, &answer.lacking, &answer.untold];
    groups.into_iter().flatten().next()?.at.as_ref()?.offered_per_sec
}

#[test]
fn rate_and_latency_are_asked_together_at_one_step() {
    let trials = vec![at("tokio", 10e3, 5), at("tokio", 20e3, 30), at("tokio", 40e3, 5)];
    let answer = asked(trials, "rate>=20000,p99<20ms");
    assert_eq!((groups(&answer).as_str(), step_of(&answer)), ("l: tokio", Some(20e3)));
}

#[test]
fn the_nearest_step_at_or_above_the_rate_is_asked() {
    let trials = || vec![at("tokio", 10e3, 90), at("tokio", 40e3, 6), at("tokio", 20e3, 5)];
    for (rate, expected) in [("15000", 20e3), ("20000", 20e3), ("20001", 40e3)] {
        let answer = asked(trials(), &format!("rate>={rate},p99<20ms"));
        assert_eq!((groups(&answer).as_str(), step_of(&answer)), ("q: tokio", Some(expected)), "{rate}");
    }
    let strictly = asked(trials(), "rate>20000,p99<20ms");
    assert_eq!(step_of(&strictly), Some(40e3));
}

#[test]
fn what_was_offered_to_all_is_asked_before_a_share_of_one_s_own_maximum() {
    let trials = vec![at("tokio", 17e3, 5), at("may", 18e3, 5), at("tokio", 20e3, 5), at("may", 20e3, 5)];
    let answer = asked(trials, "rate>=15000,p99<20ms");
    let steps: Vec<Option<f64>> =
        answer.qualifying.iter().map(|one| one.at.as_ref().unwrap().offered_per_sec).collect();
    assert_eq!(steps, [Some(20e3), Some(20e3)]);
}

#[test]
fn a_share_of_its_maximum_tells_where_what_was_offered_to_all_is_too_much() {
    let trials = vec![at("tokio", 33e3, 5), at("may", 51e3, 5), at("tokio", 40e3, 90), at("may", 40e3, 5)];
    let answer = asked(trials, "rate>=30000,p99<20ms");
    assert_eq!(groups(&answer), "q: may, tokio");
    let tokio = answer.qualifying.iter().find(|one| one.stack == "tokio").unwrap();
    assert_eq!(tokio.at.as_ref().unwrap().offered_per_sec, Some(33e3));
    assert!(
        picked(&run(vec![at("a", 20e3, 5)]), "rate>=20000")
            .reading
            .iter()
            .all(|line| !line.contains("asked above the rate"))
    );
}

#[test]
fn a_latency_missed_at_a_higher_rate_tells_nothing_of_the_rate_itself() {
    let answer = asked(vec![at("tokio", 40e3, 90)], "rate>=30000,p99<20ms");
    assert_eq!(groups(&answer), "u: tokio");
    let why = answer.untold[0].unknown();
    assert_eq!(why, "p99 90.0 ms, needs < 20 ms (4.50 times the limit), but may be lower at 30,000/s");
    let command = "stackbench capacity cache --objective 'p99<20ms' --start 30000 --stacks tokio";
    assert_eq!(answer.remedies[0].command, command);
}

#[test]
fn a_cost_missed_at_a_higher_rate_is_missed_at_a_lower_one_as_well() {
    let answer = asked(vec![costing(at("tokio", 40e3, 5), 50.0)], "rate>=30000,cpu<40us");
    assert_eq!(groups(&answer), "l: tokio");
}

#[test]
fn a_disturbed_step_is_passed_over_and_a_missed_one_is_not() {
    let need = "rate>=20000,p99<20ms";
    let late = || judged(at("tokio", 20e3, 5), Verdict::ClientLimited);
    let answer = asked(vec![late(), at("tokio", 40e3, 5)], need);
    assert_eq!((groups(&answer).as_str(), step_of(&answer)), ("q: tokio", Some(40e3)));
    let alone = asked(vec![late()], need);
    assert_eq!(groups(&alone), "u: tokio");
    assert_eq!(alone.untold[0].unknown(), "client-limited at 20,000/s (what was seen)");
    assert_eq!(alone.remedies[0].command, "stackbench run cache --stacks tokio --trials 6");
    let lucky = asked(vec![at("tokio", 20e3, 90), at("tokio", 40e3, 5)], "rate>=15000,p99<20ms");
    assert_eq!((groups(&lucky).as_str(), step_of(&lucky)), ("u: tokio", Some(20e3)));
}

#[test]
fn a_cost_is_a_stack_s_own_also_where_the_client_was_late() {
    let late = judged(at("tokio", 20e3, 5), Verdict::ClientLimited);
    assert_eq!(groups(&asked(vec![late], "rate>=20000,cpu<40us")), "q: tokio");
}

#[test]
fn a_rate_above_all_that_was_offered_is_told_by_what_was_not_carried_below_it() {
    let need = "rate>=50000,p99<20ms";
    let missed = asked(vec![at("tokio", 20e3, 5), carrying(at("tokio", 40e3, 500), 28e3, Verdict::Ok)], need);
    assert_eq!(groups(&missed), "l: tokio");
    assert!(missed.lacking[0].lacks().starts_with("carries 28,000/s of the 40,000/s offered, needs >= 50,000/s"));
    let carried = asked(vec![at("tokio", 20e3, 5), at("tokio", 40e3, 5)], need);
    assert_eq!(groups(&carried), "u: tokio");
    assert_eq!(carried.untold[0].unknown(), "it carried 40,000/s, the most that it was tried with");
}

#[test]
fn what_was_not_carried_and_is_more_than_needed_is_not_told() {
    let answer = asked(vec![carrying(at("tokio", 40e3, 500), 35e3, Verdict::Ok)], "rate>=30000");
    assert_eq!(groups(&answer), "u: tokio");
    assert_eq!(answer.untold[0].unknown(), "of the 40,000/s offered it carries 35,000/s");
    assert!(answer.remedies[0].command.contains("--objective 'errors<0.1%' --start 30000"), "{:?}", answer.remedies);
}

#[test]
fn a_closed_loop_tells_of_no_latency() {
    let answer = asked(vec![closed("tokio", 60e3, Verdict::Ok)], "rate>=20000,p99<20ms");
    assert_eq!(groups(&answer), "u: tokio");
    assert!(answer.untold[0].unknown().starts_with("a closed loop shows queueing at saturation"));
    assert!(answer.remedies[0].command.starts_with("stackbench capacity cache --objective 'p99<20ms' --start 20000"));
}

#[test]
fn a_closed_loop_tells_at_least_of_a_rate_and_a_cost() {
    let need = "rate>=20000,cpu<40us";
    for verdict in [Verdict::Ok, Verdict::LatencyBound, Verdict::Unsteady, Verdict::PeerLimitedBoth] {
        assert_eq!(groups(&asked(vec![closed("tokio", 60e3, verdict)], need)), "q: tokio", "{verdict:?}");
    }
    assert_eq!(groups(&asked(vec![closed("tokio", 60e3, Verdict::Noisy)], need)), "u: tokio");
    let saturated = picked(&run(vec![closed("tokio", 60e3, Verdict::Ok)]), need);
    assert!(
        saturated.reading.iter().any(|line| line.starts_with("As fast as answers come")),
        "{:?}",
        saturated.reading
    );
}

#[test]
fn only_a_server_whose_cpus_were_full_has_shown_the_most_it_does() {
    let need = "rate>=70000,cpu<40us";
    let full = asked(vec![closed("tokio", 60e3, Verdict::Ok)], need);
    assert_eq!(groups(&full), "l: tokio");
    assert!(full.lacking[0].lacks().contains("with its CPUs full"), "{}", full.lacking[0].lacks());
    assert_eq!(groups(&asked(vec![closed("tokio", 60e3, Verdict::PeerLimitedClient)], need)), "u: tokio");
    let at_null = with(closed("tokio", 60e3, Verdict::Ok), |row| row.ceiling_per_sec = Some(60e3));
    assert_eq!(groups(&asked(vec![at_null], need)), "u: tokio");
}

#[test]
fn without_a_rate_costs_are_asked_as_fast_as_answers_come() {
    let trials = vec![costing(at("tokio", 20e3, 5), 50.0), costing(closed("tokio", 60e3, Verdict::Ok), 15.0)];
    let answer = asked(trials, "cpu<20us");
    assert_eq!((groups(&answer).as_str(), step_of(&answer)), ("q: tokio", None));
    assert!(answer.sentence().contains("(cache_set, async, as fast as answers come)."), "{}", answer.sentence());
}

#[test]
fn steps_that_vary_something_else_than_the_rate_are_questions_of_their_own() {
    let on_pool = |trial: Trial, step: u32| with(trial, |row| row.step = Some(step));
    let mut run = run(vec![on_pool(at("tokio", 20e3, 5), 0), on_pool(at("tokio", 20e3, 90), 1)]);
    let step = |title: &str| StepMeta { rate: Some("20000/s".to_owned()), ..sample::step(title) };
    run.meta.scenarios[0].steps = vec![step("pool 64, 20000/s"), step("pool 4, 20000/s")];
    let pick = picked(&run, "rate>=20000,p99<20ms");
    let seen: Vec<(&str, String)> = pick.answers.iter().map(|answer| (answer.title.as_str(), groups(answer))).collect();
    let expected = [("cache: cache_set, async: pool 4", "l: tokio"), ("cache: cache_set, async: pool 64", "q: tokio")];
    let mut seen: Vec<(&str, &str)> = seen.iter().map(|(title, groups)| (*title, groups.as_str())).collect();
    seen.sort_unstable();
    assert_eq!(seen, expected);
    assert!(
        pick.answers.iter().any(|answer| answer.sentence().contains("(cache_set, async, pool 64, 20,000/s offered)"))
    );
}

#[test]
fn a_stack_whose_trials_all_failed_was_asked_what_the_others_were() {
    let failed = with(judged(at("broken", 20e3, 5), Verdict::Failed), |row| {
        (row.offered, row.error) = (None, Some("exited with status 2".to_owned()));
    });
    let answer = asked(vec![failed, at("tokio", 20e3, 5)], "rate>=20000,p99<20ms");
    assert_eq!(groups(&answer), "q: tokio; l: broken");
    assert_eq!(answer.lacking[0].lacks(), "failed: exited with status 2");
}

#[test]
fn commands_keep_what_a_run_was_measured_with() {
    let mut run = run(vec![at("tokio", 40e3, 90)]);
    let command = "stackbench run files/cache.toml --connections 500 --redis=spawn --stacks a,b --seed 7 --pool 4";
    run.meta.command = command.split(' ').map(str::to_owned).collect();
    let answer = picked(&run, "rate>=30000,p99<20ms").answers.remove(0);
    let expected = "stackbench capacity files/cache.toml --objective 'p99<20ms' --start 30000 --stacks tokio \
                    --connections 500 --redis spawn --pool 4";
    assert_eq!(answer.remedies[0].command, expected);
}
