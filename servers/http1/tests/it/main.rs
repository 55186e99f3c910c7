//! The codec as its users see it: bytes in, bytes out.

mod exchange;
mod properties;
mod session;

use stack_contract::{Answer, Route};
use stack_http1::Connection;

/// Feeds pieces, answers what comes as the null stack would, and gives back all that was to be written, without the
/// dates.
fn converse<'a>(connection: &mut Connection, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut said = Vec::new();
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
    without_dates(&String::from_utf8(said).unwrap())
}

fn without_dates(text: &str) -> String {
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
}

/// The whole conversation on a new connection.
fn exchange(bytes: &[u8]) -> String {
    converse(&mut Connection::new(), [bytes])
}

/// The statuses of the answers in it.
fn statuses(said: &str) -> Vec<u16> {
    said.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}
