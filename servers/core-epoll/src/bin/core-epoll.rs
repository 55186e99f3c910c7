//! Plain threads and epoll under the codec and the multiplexer that all stacks of the controlled panel share.

use std::{net::TcpListener, process::ExitCode};

use anyhow::Result;
use stack_contract::{Args, NeedsStore, Program, Shutdown};
use stack_core_epoll::{
    link,
    pool::{Bridged, Pool},
    tasks,
};
use stack_event_loop::crew;
use stack_resp::Target;

const PROGRAM: Program = Program {
    name: "stack-core-epoll",
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["httparse", "rustix", "redis"],
    store: NeedsStore::Yes,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    let addresses = link::addresses(&target)?;
    let pool = Pool::start(args.pool, &target)?;
    crew::serve(args, listener, shutdown, move |registry| {
        Bridged::new(registry, tasks::service(registry, &target, &addresses), pool)
    })
}
