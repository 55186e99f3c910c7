//! Processes of one thread each: a master accepts and hands connections over, the workers block on the store.
//!
//! The workers are the same program, started again rather than forked: nothing of the master's memory, threads and
//! descriptors is theirs but what they find as standard input and output.
//!
//! # Layout
//! - `post`: connections from process to process
//! - `board`: which worker waits for the store at the moment
//! - `master`: accepts, and keeps the workers running
//! - `worker`: serves

mod board;
mod master;
mod post;
mod worker;

use std::{env, process::ExitCode};

use stack_contract::{NeedsStore, Program, settings::Client};

const PROGRAM: Program = Program {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    libraries: &["httparse", "redis"],
    store: NeedsStore::YesOnly(Client::Blocking),
};

/// The first argument of a worker; its number and the store's URL follow. No argument of the contract looks like it.
const WORKER: &str = "worker";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().collect();
    match &words[..] {
        [_, first, number, redis] if first == WORKER => worker::main(number, redis),
        _ => PROGRAM.main(master::run),
    }
}
