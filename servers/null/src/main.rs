//! Answers every route from memory: what client and machine can do when the server does next to nothing.

use std::{net::TcpListener, process::ExitCode};

use anyhow::Result;
use stack_contract::{Answer, Args, Mode, NeedsStore, Operation, Program, Shutdown};
use stack_event_loop::{Begun, Service, Ticket, crew};

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["httparse", "rustix"],
    store: NeedsStore::No,
};

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    crew::serve(args, listener, shutdown, |_| Ok(Memory))
}

/// Where the others ask a store.
struct Memory;

impl Service for Memory {
    fn begin(&mut self, _: Mode, _: Operation, _: Ticket) -> Begun {
        Begun::Answered(Answer::OK)
    }
}
