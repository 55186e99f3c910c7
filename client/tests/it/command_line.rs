//! The command line, beside wrk's where the same is promised.

use crate::server::{OK, Server};
use crate::stackload::{Run, run, run_wrk};

/// Standard error and exit code are the same but for the program's name; wrk's usage text has the same first line.
fn assert_like_wrk(arguments: &[&str]) -> Run {
    let (ours, wrks) = (run(arguments), run_wrk(arguments));
    assert_eq!(ours.stderr.replace("stackload:", "wrk:"), wrks.stderr, "{arguments:?}");
    assert_eq!(ours.code, wrks.code, "{arguments:?}");
    let is_usage = |run: &Run| run.stdout.lines().any(|line| line.starts_with("Usage: "));
    assert_eq!(is_usage(&ours), is_usage(&wrks), "{arguments:?}\n{}", ours.stdout);
    ours
}

#[test]
fn refusals_are_wrks() {
    let url = "http://127.0.0.1:1/x";
    for arguments in [
        &[][..],
        &["--help"],
        &["-h"],
        &["-x"],
        &["-r"],
        &["--foo"],
        &["-c"],
        &["--conn"],
        &["--t", "1"],
        &["--h"],
        &["--latency=3"],
        &["-c", "x", url],
        &["-c", "4kb", url],
        &["-d", "1sec", url],
        &["-d0", url],
        &["-t0", url],
        &["-c0", url],
        &["-c1", "-t2", url],
        &["-c0x4", url],
        &["foo"],
        &["http://"],
        &["http:///x"],
        &["http://127.0.0.1:99999/"],
        &["http://127.0.0.1:1/a b"],
        &["127.0.0.1:80/"],
        &["-v"],
        &["-v", "-c"],
    ] {
        let refused = assert_like_wrk(arguments);
        assert_eq!(refused.code, Some(1), "{arguments:?}");
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_named_in_wrks_words() {
    // Port 1 of the loopback is nobody's; `.invalid` names never resolve.
    let refused = assert_like_wrk(&["http://127.0.0.1:1/x"]);
    assert_eq!(refused.stderr, "unable to connect to 127.0.0.1:1 Connection refused\n");
    let unresolved = assert_like_wrk(&["http://stackload.invalid/x"]);
    assert!(unresolved.stderr.starts_with("unable to resolve stackload.invalid:http "), "{}", unresolved.stderr);
}

#[test]
fn the_version_alone_is_a_refusal_and_with_a_url_a_run() {
    let alone = run(&["-v"]);
    let line = format!("stackload {} [epoll] ", env!("CARGO_PKG_VERSION"));
    assert!(alone.stdout.starts_with(&line) && alone.stdout.contains("\nUsage: stackload <options> <url>\n"));
    assert_eq!(alone.code, Some(1));
    let server = Server::answering(OK);
    let with_url = run(&["-v", "-d100ms", &server.url()]);
    assert!(with_url.stdout.starts_with(&line) && with_url.stdout.contains("\nRunning 100.00ms test @ http://"));
    assert_eq!(with_url.code, Some(0));
}

#[test]
fn options_may_stand_anywhere_and_be_shortened() {
    let server = Server::answering(OK);
    let url = server.url();
    for arguments in [
        &[url.as_str(), "-c3", "-d", "100ms", "--threads=1"][..],
        &["--conn", "3", "--dur=100ms", "--thr", "1", "--", &url],
        &["-c", "9", &url, "-c3", "-d100ms", "-t1"],
    ] {
        let run = run(arguments);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains("\n  1 threads and 3 connections\n"), "{}", run.stdout);
    }
}

#[test]
fn our_own_flags_are_refused_in_one_line() {
    for arguments in [
        &["--watch-tree", "a=1", "--watch-tree", "a=1"][..],
        &["--watch-tree", "a"],
        &["--warmup", "soon"],
        &["--spread", "-1"],
        &["--expect-status", "ok"],
        &["--arrival", "fair"],
        &["--ramp", "10"],
        &["--requests", "0"],
    ] {
        let run = run(&[arguments, &["http://127.0.0.1:1/"]].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
        assert!(run.stderr.starts_with(&format!("stackload: {}", arguments[0])), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1);
    }
}

#[test]
fn a_header_that_wrk_would_drop_in_silence_is_named() {
    let server = Server::answering(OK);
    let run = run(&["-d50ms", "-c1", "-t1", "-H", "x:3", &server.url()]);
    assert_eq!(run.code, Some(0));
    assert_eq!(run.stderr, "stackload: ignoring header 'x:3': write it as 'Name: value'\n");
}
