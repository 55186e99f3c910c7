//! Trials that are made more than once in a block: under a second name, or because they were disturbed.

use std::{
    fs,
    hint::spin_loop,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use stackbench_reports::{
    RunDir,
    row::{Row, Verdict},
};

use crate::harness::{Bench, Ran};

/// Three stacks in one mode.
fn three(more: &[&str]) -> (Bench, Ran) {
    let bench = Bench::new();
    let scenario = bench.scenario("", 10);
    let one_mode = fs::read_to_string(&scenario).unwrap().replace("[\"sync\", \"async\"]", "[\"sync\"]");
    let scenario = bench.scenario_file(&one_mode);
    let options: Vec<&str> = ["--stacks", "tokio,smol,thread-pool"].iter().chain(more).copied().collect();
    let ran = bench.run(&scenario, &options);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    (bench, ran)
}

/// The trials that count, as `stack` or `stack 2`, sorted.
fn names(ran: &Ran) -> Vec<String> {
    let name = |row: &Row| row.twin.map_or_else(|| row.stack.clone(), |twin| format!("{} {twin}", row.stack));
    let mut names: Vec<String> = ran.rows.iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_cheap_and_a_dear_stack_are_measured_under_two_names() {
    let (_bench, ran) = three(&[]);
    assert_eq!(names(&ran), ["smol", "smol 2", "thread-pool", "tokio", "tokio 2"]);
    assert_eq!(RunDir::load(&ran.out).unwrap().meta.plan.trials, 5);
    for line in ["A/A        measured under two names: smol, tokio", "5 cells × 1 blocks", "expected   5 trials"] {
        assert!(ran.stdout().contains(line), "`{line}` is not in\n{}", ran.stdout());
    }
    for row in &ran.written {
        let raw = row.raw.as_ref().unwrap();
        assert_eq!(raw.contains("-twin"), row.twin.is_some(), "{raw}");
        assert!(ran.out.join(raw).is_file());
    }
}

#[test]
fn whoever_looks_quickly_or_asks_for_it_gets_one_name_each() {
    for flag in ["--no-aa", "--quick"] {
        let (_bench, ran) = three(&[flag, "--duration", "300ms"]);
        assert_eq!(names(&ran), ["smol", "thread-pool", "tokio"], "{flag}");
    }
}

#[test]
fn a_disturbed_trial_is_measured_again_and_both_are_kept() {
    let bench = Bench::new();
    let over = AtomicBool::new(false);
    let ran = thread::scope(|scope| {
        // Another program that uses all the CPU time it can get, for as long as the run takes.
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    spin_loop();
                }
            });
        }
        let ran = bench.run(&bench.scenario("", 4), &["--stacks", "tokio", "--duration", "1s"]);
        over.store(true, Ordering::Relaxed);
        ran
    });
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    // Two cells, of which a quarter and at least one may be repeated.
    assert_eq!(ran.written.len(), 3, "{}", ran.stderr());
    let (first, others): (Vec<&Row>, Vec<&Row>) = ran.written.iter().partition(|row| row.repeated);
    let [first] = first[..] else { panic!("one trial is repeated: {}", ran.stderr()) };
    assert_eq!(first.verdict, Verdict::Noisy);
    let again = ran.written.last().unwrap();
    assert_eq!((again.mode, again.trial, again.repeated), (first.mode, first.trial, false), "at the end of its block");
    assert!(again.raw.as_ref().unwrap().ends_with("-again.json"));
    for row in others.into_iter().chain([first]) {
        assert!(ran.out.join(row.raw.as_ref().unwrap()).is_file());
    }
    assert!(ran.stderr().contains("(will be measured again)") && ran.stderr().contains("3/3 "), "{}", ran.stderr());
    assert!(ran.stdout().contains("noisy trials are measured again, at most 1"), "{}", ran.stdout());
}
