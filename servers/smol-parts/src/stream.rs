//! A socket that is not read when there can be nothing in it.

use std::{
    io,
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_io::Async;
use futures_lite::{AsyncRead, AsyncWrite};

/// async-io reads first and asks the reactor when that fails. tokio remembers that a read which did not fill the buffer
/// emptied the socket; so does this, and the failed read is spared.
#[derive(Debug)]
pub struct Stream {
    socket: Async<TcpStream>,
    /// Whether the last read emptied the socket.
    drained: bool,
}

impl Stream {
    /// A socket of which nothing is known yet.
    pub fn new(socket: Async<TcpStream>) -> Self {
        Self { socket, drained: false }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.drained) && self.socket.poll_readable(context)?.is_ready() {
            // That was the event that led to the last read. To be asked again is what makes the reactor watch, and as it
            // watches a level, it also tells of what came in between.
            ready!(self.socket.poll_readable(context))?;
        }
        // Whoever comes again was woken and reads: an event that is delivered in the turn in which it was asked for
        // wakes, but the reactor does not own up to it.
        let bytes = ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        // The end of the stream is no reason to wait.
        self.drained = bytes > 0 && bytes < buffer.len();
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(context)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use async_io::block_on;

    use super::*;

    fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Stream::new(Async::new(listener.accept().unwrap().0).unwrap()), peer)
    }

    async fn read(stream: &mut Stream, buffer: &mut [u8]) -> usize {
        poll_fn(|context| Pin::new(&mut *stream).poll_read(context, buffer)).await.unwrap()
    }

    #[test]
    fn what_comes_before_the_reactor_is_asked_is_not_missed() {
        let (mut stream, mut peer) = pair();
        block_on(async {
            let mut buffer = [0; 16];
            for _ in 0..1000 {
                peer.write_all(b"x").unwrap();
                assert_eq!(read(&mut stream, &mut buffer).await, 1);
                assert!(stream.drained);
            }
            drop(peer);
            assert_eq!(read(&mut stream, &mut buffer).await, 0);
        });
    }

    #[test]
    fn what_comes_while_it_waits_wakes_it() {
        const ROUNDS: usize = 10_000;
        let (mut stream, mut peer) = pair();
        let echo = thread::spawn(move || {
            let mut byte = [0];
            while peer.read(&mut byte).unwrap() > 0 {
                peer.write_all(&byte).unwrap();
            }
        });
        block_on(async {
            let mut buffer = [0; 16];
            for _ in 0..ROUNDS {
                stream.socket.get_ref().write_all(b"x").unwrap();
                assert_eq!(read(&mut stream, &mut buffer).await, 1);
            }
        });
        drop(stream);
        echo.join().unwrap();
    }

    #[test]
    fn a_buffer_that_was_filled_may_have_left_something() {
        let (mut stream, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        drop(peer);
        block_on(async {
            let mut buffer = [0; 1];
            for _ in 0..3 {
                assert_eq!(read(&mut stream, &mut buffer).await, 1);
                assert!(!stream.drained);
            }
            assert_eq!(read(&mut stream, &mut buffer).await, 0);
        });
    }
}
