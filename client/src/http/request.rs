//! The bytes of the request.

use crate::url::Url;

/// The GET request that every connection sends. Automatic headers: only `Host`, unless one of `headers` is spelled
/// exactly so; then the given headers in their order.
pub fn get(url: &Url, headers: &[(String, String)]) -> Vec<u8> {
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
}
