//! Servers that mean no good: memory stays bounded, the error has a name, nothing panics.

use ::stackload::result::{ErrorKind, LoadResult};

use crate::server::{Peer, Server, Then};
use crate::stackload::{errors, load};

/// Far above what the client needs for a few connections, far below what a server can send in a second.
const RSS_MAX_BYTES: u64 = 100 << 20;

/// A short run against a server that does this.
fn against(script: impl Fn(&mut Peer) -> Then + Send + Sync + 'static) -> LoadResult {
    let server = Server::start(script);
    let url = server.url();
    let (result, run) = load(&["-t1", "-c4", "-d1", "--timeout", "200ms", &url]);
    assert!(run.stderr.is_empty(), "{}", run.stderr);
    assert!(result.client.rss_peak_bytes < RSS_MAX_BYTES, "{} bytes", result.client.rss_peak_bytes);
    result
}

/// Sends the same bytes as long as the client takes them, at most 64 MiB.
fn flood(peer: &mut Peer, bytes: &[u8]) {
    for _ in 0..(64 << 20) / bytes.len() {
        if !peer.try_send(bytes) {
            return;
        }
    }
}

#[test]
fn endless_headers_are_a_protocol_error() {
    for line in ["X: ".to_owned() + &"x".repeat(8000), "A: b\r\n".repeat(1000)] {
        let result = against(move |peer| {
            peer.send(b"HTTP/1.1 200 OK\r\n");
            flood(peer, line.as_bytes());
            Then::Close
        });
        assert!(result.requests_total == 0 && errors(&result, ErrorKind::Protocol) >= 4, "{:?}", result.errors);
    }
}

#[test]
fn a_length_that_is_none_is_a_protocol_error() {
    for length in ["-1", "99999999999999999999", "0x10", "1 2", "", "1\r\nContent-Length: 2"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let result = against(move |peer| {
            peer.send(head.as_bytes());
            Then::Stay
        });
        assert!(
            result.requests_total == 0 && errors(&result, ErrorKind::Protocol) >= 4,
            "{length:?}: {:?}",
            result.errors
        );
    }
}

#[test]
fn a_huge_body_is_passed_over_and_not_kept() {
    let result = against(|peer| {
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n");
        flood(peer, &[b'x'; 65536]);
        peer.wait_for_close();
        Then::Close
    });
    assert!(result.requests_total == 0 && result.bytes > 1 << 20, "{} bytes", result.bytes);
    assert_eq!(errors(&result, ErrorKind::Timeout), 4);
}

#[test]
fn chunks_that_break_their_rules_are_protocol_errors() {
    for chunks in ["fffffffffffffffff\r\n", "-1\r\nx\r\n", "3\r\nabcdef\r\n", "5;"] {
        let result = against(move |peer| {
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            peer.send(chunks.as_bytes());
            flood(peer, &[b'e'; 4096]);
            Then::Close
        });
        assert!(
            result.requests_total == 0 && errors(&result, ErrorKind::Protocol) >= 4,
            "{chunks}: {:?}",
            result.errors
        );
    }
}

#[test]
fn an_answer_byte_by_byte_is_one_answer() {
    let result = against(|peer| {
        crate::server::OK.chunks(1).for_each(|byte| peer.send(byte));
        Then::Stay
    });
    assert!(result.requests > 4 && errors(&result, ErrorKind::Protocol) == 0, "{:?}", result.errors);
}

#[test]
fn answers_without_end_that_nobody_asked_for_are_a_protocol_error() {
    let result = against(|peer| {
        flood(peer, &crate::server::OK.repeat(100));
        Then::Close
    });
    assert!(result.requests > 0 && errors(&result, ErrorKind::Protocol) >= 4, "{:?}", result.errors);
}
