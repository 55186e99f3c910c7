//! What processes cost: --watch-tree.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::server::Server;
use crate::stackload::{load, run};

/// A shell; it and its children end with the test.
struct Shell(Child);

impl Shell {
    /// Starts a script and waits until it says "ready".
    fn start(script: &str) -> Self {
        let mut child =
            Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn watch(&self, name: &str) -> String {
        format!("{name}={}", self.0.id())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The scripts end, with their children, when their standard input does.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
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
    assert_eq!((a.processes, a.alive, a.pid), (2, true, burning.0.id()));
    assert!(a.total.cpu_s > 0.02 && a.total.cpu_s <= result.window_s * 1.1, "{:?}", a.total);
    assert!(a.appeared.is_empty() && a.vanished.is_empty() && a.total.rss_peak_bytes > 0);
    assert_eq!((b.processes, b.total.threads), (1, 1));
    assert!(b.total.cpu_s < 0.01, "{:?}", b.total);
}

#[test]
fn children_that_come_and_go_in_the_window_are_named() {
    let script = "
        (read wait </dev/null; while :; do sleep 0.05; done) & first=$!
        echo ready
        sleep 0.6; kill $first
        (while :; do :; done) & second=$!
        read end; kill $second";
    let shell = Shell::start(script);
    let server = Server::delaying(Duration::from_millis(5));
    let (result, _) = load(&["-t1", "-c1", "-d1500ms", "--watch-tree", &shell.watch("tree"), &server.url()]);
    let tree = &result.watched["tree"];
    assert!(!tree.appeared.is_empty() && !tree.vanished.is_empty(), "{tree:?}");
    // The newcomer's CPU time is all in the window.
    assert!(tree.total.cpu_s > 0.02, "{tree:?}");
}

#[test]
fn a_root_that_ends_is_reported_dead() {
    let shell = Shell::start("echo ready; sleep 0.3");
    let server = Server::delaying(Duration::from_millis(5));
    let (result, _) = load(&["-t1", "-c1", "-d1500ms", "--watch-tree", &shell.watch("gone"), &server.url()]);
    assert!(!result.watched["gone"].alive);
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
fn a_limit_of_descriptors_that_is_too_low_is_refused() {
    let server = Server::delaying(Duration::from_millis(1));
    let script = format!("ulimit -n 80; exec {} -t1 -c100 -d5 {}", env!("CARGO_BIN_EXE_stackload"), server.url());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("100 connections need") && stderr.contains("ulimit -Hn"), "{stderr}");
}
