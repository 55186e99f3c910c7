//! What the harness itself has started dies in a trial: that trial has no figures and says why, and the next one has.

use std::fs;

use rustix::process::Signal;
use stackbench_reports::row::{Row, Verdict};

use crate::harness::{Bench, Ran, descendants, eventually, finish, kill, start, words_of};

/// What is killed in the first of two trials.
#[derive(Clone, Copy)]
enum Victim {
    Client,
    Store,
}

/// Two trials of one stack, of which a process is killed in the first, as soon as the load is on.
fn two_trials_without(victim: Victim) -> Ran {
    let bench = Bench::new();
    let scenario = fs::read_to_string(bench.scenario("", 10)).unwrap();
    let scenario = bench.scenario_file(&scenario.replace("[\"sync\", \"async\"]", "[\"async\"]"));
    let child = start(bench.command(&scenario, &["--stacks", "tokio", "--no-aa", "--trials", "2"]));
    // The client's command line names the store's process, and is that of a trial only if it does: clients are also asked
    // for their version.
    let (client, store) = eventually("the load of the first trial", || {
        let mut pids = descendants(child.id()).into_iter();
        pids.find_map(|pid| Some((pid, words_of(pid).iter().find_map(|word| watched_store(word))?)))
    });
    let pid = match victim {
        Victim::Client => client,
        Victim::Store => store,
    };
    kill(pid, Signal::KILL);
    let ran = bench.ran(finish(child));
    assert_eq!(ran.code(), 1, "a failed row is exit 1: {}", ran.stderr());
    ran
}

fn watched_store(word: &str) -> Option<u32> {
    word.strip_prefix("--watch-tree=store=")?.parse().ok()
}

/// The error of the first row; the second has figures.
fn error_of_the_first(ran: &Ran) -> String {
    let [first, second] = &ran.rows[..] else { panic!("two rows: {}\n{}", ran.stdout(), ran.stderr()) };
    assert_eq!((first.trial, first.verdict, first.requests), (1, Verdict::Failed, 0));
    assert!(second.trial == 2 && second.error.is_none() && second.requests > 0, "{:?}", second.error);
    first.error.clone().expect("a failed row says why")
}

#[test]
fn a_load_client_that_is_killed_costs_its_trial_only() {
    let ran = two_trials_without(Victim::Client);
    let error = error_of_the_first(&ran);
    assert!(error.contains("the load client ended with signal: 9"), "{error}");
}

#[test]
fn a_store_that_is_killed_costs_its_trial_only_and_is_started_again() {
    let ran = two_trials_without(Victim::Store);
    let error = error_of_the_first(&ran);
    assert!(error.contains("the store ended with signal: 9"), "{error}");
    let store = |row: &Row| row.commands["client"].iter().find_map(|word| watched_store(word)).unwrap();
    assert_ne!(store(&ran.rows[0]), store(&ran.rows[1]), "another process");
}
