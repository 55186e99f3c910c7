//! The parsers, on any bytes split anywhere.

use ::stackload::http::answer::{Answer, AnswerParser, Asked, BadAnswer, LastHead, Progress};
use ::stackload::http::chunked::{BadChunk, Chunked};
use ::stackload::http::request::Batch;
use ::stackload::threshold;
use ::stackload::units::{parse_count, parse_time_ns};
use ::stackload::url::Url;
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
        match parser.feed(piece, Asked::Body, &mut |part: &[u8]| body.extend_from_slice(part)) {
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
    fn an_answer_means_the_same_after_one_with_the_same_head(
        answers in prop::collection::vec(answers(), 1..4),
        order in prop::collection::vec((any::<usize>(), any::<bool>()), 1..8),
    ) {
        let mut last = LastHead::default();
        for (which, to_head) in order {
            let bytes = &answers[which % answers.len()];
            let asked = if to_head { Asked::HeadOnly } else { Asked::Body };
            let alone = AnswerParser::new().feed(bytes, asked, &mut |_: &[u8]| {});
            prop_assert_eq!(AnswerParser::new().feed_unseen(bytes, asked, &mut last), alone);
        }
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

/// What a decoder makes of chunked bytes that arrive in these pieces.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, usize, bool), BadChunk> {
    let (mut chunked, mut body, mut used) = (Chunked::new(), Vec::new(), 0);
    for piece in pieces {
        used += chunked.feed(piece, &mut |part: &[u8]| body.extend_from_slice(part))?;
    }
    Ok((body, used, chunked.is_done()))
}

proptest! {
    #[test]
    fn chunks_mean_the_same_however_they_are_split(
        bytes in "([0-9a-f]{1,2}(;x)?\r\n[a-z]{0,20}\r\n){0,3}0\r\n(T: v\r\n)?\r\n.{0,4}",
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let bytes = bytes.as_bytes();
        prop_assert_eq!(decode(split(bytes, &cuts).into_iter()), decode(split(bytes, &[]).into_iter()));
    }

    #[test]
    fn a_number_that_is_read_is_the_one_that_was_written(count in any::<u64>(), blanks in " {0,2}") {
        prop_assert_eq!(parse_count(&format!("{blanks}{count}{blanks}")), Some(count));
        let time_ns = count % (u64::MAX / 1000);
        prop_assert_eq!(parse_time_ns(&format!("{blanks}{time_ns}{blanks}us")), Some(time_ns * 1000));
    }

    #[test]
    fn no_text_is_a_panic_as_a_number_a_time_a_url_or_a_condition(text in any::<String>()) {
        let _ = (parse_count(&text), parse_time_ns(&text), threshold::parse(&text), Url::parse(&text).is_ok());
    }

    #[test]
    fn the_get_of_any_url_is_one_request(
        url in "https?://([a-z]{1,5}@)?([a-z.]{1,9}|\\[::1\\])(:[0-9]{1,4})?(/[!-~]{0,20})?",
    ) {
        if let Ok(url) = Url::parse(&url) {
            prop_assert_eq!(Batch::examine(Batch::get(&url, &[]).bytes).unwrap().depth(), 1);
        }
    }

    #[test]
    fn no_bytes_are_a_panic_as_a_batch(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Batch::examine(bytes);
    }
}
