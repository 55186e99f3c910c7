//! Bodies nobody asked for, and lengths that do not add up.

use anyhow::{Context, Result};

use super::probe::{CHECK, Probe, expect_error, expect_ok, expect_ok_for, request_with};
use super::{Case, server};
use crate::wire::Connection;

/// The contract's limit.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bodies are sent in pieces of this size, since a server may refuse one after any of them.
const PIECE_BYTES: usize = 64 * 1024;

pub(super) const CASES: &[Case] = &[
    server("a_body_is_discarded", "GET and POST with Content-Length: answered, the connection stays", sized_body),
    server("a_chunked_body_is_discarded", "chunks, extensions, trailers: answered, the connection stays", chunked_body),
    server("a_body_at_the_limit_is_discarded", "1 MiB of body: answered, the connection stays", body_at_limit),
    server(
        "a_body_over_the_limit_is_refused",
        "Content-Length over 1 MiB: 413 or another 4xx, closed",
        body_over_limit,
    ),
    server(
        "chunks_over_the_limit_are_refused",
        "more than 1 MiB in chunks: 413 or another 4xx, closed",
        chunks_over_limit,
    ),
    server(
        "two_framings_do_not_survive",
        "Content-Length and Transfer-Encoding: closed, whatever is answered",
        two_framings,
    ),
    server("unknown_transfer_codings_are_refused", "501 or 4xx, closed", unknown_coding),
    server(
        "bad_lengths_are_refused",
        "a Content-Length that is no number, or two that differ: 4xx, closed",
        bad_lengths,
    ),
    server("bad_chunk_sizes_are_refused", "a chunk size that is no number: 4xx or the bare end, closed", bad_chunks),
];

fn sized_body(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    // A body that reads as a request shows whether it is skipped or taken for one.
    let body = "GET /no/such/path HTTP/1.1\r\nHost: x\r\n\r\n";
    let headers = format!("Content-Length: {}\r\n", body.len());
    for path in probe.known_paths() {
        get_and_post(&mut connection, &path, &headers, body)?;
    }
    get_and_post(&mut connection, CHECK, "Content-Length: 0\r\n", "")
}

fn chunked_body(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    for path in probe.known_paths() {
        for body in
            ["0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "A;name=value\r\n0123456789\r\n1\r\nx\r\n0\r\nTrailer: x\r\n\r\n"]
        {
            get_and_post(&mut connection, &path, "Transfer-Encoding: chunked\r\n", body)?;
        }
    }
    Ok(())
}

fn get_and_post(connection: &mut Connection, path: &str, headers: &str, body: &str) -> Result<()> {
    for method in ["GET", "POST"] {
        let context = || format!("{method} {path} with the body {body:?}");
        connection.send(request_with(method, path, headers) + body)?;
        let answer = connection.answer().with_context(context)?;
        if method == "GET" { expect_ok(&answer) } else { expect_error(&answer, 405) }.with_context(context)?;
    }
    expect_ok_for(connection, CHECK).with_context(|| format!("after {path} with the body {body:?}"))
}

fn body_at_limit(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    connection.send(request_with("GET", CHECK, &format!("Content-Length: {BODY_BYTES_MAX}\r\n")))?;
    for _ in 0..BODY_BYTES_MAX / PIECE_BYTES {
        connection.send([b'x'; PIECE_BYTES])?;
    }
    expect_ok(&connection.answer()?)?;
    expect_ok_for(&mut connection, CHECK)
}

fn body_over_limit(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    let length = BODY_BYTES_MAX + 1;
    connection.send(request_with("POST", CHECK, &format!("Content-Length: {length}\r\n")))?;
    for _ in 0..length.div_ceil(PIECE_BYTES) {
        if !connection.offer([b'x'; PIECE_BYTES]) {
            break;
        }
    }
    connection.expect_refused()?;
    probe.expect_alive()
}

fn chunks_over_limit(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    connection.send(request_with("POST", CHECK, "Transfer-Encoding: chunked\r\n"))?;
    let piece = format!("{PIECE_BYTES:x}\r\n{}\r\n", "x".repeat(PIECE_BYTES));
    for _ in 0..=BODY_BYTES_MAX / PIECE_BYTES {
        if !connection.offer(&piece) {
            break;
        }
    }
    // A server that counts in passing may judge only at the end.
    connection.offer("0\r\n\r\n");
    connection.expect_refused()?;
    probe.expect_alive()
}

/// RFC 9112 §6.3 lets a server answer by the Transfer-Encoding or refuse; what it must do is to close, since whoever
/// sent this may be smuggling a second request past somebody who reads the other length.
fn two_framings(probe: &Probe) -> Result<()> {
    for headers in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"]
    {
        let mut connection = probe.connect()?;
        connection.send(request_with("GET", CHECK, headers) + "0\r\n\r\n")?;
        let context = || format!("{headers:?}");
        connection.last_status().with_context(context)?.context("no answer").with_context(context)?;
    }
    probe.expect_alive()
}

fn unknown_coding(probe: &Probe) -> Result<()> {
    for coding in ["gzip", "x-unknown"] {
        let mut connection = probe.connect()?;
        connection.send(request_with("POST", CHECK, &format!("Transfer-Encoding: {coding}\r\n")))?;
        connection.expect_refused().with_context(|| format!("Transfer-Encoding: {coding}"))?;
    }
    probe.expect_alive()
}

fn bad_lengths(probe: &Probe) -> Result<()> {
    for length in ["abc", "-1", "+5", "5 5", "0x5", "99999999999999999999999", "1\r\nContent-Length: 2"] {
        let mut connection = probe.connect()?;
        connection.send(request_with("POST", CHECK, &format!("Content-Length: {length}\r\n")))?;
        connection.expect_refused().with_context(|| format!("Content-Length: {length:?}"))?;
    }
    probe.expect_alive()
}

/// The head is sound, so that a library may have begun to answer before it meets the chunk: only the end is demanded.
fn bad_chunks(probe: &Probe) -> Result<()> {
    for size in ["x", "-1", "fffffffffffffffffff"] {
        let mut connection = probe.connect()?;
        connection.send(request_with("POST", CHECK, "Transfer-Encoding: chunked\r\n") + size + "\r\nx\r\n0\r\n\r\n")?;
        connection.last_status().with_context(|| format!("the chunk size {size:?}"))?;
    }
    probe.expect_alive()
}
