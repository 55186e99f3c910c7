//! Bad clients: those that do not take their answers, do not finish their requests, or break off.
//!
//! As in [`super::crowds`], nothing here measures time: others are answered meanwhile, and the server afterwards.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::probe::{CHECK, Probe, UNKNOWN, expect_error, expect_ok, expect_ok_for, get, request_with};
use super::{Case, server};
use crate::wire::Connection;

/// Twice the usual pool of 16, so that a server which gives a thread to each connection runs out of them.
const SLOW_CLIENTS: usize = 32;
/// Requests of a client that does not read: with narrow connections their answers fill every buffer twice over.
const UNREAD_REQUESTS: usize = 600;
/// What a server may take from a client that reads nothing. A server that stops reading when its answers pile up takes a
/// few hundred kilobytes, most of it into the kernel's buffers; one that goes on takes everything.
const UNREAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A server that twice has not read on for so long waits for the client.
const TAKES_NO_MORE: Duration = Duration::from_millis(250);
/// Length of a body that is sent with a pause in its middle: more than one read brings.
const SLOW_BODY_BYTES: usize = 100_000;
/// Clients that reset, at each moment of a request and for each path.
const RESETS_EACH: usize = 4;

pub(super) const CASES: &[Case] = &[
    server(
        "slow_readers_hold_up_nobody",
        "32 clients pipeline 600 requests and read nothing; others are answered; then they read, and nothing is missing",
        slow_readers,
    ),
    server(
        "unread_answers_are_bounded",
        "a client sends without end and reads nothing: the server stops reading, or closes",
        unread_answers,
    ),
    server(
        "slow_bodies_hold_up_nobody",
        "32 clients pause within a body; others are answered; then they finish, and are answered",
        slow_bodies,
    ),
    server(
        "a_request_cut_short_is_let_go",
        "a client closes its sending side within a request: closed at once, and not answered with a success",
        cut_short,
    ),
    server(
        "clients_that_reset_are_survived",
        "resets on connecting, within head and body, after the request and within the answers; others are answered",
        resets,
    ),
];

fn slow_readers(probe: &Probe) -> Result<()> {
    let paths = probe.known_paths();
    let mut slow = Vec::new();
    for index in 0..SLOW_CLIENTS {
        let mut connection = probe.connect_narrow()?;
        // An error last, so that the end of the answers is told from the rest.
        connection.send(get(&paths[index % paths.len()]).repeat(UNREAD_REQUESTS - 1) + &get(UNKNOWN))?;
        slow.push(connection);
    }
    expect_others(probe, "slow readers")?;
    for (index, connection) in slow.iter_mut().enumerate() {
        for answer in 1..UNREAD_REQUESTS {
            let place = || format!("slow reader {index}, answer {answer} of {UNREAD_REQUESTS}");
            connection.answer().and_then(|answer| expect_ok(&answer)).with_context(place)?;
        }
        let place = || format!("slow reader {index}, the last answer");
        connection.answer().and_then(|answer| expect_error(&answer, 404)).with_context(place)?;
    }
    Ok(())
}

/// Demands that everybody else is answered at once.
fn expect_others(probe: &Probe, beside: &str) -> Result<()> {
    let mut kept = probe.connect()?;
    for _ in 0..5 {
        for path in probe.known_paths() {
            expect_ok_for(&mut kept, &path).with_context(|| format!("beside {SLOW_CLIENTS} {beside}"))?;
            expect_ok_for(&mut probe.connect()?, &path)
                .with_context(|| format!("beside {SLOW_CLIENTS} {beside}, on a new connection"))?;
        }
    }
    Ok(())
}

fn unread_answers(probe: &Probe) -> Result<()> {
    let requests = get(CHECK).repeat(100);
    let mut connection = probe.connect_narrow()?;
    // A machine that is busy elsewhere may keep the server from reading; not so if it answers others and still reads nothing.
    let mut taken = 0;
    loop {
        let before = taken;
        taken = connection.flood(requests.as_bytes(), before, UNREAD_BYTES_MAX, TAKES_NO_MORE)?;
        expect_ok_for(&mut probe.connect()?, CHECK).context("beside a client that reads nothing")?;
        if taken == before || taken > UNREAD_BYTES_MAX {
            break;
        }
    }
    ensure!(
        taken <= UNREAD_BYTES_MAX,
        "the server has read {taken} bytes of requests from a client that reads no answer, and reads on"
    );
    connection.reset()?;
    probe.expect_alive()
}

fn slow_bodies(probe: &Probe) -> Result<()> {
    let paths = probe.known_paths();
    let (first, rest) = (vec![b'x'; SLOW_BODY_BYTES / 2], vec![b'x'; SLOW_BODY_BYTES - SLOW_BODY_BYTES / 2]);
    let mut slow = probe.connect_many(SLOW_CLIENTS)?;
    for (index, connection) in slow.iter_mut().enumerate() {
        let length = format!("Content-Length: {SLOW_BODY_BYTES}\r\n");
        connection.send(request_with("GET", &paths[index % paths.len()], &length))?;
        connection.send(&first)?;
    }
    expect_others(probe, "slow bodies")?;
    for (index, connection) in slow.iter_mut().enumerate() {
        connection.send(&rest)?;
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| format!("slow body {index}"))?;
    }
    Ok(())
}

/// Nothing that follows can make the request whole, so there is nothing to wait for.
fn cut_short(probe: &Probe) -> Result<()> {
    let body = request_with("POST", CHECK, "Content-Length: 10\r\n") + "12345";
    let chunked = request_with("POST", CHECK, "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n";
    let request = get(CHECK);
    for bytes in [&request[..3], &request[..request.len() - 2], &body, &chunked] {
        let context = || format!("\"{}\" and the end", bytes.escape_debug());
        let mut connection = probe.connect()?;
        connection.send(bytes)?;
        connection.close_sending()?;
        let status = connection.last_status().with_context(context)?;
        ensure!(status.is_none_or(|status| status >= 400), "{}: the server answers {status:?}", context());
    }
    probe.expect_alive()
}

fn resets(probe: &Probe) -> Result<()> {
    let paths = probe.known_paths();
    let resetting = |bytes: &[u8]| -> Result<Connection> {
        let mut connection = probe.connect()?;
        connection.send(bytes)?;
        Ok(connection)
    };
    for path in paths.iter().flat_map(|path| [path; RESETS_EACH]) {
        let request = get(path);
        let body = request_with("POST", path, "Content-Length: 1000\r\n") + "12345";
        // Before a byte, within a head, within a body, and before, with and within the answers.
        probe.connect()?.reset()?;
        resetting(&request.as_bytes()[..request.len() / 2])?.reset()?;
        resetting(body.as_bytes())?.reset()?;
        resetting(request.as_bytes())?.reset()?;
        resetting(request.repeat(32).as_bytes())?.reset()?;
        let mut answered = resetting(request.repeat(32).as_bytes())?;
        answered.wait_for_first_byte()?;
        answered.reset()?;
    }
    expect_others(probe, "clients that reset")
}
