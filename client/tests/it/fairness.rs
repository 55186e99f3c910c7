//! Connections that nobody serves.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use ::stackload::result::{ClientVerdictKind, ErrorKind};
use socket2::{Domain, Socket, Type};

use crate::server::{OK, Server, Then};
use crate::stackload::{errors, load};

/// Serves the first two connections that send something, and lets the others wait.
fn serving_two() -> Server {
    Server::start(|peer| {
        if peer.number < 2 {
            peer.send(OK);
        } else {
            peer.wait_for_close();
        }
        Then::Stay
    })
}

#[test]
fn connections_that_never_get_an_answer_are_counted_and_judged() {
    let server = serving_two();
    let url = server.url();
    let (result, run) = load(&["-t2", "-c8", "-d500ms", &url]);
    assert_eq!(result.connections.never_answered, 6);
    assert_eq!((result.connections.answers_min, result.connections.answers.len()), (0, 8));
    assert!((6..=8).contains(&result.in_flight_at_end));
    assert_eq!(result.censored.count, result.in_flight_at_end);
    assert!(result.censored.age_max_us as f64 > result.window_s * 1e6 / 2.0, "{:?}", result.censored);
    // Those who wait are as busy, from where the client stands, as those who are served.
    assert!((0.5..=1.0).contains(&result.occupancy), "{}", result.occupancy);
    assert!(result.connections.jain < 0.3, "{}", result.connections.jain);
    assert_eq!(result.verdict.kind, ClientVerdictKind::Starved);
    assert!(result.verdict.reason.contains("of 8 connections, 6 never had an answer"), "{}", result.verdict.reason);
    assert!(run.stdout.contains("never answered: 6 of 8 connections"), "{}", run.stdout);
    assert!(run.stdout.contains("Verdict: starved"), "{}", run.stdout);
}

#[test]
fn a_window_after_a_warm_up_sees_the_same_connections_starve() {
    let server = serving_two();
    let url = server.url();
    let (result, _) = load(&["-t1", "-c8", "-d400ms", "--warmup", "200ms", &url]);
    assert_eq!((result.connections.starved, result.connections.never_answered), (6, 6));
    assert_eq!(result.verdict.kind, ClientVerdictKind::Starved);
}

#[test]
fn a_listener_that_never_accepts_starves_every_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (result, run) = load(&["-t1", "-c4", "-d400ms", "--latency", &url]);
    assert_eq!((result.requests_total, result.in_flight_at_end, result.connections.never_answered), (0, 4, 4));
    assert_eq!(result.verdict.kind, ClientVerdictKind::Starved);
    assert!(run.stdout.contains("  0 requests in ") && !run.stdout.contains("Socket errors"), "{}", run.stdout);
}

#[test]
fn a_connection_that_is_answered_once_and_then_left_waiting_is_starved() {
    for warmup in ["0s", "200ms"] {
        let server = Server::start(|peer| {
            if peer.number < 2 || peer.earlier == 0 {
                peer.send(OK);
            } else {
                peer.wait_for_close();
            }
            Then::Stay
        });
        let (result, _) = load(&["-t1", "-c8", "-d600ms", "--warmup", warmup, &server.url()]);
        assert_eq!((result.connections.starved, result.connections.never_answered), (6, 0), "{:?}", result.connections);
        assert_eq!(result.verdict.kind, ClientVerdictKind::Starved);
        let expected = "of 8 connections, 0 never had an answer and 6 were left waiting at the end";
        assert!(result.verdict.reason.starts_with(expected), "{}", result.verdict.reason);
    }
}

/// A listener that nobody accepts from. The kernel drops handshakes once its queue, one long, is full.
fn full_listener() -> (Socket, String) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap().as_socket().unwrap());
    (listener, url)
}

#[test]
fn connections_that_are_never_established_are_starved() {
    let (_listener, url) = full_listener();
    let (result, _) = load(&["-t1", "-c4", "-d400ms", "--timeout", "30s", &url]);
    assert_eq!((result.connections.starved, result.connections.never_answered), (4, 4));
    assert_eq!(result.verdict.kind, ClientVerdictKind::Starved);
    assert!(result.verdict.reason.ends_with("of them were still being established"), "{}", result.verdict.reason);
}

#[test]
fn a_handshake_that_does_not_end_is_given_up_after_the_timeout_and_tried_again() {
    let (_listener, url) = full_listener();
    let (result, run) = load(&["-t1", "-c4", "-d1", "--timeout", "200ms", &url]);
    let given_up = errors(&result, ErrorKind::ConnectTimeout);
    let most = 4 * (result.window_s / 0.2).ceil() as u64;
    assert!((2..=most).contains(&given_up), "{:?}", result.errors);
    assert!(run.stdout.contains(&format!("connect {given_up}, read 0")), "{}", run.stdout);
}

#[test]
fn a_slow_server_is_not_one_that_starves() {
    let server = Server::delaying(Duration::from_millis(20));
    let url = server.url();
    let (result, _) = load(&["-t1", "-c4", "-d600ms", &url]);
    assert_eq!((result.connections.starved, result.connections.never_answered), (0, 0));
    assert!(result.occupancy > 0.5 && result.occupancy <= 1.0, "{}", result.occupancy);
    assert_ne!(result.verdict.kind, ClientVerdictKind::Starved);
    assert!(result.latency_us.min >= 20_000, "{:?}", result.latency_us);
}

#[test]
fn a_remainder_of_connections_is_served_too() {
    let server = Server::answering(OK);
    let url = server.url();
    let (result, _) = load(&["-t3", "-c10", "-d300ms", &url]);
    assert_eq!(result.connections.opened, 10);
    assert!(result.connections.answers.iter().all(|answers| *answers > 0), "{:?}", result.connections.answers);
}
