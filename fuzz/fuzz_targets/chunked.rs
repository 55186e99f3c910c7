//! The load client's chunk decoder: any bytes, split anywhere, give the same body and never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stackload::http::chunked::{BadChunk, Chunked};

/// The body, how many bytes it took with its framing, and whether it is complete; or the error.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, usize, bool), BadChunk> {
    let (mut chunked, mut body, mut used) = (Chunked::new(), Vec::new(), 0);
    for piece in pieces {
        used += chunked.feed(piece, &mut |part: &[u8]| body.extend_from_slice(part))?;
    }
    Ok((body, used, chunked.is_done()))
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, bytes)) = data.split_first() else { return };
    assert_eq!(decode(std::iter::once(bytes)), decode(bytes.chunks(usize::from(size) + 1)));
});
