//! HTTP/1.1 as a load client needs it: one request, written once, and answers, parsed as they arrive.

pub mod answer;
pub mod chunked;
mod head;
pub mod request;
