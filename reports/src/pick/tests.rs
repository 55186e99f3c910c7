//! The rules by which stacks qualify, each with a run that was made for it.

use std::collections::BTreeMap;

use super::{need::Quantity, *};
use crate::{
    row::{FaultEffect, Latency, Offered, Role, Row, Verdict},
    run::StepMeta,
    sample,
};

mod searches;
mod steps;

/// What the steps of the runs here offer, per second; the first is as fast as answers come, the last a share of that.
pub(crate) const STEPS: [&str; 5] = ["as fast as answers come", "10000/s", "20000/s", "40000/s", "50 % of its maximum"];

/// A trial with all of its latencies, in milliseconds.
pub(crate) type Trial = (Row, u64);

/// A trial at a step that offered a rate and carried it, all of whose latencies are this.
pub(crate) fn at(stack: &str, per_sec: f64, ms: u64) -> Trial {
    let step = STEPS.iter().position(|title| *title == format!("{per_sec}/s")).unwrap_or(STEPS.len() - 1);
    let offered = Offered {
        per_sec,
        due: (4.0 * per_sec) as u64,
        unsent: 0,
        is_carried: Some(true),
        latency_us: Latency::default(),
        lag_us_p50: 50,
        lag_us_p99: 90,
    };
    let row = Row { step: Some(step as u32), offered: Some(offered), requests_per_sec: per_sec, ..sample::row(stack) };
    (row, ms)
}

/// One as fast as answers came.
pub(crate) fn closed(stack: &str, per_sec: f64, verdict: Verdict) -> Trial {
    let row = Row { step: Some(0), verdict, requests_per_sec: per_sec, ceiling_per_sec: None, ..sample::row(stack) };
    (row, 40)
}

/// The same trial with something else about it.
pub(crate) fn with(trial: Trial, change: impl FnOnce(&mut Row)) -> Trial {
    let (mut row, ms) = trial;
    change(&mut row);
    (row, ms)
}

/// … at another cost of the server, in microseconds per answer.
pub(crate) fn costing(trial: Trial, us: f64) -> Trial {
    with(trial, |row| row.server.cpu_us_per_request = us)
}

/// … of which only so much was carried, per second.
pub(crate) fn carrying(trial: Trial, per_sec: f64, verdict: Verdict) -> Trial {
    with(trial, |row| {
        row.requests_per_sec = per_sec;
        row.verdict = verdict;
        row.reason = "what was seen".to_owned();
        row.offered.as_mut().unwrap().is_carried = Some(false);
    })
}

/// … with a verdict that has a reason.
pub(crate) fn judged(trial: Trial, verdict: Verdict) -> Trial {
    with(trial, |row| (row.verdict, row.reason) = (verdict, "what was seen".to_owned()))
}

/// … in each of several blocks, with latencies of their own.
pub(crate) fn blocks(trial: &Trial, ms: &[u64]) -> Vec<Trial> {
    (1..).zip(ms).map(|(block, ms)| (with(trial.clone(), |row| row.trial = block).0, *ms)).collect()
}

pub(crate) fn run(trials: Vec<Trial>) -> Run {
    let mut meta = sample::meta();
    let step = |title: &&str| StepMeta { rate: Some((*title).to_owned()), ..sample::step(title) };
    meta.scenarios[0].steps = STEPS.iter().map(step).collect();
    let (mut rows, mut latencies) = (Vec::new(), BTreeMap::new());
    for (index, (mut row, ms)) in trials.into_iter().enumerate() {
        let raw = format!("raw/{index}.json");
        latencies.insert(raw.clone(), sample::latencies(&[(ms * 1000, 100)], &[]));
        row.raw = Some(raw);
        rows.push(row);
    }
    Run { meta, rows, latencies, warnings: Vec::new() }
}

pub(crate) fn picked(run: &Run, need: &str) -> Pick {
    Pick::of(run, None, Need::parse("--need", need).unwrap(), &Asked::default()).unwrap()
}

/// The stacks of each group: `q: may, tokio; l: smol`.
fn groups(answer: &Answer) -> String {
    let groups = [("q", &answer.qualifying), ("b", &answer.borderline), ("l", &answer.lacking), ("u", &answer.untold)];
    let shown = groups.iter().filter(|(_, group)| !group.is_empty()).map(|(name, group)| {
        let stacks: Vec<&str> = group.iter().map(|candidate| candidate.stack.as_str()).collect();
        format!("{name}: {}", stacks.join(", "))
    });
    shown.collect::<Vec<String>>().join("; ")
}

fn asked(trials: Vec<Trial>, need: &str) -> Answer {
    picked(&run(trials), need).answers.remove(0)
}

#[test]
fn stacks_that_qualify_stand_by_what_a_request_costs_and_the_others_by_what_they_lack() {
    let far = |trial: Trial| with(trial, |row| row.server.rss_peak_bytes = 900 << 20);
    let answer = asked(
        vec![
            costing(at("dear", 20e3, 5), 20.0),
            costing(at("cheap", 20e3, 5), 10.0),
            far(costing(at("both", 20e3, 5), 41.0)),
            costing(at("much", 20e3, 5), 80.0),
            costing(at("little", 20e3, 5), 41.0),
            judged(at("broken", 20e3, 5), Verdict::Starved),
        ],
        "rate>=20000,cpu<40us,rss<200MB",
    );
    assert_eq!(groups(&answer), "q: cheap, dear; l: little, much, both, broken");
    assert_eq!(answer.lacking[0].lacks(), "cpu 41.0 µs, needs < 40 µs (2.50 % over)");
    assert_eq!(
        answer.lacking[2].lacks(),
        "cpu 41.0 µs, needs < 40 µs (2.50 % over); rss 944 MB, needs < 200 MB (4.72 times the limit)"
    );
    assert_eq!(answer.lacking[3].lacks(), "starved: what was seen");
    assert_eq!(answer.qualifying[0].cost.cores, Some(0.2));
    let first = "2 of 6 stacks qualify; the cheapest is cheap at 10.0 µs of server CPU per request (cache_set, async, \
                 20,000/s offered). Figures rest on one trial each, so there is no spread: a small margin may be chance.";
    assert_eq!(answer.sentence(), first);
}

#[test]
fn a_margin_is_the_distance_to_the_limit_with_that_of_the_spread() {
    let answer = asked(blocks(&at("tokio", 20e3, 0), &[4, 5, 10]), "rate>=16000,p99<20ms");
    let margin = |quantity| answer.qualifying[0].finding_of(quantity).unwrap().margin().unwrap();
    assert_eq!(margin(Quantity::Rate).value, 0.25);
    let of_p99 = margin(Quantity::Percentile(99.0));
    assert!((of_p99.value - 0.5).abs() < 0.01 && (of_p99.ends.1 - 0.8).abs() < 0.01, "{of_p99:?}");
}

#[test]
fn a_spread_on_both_sides_of_the_limit_is_borderline() {
    let need = "rate>=20000,p99<20ms";
    let answer = asked(blocks(&at("tokio", 20e3, 0), &[5, 6, 30]), need);
    assert_eq!(groups(&answer), "b: tokio");
    assert!(answer.borderline[0].wavers().starts_with("p99 30.0 ms [5.00–30.0 ms], needs < 20 ms"));
    assert_eq!(
        answer.sentence(),
        "Of 1 stack none is known to qualify (cache_set, async). 1 qualifies in some trials and misses something in others."
    );
    assert_eq!(groups(&asked(blocks(&at("tokio", 20e3, 0), &[5, 6, 7]), need)), "q: tokio");
    assert_eq!(groups(&asked(blocks(&at("tokio", 20e3, 0), &[25, 26, 30]), need)), "l: tokio");
}

#[test]
fn from_nine_trials_on_one_that_strays_is_outside_the_interval() {
    let costs = |dear: f64| (1..=9).map(move |block| if block == 5 { dear } else { 10.0 });
    let trials =
        costs(90.0).zip(1..).map(|(us, block)| costing(with(at("tokio", 20e3, 5), |row| row.trial = block), us));
    assert_eq!(groups(&asked(trials.collect(), "rate>=20000,cpu<40us")), "q: tokio");
    let few =
        costs(90.0).zip(1..=5).map(|(us, block)| costing(with(at("tokio", 20e3, 5), |row| row.trial = block), us));
    assert_eq!(groups(&asked(few.collect(), "rate>=20000,cpu<40us")), "b: tokio");
}

#[test]
fn what_a_rate_was_not_carried_for_is_held_against_the_stack_or_not_as_the_verdict_says() {
    let need = "rate>=20000,p99<20ms";
    let of = |verdict| groups(&asked(vec![carrying(at("tokio", 20e3, 500), 15e3, verdict)], need));
    for verdict in [Verdict::Ok, Verdict::Idle, Verdict::Unsteady] {
        assert_eq!(of(verdict), "l: tokio", "{verdict:?}");
    }
    for verdict in [Verdict::ClientLimited, Verdict::PeerLimitedBoth, Verdict::Noisy, Verdict::StoreLate] {
        assert_eq!(of(verdict), "u: tokio", "{verdict:?}");
    }
    let answer = asked(vec![carrying(at("tokio", 20e3, 500), 15e3, Verdict::Ok)], need);
    let lacks = "carries 15,000/s of the 20,000/s offered, needs >= 20,000/s (25.0 % short); p99 ≥ 500 ms, needs < 20 ms \
                 (25.0 times the limit)";
    assert_eq!(answer.lacking[0].lacks(), lacks);
}

#[test]
fn a_lower_bound_above_the_limit_is_missed_and_one_below_it_tells_nothing() {
    let censored = |ms: u64| {
        let mut run = run(vec![at("tokio", 20e3, ms)]);
        // One in ten requests never had an answer, and is older than the answers were late.
        let observed = sample::latencies(&[(ms * 1000, 90)], &[(ms * 1000 + 2000, 10)]);
        run.latencies = BTreeMap::from([("raw/0.json".to_owned(), observed)]);
        picked(&run, "rate>=20000,p99<20ms").answers.remove(0)
    };
    assert_eq!(groups(&censored(30)), "l: tokio");
    let lacks = censored(30).lacking[0].lacks();
    assert!(lacks.starts_with("p99 ≥ 32.0 ms, needs < 20 ms"), "{lacks}");
    assert_eq!(groups(&censored(10)), "u: tokio");
    assert!(censored(10).untold[0].unknown().contains("p99 is ≥ 12.0 ms, which may be any longer"));
}

#[test]
fn a_rate_that_some_trials_carried_is_borderline() {
    let mut trials = blocks(&at("tokio", 20e3, 0), &[5, 6]);
    trials.push(with(carrying(at("tokio", 20e3, 300), 19e3, Verdict::Ok), |row| row.trial = 3));
    let answer = asked(trials, "rate>=20000,p99<20ms");
    assert_eq!(groups(&answer), "b: tokio");
    assert!(answer.borderline[0].wavers().contains("20,000/s was carried in 2 of 3 trials"), "{answer:?}");
}

#[test]
fn errors_disqualify_unless_the_need_says_how_many_are_allowed() {
    let trial = with(judged(at("tokio", 20e3, 5), Verdict::Errors), |row| {
        // A status that was to be expected is no error.
        row.errors = BTreeMap::from([("timeout".to_owned(), 100), ("status".to_owned(), 9000)]);
        row.requests_total = 100_000;
    });
    let of = |need: &str| groups(&asked(vec![trial.clone()], need));
    assert_eq!(of("rate>=20000,p99<20ms"), "l: tokio");
    assert_eq!(of("rate>=20000,p99<20ms,errors<0.2%"), "q: tokio");
    assert_eq!(of("rate>=20000,p99<20ms,errors<0.05%"), "l: tokio");
}

#[test]
fn every_figure_of_a_row_can_be_limited() {
    let of = |need: &str| groups(&asked(vec![at("tokio", 20e3, 5)], &format!("rate>=20000,{need}")));
    for need in ["rss<13MiB", "threads<=3", "coldstart<9ms", "idle<3KiB", "p50<=6ms", "cpu<=30us", "errors<0.1%"] {
        assert_eq!(of(need), "q: tokio", "{need}");
    }
    for need in ["rss<12MB", "threads<3", "coldstart<8ms", "idle<2KiB", "p50<=4ms", "cpu<30us"] {
        assert_eq!(of(need), "l: tokio", "{need}");
    }
}

#[test]
fn what_an_older_run_did_not_record_is_asked_for_again() {
    let old = with(at("tokio", 20e3, 5), |row| row.idle_connection_bytes = None);
    let answer = asked(vec![old], "rate>=20000,idle<4KiB");
    assert_eq!(groups(&answer), "u: tokio");
    assert_eq!(answer.untold[0].unknown(), "idle is not recorded");
    assert_eq!(answer.remedies[0].command, "stackbench run cache --stacks tokio --trials 6");
}

#[test]
fn words_of_the_card_are_held_against_the_need() {
    let trials = || vec![at("tokio", 20e3, 5)];
    assert_eq!(groups(&asked(trials(), "rate>=20000,mode=native,panel=deployed,http=hyper")), "q: tokio");
    let answer = asked(trials(), "rate>=20000,redis=fred,model=coroutines");
    let lacks = "redis is redis, needs fred; model is a model, needs coroutines";
    assert_eq!((groups(&answer), answer.lacking[0].lacks()), ("l: tokio".to_owned(), lacks.to_owned()));
    let answer = asked(trials(), "rate>=20000,upstream=active");
    assert_eq!(
        (groups(&answer), answer.untold[0].unknown().as_str()),
        ("u: tokio".into(), "its card does not tell upstream")
    );
    assert!(answer.remedies[0].command.starts_with("cargo xtask ownership --no-build && stackbench run cache"));
}

#[test]
fn references_second_names_and_trials_with_faults_are_no_candidates() {
    let ceiling = with(at("null", 20e3, 1), |row| row.role = Role::Ceiling);
    let twin = with(at("may", 20e3, 1), |row| row.twin = Some(2));
    let repeated = with(at("tokio", 20e3, 90), |row| row.repeated = true);
    assert_eq!(groups(&asked(vec![ceiling, twin, repeated, at("tokio", 20e3, 5)], "rate>=20000,p99<20ms")), "q: tokio");
}

#[test]
fn what_is_asked_can_be_narrowed_and_what_there_is_none_of_is_refused() {
    let sync = with(at("tokio", 20e3, 50), |row| row.mode = Mode::Sync);
    let run = run(vec![at("tokio", 20e3, 5), sync]);
    let of = |asked: Asked| Pick::of(&run, None, Need::parse("--need", "rate>=20000,p99<20ms").unwrap(), &asked);
    let all = of(Asked::default()).unwrap();
    assert_eq!((all.answers.len(), all.is_answered()), (2, false), "in one of two modes nobody qualifies");
    let one = of(Asked { mode: Some(Mode::Async), ..Asked::default() }).unwrap();
    assert_eq!((one.answers.len(), one.is_answered()), (1, true));
    let refused = |asked: Asked| of(asked).unwrap_err().to_string();
    let told = refused(Asked { request: Some("cache_hit".to_owned()), ..Asked::default() });
    assert!(told.starts_with("--request cache_hit: ") && told.ends_with("it has cache_set"), "{told}");
    assert!(refused(Asked { scenario: Some("x".to_owned()), ..Asked::default() }).contains("--scenario x"));
}

#[test]
fn scenarios_with_closed_loops_or_faults_are_asked_where_there_is_nothing_else_or_they_are_named() {
    let named = |name: &str, trial: Trial| with(trial, |row| row.scenario = name.to_owned());
    let effect = FaultEffect {
        from_s: 1.0,
        to_s: 2.0,
        lost: 0,
        unavailable: 0,
        unexpected: 0,
        p99_us_before: None,
        p99_us_during: None,
        recovered_s: None,
        watched_s: 1.0,
        beside: None,
    };
    let fault = |trial: Trial| with(trial, |row| row.fault = Some(effect));
    let faults = || [named("faults", at("tokio", 20e3, 5)), fault(named("faults", at("tokio", 10e3, 900)))];
    let closed_loops = || named("closed", closed("tokio", 60e3, Verdict::Ok));
    let [calm, faulty] = faults();
    let run = run(vec![at("tokio", 20e3, 5), calm, faulty, closed_loops()]);
    let scenarios = |run: &Run, scenario: Option<&str>| -> Vec<String> {
        let need = Need::parse("--need", "rate>=20000").unwrap();
        let asked = Asked { scenario: scenario.map(str::to_owned), ..Asked::default() };
        Pick::of(run, None, need, &asked).unwrap().answers.into_iter().map(|answer| answer.scenario).collect()
    };
    assert_eq!(scenarios(&run, None), ["cache"]);
    assert_eq!(scenarios(&run, Some("faults")), ["faults"]);
    assert_eq!(scenarios(&run, Some("closed")), ["closed"]);
    let [calm, faulty] = faults();
    let less = self::run(vec![calm, faulty, closed_loops()]);
    assert_eq!(scenarios(&less, None), ["faults"]);
}

#[test]
fn a_run_without_trials_of_stacks_is_refused() {
    let need = Need::parse("--need", "cpu<15us").unwrap();
    let error = Pick::of(&run(Vec::new()), None, need, &Asked::default()).unwrap_err();
    assert!(error.to_string().contains("no stack of this run has a trial"), "{error}");
}
