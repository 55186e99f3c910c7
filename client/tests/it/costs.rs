//! What processes cost: --watch-tree.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ::stackload::result::TreeUsage;
use rustix::process::{Pid, Signal, kill_process};

use crate::server::Server;
use crate::stackload::{command, load, read_result, run};
use crate::wait::wait_until;

/// A shell; it and its children end with the test.
struct Shell {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Shell {
    /// Starts a script and waits until it says "ready".
    fn start(script: &str) -> Self {
        let mut child =
            Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut shell = Self { child, stdout };
        shell.wait_for("ready");
        shell
    }

    /// Waits until the script says this.
    fn wait_for(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// The next line that the script says.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends the script's next `read`.
    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn watch(&self, name: &str) -> String {
        format!("{name}={}", self.child.id())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The scripts end, with their children, when their standard input does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn a_tree_is_accounted_with_its_children() {
    // One child that burns CPU from before the window, under an idle parent.
    let burning = Shell::start("(while :; do :; done) & burner=$!; echo ready; read end; kill $burner");
    let idle = Shell::start("echo ready; read end");
    let server = Server::delaying(Duration::from_millis(2));
    let arguments =
        ["-t1", "-c1", "-d500ms", "--watch-tree", &burning.watch("a"), "--watch-tree", &idle.watch("b"), &server.url()];
    let (result, _) = load(&arguments);
    let (a, b) = (&result.watched["a"], &result.watched["b"]);
    assert_eq!((a.processes, a.alive, a.pid), (2, true, burning.child.id()));
    assert!(a.total.cpu_s > 0.02 && a.total.cpu_s <= result.window_s * 1.1, "{:?}", a.total);
    assert!(a.appeared.is_empty() && a.vanished.is_empty() && a.total.rss_peak_bytes > 0);
    // What the shell and its child share counts once, what each had resident at its peak twice.
    assert!(a.total.pss_bytes.is_some_and(|pss| pss > 0 && pss < a.total.rss_peak_bytes), "{:?}", a.total);
    assert_eq!((b.processes, b.total.threads), (1, 1));
    assert!(b.total.cpu_s < 0.01, "{:?}", b.total);
}

/// Watches a shell, lets `change` happen within the window, ends the run and returns what it found of the tree.
fn watched_while(shell: &mut Shell, change: impl FnOnce(&mut Shell)) -> TreeUsage {
    let server = Server::delaying(Duration::from_millis(5));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.json");
    let watch = shell.watch("tree");
    let arguments = ["-t1", "-c1", "-d60", "--watch-tree", &watch, "--json", path.to_str().unwrap(), &server.url()];
    let mut client = command(&arguments).spawn().unwrap();
    // The window opens before the first request.
    wait_until("requests", || server.requests() >= 1);
    change(shell);
    kill_process(Pid::from_child(&client), Signal::INT).unwrap();
    assert!(client.wait().unwrap().success());
    read_result(&path).watched.remove("tree").unwrap()
}

#[test]
fn children_that_come_and_go_in_the_window_are_named() {
    let script = "
        sleep 3600 & first=$!
        echo ready; read go
        kill $first; wait $first
        (i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; echo changed; while :; do :; done) & second=$!
        read end; kill $second";
    let mut shell = Shell::start(script);
    let tree = watched_while(&mut shell, |shell| {
        shell.go_on();
        shell.wait_for("changed");
    });
    assert!(!tree.appeared.is_empty() && !tree.vanished.is_empty(), "{tree:?}");
    // The newcomer's CPU time is all in the window.
    assert!(tree.total.cpu_s > 0.005, "{tree:?}");
}

/// Seconds of the shell's `0m0.25s`.
fn seconds(time: &str) -> f64 {
    let (minutes, seconds) = time.strip_suffix('s').and_then(|time| time.split_once('m')).unwrap();
    minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
}

#[test]
fn children_that_live_shorter_than_the_window_are_paid_for() {
    // Each child says what it took in user and in kernel mode, and then, of children that it has not, nothing.
    const CHILDREN: usize = 5;
    let script = "
        echo ready; read go
        for child in 1 2 3 4 5; do
            (i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; times)
        done
        echo done; read end";
    let mut shell = Shell::start(script);
    let mut told_s = 0.0;
    let tree = watched_while(&mut shell, |shell| {
        shell.go_on();
        for _ in 0..CHILDREN {
            told_s += shell.line().split(' ').map(seconds).sum::<f64>();
            shell.line();
        }
        shell.wait_for("done");
    });
    assert_eq!((tree.processes, tree.alive), (1, true));
    assert!(tree.total.cpu_s > told_s / 2.0 && tree.total.cpu_s < told_s * 2.0, "{told_s} {tree:?}");
    assert!(tree.total.user_s + tree.total.sys_s > told_s / 2.0, "{told_s} {tree:?}");
}

#[test]
fn a_root_that_ends_is_reported_dead() {
    let mut shell = Shell::start("echo ready; read end");
    let tree = watched_while(&mut shell, |shell| {
        shell.go_on();
        shell.child.wait().unwrap();
    });
    assert!(!tree.alive);
}

#[test]
fn a_process_that_is_not_there_is_an_error_before_the_run() {
    let server = Server::delaying(Duration::from_millis(1));
    // Process ids end at 2^22.
    let run = run(&["-d5", "--watch-tree", "x=8388608", &server.url()]);
    assert_eq!((run.code, server.requests()), (Some(1), 0));
    assert_eq!(run.stderr, "stackload: --watch-tree x=8388608: No such file or directory (os error 2)\n");
}

#[test]
fn a_timeout_of_an_hour_costs_no_memory() {
    // wrk keeps a counter for each of its microseconds, and cannot start.
    let server = Server::answering(crate::server::OK);
    let rss = |timeout| load(&["-t1", "-c1", "-d100ms", "--timeout", timeout, &server.url()]).0.client.rss_peak_bytes;
    let (short, long) = (rss("1s"), rss("1h"));
    assert!(long < short + (4 << 20), "{short} and {long}");
}

#[test]
fn a_thread_that_cannot_be_created_is_exit_code_2() {
    let server = Server::delaying(Duration::from_millis(1));
    let url = server.url();
    // No machine has room for such a stack.
    let output =
        command(&["-t1", "-c1", "-d5", &url]).env("RUST_MIN_STACK", (1u64 << 60).to_string()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("unable to create thread 0: "), "{stderr}");
}

#[test]
fn a_limit_of_descriptors_that_is_too_low_is_refused() {
    let server = Server::delaying(Duration::from_millis(1));
    let script = format!("ulimit -n 80; exec {} -t1 -c100 -d5 {}", env!("CARGO_BIN_EXE_stackload"), server.url());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("100 connections need") && stderr.contains("ulimit -Hn"), "{stderr}");
}
