//! actix-web: an acceptor that deals connections to workers, each with a runtime of its own.

mod admit;
mod last_turns;
mod routes;

use std::{net::TcpListener, os::fd::AsFd, process::ExitCode, sync::Arc, time::Duration};

use actix_web::{App, HttpServer, rt};
use anyhow::{Context, Result};
use stack_contract::{
    Args, NeedsStore, Program, Shutdown,
    limits::{DRAIN_TIMEOUT, HEAD_TIMEOUT},
    listener,
};
use stack_redis_store::{BridgedStore, Target, TokioThreads};
use tokio::{
    net::UnixStream,
    runtime::{Builder, Handle, Runtime},
    sync::mpsc,
};

use crate::{last_turns::LastTurns, routes::Stores};

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

/// A blocking thread owns a store connection, so it should outlive any pause between requests.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    let runtime: &'static _ = Box::leak(Box::new(main_runtime(args.pool)?));
    rt::System::with_tokio_rt(|| runtime).block_on(serve(args, target, listener, shutdown))
}

/// The runtime whose blocking threads all workers use. Never dropped, because that would wait for threads that block on
/// the store: what is still busy at the end had its time to drain.
fn main_runtime(pool: u32) -> Result<Runtime> {
    Builder::new_current_thread()
        .max_blocking_threads(pool as usize)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

async fn serve(args: &Args, target: Target, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let shutdown = Arc::new(shutdown);
    let stop =
        UnixStream::from_std(shutdown.as_fd().try_clone_to_owned()?.into()).context("cannot watch for signals")?;
    let sync = BridgedStore::new(TokioThreads(Handle::current()), target.clone());
    let (connected, mut first_attempts) = mpsc::unbounded_channel();
    // Connections are counted by each worker for itself, and one without a single place would be of no use.
    let workers = args.workers.min(args.max_connections);
    let connections_each = args.max_connections / workers;
    let last_turns = LastTurns::of(connections_each);
    let in_worker = last_turns.clone();
    let app = move || {
        in_worker.take_part();
        let (target, sync) = (target.clone(), sync.clone());
        let (connected, shutdown) = (connected.clone(), Arc::clone(&shutdown));
        App::new()
            .data_factory(move || {
                let (target, sync) = (target.clone(), sync.clone());
                let (connected, shutdown) = (connected.clone(), Arc::clone(&shutdown));
                async move {
                    let stores = Stores::connect(sync, &target, shutdown).await;
                    let _ = connected.send(());
                    Ok::<_, std::convert::Infallible>(stores)
                }
            })
            .configure(routes::all)
    };
    let announced = listener.try_clone()?;
    let server = HttpServer::new(app)
        .workers(workers as usize)
        .max_connections(connections_each as usize)
        .tcp_nodelay(true)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(LINGER)
        .shutdown_signal(async move {
            // Fails only if the runtime is going down, and then we stop as well.
            let _ = stop.readable().await;
            last_turns.wait(workers).await;
        })
        .shutdown_timeout(DRAIN_TIMEOUT.as_secs())
        .listen(listener)?
        .run();
    let announce = async {
        for _ in 0..workers {
            first_attempts.recv().await;
        }
        // Our copy goes with it, or the port would stay open when actix has closed its own.
        listener::announce(&announced).map(|()| drop(announced)).context("cannot say where we listen")
    };
    tokio::try_join!(async { server.await.context("actix-web gave up") }, announce)?;
    Ok(())
}
