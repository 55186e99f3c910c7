//! Bytes of a request, and bodies that nobody wants.

use std::io::Read;
use std::net::TcpStream;

use super::server::{BODY_BYTES_MAX, Unusable};

use Unusable::{Gone, Refused};

/// How long a body is.
pub(super) enum Body {
    Sized(usize),
    Chunked,
}

pub(super) fn skip_body(stream: &mut TcpStream, unread: &mut Vec<u8>, body: Body) -> Result<(), Unusable> {
    match body {
        Body::Sized(length) if length > BODY_BYTES_MAX => Err(Refused(413)),
        Body::Sized(length) => skip(stream, unread, length),
        Body::Chunked => skip_chunks(stream, unread),
    }
}

fn skip_chunks(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Result<(), Unusable> {
    let mut total = 0;
    loop {
        let line = line(stream, unread)?;
        let digits = line.split(';').next().unwrap_or_default();
        if digits.starts_with(['+', '-']) {
            return Err(Refused(400));
        }
        let size = usize::from_str_radix(digits, 16).map_err(|_| Refused(400))?;
        total += size;
        if total > BODY_BYTES_MAX {
            return Err(Refused(413));
        }
        if size == 0 {
            while !self::line(stream, unread)?.is_empty() {}
            return Ok(());
        }
        skip(stream, unread, size + 2)?;
    }
}

fn line(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Result<String, Unusable> {
    loop {
        if let Some(at) = unread.windows(2).position(|bytes| bytes == b"\r\n") {
            let line = String::from_utf8_lossy(&unread[..at]).into_owned();
            unread.drain(..at + 2);
            return Ok(line);
        }
        fill(stream, unread)?;
    }
}

fn skip(stream: &mut TcpStream, unread: &mut Vec<u8>, length: usize) -> Result<(), Unusable> {
    while unread.len() < length {
        fill(stream, unread)?;
    }
    unread.drain(..length);
    Ok(())
}

pub(super) fn fill(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Result<(), Unusable> {
    let mut chunk = [0; 64 * 1024];
    match stream.read(&mut chunk) {
        Ok(0) | Err(_) => Err(Gone),
        Ok(read) => {
            unread.extend_from_slice(&chunk[..read]);
            Ok(())
        }
    }
}
