//! The controlled panel's server on smol.

use std::{
    io,
    net::TcpListener,
    pin::Pin,
    process::ExitCode,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Result;
use async_io::{Async, Timer};
use futures_lite::{AsyncRead, AsyncWrite};
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_core::{BlockingPool, MultiplexedStore, Place, Runtime, Server, Stores, accept, serve};
use stack_redis_store::Target;
use stack_smol_parts::Stream;

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["async-executor", "async-io", "httparse", "redis"],
    store: NeedsStore::Yes,
};

/// What smol gives.
struct Smol;

impl Runtime for Smol {
    type Listener = Async<TcpListener>;
    type Stream = Stream;

    async fn accept(listener: &Self::Listener) -> io::Result<Stream> {
        listener.accept().await.map(|(stream, _)| Stream::new(stream))
    }

    async fn connect(host: &str, port: u16) -> io::Result<Stream> {
        stack_smol_parts::connect(host, port).await.map(Stream::new)
    }

    async fn sleep(time: Duration) {
        Timer::after(time).await;
    }

    fn poll_read(stream: &mut Stream, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(stream).poll_read(context, buffer)
    }

    fn poll_write(stream: &mut Stream, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(stream).poll_write(context, bytes)
    }
}

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    let server = Server::new(args.max_connections);
    let sync = BlockingPool::start(&target, args.pool)?;
    stack_smol_parts::start(args.workers)?;
    let (asynchronous, drivers) = MultiplexedStore::<Smol>::new(&target, args.workers);
    for driver in drivers {
        stack_smol_parts::spawn(driver.run());
    }
    futures_lite::future::block_on(asynchronous.attempted());
    // For the rest of the program's life: spares a count of references for every request.
    let stores: &'static _ = Box::leak(Box::new(Stores { sync, asynchronous }));
    listener::announce(&listener)?;
    let spawn = move |stream, place: Place| stack_smol_parts::spawn(serve::<Smol, _, _>(stream, place, stores));
    stack_smol_parts::spawn(accept::<Smol>(server, Async::new(listener)?, spawn));
    server.run_until(&shutdown)
}
