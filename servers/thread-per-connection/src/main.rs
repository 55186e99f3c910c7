//! One blocking thread for each connection: no readiness, no queue of requests, the kernel's scheduler decides.
//!
//! # Layout
//! - `conversation`: the codec over a socket that blocks
//! - `roster`: who is being served, so that a server that stops can wake those who wait for a client
//! - `lender`: store connections, lent in the order in which they are asked for
//! - `stores`: what one thread asks of them

mod conversation;
mod lender;
mod roster;
mod stores;

use std::{net::TcpListener, process::ExitCode, thread};

use anyhow::{Context, Result};
use stack_contract::{Args, NeedsStore, Program, Shutdown, limits::DRAIN_TIMEOUT, listener};
use stack_event_loop::{Places, acceptor};
use stack_redis_store::{MultiplexedStore, Target};
use tokio::runtime;

use crate::{
    conversation::Conversation,
    roster::{Member, Roster},
    stores::{Shared, Stores},
};

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["httparse", "redis", "tokio"],
    store: NeedsStore::Yes,
};

/// Address space for a thread's stack. Of it a thread touches 16 KiB under load, connecting to the store included; the
/// rest is for what a name server's answer may need, and costs nothing, where 10 000 of the usual 2 MiB would be 20
/// GiB, which not every system promises.
const STACK_BYTES: usize = 256 * 1024;

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    // Drives the multiplexed connections and nothing else.
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("store")
        .enable_all()
        .build()
        .context("cannot start the runtime of the multiplexed store")?;
    // On the runtime, not beside it: its thread should be the one that knows the connections.
    let multiplexed = {
        let (target, connections) = (target.clone(), args.workers);
        runtime.block_on(runtime.spawn(async move { MultiplexedStore::connect(&target, connections).await }))?
    };
    // For the rest of the program's life, like the threads that use them.
    let shared: &'static Shared =
        Box::leak(Box::new(Shared::new(&target, args.pool, multiplexed, runtime.handle().clone())));
    let roster: &'static Roster = Box::leak(Box::default());
    let places: &'static Places = Box::leak(Box::new(Places::new(args.max_connections)?));
    listener::announce(&listener)?;
    acceptor::run(listener, &shutdown, places, |stream| {
        let place = Place(places);
        // Here and not on the thread: whoever waits at the end for all to leave must know of those just accepted.
        let member = roster.enter(stream);
        let serve = move || {
            serve(member, shared, roster);
            drop(place);
        };
        // Detached: one that is stuck in a store command must not hold up the exit.
        if let Err(error) = thread::Builder::new().stack_size(STACK_BYTES).spawn(serve) {
            eprintln!("accept: a connection is closed, as the system grants no thread for it: {error}");
        }
    })?;
    roster.stop();
    roster.wait_until_empty(DRAIN_TIMEOUT);
    runtime.shutdown_background();
    Ok(())
}

/// A connection's place, which it gives back whichever way it ends.
struct Place(&'static Places);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.release(1);
    }
}

fn serve(member: Member<'static>, shared: &'static Shared, roster: &'static Roster) {
    let mut stores = Stores::new(shared);
    Conversation::new(&member, roster).run(|mode, operation| stores.run(mode, operation));
}
