//! The traps: what a server does wrong, the load on it, and what is true of the answers.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::server::{OK, Server, Then};
use crate::censored::Observed;
use crate::load::Load;
use crate::result::{ClientVerdictKind, ErrorKind, LoadResult};

/// A server that misbehaves in one way.
#[derive(Debug)]
pub struct Trap {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub does: &'static str,
    /// Starts it.
    pub serve: fn() -> Server,
    /// The load on it.
    load: fn(Load) -> Load,
    /// What is true, beside what was reported. The server has counted the requests.
    checks: fn(&LoadResult, &Server) -> Vec<Check>,
}

/// One figure.
#[derive(Debug)]
pub struct Check {
    /// Which.
    pub figure: String,
    /// What it must be.
    pub truth: String,
    /// What the client says.
    pub reported: String,
    /// Whether these agree.
    pub is_right: bool,
}

impl Trap {
    /// Runs the load and compares.
    pub fn spring(&self) -> Result<Vec<Check>> {
        let server = (self.serve)();
        let load = Load::new(&server.url())?.connections(4).duration(Duration::from_secs(2));
        let result = (self.load)(load).run()?;
        Ok((self.checks)(&result, &server))
    }
}

/// Times on a machine with other work: a thread that sleeps wakes late, never early.
const LATE: f64 = 0.25;

fn ms(us: u64) -> String {
    format!("{:.2} ms", us as f64 / 1000.0)
}

/// A time that is `truth`, or a little more.
fn time(figure: &str, truth_us: u64, reported_us: u64) -> Check {
    let most = (truth_us as f64 * (1.0 + LATE)) as u64 + 2000;
    let least = (truth_us as f64 * 0.9) as u64;
    let is_right = (least..=most).contains(&reported_us);
    Check { figure: figure.to_owned(), truth: ms(truth_us), reported: ms(reported_us), is_right }
}

/// A time that is at most so much.
fn time_below(figure: &str, limit_us: u64, reported_us: u64) -> Check {
    let is_right = reported_us < limit_us;
    Check { figure: figure.to_owned(), truth: format!("< {}", ms(limit_us)), reported: ms(reported_us), is_right }
}

/// A count between two others.
fn count(figure: &str, least: u64, most: u64, reported: u64) -> Check {
    let truth = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let is_right = (least..=most).contains(&reported);
    Check { figure: figure.to_owned(), truth, reported: reported.to_string(), is_right }
}

/// The answers are those that the server gave: all requests that it saw, but for those under way at the end.
fn answers(result: &LoadResult, server: &Server) -> Check {
    let seen = server.requests() as u64;
    count("answers", seen.saturating_sub(result.in_flight_at_end), seen, result.requests_total)
}

fn errors(result: &LoadResult, kinds: &[ErrorKind]) -> u64 {
    kinds.iter().filter_map(|kind| result.errors.get(kind)).sum()
}

fn verdict(result: &LoadResult, truth: ClientVerdictKind) -> Check {
    let name = crate::verdict::kind_name;
    let reported = result.verdict.kind;
    Check { figure: "verdict".to_owned(), truth: name(truth), reported: name(reported), is_right: reported == truth }
}

/// A percentile, with the requests that were never answered.
fn percentile(result: &LoadResult, percent: f64) -> (u64, bool) {
    let found = Observed::of(result).ok().and_then(|observed| observed.quantile(percent / 100.0));
    found.map_or((0, false), |found| (found.us as u64, found.is_lower_bound))
}

/// All of them.
pub const TRAPS: &[Trap] = &[
    Trap {
        name: "constant",
        does: "answers after 20 ms",
        serve: || Server::delaying(Duration::from_millis(20)),
        load: |load| load,
        checks: |result, server| {
            vec![
                answers(result, server),
                time("p50", 20_000, result.latency_us.p50),
                time("min", 20_000, result.latency_us.min),
            ]
        },
    },
    Trap {
        name: "tenth-slow",
        does: "answers every tenth request after 50 ms, the others at once",
        serve: || {
            Server::start(|peer| {
                if peer.earlier % 10 == 9 {
                    thread::sleep(Duration::from_millis(50));
                }
                peer.send(OK);
                Then::Stay
            })
        },
        load: |load| load,
        checks: |result, server| {
            vec![
                answers(result, server),
                time_below("p50", 5_000, result.latency_us.p50),
                time("p99", 50_000, result.latency_us.p99),
            ]
        },
    },
    Trap {
        name: "freeze",
        does: "answers at once, but nothing at all between 1 s and 2 s after its first request",
        serve: || {
            let begin = Mutex::new(None);
            Server::start(move |peer| {
                let mut begin = begin.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                let elapsed = begin.get_or_insert_with(Instant::now).elapsed();
                drop(begin);
                let (from, to) = (Duration::from_secs(1), Duration::from_secs(2));
                if (from..to).contains(&elapsed) {
                    thread::sleep(to - elapsed);
                }
                peer.send(OK);
                Then::Stay
            })
        },
        // A quarter of the requests is due while nothing happens, and waits from 1 s down to 0.
        load: |load| load.rate(100.0).duration(Duration::from_secs(4)),
        checks: |result, _| {
            let Some(corrected) = result.latency_corrected_us else { return Vec::new() };
            let due = (100.0 * result.window_s).round() as u64;
            vec![
                time("mean", 125_000, corrected.mean as u64),
                time_below("p50", 5_000, corrected.p50),
                time("p90", 600_000, corrected.p90),
                time("p99", 960_000, corrected.p99),
                // A busy machine opens and closes the window a little late, between an instant and its answer.
                count("requests", due.saturating_sub(10), due + 4, result.requests),
            ]
        },
    },
    Trap {
        name: "hang",
        does: "never answers every other connection",
        serve: || {
            Server::start(|peer| {
                if peer.number % 2 == 1 {
                    peer.wait_for_close();
                    return Then::Close;
                }
                thread::sleep(Duration::from_millis(1));
                peer.send(OK);
                Then::Stay
            })
        },
        load: |load| load.timeout(Duration::from_millis(500)),
        checks: |result, server| {
            vec![
                answers(result, server),
                count("connections never served", 2, 2, result.connections.never_answered),
                count("timeouts", 2, 2, errors(result, &[ErrorKind::Timeout])),
                count("requests in flight", 2, 4, result.in_flight_at_end),
                verdict(result, ClientVerdictKind::Starved),
            ]
        },
    },
    Trap {
        name: "silence",
        does: "takes every request and answers none",
        serve: || {
            Server::start(|peer| {
                peer.wait_for_close();
                Then::Close
            })
        },
        load: |load| load.rate(100.0).timeout(Duration::from_millis(500)),
        checks: |result, _| {
            let (p50, is_lower_bound) = percentile(result, 50.0);
            vec![
                count("answers", 0, 0, result.requests_total),
                count("requests without answer", 195, 205, result.censored.count),
                count("timeouts", 4, 4, errors(result, &[ErrorKind::Timeout])),
                // Due evenly over two seconds: half of them are older than one.
                time("p50 is at least", 1_000_000, if is_lower_bound { p50 } else { 0 }),
            ]
        },
    },
    Trap {
        name: "late",
        does: "answers every twentieth request after 300 ms",
        serve: || {
            Server::start(|peer| {
                thread::sleep(Duration::from_millis(if peer.earlier % 20 == 19 { 300 } else { 1 }));
                peer.send(OK);
                Then::Stay
            })
        },
        load: |load| load.timeout(Duration::from_millis(100)),
        checks: |result, server| {
            let slow = result.connections.answers.iter().map(|answers| answers / 20).sum::<u64>();
            vec![
                answers(result, server),
                count("timeouts", slow, slow + 4, errors(result, &[ErrorKind::Timeout])),
                time("max", 300_000, result.latency_us.max),
            ]
        },
    },
    Trap {
        name: "reset",
        does: "resets the connection inside every tenth answer",
        serve: || {
            Server::start(|peer| {
                if peer.earlier == 9 {
                    peer.send(&OK[..20]);
                    return Then::Reset;
                }
                peer.send(OK);
                Then::Stay
            })
        },
        load: |load| load,
        checks: |result, server| {
            let broken = errors(result, &[ErrorKind::Read, ErrorKind::Eof]);
            let seen = server.requests() as u64;
            vec![
                count(
                    "answers and errors",
                    seen.saturating_sub(result.in_flight_at_end),
                    seen,
                    result.requests_total + broken,
                ),
                // Four connections may be on their way to the next one.
                count("errors", (result.requests_total / 9).saturating_sub(4), result.requests_total / 9, broken),
                verdict(result, ClientVerdictKind::Errors),
            ]
        },
    },
    Trap {
        name: "refuse",
        does: "answers for 1 s, closes all connections then and refuses new ones",
        serve: || {
            let begin = Mutex::new(None);
            Server::start(move |peer| {
                let mut begin = begin.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                let elapsed = begin.get_or_insert_with(Instant::now).elapsed();
                drop(begin);
                if elapsed > Duration::from_secs(1) {
                    peer.refuse_others();
                    return Then::Close;
                }
                thread::sleep(Duration::from_millis(1));
                peer.send(OK);
                Then::Stay
            })
        },
        load: |load| load,
        checks: |result, server| {
            let seen = server.requests() as u64;
            let refused = errors(result, &[ErrorKind::ConnectRefused]);
            vec![
                // Each connection was closed once without an answer.
                count("answers", seen.saturating_sub(4), seen, result.requests_total),
                // Before the door is shut, one that comes back at once may still get in, and is reset.
                count("connections closed", 4, 8, errors(result, &[ErrorKind::Eof, ErrorKind::Read])),
                // At once, then after pauses of 10, 20, 40 ms …: seven times in the second that is left.
                count("connections refused", 16, 32, refused),
                time_below("CPU time", 1_000_000, (result.client.cpu_s * 1e6) as u64),
            ]
        },
    },
    Trap {
        name: "trickle",
        does: "sends an answer byte by byte, 1 ms apart",
        serve: || {
            Server::start(|peer| {
                for byte in OK.chunks(1) {
                    thread::sleep(Duration::from_millis(1));
                    peer.send(byte);
                }
                Then::Stay
            })
        },
        load: |load| load,
        checks: |result, server| {
            vec![answers(result, server), time("p50", OK.len() as u64 * 1080, result.latency_us.p50)]
        },
    },
    Trap {
        name: "no-length",
        does: "ends its answers by closing the connection",
        serve: || {
            Server::start(|peer| {
                thread::sleep(Duration::from_millis(1));
                peer.send(b"HTTP/1.1 200 OK\r\n\r\nok");
                Then::Close
            })
        },
        load: |load| load,
        checks: |result, server| vec![answers(result, server), count("errors", 0, 0, result.errors.values().sum())],
    },
    Trap {
        name: "interim",
        does: "sends 100 and 103 before each answer",
        serve: || {
            Server::start(|peer| {
                thread::sleep(Duration::from_millis(1));
                peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
                peer.send(OK);
                Then::Stay
            })
        },
        load: |load| load,
        checks: |result, server| vec![answers(result, server), count("errors", 0, 0, result.errors.values().sum())],
    },
    Trap {
        name: "no-body",
        does: "answers 304 with the length of a body that it does not send",
        serve: || {
            Server::start(|peer| {
                thread::sleep(Duration::from_millis(1));
                peer.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
                Then::Stay
            })
        },
        load: |load| load,
        checks: |result, server| vec![answers(result, server), count("errors", 0, 0, result.errors.values().sum())],
    },
    Trap {
        name: "unfair",
        does: "answers one connection at once and the others after 100 ms",
        serve: || {
            Server::start(|peer| {
                thread::sleep(Duration::from_millis(if peer.number == 0 { 1 } else { 100 }));
                peer.send(OK);
                Then::Stay
            })
        },
        load: |load| load,
        checks: |result, server| {
            let served = &result.connections;
            // One has nearly all: a quarter, and a little.
            let jain = (served.jain * 100.0).round() as u64;
            vec![
                answers(result, server),
                count("median answers", 15, 20, served.answers_median),
                count("Jain's fairness, percent", 25, 40, jain),
            ]
        },
    },
];
