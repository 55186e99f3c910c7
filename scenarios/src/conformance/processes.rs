//! How the server starts, bears a crowd, and stops: cases that need its process.
//!
//! # What may be lost when a server stops
//! Whoever keeps a connection alive may send a request at the very moment at which the server closes it, and no server
//! can prevent that. So a request may be lost, but only whole, and only
//! - if it was sent after SIGTERM, or
//! - if the server closed the connection without having read it, which the kernel tells the client by a reset.
//!
//! Every other request is answered, and no answer ends in its middle.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, getrlimit};

use super::holds::{HOLD, begin_holds};
use super::probe::{CHECK, Operation, Probe, expect_ok, expect_ok_for, get};
use super::{CannotTry, Case, Controls, NO_STORE, STOPS_ON_SIGTERM, ServerControl, StartServer, Started, process};
use crate::server::TAKES_PORT_0;
use crate::wire::{Connection, Reply};

/// What the contract grants a server after SIGTERM (5 s), and a little for a busy machine.
const STOP_AT_MOST: Duration = Duration::from_secs(8);
/// Connections that idle when the server is stopped.
const IDLE_AT_STOP: usize = 20;
/// Clients of a server that is stopped under load: twice the usual pool.
const CLIENTS_AT_STOP: usize = 32;
/// The load has begun when each client got so many answers.
pub(super) const ANSWERED_BEFORE_STOP: usize = 20;
/// Requests of each route that are at the store when the server is stopped: with four routes half the usual pool, so that
/// none has to wait for a thread.
const IN_FLIGHT_EACH: usize = 2;
/// Requests of each route that are held when the server is stopped, likewise.
const HELD_EACH: usize = 4;
/// A server that holds is stopped so often, until it was in time for the holds.
const STOPS_AMID_HOLDS: usize = 5;
/// A server under load is stopped at most so often, until a request was under way at that moment.
const STOPS_UNDER_LOAD: usize = 3;
/// Open files of a server that is asked to hold a crowd and cannot: enough to start, far too few to serve.
const FEW_OPEN_FILES: u64 = 256;
/// Descriptors of ours beside a crowd's, and connections that a server takes beside them.
const SPARE: usize = 512;
/// Every so many connections of a crowd, one is served.
const SERVED_EVERY: usize = 500;
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(5);

pub(super) const CASES: &[Case] = &[
    process(STOPS_ON_SIGTERM, "SIGTERM beside idle connections: exit 0 within 5 s, and the port is free", stops),
    process(
        TAKES_PORT_0,
        "`--listen ADDR:0`: the first line says which port it became; it answers there",
        takes_port_0,
    ),
    process(
        "requests_in_flight_at_sigterm_are_answered",
        "SIGTERM while the store holds back its answers: they come, whole; then exit 0, and the port is free",
        in_flight_at_stop,
    ),
    process(
        "requests_held_at_sigterm_are_answered",
        "SIGTERM amid holds of 50 ms: the answers come, whole; then exit 0, and the port is free",
        held_at_stop,
    ),
    process(
        "sigterm_under_load_drops_no_request",
        "32 clients ask without pause: SIGTERM loses only requests sent after it, or left unread by a server that closes",
        stop_under_load,
    ),
    process("ten_thousand_connections_are_held", "10 000 idle connections stay open, some of them are served", crowd),
    process(
        "too_few_descriptors_are_refused",
        "room for 10 000 connections and 256 open files: exit 2 and a message about the limit",
        few_descriptors,
    ),
    process("nothing_panics", "no server of this suite has printed a Rust panic or a runtime's last words", no_panics),
];

/// Cases that mean nothing for a server that does not stop as it should.
pub(super) const REST_ON_STOPPING: [&str; 3] = [
    "requests_in_flight_at_sigterm_are_answered",
    "requests_held_at_sigterm_are_answered",
    "sigterm_under_load_drops_no_request",
];

/// Starts another server.
fn fresh(probe: &Probe, server: &mut dyn ServerControl, how: StartServer) -> Result<Probe> {
    match server.start(how)? {
        Started::Ready(addr) => Ok(probe.at(addr)),
        Started::Refused(said) => bail!("the server refuses to start: {said}"),
    }
}

fn stops(probe: &Probe, controls: &mut Controls) -> Result<()> {
    let mut idle = probe.connect_many(2 * IDLE_AT_STOP)?;
    for connection in idle.iter_mut().skip(IDLE_AT_STOP) {
        expect_ok_for(connection, CHECK)?;
    }
    controls.server.terminate()?;
    expect_stopped(probe, controls.server)
}

/// Demands what SIGTERM demands.
fn expect_stopped(probe: &Probe, server: &mut dyn ServerControl) -> Result<()> {
    let code = server.wait(STOP_AT_MOST).context("after SIGTERM")?;
    ensure!(
        code == Some(0),
        "after SIGTERM: {}",
        code.map_or("killed by it".into(), |code| format!("exit code {code}"))
    );
    ensure!(probe.is_port_free(), "something still listens on the port after the server has ended");
    Ok(())
}

fn takes_port_0(probe: &Probe, controls: &mut Controls) -> Result<()> {
    let how = StartServer { insists_on_port_0: true, ..StartServer::default() };
    fresh(probe, controls.server, how)?.expect_alive()
}

fn in_flight_at_stop(probe: &Probe, controls: &mut Controls) -> Result<()> {
    // A machine that is busy elsewhere may let a short pause pass before the server has read the requests.
    for pause in [400, 1200, 3600].map(Duration::from_millis) {
        let probe = fresh(probe, controls.server, StartServer::default())?;
        if in_flight_during(pause, &probe, controls)? == AtStop::InFlight {
            return Ok(());
        }
    }
    bail!("requests are read only when the store answers others: three pauses, three times too late")
}

#[derive(PartialEq, Eq)]
enum AtStop {
    InFlight,
    Over,
}

fn in_flight_during(pause: Duration, probe: &Probe, controls: &mut Controls) -> Result<AtStop> {
    let Some(store) = controls.store.as_deref_mut() else { bail!(CannotTry(NO_STORE.into())) };
    let mut asking = Vec::new();
    for path in Operation::ALL.into_iter().flat_map(|operation| probe.paths(operation)) {
        for _ in 0..IN_FLIGHT_EACH {
            let mut connection = probe.connect()?;
            // So that the server knows the connection, and its store.
            expect_ok_for(&mut connection, &path)?;
            asking.push((connection, path.clone()));
        }
    }
    let unanswered_until = Instant::now() + pause;
    store.pause(pause)?;
    for (connection, path) in &mut asking {
        connection.send(get(path))?;
    }
    probe.wait_until_read(asking.iter().map(|(connection, _)| connection))?;
    stop_amid(asking, unanswered_until, probe, controls.server)
}

fn held_at_stop(probe: &Probe, controls: &mut Controls) -> Result<()> {
    if controls.store.is_none() {
        bail!(CannotTry(NO_STORE.into()));
    }
    for _ in 0..STOPS_AMID_HOLDS {
        let probe = fresh(probe, controls.server, StartServer::default())?;
        let mut asking = Vec::new();
        for hold in probe.holds().into_iter().flat_map(|hold| vec![hold; HELD_EACH]) {
            asking.push((probe.connect()?, hold.path));
        }
        let unanswered_until = Instant::now() + HOLD;
        begin_holds(&mut asking)?;
        if stop_amid(asking, unanswered_until, &probe, controls.server)? == AtStop::InFlight {
            return Ok(());
        }
    }
    let over = format!("{STOPS_AMID_HOLDS} times the holds were over before SIGTERM could be sent");
    bail!(CannotTry(over + ": the machine is busy, or the server keeps back answers that it has"))
}

/// Stops a server that has read a request from each connection and cannot answer it before some instant.
fn stop_amid(
    asking: Vec<(Connection, String)>,
    unanswered_until: Instant,
    probe: &Probe,
    server: &mut dyn ServerControl,
) -> Result<AtStop> {
    server.terminate()?;
    let seen = if Instant::now() < unanswered_until { AtStop::InFlight } else { AtStop::Over };
    // One after the other they are closed by us too, so that the server need not read on to the end of its patience.
    for (mut connection, path) in asking {
        let context = || format!("{path}, under way when SIGTERM came");
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(context)?;
        connection.expect_closed().with_context(context)?;
    }
    expect_stopped(probe, server)?;
    Ok(seen)
}

/// The clients of a server that is stopped under load.
struct Load<'a> {
    probe: &'a Probe,
    answered: [AtomicUsize; CLIENTS_AT_STOP],
    stopping: AtomicBool,
    /// SIGTERM has been sent.
    asked_to_stop: AtomicBool,
    /// A request sent before `stopping` was answered after SIGTERM.
    in_flight: AtomicBool,
    failed: AtomicBool,
}

fn stop_under_load(probe: &Probe, controls: &mut Controls) -> Result<()> {
    for _ in 0..STOPS_UNDER_LOAD {
        // A harness that loses its CPU just before it sends the signal finds all requests answered that it may judge by.
        if stop_once_under_load(probe, controls)? == AtStop::InFlight {
            break;
        }
    }
    // A server may be so fast that it has never one in flight; it has lost none then.
    Ok(())
}

fn stop_once_under_load(probe: &Probe, controls: &mut Controls) -> Result<AtStop> {
    let probe = fresh(probe, controls.server, StartServer::default())?;
    let load = Load {
        probe: &probe,
        answered: Default::default(),
        stopping: AtomicBool::default(),
        asked_to_stop: AtomicBool::default(),
        in_flight: AtomicBool::default(),
        failed: AtomicBool::default(),
    };
    let load = &load;
    let connections = probe.connect_many(CLIENTS_AT_STOP)?;
    thread::scope(|scope| -> Result<()> {
        let client = |(number, connection)| scope.spawn(move || load.ask(number, connection));
        let clients: Vec<_> = connections.into_iter().enumerate().map(client).collect();
        let begun = |count: &AtomicUsize| count.load(Ordering::Relaxed) >= ANSWERED_BEFORE_STOP;
        while !load.answered.iter().all(begun) && !load.failed.load(Ordering::Relaxed) {
            thread::sleep(POLL);
        }
        // Before the signal: whoever sees it unset has sent a request before SIGTERM.
        load.stopping.store(true, Ordering::SeqCst);
        let asked = controls.server.terminate();
        load.asked_to_stop.store(true, Ordering::SeqCst);
        // What a client saw explains more.
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))?;
        asked
    })?;
    expect_stopped(&probe, controls.server)?;
    Ok(if load.in_flight.load(Ordering::SeqCst) { AtStop::InFlight } else { AtStop::Over })
}

impl Load<'_> {
    /// One client.
    fn ask(&self, number: usize, connection: Connection) -> Result<()> {
        let asked = self.ask_until_closed(number, connection);
        if asked.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        asked.with_context(|| format!("client {number}"))
    }

    /// The next request when the last is answered, until the server closes.
    fn ask_until_closed(&self, number: usize, mut connection: Connection) -> Result<()> {
        let paths = self.probe.known_paths();
        for path in paths.iter().cycle().skip(number) {
            // A server that does not stop is told so by the case itself, once all clients are back.
            if self.failed.load(Ordering::Relaxed) {
                break;
            }
            let sent = connection.send(get(path));
            let before_stop = !self.stopping.load(Ordering::SeqCst);
            let reply = match sent {
                Ok(()) => connection.reply().with_context(|| path.clone())?,
                Err(_) => Reply::Reset,
            };
            match reply {
                Reply::Answer(answer) => expect_ok(&answer).with_context(|| path.clone())?,
                Reply::Closed if before_stop => bail!("{path}: read before SIGTERM, and never answered"),
                Reply::Reset if !self.stopping.load(Ordering::SeqCst) => bail!("{path}: reset before SIGTERM"),
                Reply::Closed | Reply::Reset => break,
            }
            if before_stop && self.asked_to_stop.load(Ordering::SeqCst) {
                self.in_flight.store(true, Ordering::SeqCst);
            }
            self.answered[number].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// One crowd at a time: two would be more than most machines have descriptors for.
static CROWDED: Mutex<()> = Mutex::new(());

fn crowd(probe: &Probe, controls: &mut Controls) -> Result<()> {
    require_room(probe.crowd())?;
    let begun = Instant::now();
    let _alone = CROWDED.lock().unwrap_or_else(PoisonError::into_inner);
    let probe = probe.later(begun.elapsed());
    let how = StartServer { max_connections: Some(with_spare(probe.crowd())), ..StartServer::default() };
    let probe = match controls.server.start(how)? {
        Started::Ready(addr) => probe.at(addr),
        Started::Refused(said) if names_the_limit(&said) => bail!(CannotTry(format!("the server refuses: {said}"))),
        Started::Refused(said) => bail!("the server refuses to start, and does not say for lack of what: {said}"),
    };
    let mut crowd = probe.connect_many(probe.crowd()).context("while the crowd gathers")?;
    let paths = probe.known_paths();
    for connection in crowd.iter_mut().rev().step_by(SERVED_EVERY) {
        for path in &paths {
            expect_ok_for(connection, path).context("on one of the crowd")?;
        }
    }
    // The last one was served, so the server has had the time to drop the others if it cannot hold them.
    let mut lost = 0;
    for connection in &crowd {
        lost += usize::from(!connection.is_quiet()?);
    }
    ensure!(lost == 0, "the server has closed {lost} of {} idle connections", crowd.len());
    // By resets, which leave no port in TIME_WAIT.
    crowd.into_iter().try_for_each(Connection::reset)?;
    probe.expect_alive()
}

fn with_spare(connections: usize) -> u32 {
    u32::try_from(connections + SPARE).unwrap_or(u32::MAX)
}

/// Says what of the machine is too small for a crowd.
fn require_room(crowd: usize) -> Result<()> {
    let needed = crowd + SPARE;
    let soft = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if soft < needed as u64 {
        bail!(CannotTry(format!("this machine allows {soft} open files, and {needed} are needed (`ulimit -Hn`)")));
    }
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<usize>().ok());
    if let (Some(low), Some(high)) = (ends.next(), ends.next())
        && high.saturating_sub(low) < needed
    {
        bail!(CannotTry(format!("this machine has the ports {low} to {high} for clients, and {needed} are needed")));
    }
    Ok(())
}

fn few_descriptors(probe: &Probe, controls: &mut Controls) -> Result<()> {
    let how = StartServer {
        max_connections: Some(with_spare(probe.crowd())),
        open_files_max: Some(FEW_OPEN_FILES),
        ..StartServer::default()
    };
    match controls.server.start(how)? {
        Started::Refused(said) => ensure!(names_the_limit(&said), "the message does not name the limit: {said}"),
        Started::Ready(_) => bail!("the server starts, although it cannot hold what it is asked to"),
    }
    Ok(())
}

/// Whether a message is about open files.
fn names_the_limit(said: &str) -> bool {
    let said = said.to_lowercase();
    ["open files", "descriptor", "nofile", "ulimit"].iter().any(|word| said.contains(word))
}

fn no_panics(_: &Probe, controls: &mut Controls) -> Result<()> {
    const LAST_WORDS: [&str; 4] = ["panicked at", "has overflowed its stack", "fatal runtime error", "Traceback (most"];
    let log = controls.server.log()?;
    match log.lines().find(|line| LAST_WORDS.iter().any(|words| line.contains(words))) {
        Some(line) => bail!("a server printed: {line}"),
        None => Ok(()),
    }
}
