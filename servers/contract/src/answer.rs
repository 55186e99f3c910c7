//! The exact answers: one status and one JSON body each, all of them known at compile time.

use crate::store::StoreError;

/// What is answered to one request. Every answer carries `Content-Type: application/json`, `Content-Length` and `Date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, JSON.
    pub body: &'static str,
}

/// What `Allow` says in a 405: the methods every route knows.
pub const ALLOW: &str = "GET, HEAD";

/// What `Content-Type` says in every answer.
pub const CONTENT_TYPE: &str = "application/json";

impl Answer {
    /// The operation was done.
    pub const OK: Self = Self { status: 200, body: r#"{"status": "ok"}"# };
    /// The store has no such key.
    pub const NO_SUCH_KEY: Self = Self { status: 404, body: r#"{"error": "no such key"}"# };
    /// No route has this path.
    pub const NO_SUCH_PATH: Self = Self { status: 404, body: r#"{"error": "no such path"}"# };
    /// The route does not know this method. Sent with `Allow`: [`ALLOW`].
    pub const METHOD_NOT_ALLOWED: Self = Self { status: 405, body: r#"{"error": "method not allowed"}"# };
    /// What arrived is not a well-formed HTTP/1 request.
    pub const BAD_REQUEST: Self = Self { status: 400, body: r#"{"error": "bad request"}"# };
    /// The body is longer than [`crate::limits::MAX_BODY_BYTES`].
    pub const BODY_TOO_LARGE: Self = Self { status: 413, body: r#"{"error": "body too large"}"# };
    /// The head has too many fields or bytes.
    pub const HEAD_TOO_LARGE: Self = Self { status: 431, body: r#"{"error": "headers too large"}"# };
    /// The body has a transfer coding other than `chunked`.
    pub const UNKNOWN_CODING: Self = Self { status: 501, body: r#"{"error": "transfer coding not implemented"}"# };

    /// The reason phrase of the status line.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            413 => "Content Too Large",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "",
        }
    }

    /// The value of `Allow`, for the one status that must have it.
    #[must_use]
    pub const fn allow(self) -> Option<&'static str> {
        match self.status {
            405 => Some(ALLOW),
            _ => None,
        }
    }
}

impl From<StoreError> for Answer {
    fn from(error: StoreError) -> Self {
        let body = match error {
            StoreError::Unavailable => r#"{"error": "store unavailable"}"#,
            StoreError::Lost => r#"{"error": "store connection lost"}"#,
            StoreError::Timeout => r#"{"error": "store timed out"}"#,
            StoreError::Refused => r#"{"error": "store refused the command"}"#,
            StoreError::Protocol => r#"{"error": "store answered nonsense"}"#,
        };
        Self { status: 503, body }
    }
}
