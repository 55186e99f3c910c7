//! Replies to bytes, in the connection's version of the protocol.
//!
//! Scalars are encoded by `redis-protocol`; it has no encoder for the header of an array or map whose elements follow
//! one by one, so that one line is ours.

use redis_protocol::{
    resp2::{encode::encode_borrowed, types::BorrowedFrame},
    resp3::{self, types::VerbatimStringFormat},
};

/// The version of the protocol a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resp {
    #[default]
    V2,
    V3,
}

/// Appends replies to the bytes a connection will send.
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    resp: Resp,
}

impl<'a> Reply<'a> {
    pub fn new(out: &'a mut Vec<u8>, resp: Resp) -> Self {
        Self { out, resp }
    }

    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    pub fn simple(&mut self, text: &str) {
        self.frame(&BorrowedFrame::SimpleString(text.as_bytes()));
    }

    /// The text carries its code ("ERR …"). Line ends in it, which an argument may have brought, become spaces.
    pub fn error(&mut self, text: &str) {
        if text.contains(['\r', '\n']) {
            self.frame(&BorrowedFrame::Error(&text.replace(['\r', '\n'], " ")));
        } else {
            self.frame(&BorrowedFrame::Error(text));
        }
    }

    pub fn integer(&mut self, value: i64) {
        self.frame(&BorrowedFrame::Integer(value));
    }

    pub fn length(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    pub fn bulk(&mut self, data: impl AsRef<[u8]>) {
        self.frame(&BorrowedFrame::BulkString(data.as_ref()));
    }

    /// No value.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.resp {
            Resp::V2 => b"$-1\r\n",
            Resp::V3 => b"_\r\n",
        });
    }

    /// No array: what `EXEC` answers when a watched key has changed.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.resp {
            Resp::V2 => b"*-1\r\n",
            Resp::V3 => b"_\r\n",
        });
    }

    /// Text for people: a verbatim string where the protocol has them.
    pub fn text(&mut self, text: &str) {
        match self.resp {
            Resp::V2 => self.bulk(text),
            Resp::V3 => {
                let frame = resp3::types::BorrowedFrame::VerbatimString {
                    data: text.as_bytes(),
                    format: VerbatimStringFormat::Text,
                    attributes: None,
                };
                let start = self.grow(frame.encode_len(false));
                resp3::encode::complete::encode_borrowed(&mut self.out[start..], &frame, false)
                    .expect("the buffer has the frame's own length");
            }
        }
    }

    /// The header of an array; `length` replies follow.
    pub fn array(&mut self, length: usize) {
        self.header(b'*', length);
    }

    /// The header of a map; twice `length` replies follow.
    pub fn map(&mut self, length: usize) {
        match self.resp {
            Resp::V2 => self.header(b'*', length * 2),
            Resp::V3 => self.header(b'%', length),
        }
    }

    /// The header of a set; `length` replies follow.
    pub fn set(&mut self, length: usize) {
        self.header(if self.resp == Resp::V3 { b'~' } else { b'*' }, length);
    }

    fn header(&mut self, kind: u8, length: usize) {
        self.out.push(kind);
        self.out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn frame(&mut self, frame: &BorrowedFrame) {
        let start = self.grow(frame.encode_len(false));
        encode_borrowed(&mut self.out[start..], frame, false).expect("the buffer has the frame's own length");
    }

    /// Room for `more` bytes; returns where it starts.
    fn grow(&mut self, more: usize) -> usize {
        let start = self.out.len();
        self.out.resize(start + more, 0);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(resp: Resp, write: impl Fn(&mut Reply)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, resp));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_versions_are_spoken() {
        let everything = |reply: &mut Reply| {
            reply.map(1);
            reply.bulk("key");
            reply.array(4);
            reply.null();
            reply.null_array();
            reply.integer(-7);
            reply.text("prose");
            reply.set(0);
        };
        assert_eq!(reply(Resp::V2, everything), "*2\r\n$3\r\nkey\r\n*4\r\n$-1\r\n*-1\r\n:-7\r\n$5\r\nprose\r\n*0\r\n");
        assert_eq!(reply(Resp::V3, everything), "%1\r\n$3\r\nkey\r\n*4\r\n_\r\n_\r\n:-7\r\n=9\r\ntxt:prose\r\n~0\r\n");
    }

    #[test]
    fn an_error_stays_on_one_line() {
        assert_eq!(reply(Resp::V2, |reply| reply.error("ERR a\r\nb")), "-ERR a  b\r\n");
    }
}
