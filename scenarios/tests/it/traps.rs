//! Servers that cheat or break: each is named in its row for what it does, and the run goes on.

use std::{fs, process::Command};

use socket2::{Domain, Socket, Type};
use stackbench_reports::row::{Row, Verdict};

use crate::harness::{Bench, Ran, descendants, eventually, find, finish, is_alive, start, traps};

/// Runs one trap in one mode beside a good stack, and returns the trap's row.
fn caught(trap: &str, delays: &str, connections: u32, more: &[&str]) -> Row {
    let bench = Bench::new();
    let ran = run_beside_tokio(&bench, trap, &traps(), delays, connections, more);
    row_of(trap, &ran)
}

fn run_beside_tokio(bench: &Bench, trap: &str, dir: &str, delays: &str, connections: u32, more: &[&str]) -> Ran {
    let scenario = one_mode(bench, delays, connections);
    let stacks = format!("{trap},tokio");
    let options: Vec<&str> = ["--stacks", &stacks, "--stacks-dir", dir].iter().chain(more).copied().collect();
    bench.run(&scenario, &options)
}

fn one_mode(bench: &Bench, delays: &str, connections: u32) -> String {
    let scenario = fs::read_to_string(bench.scenario(delays, connections)).unwrap();
    bench.scenario_file(&scenario.replace("[\"sync\", \"async\"]", "[\"sync\"]"))
}

/// The trap's row that counts, of a run in which the other stack went on.
fn row_of(trap: &str, ran: &Ran) -> Row {
    assert_eq!(ran.rows.len(), 2, "{}\n{}", ran.stdout(), ran.stderr());
    let (trapped, others): (Vec<Row>, Vec<Row>) = ran.rows.iter().cloned().partition(|row| row.stack == trap);
    assert_eq!(others[0].error, None, "the others go on");
    let failed = trapped[0].verdict == Verdict::Failed;
    assert_eq!(ran.code(), i32::from(failed), "a failed row is exit 1");
    assert!(ran.stdout().contains(trap));
    trapped.into_iter().next().unwrap()
}

fn fails(trap: &str, delays: &str, words: &[&str]) {
    let row = caught(trap, delays, 20, &[]);
    assert_eq!(row.verdict, Verdict::Failed, "{}", row.reason);
    let error = row.error.expect("a failed row says why");
    for word in words {
        assert!(error.contains(word), "`{word}` is not in `{error}`");
    }
    assert_eq!(row.requests, 0, "a failed row has no figures");
}

#[test]
fn a_server_that_never_asks_the_store_is_named() {
    fails("no-store", "", &["answers without touching the store"]);
}

#[test]
fn a_server_that_answers_before_the_store_does_is_named() {
    fails("early-answer", "", &["answers before the store does"]);
}

#[test]
fn a_server_that_stops_asking_the_store_after_verification_is_named_by_the_store_s_counters() {
    fails("late-cheat", "", &["answers without touching the store", "set at the store"]);
}

#[test]
fn a_server_that_begins_to_answer_early_after_verification_is_named_by_its_latency() {
    let row = caught("late-early", "set = \"20ms\"", 20, &[]);
    assert_eq!(row.verdict, Verdict::Impossible, "{:?} {}", row.error, row.reason);
    assert!(row.reason.contains("answers before the store does"), "{}", row.reason);
}

#[test]
fn a_server_that_serves_16_connections_and_starves_the_rest_is_named() {
    let row = caught("starve", "", 2000, &["--duration", "2s"]);
    assert_eq!(row.verdict, Verdict::Starved, "{:?} {}", row.error, row.reason);
    assert!(row.reason.contains("serves 16 of 2000 connections and starves 1984"), "{}", row.reason);
    assert_eq!(row.never_answered, 1984);
    assert!(row.occupancy > 0.9, "starvation does not show in the occupancy: {}", row.occupancy);
}

#[test]
fn answers_with_another_body_or_status_are_named() {
    for (trap, word) in [("wrong-body", "unexpected-body"), ("wrong-length", "unexpected-body"), ("errors", "status")] {
        let row = caught(trap, "", 20, &[]);
        assert_eq!(row.verdict, Verdict::Errors, "{trap}: {:?} {}", row.error, row.reason);
        assert!(row.reason.contains(word), "{trap}: {}", row.reason);
    }
}

#[test]
fn a_server_that_dies_under_load_is_a_row_with_its_exit_status_and_last_words() {
    fails("dies", "", &["exit status: 3", "was one too many"]);
}

#[test]
fn a_server_that_does_not_start_is_a_row_with_its_last_words() {
    fails("no-start", "", &["before it listened", "this trap never starts"]);
}

#[test]
fn a_server_that_never_gets_ready_is_a_row() {
    fails("never-ready", "", &["/check did not answer 200"]);
}

#[test]
fn a_server_that_ignores_sigterm_is_named_and_killed() {
    fails("ignores-sigterm", "", &["ignored SIGTERM"]);
}

#[test]
fn a_server_that_forks_is_measured_and_its_child_is_gone_after_its_trial() {
    let bench = Bench::new();
    let traps = traps();
    let options = ["--stacks", "forks", "--stacks-dir", &traps, "--no-aa"];
    let run = start(bench.command(&one_mode(&bench, "", 20), &[&options[..], &["--trials", "2"]].concat()));
    // The guard would end it too, but only with the run: so it must be gone when the next server has one.
    let child = eventually("the fork of a server", || find(&descendants(run.id()), "sleep"));
    let next = eventually("the fork of the next server", || {
        let pids = descendants(run.id()).into_iter().filter(|pid| *pid != child).collect();
        find(&pids, "sleep")
    });
    assert!(!is_alive(child), "pid {child} outlives its trial");
    let ran = bench.ran(finish(run));
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert!(ran.rows.len() == 2 && ran.rows.iter().all(|row| row.requests > 0), "{}", ran.stdout());
    assert!(!is_alive(next), "pid {next} outlives its run");
}

#[test]
fn a_server_that_leaves_its_port_to_a_child_that_survives_is_named_and_the_child_killed() {
    fails("leaks-port", "", &["left processes behind", "sleep (pid ", "killed"]);
}

#[test]
fn a_server_that_shares_its_port_with_a_process_of_somebody_else_is_named_with_that_process() {
    // A process left over from somewhere else, which does not even answer.
    let stale = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    stale.set_reuse_port(true).unwrap();
    stale.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    stale.listen(16).unwrap();
    let taken = stale.local_addr().unwrap().as_socket().unwrap().to_string();
    let bench = Bench::new();
    fs::create_dir(bench.path("stacks")).unwrap();
    let text = fs::read_to_string(format!("{}/stack.toml", traps())).unwrap();
    fs::write(bench.path("stacks/stack.toml"), text.replace("{listen}", &taken)).unwrap();
    let dir = bench.path("stacks").display().to_string();
    let row = row_of("shares-port", &run_beside_tokio(&bench, "shares-port", &dir, "", 20, &[]));
    let (error, me) = (row.error.expect("a failed row says why"), format!("(pid {})", std::process::id()));
    assert!(error.contains(&format!("shares {taken} with")) && error.contains(&me), "{error}");
}

#[test]
fn a_server_that_shares_its_port_with_nobody_is_measured() {
    let row = caught("shares-port", "", 20, &[]);
    assert_ne!(row.verdict, Verdict::Failed, "{:?}", row.error);
}

#[test]
fn a_server_that_says_anything_but_its_address_is_a_row_that_quotes_the_beginning() {
    let row = caught("babbles", "", 20, &[]);
    let error = row.error.expect("a failed row says why");
    assert!(error.contains("first line is `babble babble") && error.len() < 300, "{error}");
}

/// A store that the harness did not start: what its processes use cannot be told from other programs' time, so a busy
/// machine does not make a trial noisy.
struct OwnStore(std::process::Child, String);

impl OwnStore {
    fn start() -> Self {
        let bin = std::path::Path::new(env!("CARGO_BIN_EXE_stackbench")).parent().unwrap().join("fake-redis");
        let mut child = start({
            let mut command = Command::new(bin);
            command.args(["--listen", "127.0.0.1:0"]);
            command
        });
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        let addr = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self(child, format!("redis://{addr}"))
    }
}

impl Drop for OwnStore {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the hypervisor took the CPU away, which no test can keep it from.
fn is_stolen(row: &Row) -> bool {
    row.verdict == Verdict::Noisy && row.reason.contains("hypervisor")
}

#[test]
fn a_server_that_slows_down_is_unsteady() {
    let store = OwnStore::start();
    let row = caught("tires", "", 20, &["--duration", "3s", "--redis", &store.1]);
    assert!(row.verdict == Verdict::Unsteady || is_stolen(&row), "{:?} {:?} {}", row.verdict, row.error, row.reason);
    assert!(row.reason.contains("first third") || is_stolen(&row), "{}", row.reason);
}

#[test]
fn a_server_that_prints_without_end_is_measured_and_its_log_is_bounded() {
    let bench = Bench::new();
    let ran = run_beside_tokio(&bench, "chatter", &traps(), "", 20, &[]);
    let row = row_of("chatter", &ran);
    assert_ne!(row.verdict, Verdict::Failed, "{:?}", row.error);
    let log = fs::read_to_string(ran.out.join("logs/short-chatter-cache_set-sync-1.server.log")).unwrap();
    assert!(log.len() < 1_100_000 && log.contains("[the log is cut here"), "{} bytes", log.len());
}
