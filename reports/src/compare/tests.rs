//! Tests of what becomes of cells from one run to another. The figures are invented.

use std::collections::BTreeMap;

use super::*;
use crate::{
    latency::Observed,
    row::{Offered, Placement},
    run::{RequestMeta, StepMeta},
    sample,
};

mod ground;
mod regression;

/// How the trials of a run vary, whatever is measured.
const SWAY: [f64; 8] = [1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.0];

/// A run of so many blocks. `nth` tells runs apart, `rows` are those of a block.
fn run_of(nth: u32, blocks: u32, rows: &[Row]) -> Run {
    let of_block = |trial: u32| {
        let sway = SWAY[(trial + nth) as usize % SWAY.len()];
        rows.iter().map(move |row| {
            let mut row = Row { trial, ..row.clone() };
            row.server.cpu_us_per_request *= sway;
            row.requests_per_sec *= sway;
            row
        })
    };
    let meta = crate::run::RunMeta { started: format!("2026-11-21T1{nth}:00:00Z"), ..sample::meta() };
    let mut run =
        Run { meta, rows: (1..=blocks).flat_map(of_block).collect(), latencies: BTreeMap::new(), warnings: Vec::new() };
    // In an open loop each trial has its percentiles, of which the row's own are an echo.
    for row in run.rows.iter_mut().filter(|row| row.offered.is_some()) {
        let raw = format!("raw/{}-{}-{}.json", row.stack, row.step.unwrap_or_default(), row.trial);
        run.latencies.insert(raw.clone(), latencies(row.offered.unwrap().latency_us.p99));
        row.raw = Some(raw);
    }
    run
}

fn latencies(p99_us: u64) -> Observed {
    sample::latencies(&[(1_000, 98), (p99_us, 2)], &[])
}

fn row(stack: &str, us: f64) -> Row {
    let mut row = sample::row(stack);
    row.server.cpu_us_per_request = us;
    row
}

/// A trial at 5000 requests per second.
fn open(stack: &str, p99_us: u64, is_carried: bool) -> Row {
    let latency_us = crate::row::Latency { p99: p99_us, ..Default::default() };
    let offered = Offered {
        per_sec: 5000.0,
        due: 20_000,
        unsent: 0,
        is_carried: Some(is_carried),
        latency_us,
        lag_us_p50: 10,
        lag_us_p99: 50,
    };
    Row { offered: Some(offered), requests_per_sec: 5000.0, ..row(stack, 30.0) }
}

fn options(quantities: &[Quantity]) -> Options {
    Options { quantities: quantities.to_vec(), machines: Machines::Same }
}

fn compare(a: &Run, b: &Run) -> Comparison {
    Comparison::of(a, b, &options(&[])).unwrap()
}

fn refusal(a: &Run, b: &Run) -> String {
    Comparison::of(a, b, &options(&[])).unwrap_err().to_string()
}

/// The line of a stack and a figure, in the first cell that has it.
fn line(comparison: &Comparison, stack: &str, quantity: Quantity) -> Line {
    let of_stack = comparison.cells().filter(|cell| cell.stack == stack);
    of_stack.flat_map(|cell| &cell.lines).find(|line| line.quantity == quantity).unwrap().clone()
}

fn cpu(comparison: &Comparison, stack: &str) -> Finding {
    line(comparison, stack, Quantity::Cpu).finding
}

fn why_not(finding: Finding) -> String {
    let Finding::NotComparable(why) = finding else { panic!("it was compared: {finding:?}") };
    why
}

/// One change to a run of two stacks with costs of 20 and 30 µs, held against the run as it was.
fn changed(change: impl Fn(&mut Run)) -> Result<Comparison, Refusal> {
    let field = [row("may", 20.0), row("tokio", 30.0)];
    let mut b = run_of(1, 8, &field);
    change(&mut b);
    Comparison::of(&run_of(0, 8, &field), &b, &options(&[]))
}

#[test]
fn a_stack_that_became_dearer_is_found_and_the_others_are_within_noise() {
    let a = run_of(0, 8, &[row("may", 20.0), row("tokio", 30.0), row("smol", 25.0)]);
    let b = run_of(1, 8, &[row("may", 20.0), row("tokio", 39.0), row("smol", 20.0)]);
    let comparison = compare(&a, &b);
    let found = ["may", "tokio", "smol"].map(|stack| cpu(&comparison, stack));
    assert_eq!(found, [Finding::WithinNoise, Finding::Worse, Finding::Better]);
    let ratio = line(&comparison, "tokio", Quantity::Cpu).ratio.unwrap();
    assert!((ratio.times - 1.3).abs() < 0.01 && ratio.interval.is_some(), "{ratio:?}");
    assert_eq!(comparison.questions[0].title, "cache: cache_set, async");
    assert_eq!((comparison.intervals(), comparison.ranges()), (6, (0, 0.0)), "cost and rate of three stacks");
}

#[test]
fn three_trials_are_compared_by_ranges_and_say_what_chance_does() {
    let comparison = compare(&run_of(0, 3, &[row("tokio", 30.0)]), &run_of(0, 3, &[row("tokio", 39.0)]));
    let Line { ratio, finding, .. } = line(&comparison, "tokio", Quantity::Cpu);
    assert_eq!((finding, ratio.unwrap().interval), (Finding::Worse, None));
    let (ranges, by_chance) = comparison.ranges();
    // One in twenty of both the cost's ranges and the rate's.
    assert_eq!((ranges, comparison.intervals()), (2, 0));
    assert!((by_chance - 0.1).abs() < 1e-12, "{by_chance}");
}

#[test]
fn one_trial_each_is_no_difference_and_no_regression() {
    let comparison = compare(&run_of(0, 1, &[row("tokio", 30.0)]), &run_of(0, 1, &[row("tokio", 90.0)]));
    assert!(matches!(cpu(&comparison, "tokio"), Finding::TooFewTrials(_)));
    assert_eq!((comparison.regressions(0.05), comparison.judged()), (Vec::new(), 0));
}

#[test]
fn the_larger_noise_floor_of_the_two_runs_counts() {
    let twin = |us: f64| Row { twin: Some(2), ..row("may", us) };
    let a = run_of(0, 8, &[row("may", 20.0), twin(20.1), row("tokio", 30.0)]);
    let b = |of_twin: f64| run_of(1, 8, &[row("may", 20.0), twin(of_twin), row("tokio", 31.5)]);
    assert_eq!(cpu(&compare(&a, &b(20.1)), "tokio"), Finding::Worse);
    assert_eq!(cpu(&compare(&a, &b(21.5)), "tokio"), Finding::WithinNoise);
    assert_eq!(cpu(&compare(&b(21.5), &a), "tokio"), Finding::WithinNoise);
    assert_eq!(compare(&a, &b(20.1)).cells().count(), 2, "a second name is no cell");
}

#[test]
fn many_comparisons_are_corrected_together() {
    let a: Vec<Row> = (0..40).map(|stack| row(&format!("s{stack}"), 30.0)).collect();
    let mut b = a.clone();
    b[0].server.cpu_us_per_request = 30.6;
    let alone = compare(&run_of(0, 8, &a[..1]), &run_of(0, 8, &b[..1]));
    let among_many = compare(&run_of(0, 8, &a), &run_of(0, 8, &b));
    assert_eq!(among_many.intervals(), 80);
    let ratio = |comparison: &Comparison| line(comparison, "s0", Quantity::Cpu).ratio.unwrap().interval.unwrap();
    assert_eq!(ratio(&alone), ratio(&among_many), "an interval is each cell's own");
    assert!(ratio(&alone).0 > 1.0);
    assert_eq!([cpu(&alone, "s0"), cpu(&among_many, "s0")], [Finding::Worse, Finding::WithinNoise]);
}

#[test]
fn what_a_verdict_forbids_to_rank_is_not_compared_and_the_reason_names_the_run() {
    let noisy = changed(|run| run.rows.iter_mut().for_each(|row| row.verdict = Verdict::Noisy)).unwrap();
    assert_eq!(why_not(cpu(&noisy, "tokio")), "noisy in B");
    let limited = changed(|run| run.rows.iter_mut().for_each(|row| row.verdict = Verdict::PeerLimitedBoth)).unwrap();
    assert_eq!(cpu(&limited, "tokio"), Finding::WithinNoise, "what a request costs is the stack's own");
    assert_eq!(why_not(line(&limited, "tokio", Quantity::Rate).finding), "peer-limited(both) in B");
}

#[test]
fn rates_that_are_the_servers_own_in_neither_run_are_left_out_unless_they_are_asked_for() {
    let mut runs = [0, 1].map(|nth| run_of(nth, 8, &[row("tokio", 30.0)]));
    for row in runs.iter_mut().flat_map(|run| &mut run.rows) {
        row.verdict = Verdict::Unsteady;
    }
    let [a, b] = &runs;
    let by_default = compare(a, b);
    assert_eq!((by_default.rates_left_out, by_default.cells().next().unwrap().lines.len()), (1, 1));
    let asked = Comparison::of(a, b, &options(&[Quantity::Rate])).unwrap();
    assert_eq!(asked.rates_left_out, 0);
    assert_eq!(why_not(line(&asked, "tokio", Quantity::Rate).finding), "unsteady in A and unsteady in B");
}

#[test]
fn on_many_cpus_and_unbound_the_rate_comes_first() {
    let mut runs = [0, 1].map(|nth| run_of(nth, 8, &[Row { placement: Placement::Free, ..row("tokio", 30.0) }]));
    runs.iter_mut().for_each(|run| (run.meta.machine.cpus, run.meta.placement) = (16, Placement::Free));
    let order = |comparison: &Comparison| {
        comparison.cells().next().unwrap().lines.iter().map(|line| line.quantity).collect::<Vec<_>>()
    };
    assert_eq!(order(&compare(&runs[0], &runs[1])), [Quantity::Rate, Quantity::Cpu]);
    let pinned = [0, 1].map(|nth| run_of(nth, 8, &[row("tokio", 30.0)]));
    assert_eq!(order(&compare(&pinned[0], &pinned[1])), [Quantity::Cpu, Quantity::Rate]);
}

#[test]
fn memory_is_compared_where_it_is_asked_for() {
    let mut larger = row("tokio", 30.0);
    larger.server.rss_peak_bytes *= 2;
    let asked = options(&[Quantity::Rss]);
    let comparison = Comparison::of(&run_of(0, 3, &[row("tokio", 30.0)]), &run_of(1, 3, &[larger]), &asked).unwrap();
    assert_eq!(line(&comparison, "tokio", Quantity::Rss).finding, Finding::Worse);
}

#[test]
fn at_an_offered_rate_cost_and_p99_are_compared_and_of_the_rate_whether_it_was_carried() {
    let a = run_of(0, 3, &[open("tokio", 20_000, true)]);
    let b = run_of(1, 3, &[open("tokio", 40_000, true)]);
    let comparison = compare(&a, &b);
    let cell = comparison.cells().next().unwrap();
    let shown: Vec<Quantity> = cell.lines.iter().map(|line| line.quantity).collect();
    assert_eq!((shown.as_slice(), cell.carried), (&[Quantity::Cpu, Quantity::P99][..], Some([true, true])));
    assert_eq!(line(&comparison, "tokio", Quantity::P99).finding, Finding::Worse);
    assert_eq!(cpu(&comparison, "tokio"), Finding::WithinNoise);
    let asked = Comparison::of(&a, &b, &options(&[Quantity::Rate])).unwrap();
    assert_eq!(line(&asked, "tokio", Quantity::Rate).finding, Finding::Carried([true, true]));
}

#[test]
fn a_p99_that_does_not_tell_of_the_stack_is_not_compared() {
    let a = run_of(0, 3, &[open("tokio", 20_000, true)]);
    let mut one_not_carried = run_of(1, 3, &[open("tokio", 20_000, true)]);
    one_not_carried.rows[0].offered.as_mut().unwrap().is_carried = Some(false);
    let comparison = compare(&a, &one_not_carried);
    assert!(why_not(line(&comparison, "tokio", Quantity::P99).finding).starts_with("a trial of B did not carry"));
    let mut unread = run_of(1, 3, &[open("tokio", 20_000, true)]);
    unread.latencies.pop_first();
    assert!(
        why_not(line(&compare(&unread, &a), "tokio", Quantity::P99).finding).starts_with("a trial of A has no p99")
    );
    let closed = [0, 1].map(|nth| run_of(nth, 3, &[row("tokio", 30.0)]));
    let asked = Comparison::of(&closed[0], &closed[1], &options(&[Quantity::P99])).unwrap();
    assert!(why_not(line(&asked, "tokio", Quantity::P99).finding).starts_with("in a closed loop"));
}

#[test]
fn shares_of_maxima_that_moved_apart_are_not_compared() {
    let mut b = run_of(1, 3, &[open("tokio", 20_000, true)]);
    b.rows.iter_mut().for_each(|row| row.offered.as_mut().unwrap().per_sec = 4_000.0);
    let comparison = compare(&run_of(0, 3, &[open("tokio", 20_000, true)]), &b);
    assert_eq!(why_not(cpu(&comparison, "tokio")), "offered: 5,000/s in A, 4,000/s in B");
}

#[test]
fn another_load_makes_a_cell_not_comparable_and_names_what_differs() {
    type Case = (&'static str, fn(&mut crate::run::ScenarioMeta));
    let cases: [Case; 7] = [
        ("delays: get 20ms, set 200ms in A, none in B", |scenario| scenario.delays.clear()),
        ("connections: 2000 in A, 100 in B", |scenario| scenario.connections = 100),
        ("window: 4 s in A, 10 s in B", |scenario| scenario.duration_s = 10.0),
        ("warm-up: 1 s in A, 2 s in B", |scenario| scenario.warmup_s = 2.0),
        ("pool: 2000 in A, 16 in B", |scenario| scenario.pool = 16),
        ("workers: 1 in A, 2 in B", |scenario| scenario.workers = 2),
        ("request: GET /myapp/async/cache_set in A, GET /other in B", |scenario| {
            scenario.requests[1].path = "/other".to_owned();
        }),
    ];
    for (expected, change) in cases {
        let comparison = changed(|run| change(&mut run.meta.scenarios[0])).unwrap();
        assert_eq!(why_not(cpu(&comparison, "tokio")), expected);
    }
    let unrelated = |run: &mut Run| {
        let requests = &mut run.meta.scenarios[0].requests;
        let more = RequestMeta { name: "new".to_owned(), ..requests[0].clone() };
        requests.push(more);
    };
    assert_eq!(cpu(&changed(unrelated).unwrap(), "tokio"), Finding::WithinNoise, "it asks the same of this cell");
}

#[test]
fn steps_are_known_by_what_they_set_and_not_by_their_number() {
    let steps = |titles: &[&str]| titles.iter().map(|title| sample::step(title)).collect::<Vec<StepMeta>>();
    let at = |step: u32, us: f64| Row { step: Some(step), ..row("tokio", us) };
    let mut a = run_of(0, 8, &[at(0, 10.0), at(1, 30.0)]);
    a.meta.scenarios[0].steps = steps(&["1 connection", "64 connections"]);
    let mut b = run_of(1, 8, &[at(0, 10.0), at(1, 20.0), at(2, 30.0)]);
    b.meta.scenarios[0].steps = steps(&["1 connection", "8 connections", "64 connections"]);
    let comparison = compare(&a, &b);
    assert_eq!(comparison.questions.len(), 2);
    assert_eq!(comparison.questions[1].title, "cache: cache_set, async: 64 connections");
    assert!(comparison.cells().all(|cell| cell.lines[0].finding == Finding::WithinNoise));
    let alone: Vec<usize> =
        comparison.basis.one_run_only[1].values().flat_map(|stacks| stacks.values()).copied().collect();
    assert_eq!(alone, [1]);
}

#[test]
fn cells_of_one_run_are_counted_by_stack() {
    let a = run_of(0, 8, &[row("may", 20.0), row("tokio", 30.0)]);
    let b = run_of(1, 8, &[row("tokio", 30.0), row("smol", 30.0)]);
    let comparison = compare(&a, &b);
    let only = |stack: &str| BTreeMap::from([("cache".to_owned(), BTreeMap::from([(stack.to_owned(), 1)]))]);
    assert_eq!(comparison.basis.one_run_only, [only("may"), only("smol")]);
    assert_eq!(comparison.cells().count(), 1);
}

#[test]
fn runs_without_a_common_cell_are_refused_with_what_each_has() {
    let other = Row { scenario: "pool".to_owned(), ..row("tokio", 30.0) };
    let text = refusal(&run_of(0, 3, &[row("tokio", 30.0)]), &run_of(1, 3, &[other]));
    assert_eq!(text, "the runs have no cell in common: rows of: cache in A, pool in B");
    let text = refusal(&run_of(0, 3, &[row("tokio", 30.0)]), &run_of(1, 0, &[]));
    assert!(text.ends_with("cache in A, none in B"), "{text}");
}
