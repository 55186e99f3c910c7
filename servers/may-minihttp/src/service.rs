//! Answers one request.

use std::io;

use may_minihttp::{HttpService, Request, Response};
use stack_contract::{Answer, Route, limits::MAX_BODY_BYTES};
use stack_may_store::Stores;

use crate::in_flight::InFlight;

/// The library clones it for each connection.
#[derive(Clone)]
pub struct Service {
    stores: Stores,
    in_flight: &'static InFlight,
}

impl Service {
    pub fn new(stores: Stores, in_flight: &'static InFlight) -> Self {
        Self { stores, in_flight }
    }

    fn answer(&mut self, request: Request) -> Answer {
        let target = stack_http1::Request { method: request.method(), target: request.path() };
        let route = Route::resolve(target.method, target.path());
        if let Err(refusal) = skip_body(request) {
            return refusal;
        }
        match route {
            Route::Answer(answer) => answer,
            Route::Store(mode, operation) => self.stores.run(mode, operation),
        }
    }
}

impl HttpService for Service {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        let _in_flight = self.in_flight.enter();
        let answer = self.answer(request);
        response.status_code(answer.status.into(), answer.reason());
        response.header("Content-Type: application/json");
        if answer.allow().is_some() {
            response.header("Allow: GET, HEAD");
        }
        if self.in_flight.is_stopping() {
            // All we can do: the library does not close.
            response.header("Connection: close");
        }
        response.body(answer.body);
        Ok(())
    }
}

/// Reads a body of known length. What the library would misread, or panic at, is refused.
fn skip_body(request: Request) -> Result<(), Answer> {
    let mut length = None;
    for field in request.headers() {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            // The library knows none: it takes the chunks for requests.
            return Err(Answer::UNKNOWN_CODING);
        }
        if field.name.eq_ignore_ascii_case("content-length") && length.replace(decimal(field.value)?).is_some() {
            return Err(Answer::BAD_REQUEST);
        }
    }
    match length {
        None => Ok(()),
        Some(bytes) => {
            // Dropped, it reads what it has not, and so the next request is found.
            drop(request.body());
            if bytes > MAX_BODY_BYTES { Err(Answer::BODY_TOO_LARGE) } else { Ok(()) }
        }
    }
}

fn decimal(value: &[u8]) -> Result<u64, Answer> {
    // A sign, which the parser would take, is not one of HTTP's.
    let is_number = value.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(value).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok()).ok_or(Answer::BAD_REQUEST)
}
