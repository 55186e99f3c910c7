//! What a request is to cost client and store, which its query says: `?padding=15000&keys=100`.

/// More than this in one line the load client takes for nonsense.
const PADDING_MAX: usize = 16_000;
/// Many times more than it takes to keep the store busy.
const KEYS_MAX: usize = 10_000;

static PADDING: [u8; PADDING_MAX] = [b'x'; PADDING_MAX];

/// What is asked of this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Burden {
    /// Bytes that the client must read one by one, beside the answer.
    pub(crate) padding: usize,
    /// Keys that the store must look for.
    pub(crate) keys: usize,
}

impl Burden {
    /// By the query; without one, next to nothing.
    pub(crate) fn asked(path: &str) -> Self {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let value = |name: &str| {
            let pair = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
            pair.and_then(|(_, value)| value.parse::<usize>().ok())
        };
        let padding = value("padding").unwrap_or(0).min(PADDING_MAX);
        Self { padding, keys: value("keys").unwrap_or(1).clamp(1, KEYS_MAX) }
    }
}

/// An answer of known length, as one in chunks. A chunk may have an extension, which means nothing to anybody, and which
/// the client must read to find its end; written as it is by one copy of memory.
pub(crate) fn padded(answer: &[u8], padding: usize) -> Vec<u8> {
    const LENGTH: &str = "Content-Length: ";
    let text = str::from_utf8(answer).unwrap_or_default();
    let parts = text.split_once("\r\n\r\n").and_then(|(head, body)| {
        let (before, rest) = head.split_once(LENGTH)?;
        Some((before, rest.split_once("\r\n")?.1, body))
    });
    let Some((before, after, body)) = parts else { return answer.to_vec() };
    let mut bytes = Vec::with_capacity(answer.len() + padding + 64);
    bytes.extend([before, "Transfer-Encoding: chunked\r\n", after, "\r\n\r\n"].concat().as_bytes());
    bytes.extend(format!("{:x};", body.len()).as_bytes());
    bytes.extend(&PADDING[..padding]);
    bytes.extend(format!("\r\n{body}\r\n0\r\n\r\n").as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_what_is_asked() {
        assert_eq!(Burden::asked("/a?padding=7&keys=3"), Burden { padding: 7, keys: 3 });
        assert_eq!(Burden::asked("/a?keys=999999"), Burden { padding: 0, keys: KEYS_MAX });
        assert_eq!(Burden::asked("/a"), Burden { padding: 0, keys: 1 });
    }

    #[test]
    fn a_padded_answer_is_the_same_in_chunks() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\n\r\nab";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: now\r\n\r\n2;xxx\r\nab\r\n0\r\n\r\n";
        assert_eq!(String::from_utf8(padded(plain, 3)).unwrap(), chunked);
    }
}
