//! The bytes of requests, and what they ask for.

use std::fmt;

use super::answer::Asked;
use super::chunked::Chunked;
use crate::url::Url;

/// The methods that wrk's parser knows: those of HTTP, WebDAV and UPnP.
const METHODS: [&str; 33] = [
    "DELETE",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "COPY",
    "LOCK",
    "MKCOL",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "SEARCH",
    "UNLOCK",
    "BIND",
    "REBIND",
    "UNBIND",
    "ACL",
    "REPORT",
    "MKACTIVITY",
    "CHECKOUT",
    "MERGE",
    "M-SEARCH",
    "NOTIFY",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PATCH",
    "PURGE",
    "MKCALENDAR",
    "LINK",
    "UNLINK",
];

/// Most headers of a request that is examined.
const HEADERS_MAX: usize = 256;

/// One or more requests that are sent together, and what each of them asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The bytes as sent.
    pub bytes: Vec<u8>,
    /// One entry a request, at least one.
    pub asked: Vec<Asked>,
}

impl Batch {
    /// Examines the bytes of one or more whole requests.
    pub fn examine(bytes: Vec<u8>) -> Result<Self, BadBatch> {
        let (mut asked, mut used) = (Vec::new(), 0);
        while used < bytes.len() || asked.is_empty() {
            let (method_asks, length) = examine_one(&bytes[used..]).map_err(|(reason, offset)| {
                let (line, column) = position(&bytes, used + offset);
                BadBatch { reason, line, column }
            })?;
            asked.push(method_asks);
            used += length;
        }
        Ok(Self { bytes, asked })
    }

    /// One GET, whatever its bytes.
    pub fn get(url: &Url, headers: &[(String, String)]) -> Self {
        Self { bytes: get(url, headers), asked: vec![Asked::Body] }
    }

    /// Requests in it.
    pub fn depth(&self) -> u32 {
        self.asked.len() as u32
    }
}

/// Bytes that are no whole requests: why, and where, in lines and columns from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadBatch {
    reason: &'static str,
    line: usize,
    column: usize,
}

impl fmt::Display for BadBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}", self.reason, self.line, self.column)
    }
}

impl std::error::Error for BadBatch {}

const INCOMPLETE: &str = "incomplete request";

/// What the first request asks for and its length, or what is wrong with it and where.
///
/// The request line is taken apart here and not by httparse, which refuses targets that wrk sends and servers take,
/// such as `/a"b`.
fn examine_one(bytes: &[u8]) -> Result<(Asked, usize), (&'static str, usize)> {
    let line_end = bytes.iter().position(|byte| *byte == b'\n').ok_or((INCOMPLETE, bytes.len()));
    let mut words = bytes[..*line_end.as_ref().unwrap_or(&bytes.len())].split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let is_known = |method: &[u8]| METHODS.iter().any(|known| known.as_bytes() == method);
    let may_become_known = |start: &[u8]| METHODS.iter().any(|known| known.as_bytes().starts_with(start));
    let target = words.next();
    if !(is_known(method) || (target.is_none() && line_end.is_err() && may_become_known(method))) {
        return Err(("invalid HTTP method", 0));
    }
    let line_end = line_end?;
    let target = target.filter(|target| !target.is_empty() && target.iter().all(|byte| *byte > b' '));
    let target = target.ok_or(("invalid URL", method.len() + 1))?;
    let version = words.next().unwrap_or_default().trim_ascii_end();
    if !version.starts_with(b"HTTP/1.") || version.len() != b"HTTP/1.1".len() || words.next().is_some() {
        return Err(("invalid HTTP version", (method.len() + target.len() + 2).min(line_end)));
    }
    let asked = if method == b"HEAD" { Asked::HeadOnly } else { Asked::Body };
    let length = examine_rest(&bytes[line_end + 1..]).map_err(|(reason, offset)| (reason, line_end + 1 + offset))?;
    Ok((asked, line_end + 1 + length))
}

/// The length of headers and body.
fn examine_rest(bytes: &[u8]) -> Result<usize, (&'static str, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let parsed = httparse::parse_headers(bytes, &mut headers);
    let (head, headers) = match parsed.map_err(|_| ("invalid header", first_bad_byte(bytes)))? {
        httparse::Status::Complete(complete) => complete,
        httparse::Status::Partial => return Err((INCOMPLETE, bytes.len())),
    };
    let field = |name: &str| headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    let incomplete = (INCOMPLETE, bytes.len());
    if field("Transfer-Encoding").is_some() {
        let mut chunked = Chunked::new();
        let body = chunked.feed(&bytes[head..], &mut |_: &[u8]| {}).map_err(|_| ("invalid chunk", head))?;
        return if chunked.is_done() { Ok(head + body) } else { Err(incomplete) };
    }
    let Some(field) = field("Content-Length") else { return Ok(head) };
    let length = std::str::from_utf8(field.value).ok().and_then(|text| text.trim().parse::<usize>().ok());
    let length = length.ok_or(("invalid character in content-length header", head))?;
    head.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(incomplete)
}

/// Where the parser of headers stumbled: it does not say, but every beginning that is short enough is fine to it.
fn first_bad_byte(bytes: &[u8]) -> usize {
    let is_fine = |length: usize| {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        httparse::parse_headers(&bytes[..length], &mut headers).is_ok()
    };
    let (mut fine, mut bad) = (0, bytes.len());
    while bad - fine > 1 {
        let middle = fine.midpoint(bad);
        if is_fine(middle) {
            fine = middle;
        } else {
            bad = middle;
        }
    }
    fine
}

/// Line and column of a byte, from 1.
fn position(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = &bytes[..offset];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    (1 + before.iter().filter(|byte| **byte == b'\n').count(), 1 + offset - line_start)
}

/// The GET request that every connection sends. Automatic headers: only `Host`, unless one of `headers` is spelled
/// exactly so; then the given headers in their order.
fn get(url: &Url, headers: &[(String, String)]) -> Vec<u8> {
    let mut bytes = format!("GET {} HTTP/1.1\r\n", url.target).into_bytes();
    if !headers.iter().any(|(name, _)| name == "Host") {
        push_header(&mut bytes, "Host", &url.host_header());
    }
    for (name, value) in headers {
        push_header(&mut bytes, name, value);
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn push_header(bytes: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        bytes.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str, headers: &[(&str, &str)]) -> String {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        String::from_utf8(get(&Url::parse(url).unwrap(), &headers)).unwrap()
    }

    fn refusal(text: &str) -> String {
        Batch::examine(text.as_bytes().to_vec()).unwrap_err().to_string()
    }

    #[test]
    fn a_plain_request_is_as_short_as_wrks() {
        let request = request("http://127.0.0.1:18081/ret", &[]);
        assert_eq!(request, "GET /ret HTTP/1.1\r\nHost: 127.0.0.1:18081\r\n\r\n");
    }

    #[test]
    fn headers_follow_in_order_and_may_replace_host() {
        let request_a = request("http://h/", &[("B", "2"), ("A", "")]);
        assert_eq!(request_a, "GET / HTTP/1.1\r\nHost: h\r\nB: 2\r\nA: \r\n\r\n");
        let request_b = request("http://h/", &[("A", "1"), ("Host", "other")]);
        assert_eq!(request_b, "GET / HTTP/1.1\r\nA: 1\r\nHost: other\r\n\r\n");
        let request_c = request("http://h/", &[("host", "x")]);
        assert_eq!(request_c, "GET / HTTP/1.1\r\nHost: h\r\nhost: x\r\n\r\n");
    }

    #[test]
    fn a_target_may_hold_what_servers_take() {
        let batch = Batch::examine(b"GET /a\"b<c>?d={e}|\xc3\xa4 HTTP/1.1\r\n\r\n".to_vec()).unwrap();
        assert_eq!(batch.depth(), 1);
    }

    #[test]
    fn a_batch_is_taken_apart_into_its_requests() {
        let text = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n\
                    POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
                    PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
                    HEAD /d HTTP/1.1\r\n\r\n";
        let batch = Batch::examine(text.as_bytes().to_vec()).unwrap();
        assert_eq!(batch.asked, [Asked::Body, Asked::Body, Asked::Body, Asked::HeadOnly]);
    }

    #[test]
    fn what_is_no_whole_request_is_refused_with_its_place() {
        for (text, expected) in [
            ("", "incomplete request at 1:1"),
            ("GET / HTTP/1.1\r\nHost: h\r\n", "incomplete request at 3:1"),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", "incomplete request at 4:4"),
            ("FETCH / HTTP/1.1\r\n\r\n", "invalid HTTP method at 1:1"),
            ("GET / HTTP/1.1\r\n\r\nxyz / HTTP/1.1\r\n\r\n", "invalid HTTP method at 3:1"),
            ("GE", "incomplete request at 1:3"),
            ("GET  HTTP/1.1\r\n\r\n", "invalid URL at 1:5"),
            ("GET / HTTP/9.9\r\n\r\n", "invalid HTTP version at 1:7"),
            ("GET / HTTP/1.1\r\nA: b\r\nC d: e\r\n\r\n", "invalid header at 3:2"),
        ] {
            assert_eq!(refusal(text), expected, "{text:?}");
        }
    }
}
