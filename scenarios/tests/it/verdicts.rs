//! Every verdict that says what bounded a trial, provoked by a server that has nothing else to it. The other verdicts, of
//! servers that cheat or break, are in `traps`.
//!
//! A verdict of this kind is a matter of who uses which CPU, so here, unlike elsewhere, the server has one of its own, the
//! client and the store share a second, and no other test runs meanwhile (`.config/nextest.toml`).

use stackbench_reports::row::{Row, Verdict};

use crate::harness::{Bench, on_two_cpus, traps};

/// What a disturbed trial is worth: nothing, so it is made again. Whoever is disturbed so often has no quiet machine.
const TRIALS_MAX: u32 = 6;

/// One stack under one load.
#[derive(Clone, Copy)]
struct Case<'a> {
    stack: &'a str,
    connections: u32,
    /// For the traps that read it.
    query: &'a str,
    /// The command that one answer implies, and how long the store waits before it answers that.
    command: &'a str,
    delays: &'a str,
}

/// Twenty connections to a server that sets a key, over a store that answers at once.
const PLAIN: Case = Case { stack: "", connections: 20, query: "", command: "set", delays: "" };

impl Case<'_> {
    fn measured(&self) -> Row {
        let bench = Bench::new();
        let Self { stack, connections, query, command, delays } = self;
        let scenario = bench.scenario_file(&format!(
            r#"
            name = "short"
            title = "A short scenario"
            source = "a test"
            analysis = "none"
            [store]
            delays = {{ {delays} }}
            [load]
            model = "closed"
            connections = {connections}
            duration = "1s"
            timeout = "30s"
            [server]
            pool = 64
            [run]
            trials = 1
            [[request]]
            name = "asked"
            method = "GET"
            path = "/myapp/{{mode}}/cache_set{query}"
            modes = ["sync"]
            status = 200
            body = '{{"status": "ok"}}'
            store = {{ {command} = 1 }}
            "#
        ));
        let traps = traps();
        let mut run = bench.pinned(&scenario, &["--stacks", stack, "--stacks-dir", &traps, "--no-aa"]);
        let ran = bench.ran(on_two_cpus(|| run.output().unwrap()));
        let [row] = &ran.rows[..] else { panic!("{}\n{}", ran.stdout(), ran.stderr()) };
        row.clone()
    }

    /// The verdict, which disturbances by other programs may delay and must not change.
    fn expect(&self, verdict: Verdict, words: &[&str]) -> Row {
        let row = (0..TRIALS_MAX).map(|_| self.measured()).find(|row| !is_disturbed(row));
        let row = row.unwrap_or_else(|| panic!("{} was disturbed in each of {TRIALS_MAX} trials", self.stack));
        assert_eq!(row.verdict, verdict, "{:?} {}", row.error, row.reason);
        for word in words {
            assert!(row.reason.contains(word), "`{word}` is not in `{}`", row.reason);
        }
        row
    }
}

fn is_disturbed(row: &Row) -> bool {
    matches!(row.verdict, Verdict::Noisy | Verdict::Unsteady)
}

#[test]
fn a_server_that_uses_all_of_its_cpu_is_ok() {
    let row = Case { stack: "burns", ..PLAIN }.expect(Verdict::Ok, &[]);
    assert_eq!(row.reason, "");
    assert!(row.server.cpu_s > 0.9 * row.window_s, "{} s of {} s", row.server.cpu_s, row.window_s);
}

#[test]
fn a_server_that_is_as_fast_as_the_store_s_delay_allows_is_latency_bound() {
    // Long enough that what a busy machine adds, to the store's lateness too, is little of it.
    let row = Case { stack: "tokio", delays: "set = \"100ms\"", ..PLAIN }
        .expect(Verdict::LatencyBound, &["% of the ceiling that the store's delay sets"]);
    assert!(row.latency_us.min >= 100_000);
}

#[test]
fn a_server_that_does_nothing_for_most_of_the_time_is_idle() {
    let row = Case { stack: "sleeps", ..PLAIN }.expect(Verdict::Idle, &["no ceiling was reached"]);
    assert!(row.latency_us.min >= 20_000);
}

/// Fifty connections to the server that costs its peers more than itself.
const BURDENS: Case = Case { stack: "burdens", connections: 50, command: "exists", ..PLAIN };
/// How both peers' shares of the one CPU are told.
const SHARED_CPU: &str = "the CPU of client and store was";

#[test]
fn a_server_whose_answers_are_dear_to_read_is_limited_by_the_client() {
    let row = Case { query: "?padding=16000", ..BURDENS }.expect(Verdict::PeerLimitedClient, &[SHARED_CPU]);
    assert!(row.client.cpu_s > row.store.cpu_s && row.server.cpu_s < 0.95 * row.window_s);
}

#[test]
fn a_server_whose_questions_are_dear_to_answer_is_limited_by_the_store() {
    let row = Case { query: "?keys=5000", ..BURDENS }.expect(Verdict::PeerLimitedStore, &[SHARED_CPU]);
    assert!(row.store.cpu_s > row.client.cpu_s && row.server.cpu_s < 0.95 * row.window_s);
}

#[test]
fn a_server_that_is_equally_dear_to_both_is_limited_by_both() {
    // What is equal depends on machine and compiler, so it is measured first.
    const KEYS: f64 = 1_000.0;
    let tried = Case { query: &format!("?padding=16000&keys={KEYS}"), ..BURDENS }.measured();
    let keys = KEYS * tried.client.cpu_s / tried.store.cpu_s;
    let query = format!("?padding=16000&keys={keys:.0}");
    Case { query: &query, ..BURDENS }.expect(Verdict::PeerLimitedBoth, &[SHARED_CPU, "went to the client"]);
}

#[test]
fn a_server_that_answers_all_connections_at_once_is_limited_by_the_turns_of_the_client() {
    let case = Case { stack: "batches", connections: 100, query: "?padding=16000", ..PLAIN };
    case.expect(Verdict::ClientLimited, &["event loop's turn", "above a tenth of the median latency"]);
}

#[test]
fn a_store_that_is_kept_from_its_cpu_is_late() {
    Case { stack: "stalls-store", delays: "set = \"20ms\"", ..PLAIN }
        .expect(Verdict::StoreLate, &["the store was late by", "on a delay of 20 ms"]);
}
