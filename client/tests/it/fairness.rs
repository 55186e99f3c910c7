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
    assert!(result.censored.age_max_us > 300_000, "{:?}", result.censored);
    // Those who wait are as busy, from where the client stands, as those who are served.
    assert!((0.8..=1.0).contains(&result.occupancy), "{}", result.occupancy);
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
fn a_handshake_that_does_not_end_is_given_up_after_the_timeout_and_tried_again() {
    // The kernel drops handshakes once the queue of connections to accept, one long, is full.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap().as_socket().unwrap());
    let (result, run) = load(&["-t1", "-c4", "-d1", "--timeout", "200ms", &url]);
    let given_up = errors(&result, ErrorKind::ConnectTimeout);
    assert!((2..=4 * 5).contains(&given_up), "{:?}", result.errors);
    assert!(run.stdout.contains(&format!("connect {given_up}, read 0")), "{}", run.stdout);
}

#[test]
fn a_slow_server_is_not_one_that_starves() {
    let server = Server::delaying(Duration::from_millis(20));
    let url = server.url();
    let (result, _) = load(&["-t1", "-c4", "-d600ms", &url]);
    assert_eq!((result.connections.starved, result.connections.never_answered), (0, 0));
    assert!(result.occupancy > 0.8 && result.occupancy <= 1.0, "{}", result.occupancy);
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
