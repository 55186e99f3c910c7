//! A rate instead of a closed loop.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use ::stackload::result::{ArrivalKind, ErrorKind, LoadModel};

use crate::server::{OK, Server, Then};
use crate::stackload::{errors, load};

#[test]
fn requests_are_sent_at_the_rate_asked_for() {
    for arrival in ["constant", "poisson"] {
        let server = Server::answering(OK);
        let url = server.url();
        let (result, run) = load(&["-t2", "-c20", "-d2", "-R500", "--arrival", arrival, &url]);
        assert_eq!(result.load.model, LoadModel::Open);
        let expected = 500.0 * result.window_s;
        // Ten standard deviations of a Poisson count: about a third.
        assert!((result.requests as f64 - expected).abs() < 0.35 * expected, "{arrival}: {}", result.requests);
        let schedule = result.schedule.unwrap();
        assert_eq!((schedule.rate_from, schedule.rate_to), (500.0, 500.0));
        assert!(schedule.lag_us.count > 0 && result.errors.is_empty(), "{result:?}");
        assert_eq!(result.latency_corrected_us.unwrap().count, result.latency_us.count);
        assert!(run.stdout.contains(&format!("  {} requests in ", result.requests)), "{}", run.stdout);
    }
}

#[test]
fn a_freeze_shows_in_the_latencies_from_the_intended_instants_and_not_in_the_raw_ones() {
    let begin = Mutex::new(None);
    let server = Server::start(move |peer| {
        // Half a second after the first request the server does nothing for half a second.
        let elapsed = begin.lock().unwrap().get_or_insert_with(Instant::now).elapsed();
        let (from, to) = (Duration::from_millis(500), Duration::from_millis(1000));
        if (from..to).contains(&elapsed) {
            thread::sleep(to - elapsed);
        }
        peer.send(OK);
        Then::Stay
    });
    let url = server.url();
    let (result, _) = load(&["-t1", "-c2", "-d2", "-R100", &url]);
    let corrected = result.latency_corrected_us.unwrap();
    // A quarter of the requests falls into the freeze, and they wait a quarter of a second on average; but only the two
    // that were sent on the two connections are late from where they stand.
    assert!(corrected.p90 > 200_000 && corrected.mean > 40_000.0, "{corrected:?}");
    assert!(result.latency_us.p90 < 100_000, "{:?}", result.latency_us);
    assert!(corrected.max >= 400_000 && result.latency_us.max >= 400_000);
}

#[test]
fn what_was_due_and_never_sent_is_counted_with_its_age() {
    let server = Server::start(|peer| {
        peer.wait_for_close();
        Then::Close
    });
    let url = server.url();
    let (result, _) = load(&["-t1", "-c2", "-d1", "-R100", "--timeout", "200ms", &url]);
    assert_eq!((result.requests, result.in_flight_at_end), (0, 2));
    // A machine that is busy opens the window late: what was due before it is unsent all the same.
    let expected = 100.0 * result.window_s;
    assert!((-3.0..=30.0).contains(&(result.censored.count as f64 - expected)), "{:?}", result.censored);
    assert_eq!(result.censored.unsent, result.censored.count - 2);
    assert!(result.censored.age_max_us >= 900_000, "{:?}", result.censored);
    assert_eq!(errors(&result, ErrorKind::Timeout), 2);
}

#[test]
fn a_ramp_sends_as_many_as_its_mean() {
    let server = Server::answering(OK);
    let url = server.url();
    let (result, _) = load(&["-t1", "-c10", "-d2", "--ramp", "100:300", "--seed", "5", &url]);
    let schedule = result.schedule.unwrap();
    assert_eq!((schedule.rate_from, schedule.rate_to, schedule.ramp_s), (100.0, 300.0, 2.0));
    assert_eq!((schedule.arrival, schedule.seed), (ArrivalKind::Constant, 5));
    assert!((result.requests as f64 - 400.0).abs() < 40.0, "{}", result.requests);
    let [first, second] = [0, 1].map(|number: usize| result.per_second[number].requests);
    assert!(second as f64 > 1.3 * first as f64, "{first} and {second}");
}

#[test]
fn a_rate_above_what_the_server_can_carry_makes_the_wait_grow_steadily() {
    // Two connections of 100 answers a second each, and twice as many requests.
    let server = Server::delaying(Duration::from_millis(10));
    let url = server.url();
    let (result, run) = load(&["-t1", "-c2", "-d2", "-R400", "--latency", &url]);
    let corrected = result.latency_corrected_us.unwrap();
    // What is answered t seconds after the beginning was due t/2 seconds after it: half a second on average, one at the
    // end; a server that is slower than it means to be makes them wait longer.
    assert!((450_000.0..900_000.0).contains(&corrected.mean), "{corrected:?}");
    assert!(corrected.max >= 900_000 && result.latency_us.p50 < 100_000, "{corrected:?} {:?}", result.latency_us);
    assert!(result.censored.unsent >= 350, "{:?}", result.censored);
    // The last of the 800 that were due were never sent, so that nothing is known of the upper percentiles.
    assert!(run.stdout.contains("With the requests that were never answered: p"), "{}", run.stdout);
}

#[test]
fn a_server_that_closes_idle_connections_keeps_its_rate_and_costs_no_cpu() {
    // wrk2 never notices, and spins.
    let server = Server::start(|peer| {
        peer.send(OK);
        if peer.earlier == 4 { Then::Close } else { Then::Stay }
    });
    let url = server.url();
    let (result, _) = load(&["-t1", "-c4", "-d2", "-R100", &url]);
    let due = 100.0 * result.window_s;
    assert!(result.requests as f64 >= 0.75 * due, "{} of {due}", result.requests);
    let closes = errors(&result, ErrorKind::Eof) + errors(&result, ErrorKind::Read) + errors(&result, ErrorKind::Write);
    assert!(closes >= result.requests / 5 - 4, "{:?}", result.errors);
    assert!(result.client.cpu_s < result.window_s / 2.0, "{:?}", result.client);
}

#[test]
fn a_loop_that_spins_is_not_judged_by_the_cpu_it_uses() {
    let server = Server::answering(OK);
    let url = server.url();
    let (result, _) = load(&["-t1", "-c4", "-d1", "-R100", "--spin", &url]);
    assert!(result.requests > 0 && result.load.spins);
    assert!(!result.verdict.reason.contains("of its CPU"), "{:?}", result.verdict);
    // More than any sleeping loop: it had a core as far as the machine had one to give.
    assert!(result.client.cpu_s > 0.05, "{:?}", result.client);
}

#[test]
fn idle_connections_are_no_timeouts() {
    let server = Server::answering(OK);
    let url = server.url();
    let (result, _) = load(&["-t1", "-c4", "-d1", "-R4", "--timeout", "300ms", &url]);
    assert!(result.errors.is_empty() && result.requests >= 3, "{:?}", result.errors);
}

#[test]
fn a_spread_takes_no_connection_out_of_a_rate() {
    let server = Server::answering(OK);
    let url = server.url();
    let (result, run) = load(&["-t1", "-c4", "-d1", "-R200", "--spread", "10s", &url]);
    assert_eq!(result.connections.never_answered, 0, "{:?}", result.connections);
    assert!(run.stderr.contains("ignoring --spread"), "{}", run.stderr);
}

#[test]
fn a_number_of_requests_ends_the_run() {
    for more in [&[][..], &["-R2000"]] {
        let server = Server::answering(OK);
        let url = server.url();
        let begin = Instant::now();
        let (result, _) = load(&[&["-t2", "-c4", "-d60", "--requests", "100"], more, &[&url]].concat());
        assert_eq!((result.requests_total, server.requests()), (100, 100));
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    }
}
