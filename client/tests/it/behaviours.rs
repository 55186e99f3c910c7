//! What servers do, and what the client counts for it.

use std::thread;
use std::time::Duration;

use ::stackload::result::{ClientVerdictKind, ErrorKind, LoadResult};

use crate::server::{OK, OK_BODY, Server, Then};
use crate::stackload::{Run, errors, load};
use crate::wait::wait_until;

/// Bytes of a long body.
const LONG: usize = 100_000;

/// A short run with two connections.
fn short(server: &Server, more: &[&str]) -> (LoadResult, Run) {
    let url = server.url();
    load(&[&["-t1", "-c2", "-d300ms"], more, &[&url]].concat())
}

/// How often so many connections can fail: doubling from 10 ms, the pauses of one come to a second after seven
/// attempts, and are a second each from then on.
fn attempts_max(connections: u64, result: &LoadResult) -> u64 {
    connections * (9 + result.window_s.ceil() as u64)
}

fn assert_clean(result: &LoadResult) {
    assert!(result.requests > 4, "{} requests", result.requests);
    assert!(result.errors.is_empty(), "{:?}", result.errors);
    assert_eq!(result.connections.opened, 2);
    assert_eq!(result.latency_us.count, result.requests);
    assert_eq!(result.connections.answers.iter().sum::<u64>(), result.requests);
}

#[test]
fn a_length_and_keep_alive_are_one_request_each() {
    let (result, run) = short(&Server::answering(OK), &[]);
    assert_clean(&result);
    assert_eq!(result.statuses.get(&200), Some(&result.requests));
    assert!(result.bytes >= result.requests * OK.len() as u64);
    assert!(run.stderr.is_empty() && !run.stdout.contains("Socket errors"));
}

#[test]
fn chunks_with_extensions_and_trailers_are_one_request() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\n1\r\ne\r\n0\r\nT: v\r\n\r\n";
    let (result, _) = short(&Server::answering(answer), &["--expect-body", "abcde"]);
    assert_clean(&result);
}

#[test]
fn an_answer_in_pieces_is_one_request() {
    let server = Server::start(|peer| {
        for piece in OK.chunks(9) {
            peer.send(piece);
            thread::yield_now();
        }
        Then::Stay
    });
    assert_clean(&short(&server, &["--expect-body", OK_BODY]).0);
}

#[test]
fn a_body_larger_than_the_read_buffer_is_one_request() {
    let server = Server::start(|peer| {
        let body = [b'x'; 300_000];
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        peer.send(&body);
        Then::Stay
    });
    assert_clean(&short(&server, &[]).0);
}

#[test]
fn announced_closing_is_no_error() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"[..],
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        // Without a length the body ends with the connection; wrk counts that as a read error.
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ] {
        let server = Server::start(|peer| {
            peer.send(answer);
            Then::Close
        });
        let (result, _) = short(&server, &["--expect-body", "ok"]);
        assert!(result.requests > 2, "{}", result.requests);
        assert!(result.errors.is_empty(), "{}: {:?}", answer.escape_ascii(), result.errors);
        assert!(result.connections.opened >= result.requests, "every answer needs a connection of its own");
    }
}

#[test]
fn an_announced_close_of_a_server_that_stays_open_is_honoured() {
    let server = Server::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let (result, _) = short(&server, &[]);
    assert!(result.errors.is_empty() && result.connections.opened >= result.requests);
}

#[test]
fn a_close_or_reset_before_or_inside_an_answer_is_an_error_each_time() {
    for (answer, then, kind) in [
        (&b""[..], Then::Close, ErrorKind::Eof),
        (b"", Then::Reset, ErrorKind::Read),
        (b"HTTP/1.1 200 OK\r\nContent-", Then::Close, ErrorKind::Eof),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Then::Close, ErrorKind::Eof),
    ] {
        let server = Server::start(move |peer| {
            peer.send(answer);
            then
        });
        let (result, run) = short(&server, &[]);
        assert_eq!(result.requests_total, 0);
        let count = errors(&result, kind);
        assert!(count >= 2 && result.errors.len() == 1, "{:?}", result.errors);
        // Both connections paused longer after each failure: no storm.
        assert!(count <= attempts_max(2, &result), "{:?}", result.errors);
        assert!(run.stdout.contains(&format!("  Socket errors: connect 0, read {count}, write 0, timeout 0\n")));
    }
}

#[test]
fn closing_an_idle_connection_unannounced_is_an_error_and_it_is_opened_again() {
    let server = Server::start(|peer| {
        peer.send(OK);
        if peer.earlier == 4 { Then::Close } else { Then::Stay }
    });
    let (result, _) = short(&server, &[]);
    assert!(result.requests > 10);
    let closes = errors(&result, ErrorKind::Eof) + errors(&result, ErrorKind::Read) + errors(&result, ErrorKind::Write);
    assert!(closes >= result.requests / 5 - 2, "{closes} of {}", result.requests);
}

#[test]
fn what_is_not_http_is_a_protocol_error() {
    for answer in [&b"hello world\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\x16\x03\x01\x00"] {
        let (result, _) = short(&Server::answering(answer), &[]);
        assert_eq!(result.requests_total, 0);
        assert!(errors(&result, ErrorKind::Protocol) >= 2, "{:?}", result.errors);
        assert_eq!(result.verdict.kind, ClientVerdictKind::Errors);
    }
}

#[test]
fn bytes_nobody_asked_for_are_a_protocol_error_and_the_answer_counts() {
    let server = Server::start(|peer| {
        peer.send(&[OK, b"junk"].concat());
        Then::Stay
    });
    let (result, _) = short(&server, &[]);
    assert!(result.requests > 2);
    assert!(errors(&result, ErrorKind::Protocol) >= result.requests.min(2), "{:?}", result.errors);
}

#[test]
fn a_byte_too_many_after_a_long_body_is_a_protocol_error_and_the_answer_counts() {
    // So long that it is passed over in the kernel.
    let answer = [format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n").into_bytes(), vec![b'x'; LONG + 1]];
    let server = Server::answering(answer.concat().leak());
    let (result, _) = short(&server, &[]);
    assert!(result.requests > 2);
    let broken = errors(&result, ErrorKind::Protocol);
    assert!(broken >= 2 && result.requests_total.abs_diff(broken) <= 2, "{} and {:?}", result.requests, result.errors);
}

#[test]
fn long_bodies_one_after_another_are_one_request_each() {
    let answer = [format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n").into_bytes(), vec![b'x'; LONG]];
    let server = Server::answering(answer.concat().leak());
    let (result, _) = short(&server, &[]);
    assert_clean(&result);
    assert!(
        server.requests() as u64 - result.requests_total <= 2,
        "{} of {}",
        result.requests_total,
        server.requests()
    );
}

#[test]
fn interim_answers_do_not_count() {
    let server = Server::start(|peer| {
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        peer.send(OK);
        Then::Stay
    });
    let (result, _) = short(&server, &[]);
    assert_clean(&result);
    assert_eq!(result.statuses.keys().collect::<Vec<_>>(), [&200]);
}

#[test]
fn answers_without_a_body_do_not_hang_whatever_their_length_says() {
    for answer in [&b"HTTP/1.1 204 No Content\r\n\r\n"[..], b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"]
    {
        assert_clean(&short(&Server::answering(answer), &[]).0);
    }
}

#[test]
fn bad_statuses_are_requests_and_errors() {
    let (result, run) = short(&Server::answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), &[]);
    assert!(result.requests > 10);
    assert_eq!(errors(&result, ErrorKind::Status), result.requests);
    assert!(run.stdout.contains(&format!("  Non-2xx or 3xx responses: {}\n", result.requests)));
    assert!(!run.stdout.contains("Socket errors"));
}

#[test]
fn unexpected_statuses_and_bodies_are_errors() {
    let server = Server::answering(OK);
    let (result, _) = short(&server, &["--expect-status", "404"]);
    assert_eq!(errors(&result, ErrorKind::UnexpectedStatus), result.requests_total);
    let (result, _) = short(&server, &["--expect-body", "short"]);
    assert_eq!(errors(&result, ErrorKind::UnexpectedBody), result.requests_total);
    // Same length, other bytes: found in the sample, which holds each connection's first answer.
    let (result, _) = short(&server, &["--expect-body", &OK_BODY.replace("ok", "no")]);
    assert!((2..=2 + result.requests_total / 64 + 1).contains(&errors(&result, ErrorKind::UnexpectedBody)));
    assert_eq!(result.verdict.kind, ClientVerdictKind::Errors);
    let (result, _) = short(&server, &["--expect-status", "200", "--expect-body", OK_BODY]);
    assert!(result.errors.is_empty());
}

#[test]
fn late_answers_are_timeouts_and_stay_out_of_the_report_but_not_out_of_the_file() {
    let server = Server::start(|peer| {
        if peer.earlier == 2 {
            thread::sleep(Duration::from_millis(300));
        }
        peer.send(OK);
        Then::Stay
    });
    let url = server.url();
    let (result, run) = load(&["-t1", "-c2", "-d1", "--timeout", "200ms", "--latency", &url]);
    // The third answer of each connection, and any that a busy machine delays as much.
    let late = errors(&result, ErrorKind::Timeout);
    assert!(late >= 2, "{:?}", result.errors);
    assert_eq!(result.latency_us.count, result.requests);
    assert!(result.latency_us.max >= 300_000, "{:?}", result.latency_us);
    assert!(run.stdout.contains(&format!("timeout {late}\n")), "{}", run.stdout);
    let row = run.stdout.lines().find(|line| line.starts_with("    Latency")).unwrap();
    let max = row.split_whitespace().nth(3).unwrap();
    let max_ms = max.strip_suffix("ms").map_or(0.0, |digits| digits.parse().unwrap());
    assert!(max_ms <= 200.0, "{row}");
}

#[test]
fn a_timeout_of_zero_makes_every_answer_late() {
    let (result, run) = short(&Server::delaying(Duration::from_millis(5)), &["-T0"]);
    // Those that are still in flight are late as well.
    let late = errors(&result, ErrorKind::Timeout);
    assert!((result.requests..=result.requests + result.in_flight_at_end).contains(&late), "{late}");
    assert!(run.stdout.contains("    Latency     0.00us    0.00us   0.00us    -nan%\n"), "{}", run.stdout);
}

#[test]
fn a_request_without_an_answer_is_a_timeout_once_it_is_that_old() {
    let server = Server::start(|peer| {
        peer.wait_for_close();
        Then::Close
    });
    let url = server.url();
    let (result, run) = load(&["-t1", "-c2", "-d700ms", "--timeout", "100ms", &url]);
    assert_eq!((result.requests_total, errors(&result, ErrorKind::Timeout)), (0, 2));
    assert!(run.stdout.contains("Socket errors: connect 0, read 0, write 0, timeout 2\n"), "{}", run.stdout);
    // It goes on waiting: the connection is not replaced.
    assert_eq!((result.connections.opened, result.in_flight_at_end), (2, 2));
}

#[test]
fn the_request_is_what_was_asked_for() {
    let server = Server::start(|peer| {
        let expected = b"GET /x?a=1#f HTTP/1.1\r\nHost: ";
        let headers = b"\r\nB: 2\r\nA: 1\r\n\r\n";
        let fine = peer.request.starts_with(expected) && peer.request.ends_with(headers);
        peer.send(if fine { OK } else { b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" });
        Then::Stay
    });
    let url = format!("{}?a=1#f", server.url());
    let (result, _) = load(&["-t1", "-c1", "-d100ms", "-H", "B: 2", "-H", "A: 1", &url]);
    assert!(result.errors.is_empty() && result.requests > 0);
}

#[test]
fn a_request_larger_than_the_socket_takes_at_once_is_written_to_the_end() {
    let server = Server::start(|peer| {
        peer.send(if peer.request.len() > 1_000_000 { OK } else { b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" });
        Then::Stay
    });
    let headers: Vec<String> = (0..12).map(|number| format!("H{number}: {}", "x".repeat(100_000))).collect();
    let flags: Vec<&str> = headers.iter().flat_map(|header| ["-H", header.as_str()]).collect();
    let (result, _) = short(&server, &[&["-d1"], flags.as_slice()].concat());
    assert!(result.errors.is_empty() && result.requests > 0, "{:?}", result.errors);
}

#[test]
fn a_server_that_dies_is_retried_with_patience() {
    let mut server = Server::delaying(Duration::from_millis(1));
    let url = server.url();
    let client = thread::spawn(move || load(&["-t2", "-c8", "-d2", &url]));
    wait_until("requests", || server.requests() >= 16);
    server.stop();
    let (result, _) = client.join().unwrap();
    let refused = errors(&result, ErrorKind::ConnectRefused);
    assert!((8..=attempts_max(8, &result)).contains(&refused), "{:?}", result.errors);
    assert!(result.client.cpu_s < result.window_s / 4.0, "{:?}", result.client);
    assert!(result.requests >= 1);
}
