//! The contract as a hyper service, and hyper's settings, shared by all hyper stacks.
//!
//! What hyper leaves to its users is done here: exactly one `Host`, bodies read and bounded, known codings only. What
//! hyper answers itself (a malformed head: 400, too large a head: 431) has no JSON body.
//!
//! # Layout
//! - this file: the contract as a service
//! - [`serve`]: accept, serve, drain
//! - `leave`: telling the connections that the server stops
//! - [`clock`]: hyper's timer for runtimes whose timers are dear
//! - `frugal`: hyper's I/O traits for runtimes that have those of futures

pub mod clock;
#[cfg(feature = "futures-io")]
mod frugal;
mod leave;
pub mod serve;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode, Version,
    body::Body,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING},
    http::request::Parts,
    rt::Timer,
    server::conn::http1,
};
use stack_contract::{
    Answer, AsyncStore, Mode, Route, answer,
    limits::{HEAD_TIMEOUT, MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADERS},
};

pub use clock::CoarseTimer;
#[cfg(feature = "futures-io")]
pub use frugal::FrugalIo;
pub use serve::{Places, Runtime, serve};

/// How long a connection may take until the next head is whole. hyper has one clock for a slow head and for an idle
/// connection, so this is also how long a connection may idle; hence it is longer than [`HEAD_TIMEOUT`].
const NEXT_HEAD_TIMEOUT: Duration = HEAD_TIMEOUT.saturating_mul(10);

/// The stores of a stack, one for each mode; the foreign mode's is the stack's bridge to it.
#[derive(Debug, Clone)]
pub struct Stores<S, A> {
    /// What `/sync/…` uses.
    pub sync: S,
    /// What `/async/…` uses.
    pub asynchronous: A,
}

/// hyper's HTTP/1 server with the contract's limits.
pub fn http1<T: Timer + Send + Sync + 'static>(timer: T) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(timer)
        .header_read_timeout(NEXT_HEAD_TIMEOUT)
        .max_header_size(MAX_HEAD_BYTES)
        // A client that has said all it wants to say still gets its answer.
        .half_close(true);
    builder
}

/// Answers one request. Whether the future is `Send` depends on the stores, and is decided where a stack spawns it.
///
/// # Errors
/// Never: whatever goes wrong is an answer.
pub async fn answer<S: AsyncStore, A: AsyncStore, B: Body + Unpin>(
    stores: &Stores<S, A>,
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let route = Route::resolve(head.method.as_str(), head.uri.path());
    if let Err(refusal) = admit(&head, body).await {
        return Ok(last_response(refusal));
    }
    let answer = match route {
        Route::Answer(answer) => answer,
        Route::Store(Mode::Sync, operation) => operation.run_async(&stores.sync).await,
        Route::Store(Mode::Async, operation) => operation.run_async(&stores.asynchronous).await,
    };
    Ok(response(answer))
}

/// What comes before any answer, and what hyper leaves to its users: a sound head, and a body that is read and thrown
/// away.
///
/// # Errors
/// The answer to a request that is refused, after which the connection must be closed: [`last_response`] says so.
pub async fn admit<B: Body + Unpin>(head: &Parts, body: B) -> Result<(), Answer> {
    check(&head.headers, head.version)?;
    skip(body).await
}

/// What HTTP demands of a head beyond what hyper checks.
fn check(headers: &HeaderMap, version: Version) -> Result<(), Answer> {
    // Here and not by hyper's `max_headers`, which makes it allocate for every request; its own limit is 100.
    if headers.len() > MAX_HEADERS {
        return Err(Answer::HEAD_TOO_LARGE);
    }
    let hosts = headers.get_all(HOST).iter().take(2).count();
    if hosts > 1 || (hosts == 0 && version == Version::HTTP_11) {
        return Err(Answer::BAD_REQUEST);
    }
    let Some(coding) = headers.get(TRANSFER_ENCODING) else { return Ok(()) };
    // Of a length beside it hyper tells us nothing: it follows the coding and closes the connection after the answer,
    // as RFC 9112 allows, so that nobody between us can take a part of this body for the next request.
    if coding.as_bytes().eq_ignore_ascii_case(b"chunked") { Ok(()) } else { Err(Answer::UNKNOWN_CODING) }
}

/// Reads a body and throws it away.
async fn skip<B: Body + Unpin>(mut body: B) -> Result<(), Answer> {
    if body.is_end_stream() {
        return Ok(());
    }
    if body.size_hint().lower() > MAX_BODY_BYTES {
        return Err(Answer::BODY_TOO_LARGE);
    }
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        // A malformed chunk, or a client that left amid its body.
        let Ok(frame) = frame else { return Err(Answer::BAD_REQUEST) };
        bytes += frame.data_ref().map_or(0, |data| bytes::Buf::remaining(data) as u64);
        if bytes > MAX_BODY_BYTES {
            return Err(Answer::BODY_TOO_LARGE);
        }
    }
    Ok(())
}

/// The answer as hyper wants it; length, date and persistence are hyper's.
pub fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(answer.body.as_bytes())));
    // Cannot fail: all our statuses are within 100..=999.
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer::CONTENT_TYPE));
    if let Some(methods) = answer.allow() {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    response
}

/// The answer to what we cannot read on from.
pub fn last_response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = response(answer);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(hyper::header::HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_head_that_hyper_lets_pass_is_refused_where_http_demands_it() {
        let host = (HOST, "a");
        for (fields, version, expected) in [
            (vec![], Version::HTTP_10, Ok(())),
            (vec![], Version::HTTP_11, Err(Answer::BAD_REQUEST)),
            (vec![host.clone()], Version::HTTP_11, Ok(())),
            (vec![host.clone(), host.clone()], Version::HTTP_11, Err(Answer::BAD_REQUEST)),
            (vec![host.clone(), (TRANSFER_ENCODING, "Chunked")], Version::HTTP_11, Ok(())),
            (vec![host, (TRANSFER_ENCODING, "gzip, chunked")], Version::HTTP_11, Err(Answer::UNKNOWN_CODING)),
        ] {
            assert_eq!(check(&headers(&fields), version), expected, "{fields:?}");
        }
    }
}
