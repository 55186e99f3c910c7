//! Requests that must be refused, and large ones that must not.
//!
//! Refusals are judged by the class of their status and by the closed connection: often an HTTP library raises them
//! before any handler of the stack sees the request.

use anyhow::{Context, Result, ensure};

use super::probe::{CHECK, Probe, expect_ok, expect_ok_for, request_with};
use super::{Case, server};

/// The contract's limits.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 * 1024;

pub(super) const CASES: &[Case] = &[
    server("sixty_headers_are_accepted", "60 headers: answered, the connection stays", sixty_headers),
    server("too_many_headers_are_refused", "65 headers: 431 or another 4xx, closed", too_many_headers),
    server("fifteen_kib_of_headers_are_accepted", "answered, the connection stays", large_head),
    server("too_large_heads_are_refused", "more than 16 KiB: 431 or another 4xx, closed", too_large_head),
    server("garbage_is_refused", "what is not HTTP: 4xx, closed", garbage),
    server("a_tls_hello_is_not_answered", "a TLS ClientHello: 4xx or nothing, closed", tls_hello),
    server("a_missing_host_is_refused", "HTTP/1.1 without Host: 4xx", missing_host),
    server(
        "bare_line_feeds_are_no_surprise",
        "lines ended by LF alone: the usual answer, or 4xx and closed",
        bare_line_feeds,
    ),
];

/// As many headers as make `count` together with `Host`.
fn headers(count: usize) -> String {
    (1..count).map(|index| format!("X-Header-{index}: {index}\r\n")).collect()
}

fn header_of(bytes: usize) -> String {
    format!("X-Large: {}\r\n", "x".repeat(bytes))
}

fn sixty_headers(probe: &Probe) -> Result<()> {
    accepted(probe, &headers(60))
}

fn large_head(probe: &Probe) -> Result<()> {
    accepted(probe, &header_of(HEADER_BYTES_MAX - 1024))
}

fn accepted(probe: &Probe, headers: &str) -> Result<()> {
    let mut connection = probe.connect()?;
    for path in probe.known_paths() {
        connection.send(request_with("GET", &path, headers))?;
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| path.clone())?;
    }
    expect_ok_for(&mut connection, CHECK)
}

fn too_many_headers(probe: &Probe) -> Result<()> {
    refused(probe, request_with("GET", CHECK, &headers(HEADERS_MAX + 1)).as_bytes())
}

fn too_large_head(probe: &Probe) -> Result<()> {
    refused(probe, request_with("GET", CHECK, &header_of(HEADER_BYTES_MAX + 4 * 1024)).as_bytes())?;
    let unended = format!("GET /{}", "x".repeat(2 * HEADER_BYTES_MAX));
    refused(probe, unended.as_bytes()).context("a request line without end")
}

fn garbage(probe: &Probe) -> Result<()> {
    let requests: [&[u8]; 6] = [
        b"\x00\x01\x02\x03\xff\xfe\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /check HTTP/x.y\r\nHost: x\r\n\r\n",
        b"GET /check HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /check HTTP/1.1\r\nHost: x\r\nblank in name: x\r\n\r\n",
    ];
    for request in requests {
        refused(probe, request)?;
    }
    Ok(())
}

fn refused(probe: &Probe, request: &[u8]) -> Result<()> {
    let mut connection = probe.connect()?;
    connection.offer(request);
    let shown = &request[..request.len().min(60)];
    connection.expect_refused().with_context(|| format!("to \"{}\"", shown.escape_ascii()))?;
    probe.expect_alive()
}

fn tls_hello(probe: &Probe) -> Result<()> {
    // A record of type handshake, TLS 1.0, 512 bytes: ClientHello, TLS 1.2, "random" bytes with line ends among them.
    let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    hello.extend((0..506u32).map(|index| (index.wrapping_mul(167) % 251) as u8));
    let mut connection = probe.connect()?;
    connection.offer(hello);
    if let Some(status) = connection.last_status()? {
        ensure!((400..500).contains(&status), "the server answers {status}");
    }
    probe.expect_alive()
}

/// Raised by a handler in some stacks and by a library in others, hence judged as both can be: by the status.
fn missing_host(probe: &Probe) -> Result<()> {
    for path in probe.known_paths() {
        let mut connection = probe.connect()?;
        connection.send(format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n"))?;
        connection.expect_refused().with_context(|| format!("GET {path} without Host"))?;
    }
    Ok(())
}

fn bare_line_feeds(probe: &Probe) -> Result<()> {
    let mut connection = probe.connect()?;
    connection.send("GET /check HTTP/1.1\nHost: x\nConnection: close\n\n")?;
    let status = connection.last_status()?.context("the server closes without an answer")?;
    ensure!(status == 200 || (400..500).contains(&status), "the server answers {status}");
    probe.expect_alive()
}
