//! A listener of axum's with a limit of connections, which axum leaves to its users.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Accepts when there is a place.
#[derive(Debug)]
pub struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

/// A connection, and its place for as long as it lives.
#[derive(Debug)]
pub struct Placed {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Bounded {
    /// Makes a listener known to the runtime this is called in.
    pub fn new(listener: std::net::TcpListener, max_connections: u32) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let places = Arc::new(Semaphore::new(max_connections as usize));
        Ok(Self { listener: TcpListener::from_std(listener)?, places })
    }
}

impl Listener for Bounded {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        // Fails only if the semaphore were closed, which nobody does.
        let place = Arc::clone(&self.places).acquire_owned().await.expect("an open semaphore");
        // axum's own, which tries again after errors.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Placed { stream, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Placed {
    /// Answers are whole writes, so Nagle's algorithm would only delay them.
    pub fn set_nodelay(&self) {
        // Fails only if the client is gone already, which the first read will tell.
        let _ = self.stream.set_nodelay(true);
    }
}

impl AsyncRead for Placed {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
