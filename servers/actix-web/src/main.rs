//! actix-web: an acceptor that deals connections to workers, each with a runtime of its own.

mod admit;
mod routes;

use std::{net::TcpListener, process::ExitCode, time::Duration};

use actix_web::{App, HttpServer, rt};
use anyhow::{Context, Result};
use stack_contract::{
    Args, NeedsStore, Program, Shutdown,
    limits::{DRAIN_TIMEOUT, HEAD_TIMEOUT},
    listener,
};
use stack_redis_store::Target;
use tokio::{net::UnixStream, sync::mpsc};

use crate::routes::Stores;

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["actix-web", "actix-http", "tokio", "redis"],
    store: NeedsStore::Yes,
};

/// How long a connection may idle: the contract's least.
const KEEP_ALIVE: Duration = Duration::from_secs(300);

/// How long a connection that we end is read on, so that a client that still sends gets to read its answer.
const LINGER: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    rt::System::new().block_on(serve(args, target, listener, shutdown))
}

async fn serve(args: &Args, target: Target, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let (connected, mut first_attempts) = mpsc::unbounded_channel();
    let app = move || {
        let (target, connected) = (target.clone(), connected.clone());
        App::new()
            .data_factory(move || {
                let (target, connected) = (target.clone(), connected.clone());
                async move {
                    let stores = Stores::connect(target).await;
                    let _ = connected.send(());
                    Ok::<_, std::convert::Infallible>(stores)
                }
            })
            .configure(routes::all)
    };
    let announced = listener.try_clone()?;
    let shutdown = UnixStream::from_std(shutdown.into_stream()).context("cannot watch for signals")?;
    let server = HttpServer::new(app)
        .workers(args.workers as usize)
        // Both are counted by each worker for itself.
        .worker_max_blocking_threads(share(args.pool, args.workers))
        .max_connections(share(args.max_connections, args.workers))
        .tcp_nodelay(true)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(LINGER)
        .shutdown_signal(async move {
            // Fails only if the runtime is going down, and then we stop as well.
            let _ = shutdown.readable().await;
        })
        .shutdown_timeout(DRAIN_TIMEOUT.as_secs())
        .listen(listener)?
        .run();
    let announce = async {
        for _ in 0..args.workers {
            first_attempts.recv().await;
        }
        // Our copy goes with it, or the port would stay open when actix has closed its own.
        listener::announce(&announced).map(|()| drop(announced)).context("cannot say where we listen")
    };
    tokio::try_join!(async { server.await.context("actix-web gave up") }, announce)?;
    Ok(())
}

/// What falls to each worker, at least one.
fn share(all: u32, workers: u32) -> usize {
    (all / workers).max(1) as usize
}
