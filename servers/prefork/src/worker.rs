//! A worker: one thread, which waits for its clients all at once and for the store in place.

use std::{io, os::fd::AsFd, process::ExitCode};

use anyhow::{Context, Result};
use stack_contract::{Answer, Mode, Operation, Shutdown, keys};
use stack_event_loop::{Begun, Service, Ticket, Worker};
use stack_redis_store::{BlockingStore, Target};

use crate::{PROGRAM, post::Receiver};

/// Serves what the master sends to standard input, until there is no more.
pub fn main(number: &str, redis: &str) -> ExitCode {
    match serve(number, redis) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}, worker {number}: {error:#}", PROGRAM.name);
            ExitCode::FAILURE
        }
    }
}

fn serve(number: &str, redis: &str) -> Result<()> {
    keys::prepare();
    keys::begin_walk(number.parse().context("the worker's number")?);
    let store = BlockingStore::new(Target::parse(redis)?);
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    // A terminal's Ctrl-C reaches the workers too, and whoever ends one of them wants its clients served to the end.
    let shutdown = Shutdown::on_signals().context("cannot catch signals")?;
    Worker::new(&shutdown, Receiver::new(socket), |_| Ok(InPlace(store)))?.run()
}

/// Asks the store and waits.
struct InPlace(BlockingStore);

impl Service for InPlace {
    const WAITS_IN_PLACE: bool = true;

    fn begin(&mut self, mode: Mode, operation: Operation, _: Ticket) -> Begun {
        Begun::Answered(match mode {
            Mode::Sync => operation.run(&mut self.0),
            Mode::Async => Answer::NO_SUCH_PATH,
        })
    }
}
