//! hyper on tokio's work-stealing runtime, as `stack-tokio`, but /async speaks through fred.

mod store;

use std::{net::TcpListener, process::ExitCode};

use anyhow::{Context, Result};
use stack_contract::{
    Args, NeedsStore, Program, Shutdown,
    limits::{STORE_BACKOFF_FIRST, STORE_BACKOFF_LONGEST},
    listener,
    settings::{self, Setting},
};
use stack_hyper_service::{Stores, answer};
use stack_redis_store::{BridgedStore, Target, Tokio};
use stack_tokio::{Door, runtime};

use crate::store::FredStore;

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["hyper", "tokio", "fred", "redis"],
    store: NeedsStore::YesExcept(settings_of_fred),
};

/// What fred cannot be kept from; /sync is as everywhere.
fn settings_of_fred() -> Vec<Setting> {
    let (first, longest) = (settings::ms(STORE_BACKOFF_FIRST), settings::ms(STORE_BACKOFF_LONGEST));
    let reconnect = format!(
        "at once if the connection had worked (/async: in {first}); after a failed attempt in {first}, doubling to \
         {longest}"
    );
    vec![
        (settings::RECONNECT, reconnect),
        (settings::OWN_COMMANDS, "/async: PING, CLIENT ID and INFO on connecting; /sync: none".to_owned()),
    ]
}

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let url = args.redis()?;
    // Both clients must understand the URL; the message of the first is the one that all stacks have.
    let target = Target::parse(url)?;
    let config = fred::types::config::Config::from_url(url).with_context(|| format!("--redis {url}"))?;
    let (workers, max_connections) = (args.workers, args.max_connections);
    runtime::run_work_stealing(args, async move {
        let asynchronous = FredStore::connect(&config, workers).await?;
        let stores: &'static _ = Box::leak(Box::new(Stores { sync: BridgedStore::new(Tokio, target), asynchronous }));
        listener::announce(&listener)?;
        Door::open(listener, &shutdown, max_connections)?.serve(move |request| answer(stores, request)).await;
        Ok(())
    })
}
