//! What smol gives the stores and the server.

use std::{
    future::Future,
    io,
    net::{TcpListener, TcpStream},
    time::Duration,
};

use async_io::{Async, Timer};
use stack_hyper_service::{CoarseTimer, FrugalIo};
use stack_smol_parts::Stream;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

/// smol: the one executor and the one reactor of this process.
#[derive(Debug, Clone, Copy)]
pub struct Smol;

impl stack_redis_store::Runtime for Smol {
    type Socket = Async<TcpStream>;
    type Stream = Compat<Async<TcpStream>>;

    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Socket>> + Send {
        stack_smol_parts::connect(host, port)
    }

    fn stream(socket: Self::Socket) -> Self::Stream {
        socket.compat()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        stack_smol_parts::spawn(task);
    }

    async fn sleep(&self, time: Duration) {
        Timer::after(time).await;
    }

    fn unblock<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = Option<T>> + Send + use<T, W> {
        async { Some(blocking::unblock(work).await) }
    }
}

impl stack_hyper_service::Runtime for Smol {
    type Listener = Async<TcpListener>;
    type Socket = Async<TcpStream>;
    type Stream = FrugalIo<Stream>;
    type Timer = CoarseTimer;

    async fn accept(&self, listener: &Self::Listener) -> io::Result<Self::Socket> {
        listener.accept().await.map(|(socket, _)| socket)
    }

    fn stream(socket: Self::Socket) -> Self::Stream {
        FrugalIo::new(Stream::new(socket))
    }

    fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        stack_smol_parts::spawn(connection);
    }

    async fn sleep(&self, time: Duration) {
        Timer::after(time).await;
    }

    fn timer(&self) -> CoarseTimer {
        let timer = CoarseTimer::default();
        stack_smol_parts::spawn(timer.clone().run(|time| stack_hyper_service::Runtime::sleep(&Self, time)));
        timer
    }
}
