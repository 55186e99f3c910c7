//! What tokio gives the server of the controlled panel.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use stack_core::{BlockingPool, MultiplexedStore, Place, Runtime, Server, Stores, accept, serve};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time,
};

/// The tokio runtime in whose context this is used.
#[derive(Debug, Clone, Copy)]
pub struct Tokio;

impl Runtime for Tokio {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
        TcpStream::connect((host, port)).await
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static {
        time::sleep(time)
    }

    fn poll_read(stream: &mut TcpStream, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(stream: &mut TcpStream, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(stream).poll_write(context, bytes)
    }
}

/// The stores of both stacks.
pub type CoreStores = Stores<BlockingPool, MultiplexedStore<Tokio>>;

/// Starts to accept and serve on the runtime this is called in.
///
/// # Errors
/// When the system refuses to watch the listener.
pub fn start(listener: std::net::TcpListener, server: &'static Server, stores: &'static CoreStores) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let spawn = |stream, place: Place| drop(tokio::spawn(serve::<Tokio, _, _>(stream, place, stores)));
    tokio::spawn(accept::<Tokio>(server, listener, spawn));
    Ok(())
}
