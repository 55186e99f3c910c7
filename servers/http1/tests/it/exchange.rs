//! What is said to what.

use stack_contract::limits::{MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADERS};
use stack_http1::Connection;

use crate::{converse, exchange, statuses};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\": \"ok\"}";
const GET: &str = "GET /check HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_request_is_answered_to_the_byte() {
    assert_eq!(exchange(GET.as_bytes()), OK);
}

#[test]
fn every_answer_has_a_current_date() {
    let mut connection = Connection::new();
    connection.receive(GET.as_bytes());
    connection.next_request().unwrap();
    connection.answer(stack_contract::Answer::OK);
    let said = str::from_utf8(connection.output()).unwrap();
    let date = said.split("\r\n").find_map(|line| line.strip_prefix("Date: ")).unwrap();
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
}

#[test]
fn pipelined_requests_are_answered_in_order_and_go_out_together() {
    let mut connection = Connection::new();
    let said = converse(&mut connection, [format!("{GET}GET /no HTTP/1.1\r\nHost: a\r\n\r\n{GET}").as_bytes()]);
    assert_eq!(statuses(&said), [200, 404, 200]);
    assert!(connection.is_idle() && !connection.is_over());
}

#[test]
fn a_head_has_the_headers_of_a_get_and_no_body() {
    let said = exchange(b"HEAD /check HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(said, OK.strip_suffix("{\"status\": \"ok\"}").unwrap());
}

#[test]
fn a_405_names_the_methods_that_are_allowed() {
    let said = exchange(b"DELETE /check HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 405 Method Not Allowed\r\n") && said.contains("Allow: GET, HEAD\r\n"), "{said}");
}

#[test]
fn the_connection_ends_when_the_client_says_so_and_what_follows_is_ignored() {
    let mut connection = Connection::new();
    let request = format!("GET /check HTTP/1.1\r\nhost: a\r\nconnection: TE , Close\r\n\r\n{GET}");
    let said = converse(&mut connection, [request.as_bytes(), GET.as_bytes()]);
    assert_eq!(statuses(&said), [200]);
    assert!(said.contains("Connection: close\r\n"));
    assert!(connection.is_over() && !connection.was_cut_short());
}

#[test]
fn http_1_0_ends_after_an_answer_unless_it_asks_to_go_on() {
    let mut connection = Connection::new();
    assert!(converse(&mut connection, [&b"GET /check HTTP/1.0\r\n\r\n"[..]]).contains("Connection: close\r\n"));
    assert!(connection.is_over());
    let mut connection = Connection::new();
    let said = converse(&mut connection, [&b"GET /check HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"[..]]);
    assert!(said.contains("Connection: keep-alive\r\n"));
    assert!(!connection.is_over());
}

#[test]
fn a_server_that_stops_says_so_with_its_next_answer() {
    let mut connection = Connection::new();
    connection.close_after_next();
    assert!(!connection.is_over());
    assert!(converse(&mut connection, [GET.as_bytes()]).contains("Connection: close\r\n"));
    assert!(connection.is_over());
}

#[test]
fn bodies_are_skipped_whichever_way_they_are_framed() {
    let length = "POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /";
    let chunked = "GET /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n";
    assert_eq!(statuses(&exchange(format!("{length}{chunked}{GET}").as_bytes())), [405, 200, 200]);
}

#[test]
fn a_client_that_waits_for_the_go_ahead_gets_it() {
    let mut connection = Connection::new();
    let head = b"GET /check HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(converse(&mut connection, [&head[..]]), "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(connection.is_amid_request());
    assert_eq!(converse(&mut connection, [&b"ab"[..]]), OK);
    // Who sends the body at once is not told to go ahead.
    assert_eq!(exchange(&[&head[..], b"ab"].concat()), OK);
}

#[test]
fn an_absolute_target_is_understood() {
    for (target, status) in [("http://a/check", 200), ("http://a/check?x=//", 200), ("http://a", 404), ("*", 404)] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(statuses(&exchange(request.as_bytes())), [status], "{target}");
    }
}

#[test]
fn what_is_no_request_is_refused_and_ends_the_connection() {
    for (text, status) in [
        ("nonsense\r\n\r\n", 400),
        ("\0\u{1}\u{2}\u{3}\r\n", 400),
        ("GET /check HTTP/2.0\r\n\r\n", 400),
        ("GET /check HTTP/1.1\r\n\r\n", 400),
        ("GET /check HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /check HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET /check HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        ("GET /check HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        ("GET /check HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
        ("GET /check HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("GET /check HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET /check HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        ("GET /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("GET /check HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
    ] {
        let mut connection = Connection::new();
        let said = converse(&mut connection, [text.as_bytes(), GET.as_bytes()]);
        assert_eq!(statuses(&said), [status], "{text:?}");
        assert!(said.contains("Connection: close\r\n") && said.contains("{\"error\": "), "{said}");
        assert!(connection.is_over() && connection.was_cut_short());
    }
}

#[test]
fn as_many_headers_as_promised_pass_and_one_more_does_not() {
    let request = |fields: usize| format!("GET /check HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(fields - 1));
    assert_eq!(statuses(&exchange(request(MAX_HEADERS).as_bytes())), [200]);
    assert_eq!(statuses(&exchange(request(MAX_HEADERS + 1).as_bytes())), [431]);
}

#[test]
fn as_long_a_head_as_promised_passes_and_one_more_byte_does_not() {
    let request = |bytes: usize| {
        let rest = "GET /check HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET /check HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(bytes - rest))
    };
    assert_eq!(statuses(&exchange(request(MAX_HEAD_BYTES).as_bytes())), [200]);
    assert_eq!(statuses(&exchange(request(MAX_HEAD_BYTES + 1).as_bytes())), [431]);
    let endless = "y".repeat(MAX_HEAD_BYTES + 1);
    assert_eq!(statuses(&exchange(format!("GET /{endless}").as_bytes())), [431]);
}

#[test]
fn as_long_a_body_as_promised_passes_and_one_more_byte_does_not() {
    let head = |bytes: u64| format!("GET /check HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
    let mut connection = Connection::new();
    let body = vec![b'x'; MAX_BODY_BYTES as usize];
    let pieces = body.chunks(64 * 1024);
    assert_eq!(converse(&mut connection, [head(MAX_BODY_BYTES).as_bytes()].into_iter().chain(pieces)), OK);
    assert_eq!(statuses(&exchange(head(MAX_BODY_BYTES + 1).as_bytes())), [413]);
}
