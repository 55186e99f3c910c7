//! What the job costs at least: one loop a worker, clients and store in one set of descriptors, and no other thread.

use std::{net::TcpListener, process::ExitCode};

use anyhow::Result;
use stack_contract::{Args, NeedsStore, Program, Shutdown, settings::Client};
use stack_core_epoll::{link, tasks};
use stack_event_loop::crew;
use stack_resp::Target;

const PROGRAM: Program = Program {
    name: "stack-floor",
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["httparse", "rustix"],
    store: NeedsStore::YesOnly(Client::Multiplexed),
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    let target = Target::parse(args.redis()?)?;
    let addresses = link::addresses(&target)?;
    crew::serve(args, listener, shutdown, move |registry| Ok(tasks::service(registry, &target, &addresses)))
}
