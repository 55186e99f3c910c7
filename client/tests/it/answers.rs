//! The answer parser, on any bytes split anywhere.

use ::stackload::http::answer::{Answer, AnswerParser, BadAnswer, Progress};
use proptest::prelude::*;

/// What a parser makes of bytes that arrive in these pieces: the first answer with its body, how much it took, or the
/// error.
#[derive(Debug, PartialEq)]
struct Parsed {
    answer: Result<Option<Answer>, BadAnswer>,
    body: Vec<u8>,
    used: usize,
}

fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Parsed {
    let (mut parser, mut body, mut used) = (AnswerParser::new(), Vec::new(), 0);
    for piece in pieces {
        match parser.feed(piece, &mut |part| body.extend_from_slice(part)) {
            Ok(Progress::Partial) => used += piece.len(),
            Ok(Progress::Complete(answer, taken)) => {
                return Parsed { answer: Ok(Some(answer)), body, used: used + taken };
            }
            // How much of the body came before the error depends on the pieces.
            Err(error) => return Parsed { answer: Err(error), body: Vec::new(), used: 0 },
        }
    }
    Parsed { answer: Ok(parser.end()), body, used }
}

fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).filter(|piece| !piece.is_empty()).collect()
}

/// Heads and bodies of every kind, complete or not, with or without something after them.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let interim = prop_oneof![
        3 => Just(String::new()),
        1 => Just("HTTP/1.1 100 Continue\r\n\r\n".to_owned()),
        1 => Just("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_owned()),
    ];
    let status = prop_oneof![Just(200u16), Just(204), Just(304), Just(404), Just(503), Just(101)];
    let version = prop_oneof![4 => Just("1.1"), 1 => Just("1.0")];
    let extra = prop_oneof![
        2 => Just(""),
        1 => Just("Connection: close\r\n"),
        1 => Just("Connection: keep-alive\r\n"),
        1 => Just("Date: Sat, 21 Nov 2026 06:00:00 GMT\r\nServer: x\r\n"),
    ];
    let body = prop_oneof![
        "[a-z]{0,40}".prop_map(|body| format!("Content-Length: {}\r\n\r\n{body}", body.len())),
        prop::collection::vec("[a-z]{1,20}", 0..4).prop_map(|chunks| {
            let chunks: String = chunks.iter().map(|chunk| format!("{:x};e=1\r\n{chunk}\r\n", chunk.len())).collect();
            format!("Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\nT: v\r\n\r\n")
        }),
        "[a-z]{0,40}".prop_map(|body| format!("\r\n{body}")),
    ];
    let tail = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(any::<u8>(), 0..8)];
    (interim, version, status, extra, body, tail).prop_map(|(interim, version, status, extra, body, tail)| {
        let mut bytes = format!("{interim}HTTP/{version} {status} Word\r\n{extra}{body}").into_bytes();
        bytes.extend(tail);
        bytes
    })
}

proptest! {
    #[test]
    fn an_answer_means_the_same_however_it_is_split(
        bytes in answers(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        prop_assert_eq!(parse(split(&bytes, &cuts).into_iter()), parse(split(&bytes, &[]).into_iter()));
    }

    #[test]
    fn an_answer_byte_by_byte_means_the_same(bytes in answers()) {
        prop_assert_eq!(parse(bytes.chunks(1)), parse(split(&bytes, &[]).into_iter()));
    }

    #[test]
    fn a_damaged_answer_is_never_a_panic(mut bytes in answers(), at in any::<usize>(), byte in any::<u8>()) {
        let at = at % bytes.len();
        bytes[at] = byte;
        prop_assert_eq!(parse(bytes.chunks(3)), parse(split(&bytes, &[]).into_iter()));
    }

    #[test]
    fn arbitrary_bytes_are_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        parse(bytes.chunks(7));
    }
}
