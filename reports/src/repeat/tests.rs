//! Tests of what two runs say of the same. The figures are invented.

use super::*;
use crate::{
    format,
    row::{Placement, Row, Verdict},
    sample,
};

/// How the machine is in each block; the second run begins elsewhere.
const MOODS: [f64; 8] = [1.0, 1.3, 0.9, 1.2, 1.1, 1.4, 1.0, 1.25];

/// Stacks with what a request costs them, over as many blocks. `nth` tells the runs apart.
fn run_of(nth: u32, blocks: u32, stacks: &[(&str, f64)]) -> Run {
    let mut rows = Vec::new();
    for trial in 1..=blocks {
        for (stack, us) in stacks {
            let mood = MOODS[(trial + nth) as usize % MOODS.len()];
            let wavers = 1.0 + 0.002 * f64::from((trial * 7 + nth * 3 + stack.len() as u32) % 5);
            let mut row = Row { trial, ..sample::row(stack) };
            row.server.cpu_us_per_request = us * mood * wavers;
            rows.push(row);
        }
    }
    let mut meta = sample::meta();
    meta.started = format!("2026-11-21T1{nth}:00:00Z");
    Run { meta, rows, latencies: BTreeMap::new(), warnings: Vec::new() }
}

fn run(nth: u32, stacks: &[(&str, f64)]) -> Run {
    run_of(nth, 8, stacks)
}

/// As a reader takes it in: lines joined again.
fn drawn(repeat: &Repeat) -> String {
    format::repeat::draw(repeat).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn refusal(first: &Run, second: &Run) -> String {
    Repeat::of(first, second).unwrap_err().to_string()
}

const FIELD: [(&str, f64); 3] = [("may", 10.0), ("tokio", 20.0), ("async-std", 30.0)];

#[test]
fn two_runs_that_say_the_same_hold_every_ratio_and_reverse_no_pair() {
    let repeat = Repeat::of(&run(0, &FIELD), &run(1, &FIELD)).unwrap();
    assert_eq!((repeat.intervals(), repeat.containing_one()), (2, 2));
    assert_eq!((repeat.ordered_pairs(), repeat.reversed_pairs()), (3, 0));
    assert_eq!(repeat.tables[0].reference, "may");
    assert_eq!(repeat.tables[0].title, "As deployed: cache, cache_set, async");
    assert!(repeat.left_out.is_empty());
}

#[test]
fn a_machine_that_is_slower_as_a_whole_changes_no_claim() {
    let slower = FIELD.map(|(stack, us)| (stack, 1.5 * us));
    let repeat = Repeat::of(&run(0, &FIELD), &run(1, &slower)).unwrap();
    assert_eq!((repeat.intervals(), repeat.containing_one(), repeat.reversed_pairs()), (2, 2, 0));
}

#[test]
fn a_ratio_that_moved_is_named_with_its_change() {
    let moved = [("may", 10.0), ("tokio", 21.0), ("async-std", 30.0)];
    let repeat = Repeat::of(&run(0, &FIELD), &run(1, &moved)).unwrap();
    assert_eq!((repeat.intervals(), repeat.containing_one(), repeat.reversed_pairs()), (2, 1, 0));
    let ratio = &repeat.tables[0].ratios[0];
    assert_eq!(ratio.stack, "tokio");
    let (low, high) = ratio.change.interval();
    assert!(low < 1.05_f64.ln() && 1.05_f64.ln() < high);
    let text = drawn(&repeat);
    assert!(text.contains("1 of 2 run-to-run ratio intervals contain 1: 50.0 % (aim: at least 95 %)."), "{text}");
    assert!(text.contains("server CPU per request of tokio is 2.00 times that of may"), "{text}");
}

#[test]
fn a_pair_that_turned_round_is_named() {
    let turned = [("may", 10.0), ("tokio", 30.0), ("async-std", 20.0)];
    let repeat = Repeat::of(&run(0, &FIELD), &run(1, &turned)).unwrap();
    assert_eq!((repeat.ordered_pairs(), repeat.reversed_pairs()), (3, 1));
    assert_eq!(repeat.tables[0].reversed_pairs, [("tokio".to_owned(), "async-std".to_owned())]);
    let text = drawn(&repeat);
    assert!(text.contains("tokio is better than async-std in the first run and worse in the second."), "{text}");
}

#[test]
fn a_reversal_within_a_runs_noise_floor_is_none() {
    let turned = [("may", 10.0), ("tokio", 30.0), ("async-std", 29.0)];
    let mut second = run(1, &turned);
    assert_eq!(Repeat::of(&run(0, &FIELD), &second).unwrap().reversed_pairs(), 1);
    let names = run(1, &[("may", 10.5)]).rows.into_iter().map(|row| Row { twin: Some(2), ..row });
    second.rows.extend(names);
    let repeat = Repeat::of(&run(0, &FIELD), &second).unwrap();
    assert_eq!((repeat.ordered_pairs(), repeat.reversed_pairs()), (3, 0));
    assert!(drawn(&repeat).contains("Second run. A/A: two names of may differ by up to 5.0 %"));
}

#[test]
fn what_is_not_ranked_in_both_runs_is_left_out_and_counted() {
    let mut second = run(1, &[("may", 10.0), ("tokio", 20.0), ("async-std", 30.0), ("smol", 15.0)]);
    for row in second.rows.iter_mut().filter(|row| row.stack == "tokio") {
        row.verdict = Verdict::Starved;
    }
    let repeat = Repeat::of(&run(0, &FIELD), &second).unwrap();
    assert_eq!(repeat.intervals(), 1);
    let of = |stack: &str| BTreeMap::from([(stack.to_owned(), 1)]);
    assert_eq!(repeat.left_out, BTreeMap::from([(LeftOut::NotRanked, of("tokio")), (LeftOut::OneRunOnly, of("smol"))]));
    assert!(drawn(&repeat).contains("as a verdict forbids to rank them in one of the runs: 1 cells (tokio 1)"));
}

#[test]
fn a_stack_with_too_few_blocks_is_left_out_and_counted() {
    let mut first = run(0, &FIELD);
    first.rows.retain(|row| row.stack != "tokio" || row.trial <= 5);
    let repeat = Repeat::of(&first, &run(1, &FIELD)).unwrap();
    assert_eq!(repeat.left_out[&LeftOut::FewBlocks], BTreeMap::from([("tokio".to_owned(), 1)]));
    first.rows.retain(|row| row.stack != "async-std" || row.trial <= 5);
    let text = refusal(&first, &run(1, &FIELD));
    assert!(text.contains("no two stacks of a table have 6 blocks in common in both runs"), "{text}");
}

#[test]
fn programs_that_changed_between_the_runs_are_named() {
    let (mut first, mut second) = (run(0, &FIELD), run(1, &FIELD));
    first.meta.binaries = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
    second.meta.binaries = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "3".to_owned())]);
    let repeat = Repeat::of(&first, &second).unwrap();
    assert_eq!(repeat.changed_programs, ["b"]);
    assert!(drawn(&repeat).contains("Warning: these programs are not the same"));
}

#[test]
fn runs_that_are_not_of_the_same_are_refused_with_what_differs() {
    let changed = |change: fn(&mut Run)| {
        let mut second = run(1, &FIELD);
        change(&mut second);
        refusal(&run(0, &FIELD), &second)
    };
    type Case = (&'static str, fn(&mut Run));
    let cases: [Case; 6] = [
        ("the machine (processor): Example CPU in the first, Other CPU in the second", |run| {
            run.meta.machine.cpu_model = "Other CPU".to_owned();
        }),
        ("placement: pinned in the first, free in the second", |run| run.meta.placement = Placement::Free),
        ("the store: embedded in the first, redis 7.0.15 in the second", |run| {
            run.meta.store.name = "redis 7.0.15".to_owned();
        }),
        ("scenarios: cache in the first, cache-nodelay in the second", |run| {
            run.meta.scenarios[0].name = "cache-nodelay".to_owned();
        }),
        ("scenario `cache` (window): 4 s in the first, 1 s in the second", |run| {
            run.meta.scenarios[0].duration_s = 1.0;
        }),
        ("what was measured: cache over embedded, pinned in the first, no rows of that in the second", |run| {
            for row in &mut run.rows {
                row.store_name = "redis 7.0.15".to_owned();
            }
        }),
    ];
    for (expected, change) in cases {
        let text = changed(change);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn one_run_twice_is_no_repeat() {
    assert!(refusal(&run(0, &FIELD), &run(0, &FIELD)).contains("one and the same run"));
}

#[test]
fn three_blocks_are_refused_with_the_option_that_mends_it() {
    let text = refusal(&run(0, &FIELD), &run_of(1, 3, &FIELD));
    assert!(text.contains("the second run has 3; measure it again with `--trials 6` or more"), "{text}");
}

#[test]
fn stacks_that_may_not_be_ranked_leave_nothing_to_compare() {
    let mut first = run(0, &FIELD);
    for row in &mut first.rows {
        row.verdict = Verdict::Noisy;
    }
    let text = refusal(&first, &run(1, &FIELD));
    assert!(text.contains("nothing to compare: no table has two stacks that are ranked in both runs"), "{text}");
}
