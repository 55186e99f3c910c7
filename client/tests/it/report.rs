//! wrk's report from known figures, and from those that wrk itself had, byte for byte.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ::stackload::latency::Distribution;
use ::stackload::report::WrkFigures;
use rustix::process::{Pid, Signal, kill_process};

use crate::server::{OK, Server, Then};
use crate::stackload::{Run, command, run_wrk, script, wrk_command};
use crate::wait::PATIENCE;

fn figures<'run>(latency: &'run Distribution, rates: &'run Distribution) -> WrkFigures<'run> {
    WrkFigures {
        latency,
        rates,
        percentiles: vec![50.0, 75.0, 90.0, 99.0],
        spectra: String::new(),
        requests: latency.count(),
        bytes: 0,
        runtime_us: 2_000_000,
        socket_errors: [0; 4],
        bad_statuses: 0,
    }
}

#[test]
fn nothing_ever_answered() {
    let nothing = Distribution::default();
    let text = WrkFigures { percentiles: Vec::new(), ..figures(&nothing, &nothing) }.text();
    let expected = "  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.00us    0.00us   0.00us    -nan%
    Req/Sec     0.00      0.00     0.00      -nan%
  0 requests in 2.00s, 0.00B read
Requests/sec:      0.00
Transfer/sec:       0.00B
";
    assert_eq!(text, expected);
}

#[test]
fn microseconds_to_milliseconds() {
    // 100 .. 1099: mean 599.5, sample deviation √(1000·1001/12).
    let latency = Distribution::of_samples(100..1100);
    let rates = Distribution::of_samples([56_000, 57_000, 58_000, 60_000]);
    let text = WrkFigures { bytes: 33_554_432, runtime_us: 2_010_000, ..figures(&latency, &rates) }.text();
    let expected = "  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   599.50us  288.82us   1.10ms   57.80%
    Req/Sec    57.75k     1.71k   60.00k    50.00%
  Latency Distribution
     50%  600.00us
     75%    0.85ms
     90%    1.00ms
     99%    1.09ms
  1000 requests in 2.01s, 32.00MB read
Requests/sec:    497.51
Transfer/sec:     15.92MB
";
    assert_eq!(text, expected);
}

#[test]
fn seconds_minutes_and_all_the_errors() {
    let latency = Distribution::new(vec![(50_550, 90), (1_730_000, 9), (51_000_000, 1)]);
    let rates = Distribution::of_samples([76, 80]);
    let text = WrkFigures {
        runtime_us: 51_000_000,
        bytes: 11_203,
        socket_errors: [1, 22, 333, 4444],
        bad_statuses: 55,
        ..figures(&latency, &rates)
    }
    .text();
    let expected = "  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   711.20ms    5.10s    0.85m    99.00%
    Req/Sec    78.00      2.83    80.00    100.00%
  Latency Distribution
     50%   50.55ms
     75%   50.55ms
     90%    1.73s 
     99%    0.85m 
  100 requests in 0.85m, 10.94KB read
  Socket errors: connect 1, read 22, write 333, timeout 4444
  Non-2xx or 3xx responses: 55
Requests/sec:      1.96
Transfer/sec:     219.67B
";
    assert_eq!(text, expected);
}

/// Has wrk say below its report what it made it of.
const DUMP: &str = "
function done(summary, latency, requests)
   local e = summary.errors
   print('@figures', summary.duration, summary.requests, summary.bytes, e.connect, e.read, e.write, e.timeout, e.status)
   for index = 1, #latency do print('@latency', latency(index)) end
   for index = 1, #requests do print('@rate', requests(index)) end
end
";

/// The report without its first two lines, and the same made anew from the figures below it.
fn report_and_remake(output: &str, percentiles: &[f64]) -> (String, String) {
    let (dump, report): (Vec<&str>, Vec<&str>) = output.lines().skip(2).partition(|line| line.starts_with('@'));
    let numbers = |name: &str| -> Vec<Vec<u64>> {
        let lines = dump.iter().filter_map(|line| line.strip_prefix(name));
        lines.map(|line| line.split_whitespace().map(|number| number.parse().unwrap()).collect()).collect()
    };
    let distribution = |name| Distribution::new(numbers(name).iter().map(|pair| (pair[0], pair[1])).collect());
    let (latency, rates) = (distribution("@latency"), distribution("@rate"));
    let [runtime_us, requests, bytes, connect, read, write, timeout, bad_statuses] = numbers("@figures")[0][..] else {
        panic!("{output}");
    };
    let remade = WrkFigures {
        percentiles: percentiles.to_vec(),
        requests,
        bytes,
        runtime_us,
        socket_errors: [connect, read, write, timeout],
        bad_statuses,
        ..figures(&latency, &rates)
    };
    (report.join("\n") + "\n", remade.text())
}

/// Runs wrk, and makes its report again.
fn assert_remade(server: &Server, arguments: &[&str]) -> String {
    let script = script(DUMP);
    let wrk = run_wrk(&[&["-s", script.path().to_str().unwrap()], arguments, &[&server.url()]].concat());
    let shows_percentiles = arguments.contains(&"--latency");
    let percentiles: &[f64] = if shows_percentiles { &[50.0, 75.0, 90.0, 99.0] } else { &[] };
    let (report, remade) = report_and_remake(&wrk.stdout, percentiles);
    assert_eq!(report, remade);
    report
}

#[test]
fn wrks_report_of_a_fast_server_is_remade_from_its_figures() {
    assert_remade(&Server::answering(OK), &["-t2", "-c8", "-d2", "--latency"]);
}

#[test]
fn wrks_report_of_a_server_that_takes_its_time_is_remade_from_its_figures() {
    assert_remade(&Server::delaying(Duration::from_millis(50)), &["-t2", "-c10", "-d2", "--latency"]);
}

#[test]
fn wrks_report_of_stalls_and_timeouts_is_remade_from_its_figures() {
    let stalling = || {
        Server::start(|peer| {
            // Few different latencies: for each of them wrk's `latency` looks through all its counters.
            thread::sleep(Duration::from_millis(if peer.earlier == 3 { 2500 } else { 20 }));
            peer.send(OK);
            Then::Stay
        })
    };
    let late = assert_remade(&stalling(), &["-t2", "-c4", "-d4", "--latency"]);
    assert!(late.contains("timeout 4"), "{late}");
    let in_time = assert_remade(&stalling(), &["-t2", "-c4", "-d4", "--timeout", "5s", "--latency"]);
    assert!(!in_time.contains("timeout"), "{in_time}");
}

#[test]
fn wrks_report_of_bad_statuses_and_of_nothing_is_remade_from_its_figures() {
    let bad = assert_remade(
        &Server::answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        &["-t1", "-c2", "-d1"],
    );
    assert!(bad.contains("Non-2xx or 3xx responses: "), "{bad}");
    let silent = Server::start(|peer| {
        peer.wait_for_close();
        Then::Close
    });
    let nothing = assert_remade(&silent, &["-t2", "-c4", "-d1", "--latency"]);
    assert!(nothing.contains("  0 requests in "), "{nothing}");
}

/// Ends a run by SIGINT as soon as the program takes it: wrk ignores it until all its threads are started.
fn interrupted(mut command: Command, server: &Server) -> Run {
    let child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let has_ended = AtomicBool::new(false);
    thread::scope(|scope| {
        // What it prints may be more than a pipe holds.
        let ending = scope.spawn(|| {
            let output = child.wait_with_output();
            has_ended.store(true, Ordering::SeqCst);
            output
        });
        let deadline = Instant::now() + PATIENCE;
        while !has_ended.load(Ordering::SeqCst) {
            let signal = if Instant::now() > deadline { Signal::KILL } else { Signal::INT };
            if server.requests() >= 100 || signal == Signal::KILL {
                // It may have ended a moment ago.
                let _ = kill_process(pid, signal);
            }
            thread::sleep(Duration::from_millis(20));
        }
        ending.join().unwrap().unwrap().into()
    })
}

#[test]
fn an_interrupted_run_is_reported_like_any_other() {
    let (server, script) = (Server::answering(OK), script(DUMP));
    let arguments = ["-t1", "-c4", "-d9", "-s", script.path().to_str().unwrap(), &server.url()];
    let wrk = interrupted(wrk_command(&arguments), &server);
    let (report, remade) = report_and_remake(&wrk.stdout, &[]);
    assert_eq!(report, remade);
    assert_eq!(wrk.code, Some(0));
}

#[test]
fn long_durations_are_announced_as_wrk_announces_them() {
    thread::scope(|scope| {
        for duration in ["50", "51", "90", "1h", "2h"] {
            scope.spawn(move || {
                let heading = |program: fn(&[&str]) -> Command| {
                    let server = Server::answering(OK);
                    let url = server.url();
                    let run = interrupted(program(&["-t1", "-c1", "-d", duration, &url]), &server);
                    run.stdout.lines().take(2).map(|line| line.replace(&url, "URL")).collect::<Vec<_>>()
                };
                assert_eq!(heading(command), heading(wrk_command), "{duration}");
            });
        }
    });
}
