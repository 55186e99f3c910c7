//! Connections of runtimes that have futures' I/O traits, as hyper wants them.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_lite::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};
use smol_hyper::rt::FuturesIo;

/// More than the head of a usual request. Longer ones take several reads.
const SCRATCH_BYTES: usize = 2048;

/// smol-hyper's adapter, except for reading. futures' trait reads into initialised bytes only, so smol-hyper clears all of
/// hyper's buffer, 8 KiB, before each read: with 2000 connections that is 16 MiB, which pushes everything else out of the
/// CPU's caches. Here the bytes go through a small buffer on the stack, and only as many are touched as came.
#[derive(Debug)]
pub struct FrugalIo<S>(FuturesIo<S>);

impl<S> FrugalIo<S> {
    /// Around a connection.
    pub fn new(stream: S) -> Self {
        Self(FuturesIo::new(stream))
    }
}

impl<S: AsyncRead + Unpin> Read for FrugalIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = [0; SCRATCH_BYTES];
        let room = buffer.remaining().min(SCRATCH_BYTES);
        let bytes = ready!(Pin::new(self.0.get_mut()).poll_read(context, &mut scratch[..room]))?;
        buffer.put_slice(&scratch[..bytes]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for FrugalIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }
}
