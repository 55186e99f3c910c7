//! One answer as bytes.

use stack_contract::{Answer, answer::CONTENT_TYPE};

use crate::date;

/// What the connection adds to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// HTTP/1.1 stays open without a word.
    Implied,
    /// HTTP/1.0 stays open only if told so.
    KeepAlive,
    /// This answer is the last.
    Close,
}

/// Whether the body follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// As for a GET.
    Sent,
    /// As for a HEAD: its length is stated, and that is all.
    Omitted,
}

pub(crate) fn append(output: &mut Vec<u8>, answer: Answer, persistence: Persistence, content: Content) {
    if answer.status == 200 {
        // Nearly every answer; spares the formatting of a number.
        output.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        output.extend_from_slice(b"HTTP/1.1 ");
        output.extend_from_slice(itoa::Buffer::new().format(answer.status).as_bytes());
        output.push(b' ');
        field_end(output, answer.reason());
    }
    output.extend_from_slice(b"Content-Type: ");
    field_end(output, CONTENT_TYPE);
    output.extend_from_slice(b"Content-Length: ");
    field_end(output, itoa::Buffer::new().format(answer.body.len()));
    if let Some(methods) = answer.allow() {
        output.extend_from_slice(b"Allow: ");
        field_end(output, methods);
    }
    match persistence {
        Persistence::Implied => {}
        Persistence::KeepAlive => output.extend_from_slice(b"Connection: keep-alive\r\n"),
        Persistence::Close => output.extend_from_slice(b"Connection: close\r\n"),
    }
    output.extend_from_slice(b"Date: ");
    date::append(output);
    output.extend_from_slice(b"\r\n\r\n");
    if content == Content::Sent {
        output.extend_from_slice(answer.body.as_bytes());
    }
}

fn field_end(output: &mut Vec<u8>, value: &str) {
    output.extend_from_slice(value.as_bytes());
    output.extend_from_slice(b"\r\n");
}
