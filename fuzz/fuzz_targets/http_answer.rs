//! The load client's answer parser: any bytes, split anywhere, or after an answer with the same head, give the same
//! answer and never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stackload::http::answer::{Answer, AnswerParser, Asked, BadAnswer, LastHead, Progress};

/// The first answer, its body and how many bytes it took, when the bytes arrive in these pieces.
fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Result<Option<Answer>, BadAnswer>, Vec<u8>, usize) {
    let (mut parser, mut body, mut used) = (AnswerParser::new(), Vec::new(), 0);
    for piece in pieces {
        match parser.feed(piece, Asked::Body, &mut |part: &[u8]| body.extend_from_slice(part)) {
            Ok(Progress::Partial) => used += piece.len(),
            Ok(Progress::Complete(answer, taken)) => return (Ok(Some(answer)), body, used + taken),
            // How much of the body came before the error depends on the pieces.
            Err(error) => return (Err(error), Vec::new(), 0),
        }
    }
    (Ok(parser.end()), body, used)
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, bytes)) = data.split_first() else { return };
    let whole = parse(std::iter::once(bytes));
    let split = parse(bytes.chunks(usize::from(size) + 1));
    assert_eq!(whole, split);
    let mut last = LastHead::default();
    let mut unseen = || AnswerParser::new().feed_unseen(bytes, Asked::Body, &mut last);
    let (first, again) = (unseen(), unseen());
    assert_eq!(first, again);
});
