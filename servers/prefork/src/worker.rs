//! A worker: one thread, which waits for its clients all at once and for the store in place.

use std::{io, os::fd::AsFd, process::ExitCode};

use anyhow::{Context, Result};
use stack_contract::{Answer, Mode, Operation, Shutdown, keys};
use stack_event_loop::{Begun, Service, Ticket, Worker};
use stack_redis_store::{BlockingStore, Target};

use crate::{PROGRAM, board::Board, post::Receiver};

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
    let number = number.parse().context("the worker's number")?;
    keys::begin_walk(number);
    let store = BlockingStore::new(Target::parse(redis)?);
    // Handed over as standard output, to which a worker prints nothing.
    let board = Board::open(io::stdout().as_fd().try_clone_to_owned()?)?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    // A terminal's Ctrl-C reaches the workers too, and whoever ends one of them wants its clients served to the end.
    let shutdown = Shutdown::on_signals().context("cannot catch signals")?;
    Worker::new(&shutdown, Receiver::new(socket), |_| Ok(InPlace { store, board, number }))?.run()
}

/// Asks the store and waits.
struct InPlace {
    store: BlockingStore,
    board: Board,
    number: u32,
}

impl Service for InPlace {
    const WAITS_IN_PLACE: bool = true;

    fn begin(&mut self, mode: Mode, operation: Operation, _: Ticket) -> Begun {
        if mode == Mode::Async {
            return Begun::Answered(Answer::NO_SUCH_PATH);
        }
        self.board.set(self.number, true);
        let answer = operation.run(&mut self.store);
        self.board.set(self.number, false);
        Begun::Answered(answer)
    }
}
