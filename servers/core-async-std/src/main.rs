//! The controlled panel's server on async-std.

use std::{
    io,
    pin::Pin,
    process::ExitCode,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Result;
use async_global_executor::GlobalExecutorConfig;
use async_std::{
    net::{TcpListener, TcpStream},
    task,
};
use futures_lite::{AsyncRead, AsyncWrite};
use stack_contract::{Args, NeedsStore, Program, Shutdown, listener};
use stack_core::{BlockingPool, MultiplexedStore, Place, Runtime, Server, Stores, accept, serve};
use stack_redis_store::Target;

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["async-std", "async-executor", "async-io", "httparse", "redis"],
    store: NeedsStore::Yes,
};

/// What async-std gives.
struct AsyncStd;

impl Runtime for AsyncStd {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
        TcpStream::connect((host, port)).await
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static {
        task::sleep(time)
    }

    fn poll_read(stream: &mut TcpStream, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(stream).poll_read(context, buffer)
    }

    fn poll_write(stream: &mut TcpStream, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(stream).poll_write(context, bytes)
    }
}

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: std::net::TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    let server = Server::new(args.max_connections);
    let sync = BlockingPool::start(&target, args.pool)?;
    let workers = args.workers as usize;
    // async-std itself would start as many threads as ASYNC_STD_THREAD_COUNT says; its executor takes the first
    // configuration it is given.
    async_global_executor::init_with_config(
        GlobalExecutorConfig::default().with_min_threads(workers).with_max_threads(workers),
    );
    let (asynchronous, drivers) = MultiplexedStore::<AsyncStd>::new(&target, args.workers);
    for driver in drivers {
        task::spawn(driver.run());
    }
    futures_lite::future::block_on(asynchronous.attempted());
    // For the rest of the program's life: spares a count of references for every request.
    let stores: &'static _ = Box::leak(Box::new(Stores { sync, asynchronous }));
    listener::announce(&listener)?;
    let spawn = move |stream, place: Place| drop(task::spawn(serve::<AsyncStd, _, _>(stream, place, stores)));
    task::spawn(accept::<AsyncStd>(server, listener.into(), spawn));
    server.run_until(&shutdown)
}
