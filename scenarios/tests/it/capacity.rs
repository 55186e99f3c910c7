//! The search for the highest rate that meets an objective.

use std::{fs, process::Command};

use rustix::process::Signal;
use stackbench_reports::{
    capacity::{self, Ended, Outcome, Search, SetBy},
    row::Row,
};

use crate::harness::{Bench, Ran, eventually, finish, kill, stackbench, start, traps};

/// A closed scenario of ten connections, `/sync` only: a search offers its request open loop.
fn scenario(bench: &Bench) -> String {
    let text = fs::read_to_string(bench.scenario("", 10)).unwrap();
    let text = text.replace("timeout =", "warmup = \"100ms\"\ntimeout =");
    bench.scenario_file(&text.replace("[\"sync\", \"async\"]", "[\"sync\"]"))
}

/// A search over short windows; its run directory is `out`.
fn command(bench: &Bench, objective: &str, more: &[&str]) -> Command {
    let mut command = stackbench();
    command.args(["capacity", &scenario(bench), "--objective", objective, "--stacks-dir", &traps()]);
    command.args(["--placement", "free", "--duration", "300ms", "--out"]).arg(bench.path("out")).args(more);
    command
}

fn search(bench: &Bench, objective: &str, more: &[&str]) -> Ran {
    bench.ran(command(bench, objective, more).output().unwrap())
}

/// What was found of a stack.
fn found(ran: &Ran, stack: &str) -> Search {
    let found = capacity::load(&ran.out).unwrap().unwrap_or_else(|| panic!("{}", ran.stderr()));
    found.searches.into_iter().find(|search| search.stack == stack).unwrap()
}

/// Whether the client was late for want of a CPU, as it may be where others compile or test meanwhile. Then it is its own
/// bound that was found, and said to be.
fn is_the_clients(search: &Search, ran: &Ran) -> bool {
    let is = search.upper_set_by == Some(SetBy::Client);
    assert!(!is || ran.stdout().contains("the upper bound is the client's"), "{}", ran.stdout());
    is
}

#[test]
fn the_bounds_lie_around_what_a_stack_can_carry_and_every_trial_can_be_traced() {
    let bench = Bench::new();
    // Ten connections, each busy for 20 ms with a request: five hundred a second. On a busy machine it is less, and in a
    // window as short as this chance may have a quarter less fall due than was meant.
    let ran = search(&bench, "p50<200ms,errors<1%", &["--stacks", "sleeps,null", "--start", "100", "--seed", "7"]);
    let sleeps = found(&ran, "sleeps");
    if !is_the_clients(&sleeps, &ran) {
        assert_eq!((ran.code(), sleeps.ended), (0, Ended::Converged), "{}", ran.stderr());
        let (lower, upper) = (sleeps.lower_per_sec.unwrap(), sleeps.upper_per_sec.unwrap());
        assert!(lower < 700.0 && upper > 100.0 && upper <= lower * 1.06, "{lower} to {upper}");
        assert!(sleeps.trials_at(lower).count() >= 2 && sleeps.trials_at(upper).count() >= 2, "{:?}", sleeps.trials);
    }
    assert_eq!(sleeps.trials.len(), ran.written.len(), "null is a ceiling, of which nobody asks what it carries");
    for (trial, row) in sleeps.trials.iter().zip(&ran.written) {
        assert_eq!((trial.number, trial.outcome == Outcome::Repeated), (row.trial, row.repeated));
        assert!((row.offered.unwrap().per_sec - trial.per_sec).abs() < 1e-6);
        assert_eq!(trial.outcome == Outcome::Missed, !trial.why.is_empty() && !row.repeated, "{trial:?}");
        assert!(ran.out.join("raw").join(format!("{}.json", trial.label)).is_file(), "{}", trial.label);
    }
    let table = ran.stdout();
    assert!(table.contains("null: a ceiling, left out") && table.contains("how it ended"), "{table}");
    let progress = ran.stderr();
    assert!(
        progress.contains("short-sleeps-cache_set-sync-1: 100/s ") && progress.contains("/s missed: "),
        "{progress}"
    );
}

/// The instants of a trial: the seed they are drawn from.
fn instants(row: &Row) -> String {
    row.commands["client"].iter().find(|word| word.starts_with("--seed=")).unwrap().clone()
}

#[test]
fn an_objective_met_everywhere_is_named_with_the_stack_while_others_go_on() {
    let bench = Bench::new();
    let more =
        ["--stacks", "sleeps,thread-pool", "--start", "100", "--most", "400", "--precision", "50%", "--seed", "41"];
    let ran = search(&bench, "p50<15ms", &more);
    assert_eq!(ran.code(), 2, "{}", ran.stderr());
    // What sleeps for twenty milliseconds never answers in fifteen.
    assert_eq!(found(&ran, "sleeps").ended, Ended::MissedDownToLeast);
    let told = |words: &str| assert!(ran.stderr().contains(words), "`{words}` is not in:\n{}", ran.stderr());
    told("missed at every rate down to 10/s");
    told("by sleeps (cache_set sync): ");
    let pool = found(&ran, "thread-pool");
    if !is_the_clients(&pool, &ran) {
        assert_eq!((pool.ended, pool.lower_per_sec), (Ended::MetUpToMost, Some(400.0)), "{pool:?}");
        told("met at every rate up to 400/s by thread-pool (cache_set sync): allow less, or go higher with --most");
        assert!(ran.stdout().contains("met everywhere"), "{}", ran.stdout());
    }
    assert!(ran.stdout().contains("met nowhere"), "{}", ran.stdout());
    // Both were offered the same rate first, at the same instants.
    let first: Vec<&Row> = ran.written.iter().filter(|row| row.trial == 1).collect();
    assert_eq!([instants(first[0]), instants(first[1])], ["--seed=41", "--seed=41"]);
    let rates: Vec<f64> = first.iter().map(|row| row.offered.unwrap().per_sec).collect();
    assert_eq!(rates, [100.0, 100.0]);
}

#[test]
fn a_stack_that_dies_ends_its_own_search_only() {
    let bench = Bench::new();
    let more = ["--stacks", "no-store,sleeps", "--start", "200", "--precision", "100%", "--trials-max", "12"];
    let ran = search(&bench, "p50<200ms", &more);
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    let failed = found(&ran, "no-store");
    assert_eq!((failed.ended, failed.trials.len()), (Ended::Failed, 1));
    assert!(failed.error.unwrap().contains("store"), "{}", ran.stdout());
    assert_ne!(found(&ran, "sleeps").ended, Ended::Failed);
    assert!(ran.stdout().contains("no-store failed: "), "{}", ran.stdout());
}

#[test]
fn a_search_that_does_not_converge_says_so_with_its_bounds() {
    let bench = Bench::new();
    let more = ["--stacks", "sleeps", "--start", "100", "--trials-max", "2"];
    let ran = search(&bench, "p50<200ms", &more);
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    let sleeps = found(&ran, "sleeps");
    assert_eq!(sleeps.ended, Ended::NotConverged);
    assert!(sleeps.lower_per_sec.is_some() || sleeps.upper_per_sec.is_some());
    assert!(ran.stdout().contains("did not converge"), "{}", ran.stdout());
}

#[test]
fn ctrl_c_keeps_the_bounds_found_so_far_and_the_report_can_be_made_again_but_not_resumed() {
    let bench = Bench::new();
    let child = start(command(&bench, "p50<200ms", &["--stacks", "sleeps", "--start", "5", "--least", "1"]));
    let out = bench.path("out");
    eventually("a bound", || {
        let found = capacity::load(&out).ok()??;
        found.searches[0].lower_per_sec.or(found.searches[0].upper_per_sec)
    });
    kill(child.id(), Signal::INT);
    let ran = bench.ran(finish(child));
    assert_eq!(ran.code(), 130, "{}", ran.stderr());
    let sleeps = found(&ran, "sleeps");
    assert_eq!(sleeps.ended, Ended::UnderWay);
    assert!(sleeps.lower_per_sec.or(sleeps.upper_per_sec).is_some() && !sleeps.trials.is_empty());
    assert!(ran.stdout().contains("interrupted: 0 of 1 searches"), "{}", ran.stdout());

    let report = fs::read_to_string(out.join("report.md")).unwrap();
    fs::remove_file(out.join("report.md")).unwrap();
    let again = stackbench().arg("report").arg(&out).output().unwrap();
    assert!(again.status.success() && report.contains("not finished"), "{report}");
    assert_eq!(fs::read_to_string(out.join("report.md")).unwrap(), report);
    let resumed = stackbench().args(["run", "--resume"]).arg(&out).output().unwrap();
    let told = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(resumed.status.code() == Some(2) && told.contains("a search for capacity cannot be resumed"), "{told}");
}

#[test]
fn objectives_and_rates_that_make_no_sense_are_refused_before_anything_is_started() {
    for (objective, more, told) in [
        ("p99", &[][..], "--objective 'p99': expected a figure"),
        ("speed<5ms", &[], "--objective 'speed<5ms': expected a figure"),
        ("", &[], "--objective '': expected a figure"),
        ("p99<0", &[], "'p99<0': nothing can meet this"),
        ("errors<0", &[], "'errors<0': nothing can meet this"),
        ("errors<=100%", &[], "'errors<=100%': everything meets this"),
        ("p99<5ms,p99>10ms", &[], "'p99<5ms' and 'p99>10ms' contradict each other"),
        ("rate>5k", &[], "the rate is what is searched for"),
        ("p99<20ms", &["--start", "0"], "--start"),
        ("p99<20ms", &["--start", "2M"], "at most 1000000"),
        ("p99<20ms", &["--precision", "0%"], "--precision"),
        ("p99<20ms", &["--least", "500", "--most", "400"], "--least 500: it must be below --most 400"),
        ("p99<20ms", &["--stacks", "null"], "none is left; name one that is no ceiling"),
        ("p99<20ms", &["--resume", "out"], "cannot be resumed"),
    ] {
        let ran = search(&Bench::new(), objective, more);
        assert_eq!(ran.code(), 2, "{objective} {more:?}: {}", ran.stderr());
        assert!(ran.stderr().contains(told), "{objective} {more:?}: {}", ran.stderr());
        assert!(!ran.out.exists(), "{objective} {more:?}");
    }
    let none = stackbench().arg("capacity").output().unwrap();
    assert!(none.status.code() == Some(2) && String::from_utf8_lossy(&none.stderr).contains("--objective"));
}
