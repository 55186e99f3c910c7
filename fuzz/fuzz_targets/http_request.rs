//! The servers' HTTP codec: any bytes, split anywhere, are answered in the same way and never with a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stack_contract::{Answer, Route};
use stack_http1::Connection;

/// Whoever waits for the go-ahead gets it; pieces make everyone wait.
const GO_AHEAD: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// All that is said when the bytes arrive in these pieces, without dates and go-aheads.
fn converse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> String {
    let (mut connection, mut said) = (Connection::new(), Vec::new());
    for piece in pieces {
        connection.receive(piece);
        while let Some(request) = connection.next_request() {
            let answer = match Route::resolve(request.method, request.path()) {
                Route::Answer(answer) => answer,
                Route::Store(..) => Answer::OK,
            };
            connection.answer(answer);
        }
        said.extend_from_slice(connection.output());
        connection.written(connection.output().len());
    }
    let said = String::from_utf8(said).expect("answers are text");
    let undated: String = said.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect();
    undated.replace(GO_AHEAD, "")
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, bytes)) = data.split_first() else { return };
    // Garbage amid a line is only looked at when the line ends, so all of them end.
    let bytes = [bytes, b"\r\n\r\n"].concat();
    let whole = converse(std::iter::once(&bytes[..]));
    let split = converse(bytes.chunks(usize::from(size) + 1));
    assert_eq!(whole, split);
});
