//! Tests of what two runs say of the same. The figures are invented.

use super::*;
use crate::{
    format,
    row::{Placement, Row, Verdict},
    run::StackMeta,
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
    assert_eq!(repeat.tables[0].reference, "tokio");
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
    let moved = [("may", 10.5), ("tokio", 20.0), ("async-std", 30.0)];
    let repeat = Repeat::of(&run(0, &FIELD), &run(1, &moved)).unwrap();
    assert_eq!((repeat.intervals(), repeat.containing_one(), repeat.reversed_pairs()), (2, 1, 0));
    let ratio = repeat.tables[0].ratios.iter().find(|ratio| ratio.stack == "may").unwrap();
    let (low, high) = ratio.change.interval();
    assert!(low < 1.05_f64.ln() && 1.05_f64.ln() < high);
    let text = drawn(&repeat);
    let expected = "1 of 2 run-to-run ratio intervals contain 1: 50.0 %. Of 2 intervals 1 to 2 are to be expected when";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("server CPU per request of may is 0.50 times that of tokio"), "{text}");
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
    assert_eq!((repeat.intervals(), repeat.tables[0].reference.as_str()), (1, "async-std"), "the first by name");
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
    assert_eq!(repeat.changes, Changes { programs: vec!["b".to_owned()], ..Changes::default() });
    assert!(drawn(&repeat).contains("Warning: these programs are not the same"));
}

#[test]
fn files_that_changed_and_what_only_one_run_knows_are_named() {
    let (mut first, mut second) = (run(0, &FIELD), run(1, &FIELD));
    let files = |files: &[(&str, &str)]| files.iter().map(|(path, hash)| ((*path).into(), (*hash).into())).collect();
    first.meta.inputs = files(&[("scenarios/cache.toml", "1"), ("servers/may/stack.toml", "2")]);
    second.meta.binaries = files(&[("target/release/stack-new", "1")]);
    let unrecorded = Repeat::of(&first, &second).unwrap();
    assert!(unrecorded.changes.inputs.is_empty(), "the second run is older than the record of files");
    second.meta.inputs = files(&[("scenarios/cache.toml", "1"), ("servers/may/stack.toml", "3")]);
    let repeat = Repeat::of(&first, &second).unwrap();
    assert_eq!(repeat.changes.inputs, ["servers/may/stack.toml"]);
    assert_eq!(repeat.changes.one_run_only, ["target/release/stack-new"]);
    let text = drawn(&repeat);
    assert!(
        text.contains("these files are not the same in both runs, and may change what is measured: servers/may"),
        "{text}"
    );
    assert!(text.contains("only one of the runs knows these programs and files: target/release/stack-new."), "{text}");
}

#[test]
fn stacks_of_both_panels_are_counted_once() {
    let of_panels = |nth: u32| {
        let field = [("may", 10.0), ("compio", 12.0), ("tokio", 20.0), ("core-tokio", 15.0)];
        let mut run = run(nth, &field);
        let stack = run.meta.stacks[0].clone();
        let panel = |name: &str| match name {
            "tokio" => "deployed",
            "core-tokio" => "controlled",
            _ => "both",
        };
        let described =
            field.map(|(name, _)| StackMeta { name: name.to_owned(), panel: panel(name).to_owned(), ..stack.clone() });
        run.meta.stacks = described.to_vec();
        for row in run.rows.iter_mut().filter(|row| row.stack == "may" && nth == 1) {
            row.verdict = Verdict::Starved;
        }
        run
    };
    let repeat = Repeat::of(&of_panels(0), &of_panels(1)).unwrap();
    assert_eq!(repeat.tables.iter().map(|table| table.reference.as_str()).collect::<Vec<_>>(), ["tokio", "compio"]);
    assert_eq!((repeat.intervals(), repeat.ordered_pairs()), (2, 2), "compio with tokio, and with core-tokio");
    assert_eq!(repeat.left_out[&LeftOut::NotRanked], BTreeMap::from([("may".to_owned(), 1)]));
    let sound = |nth: u32| {
        let mut run = of_panels(nth);
        run.rows.iter_mut().for_each(|row| row.verdict = Verdict::Ok);
        run
    };
    let repeat = Repeat::of(&sound(0), &sound(1)).unwrap();
    // Six pairs of four stacks, without that of tokio and core-tokio, which no table has.
    assert_eq!(repeat.ordered_pairs(), 5);
}

#[test]
fn runs_that_are_not_of_the_same_are_refused_with_what_differs() {
    let changed = |change: fn(&mut Run)| {
        let mut second = run(1, &FIELD);
        change(&mut second);
        refusal(&run(0, &FIELD), &second)
    };
    type Case = (&'static str, fn(&mut Run));
    let cases: [Case; 9] = [
        ("the machine (processor): Example CPU in the first, Other CPU in the second", |run| {
            run.meta.machine.cpu_model = "Other CPU".to_owned();
        }),
        ("the machine (governor): none in the first, powersave in the second", |run| {
            run.meta.machine.governor = Some("powersave".to_owned());
        }),
        ("the machine (net.core.somaxconn): 4096 in the first, 128 in the second", |run| {
            run.meta.machine.somaxconn = 128;
        }),
        ("the CPUs of each process: client 0, server 1, store 0 in the first, client 0, server 2, store 0", |run| {
            for row in &mut run.rows {
                row.cpus.insert("server".to_owned(), vec![2]);
            }
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
