//! What comes before any answer, as an extractor: a sound head, and a body that is read and thrown away.

use std::{
    future::{Ready, ready},
    pin::Pin,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, ResponseError,
    dev::Payload,
    http::{Version, header},
};
use futures_util::{StreamExt, future::Either};
use stack_contract::{
    Answer,
    limits::{MAX_BODY_BYTES, MAX_HEADERS},
};
use thiserror::Error;

use crate::routes::last_response;

/// A request that may be answered.
pub struct Admitted;

/// Why a request is not answered, nor anything after it on this connection.
#[derive(Debug, Error)]
#[error("{}", .0.body)]
pub struct Refused(Answer);

impl ResponseError for Refused {
    fn error_response(&self) -> HttpResponse {
        last_response(self.0)
    }
}

impl FromRequest for Admitted {
    type Error = Refused;
    type Future = Either<Ready<Result<Self, Refused>>, Pin<Box<dyn Future<Output = Result<Self, Refused>>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        match check(request) {
            Err(refusal) => Either::Left(ready(Err(Refused(refusal)))),
            // Most requests have no body, and need not pay for a future that reads one.
            Ok(()) if matches!(payload, Payload::None) => Either::Left(ready(Ok(Self))),
            Ok(()) => Either::Right(Box::pin(skip(payload.take()))),
        }
    }
}

/// What HTTP demands of a head beyond what actix checks.
fn check(request: &HttpRequest) -> Result<(), Answer> {
    let headers = request.headers();
    if headers.len() > MAX_HEADERS {
        return Err(Answer::HEAD_TOO_LARGE);
    }
    let hosts = headers.get_all(header::HOST).count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Answer::BAD_REQUEST);
    }
    if let Some(coding) = headers.get(header::TRANSFER_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
    {
        return Err(Answer::UNKNOWN_CODING);
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|bytes| bytes > MAX_BODY_BYTES) { Err(Answer::BODY_TOO_LARGE) } else { Ok(()) }
}

/// Reads a body and throws it away.
async fn skip(mut body: Payload) -> Result<Admitted, Refused> {
    let mut bytes = 0;
    while let Some(chunk) = body.next().await {
        // A malformed chunk, or a client that left amid its body.
        let Ok(chunk) = chunk else { return Err(Refused(Answer::BAD_REQUEST)) };
        bytes += chunk.len() as u64;
        if bytes > MAX_BODY_BYTES {
            return Err(Refused(Answer::BODY_TOO_LARGE));
        }
    }
    Ok(Admitted)
}
