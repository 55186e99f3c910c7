//! Warm-up, window, spread starts, the result file and signals.

use std::process::Child;
use std::time::{Duration, Instant};

use ::stackload::result::{ErrorKind, LoadModel, SCHEMA};
use base64::Engine as _;
use hdrhistogram::Histogram;
use rustix::process::{Pid, Signal, kill_process};

use crate::server::{OK, Server, Then};
use crate::stackload::{Run, command, errors, load, read_result, run};
use crate::wait::wait_until;

fn histogram(text: &str) -> Histogram<u64> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    hdrhistogram::serialization::Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
}

#[test]
fn the_result_file_agrees_with_itself_and_with_the_server() {
    let server = Server::answering(OK);
    let url = server.url();
    let (result, _) = load(&["-t2", "-c4", "-d1500ms", &url]);
    assert_eq!(result.schema, SCHEMA);
    assert_eq!(result.load.model, LoadModel::Closed);
    assert_eq!((result.load.threads, result.load.connections, result.load.depth), (2, 4, 1));
    assert!(result.window_s >= 1.5, "{}", result.window_s);
    assert_eq!(histogram(&result.histograms.raw).len(), result.requests);
    assert_eq!(histogram(&result.censored.ages).len(), result.in_flight_at_end);
    assert_eq!(result.per_second.len(), (result.window_s - 0.01).ceil() as usize);
    assert_eq!(result.per_second.iter().map(|second| second.requests).sum::<u64>(), result.requests);
    assert_eq!(result.per_second.iter().map(|second| second.bytes).sum::<u64>(), result.bytes);
    let merged: u64 = result.per_second.iter().map(|second| histogram(&second.latency).len()).sum();
    assert_eq!(merged, result.requests);
    assert!(result.event_loop_turn_us.count > 0 && result.event_loop_turn_us.max >= result.event_loop_turn_us.p99);
    assert!(result.client.cpu_s > 0.0 && result.client.threads == 3, "{:?}", result.client);
    assert!(!result.cpus.is_empty());
    let arrived = server.requests() as u64;
    let (low, high) = (result.requests_total, result.requests_total + result.in_flight_at_end);
    assert!((low..=high).contains(&arrived), "{arrived} requests arrived, the client says {low} to {high}");
}

#[test]
fn a_warm_up_loads_the_server_and_counts_only_in_the_total() {
    let server = Server::delaying(Duration::from_millis(2));
    let url = server.url();
    let (result, run) = load(&["-t1", "-c2", "-d300ms", "--warmup", "300ms", &url]);
    assert!(result.requests_total > result.requests && result.requests > 0, "{result:?}");
    assert!(result.window_s >= 0.3);
    assert!(run.stdout.contains(&format!("  {} requests in ", result.requests)), "{}", run.stdout);
    assert!(result.occupancy <= 1.0 && result.occupancy > 0.3, "{}", result.occupancy);
    let arrived = server.requests() as u64;
    assert!((result.requests_total..=result.requests_total + result.in_flight_at_end).contains(&arrived));
}

#[test]
fn errors_of_the_warm_up_are_in_the_file_but_not_in_wrks_report() {
    let server = Server::start(|peer| {
        if peer.number == 0 {
            return Then::Close;
        }
        peer.send(OK);
        Then::Stay
    });
    let url = server.url();
    let (result, run) = load(&["-t1", "-c1", "-d200ms", "--warmup", "300ms", &url]);
    assert_eq!(errors(&result, ErrorKind::Eof) + errors(&result, ErrorKind::Read), 1);
    assert!(!run.stdout.contains("Socket errors"), "{}", run.stdout);
}

#[test]
fn first_requests_are_spread_evenly() {
    let begin = Instant::now();
    let arrivals = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = std::sync::Arc::clone(&arrivals);
    let server = Server::start(move |peer| {
        noted.lock().unwrap().push(begin.elapsed());
        peer.wait_for_close();
        Then::Close
    });
    let url = server.url();
    let (result, _) = load(&["-t2", "-c5", "-d1", "--spread", "500ms", &url]);
    wait_until("arrivals", || arrivals.lock().unwrap().len() == 5);
    assert_eq!(result.in_flight_at_end, 5);
    let arrivals = arrivals.lock().unwrap();
    for (index, arrival) in arrivals.iter().enumerate() {
        // Never early; how late depends on the machine.
        assert!(*arrival >= Duration::from_millis(100 * index as u64), "{arrivals:?}");
    }
    // Five requests without an answer are all that there was to wait for: their mean age over the window.
    let expected = histogram(&result.censored.ages).mean() / 1e6 / result.window_s;
    assert!((result.occupancy - expected).abs() < 0.02, "{} is not {expected}", result.occupancy);
}

#[test]
fn an_unwritable_place_for_the_file_is_found_out_before_the_run() {
    let server = Server::answering(OK);
    let run = run(&["-d5", "--json", "/nonexistent/a.json", &server.url()]);
    assert_eq!((run.code, server.requests()), (Some(1), 0));
    assert!(run.stdout.is_empty());
    assert_eq!(run.stderr, "stackload: --json /nonexistent/a.json: No such file or directory (os error 2)\n");
}

/// Starts a long run, waits until the server is loaded, and sends a signal.
fn interrupt(signal: Signal) -> (Run, ::stackload::result::LoadResult) {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.json");
    let child: Child =
        command(&["-t2", "-c4", "-d60", "--latency", "--json", path.to_str().unwrap(), &server.url()]).spawn().unwrap();
    wait_until("requests", || server.requests() >= 100);
    kill_process(Pid::from_child(&child), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.into(), read_result(&path))
}

#[test]
fn sigint_ends_the_run_with_a_full_report() {
    let (run, result) = interrupt(Signal::INT);
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.starts_with("Running 1m test @ http://"), "{}", run.stdout);
    assert!(run.stdout.contains("Transfer/sec:") && run.stdout.contains("     99%"));
    assert!(result.window_s < 60.0 && result.requests >= 90, "{}", result.requests);
    assert_eq!(result.load.duration_s, 60.0);
}

#[test]
fn sigint_in_the_warm_up_leaves_an_empty_window() {
    let server = Server::answering(OK);
    let child = command(&["-t1", "-c1", "-d5", "--warmup", "60s", &server.url()]).spawn().unwrap();
    wait_until("requests", || server.requests() >= 10);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let run: Run = child.wait_with_output().unwrap().into();
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.contains("Requests/sec:"), "{}", run.stdout);
}

#[test]
fn sigterm_reports_too_and_exits_as_terminated() {
    let (run, result) = interrupt(Signal::TERM);
    assert_eq!(run.code, Some(143));
    assert!(run.stdout.contains("Transfer/sec:") && result.requests >= 90);
}
