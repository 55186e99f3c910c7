//! What holds for any bytes and any way of cutting them.

use proptest::prelude::*;
use stack_http1::Connection;

use crate::{converse, exchange, statuses};

const CONVERSATION: &[u8] = b"\r\nGET /check?x HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n\
    POST /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
    3;x=y\r\nabc\r\nb\r\n0123456789a\r\n0\r\nT: z\r\n\r\n\
    HEAD /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
    GET /check HTTP/1.0\r\n\r\n";

/// Pieces of requests, so that random sequences of them come near the grammar.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "GET ",
        "HEAD ",
        "/check",
        "/myapp/sync/cache_hit",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "\r\n",
        "\n",
        "Host: a\r\n",
        "Content-Length: ",
        "3",
        "0",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        ";",
        ":",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "http://a",
    ]);
    prop_oneof![
        4 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

#[test]
fn a_conversation_split_at_any_byte_is_the_same() {
    let whole = exchange(CONVERSATION);
    assert_eq!(statuses(&whole), [200, 405, 404, 200]);
    for at in 0..CONVERSATION.len() {
        let (before, after) = CONVERSATION.split_at(at);
        assert_eq!(converse(&mut Connection::new(), [before, after]), whole, "split at {at}");
    }
    assert_eq!(converse(&mut Connection::new(), CONVERSATION.chunks(1)), whole, "byte by byte");
}

proptest! {
    #[test]
    fn a_conversation_cut_anyhow_is_the_same(mut cuts in prop::collection::vec(0..CONVERSATION.len(), 0..20)) {
        cuts.extend([0, CONVERSATION.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &CONVERSATION[cut[0]..cut[1]]);
        prop_assert_eq!(converse(&mut Connection::new(), pieces), exchange(CONVERSATION));
    }

    #[test]
    fn no_bytes_make_it_panic_and_no_cut_changes_what_they_mean(
        fragments in prop::collection::vec(fragment(), 0..24), size in 1_usize..40,
    ) {
        // Garbage amid a line is only looked at when the line ends, so all of them end.
        let bytes = [fragments.concat(), b"\r\n\r\n".to_vec()].concat();
        // The go-ahead is only given to those who wait for it, which a cut makes of everyone.
        let meant = |said: String| said.replace("HTTP/1.1 100 Continue\r\n\r\n", "");
        let cut = converse(&mut Connection::new(), bytes.chunks(size));
        prop_assert_eq!(meant(cut), meant(exchange(&bytes)));
    }
}
