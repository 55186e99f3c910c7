//! Keep-alive, close, pipelining, and requests in pieces.

use anyhow::{Context, Result, ensure};

use super::probe::{
    CHECK, Operation, Probe, UNKNOWN, expect_error, expect_ok, expect_ok_for, get, request, request_with,
};
use super::{Case, server};
use crate::wire::Connection;

/// One batch of a server that answers 16 at a time, and a remainder.
const PIPELINED_THEN_CLOSED: usize = 20;

pub(super) const CASES: &[Case] = &[
    server("connections_are_kept_alive", "100 requests on one connection", keep_alive),
    server("connection_close_is_honoured", "`Connection: close`: one answer, then the end", connection_close),
    server("http_1_0_closes", "an HTTP/1.0 request: one answer, then the end", http_1_0),
    server(
        "http_1_0_can_keep_alive",
        "HTTP/1.0 with `Connection: keep-alive` stays open and says so",
        http_1_0_keep_alive,
    ),
    server("pipelined_requests_keep_their_order", "8 and 64 requests in one write, answered in order", pipelined),
    server(
        "nothing_is_answered_after_close",
        "what is pipelined behind `Connection: close` is not answered",
        after_close,
    ),
    server("a_request_may_come_byte_by_byte", "each byte a segment of its own", byte_by_byte),
    server("a_request_may_be_split_anywhere", "two segments, at each position", split_anywhere),
    server(
        "a_half_closed_client_is_answered",
        "the client closes its sending side after the request, or after 20 pipelined ones",
        half_closed,
    ),
];

/// Connections that are opened and served between the two segments of a split request.
const LATER_CONNECTIONS: usize = 10;

fn keep_alive(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    let paths = probe.known_paths();
    for count in 0..100 {
        expect_ok_for(&mut connection, &paths[count % paths.len()]).with_context(|| format!("request {count}"))?;
    }
    Ok(())
}

fn connection_close(probe: &Probe) -> Result<()> {
    for value in ["close", "Close", "x-unknown, close"] {
        for path in probe.known_paths() {
            let mut connection = probe.connect()?;
            connection.send(request_with("GET", &path, &format!("Connection: {value}\r\n")))?;
            answer_then_end(&mut connection).with_context(|| format!("GET {path} with `Connection: {value}`"))?;
        }
    }
    Ok(())
}

fn http_1_0(probe: &Probe) -> Result<()> {
    for path in probe.known_paths() {
        let mut connection = probe.connect()?;
        connection.send(format!("GET {path} HTTP/1.0\r\n\r\n"))?;
        answer_then_end(&mut connection).with_context(|| format!("GET {path} HTTP/1.0"))?;
    }
    Ok(())
}

fn answer_then_end(connection: &mut Connection) -> Result<()> {
    let answer = connection.answer()?;
    expect_ok(&answer)?;
    ensure!(!answer.has_token("connection", "keep-alive"), "the answer says keep-alive");
    connection.expect_closed()
}

fn http_1_0_keep_alive(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    for path in probe.known_paths() {
        connection.send(format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))?;
        let answer = connection.answer().with_context(|| path.clone())?;
        expect_ok(&answer).with_context(|| path.clone())?;
        ensure!(answer.has_token("connection", "keep-alive"), "{path}: the answer does not say keep-alive");
    }
    Ok(())
}

/// Requests whose answers differ, so that a changed order shows, and whose costs differ, so that an order may change.
fn pipelined(probe: &Probe) -> Result<()> {
    let hits = probe.paths(Operation::Hit);
    for length in [8, 64] {
        let mut connection = probe.connect()?;
        // No period: an answer of the wrong request is then soon another status.
        let kinds: Vec<usize> = (0..length).map(|index: usize| (index * index + index / 3) % 4).collect();
        let requests: Vec<String> = kinds
            .iter()
            .enumerate()
            .map(|(index, kind)| match kind {
                0 => get(&hits[index % hits.len()]),
                1 => get(UNKNOWN),
                2 => request("DELETE", CHECK),
                _ => get(CHECK),
            })
            .collect();
        connection.send(requests.concat())?;
        for (index, kind) in kinds.into_iter().enumerate() {
            let place = || format!("answer {index} of {length}");
            let answer = connection.answer().with_context(place)?;
            match kind {
                1 => expect_error(&answer, 404),
                2 => expect_error(&answer, 405),
                _ => expect_ok(&answer),
            }
            .with_context(place)?;
        }
        expect_ok_for(&mut connection, CHECK)?;
    }
    Ok(())
}

fn after_close(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    let last = request_with("GET", CHECK, "Connection: close\r\n");
    connection.send([get(CHECK), last, get(CHECK)].concat())?;
    expect_ok(&connection.answer()?)?;
    expect_ok(&connection.answer()?)?;
    connection.expect_closed()
}

fn byte_by_byte(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    for path in probe.known_paths() {
        for byte in get(&path).bytes() {
            connection.send([byte])?;
            // Gives the server's threads a chance to see this byte alone.
            std::thread::yield_now();
        }
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| path.clone())?;
    }
    Ok(())
}

fn split_anywhere(probe: &Probe) -> Result<()> {
    let path = probe.paths(Operation::Hit).pop().unwrap_or_else(|| CHECK.into());
    // The second request shows that the first one's end was found where it is.
    let bytes = [get(&path), get(UNKNOWN)].concat().into_bytes();
    let mut connections = probe.connect_many(bytes.len() - 1)?;
    for (at, connection) in connections.iter_mut().enumerate() {
        connection.send(&bytes[..=at])?;
    }
    // By the time these are answered, which came later, the server has had its chance to see the first pieces alone: it has
    // accepted the others, and whoever serves them has had as many turns.
    for _ in 0..LATER_CONNECTIONS {
        expect_ok_for(&mut probe.connect()?, CHECK)?;
    }
    for (at, connection) in connections.iter_mut().enumerate() {
        connection.send(&bytes[at + 1..])?;
    }
    for (at, connection) in connections.iter_mut().enumerate() {
        let place = || format!("split after byte {at}");
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(place)?;
        connection.answer().and_then(|answer| expect_error(&answer, 404)).with_context(place)?;
    }
    Ok(())
}

fn half_closed(probe: &Probe) -> Result<()> {
    for path in probe.known_paths() {
        let mut connection = probe.connect()?;
        connection.send(get(&path))?;
        connection.close_sending()?;
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| path.clone())?;
        connection.expect_closed().with_context(|| path.clone())?;
        // More than a server may answer at one go: its end must not overtake the last answers.
        let mut pipelining = probe.connect()?;
        pipelining.send(get(&path).repeat(PIPELINED_THEN_CLOSED))?;
        pipelining.close_sending()?;
        for index in 0..PIPELINED_THEN_CLOSED {
            let place = || format!("{path}: answer {index} of {PIPELINED_THEN_CLOSED}");
            pipelining.answer().and_then(|answer| expect_ok(&answer)).with_context(place)?;
        }
        pipelining.expect_closed().with_context(|| path.clone())?;
    }
    Ok(())
}
