//! The servers' RESP multiplexer: any bytes of a store, split anywhere, lead to the same outcomes in order, every command
//! to exactly one, and never to a panic. A connection that breaks is reported on standard error: `-close_fd_mask=2` spares
//! the terminal.

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use stack_contract::keys::Key;
use stack_resp::{Command, Multiplexer, Outcome, Target};

/// Commands in flight when the bytes come: some of both kinds.
const COMMANDS: usize = 64;

/// What comes of the commands when the bytes arrive in these pieces, and whether the connection is then of use.
fn converse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<(usize, Outcome)>, bool) {
    let target = Target::parse("redis://127.0.0.1:6379").expect("a URL");
    let (mut multiplexer, now) = (Multiplexer::new(&target), Instant::now());
    multiplexer.connecting();
    multiplexer.connected(now);
    for ticket in 0..COMMANDS {
        let key = Key::new(ticket as u32);
        let command = if ticket % 3 == 0 { Command::Set(key, b"value") } else { Command::Get(key) };
        multiplexer.submit(command, ticket, now);
    }
    pieces.for_each(|piece| multiplexer.receive(piece, now));
    let is_broken = multiplexer.is_broken();
    // Whatever was not answered by then never will be.
    multiplexer.expire(now + multiplexer.response_timeout());
    let outcomes: Vec<_> = std::iter::from_fn(|| multiplexer.next_outcome()).collect();
    assert!(outcomes.iter().map(|(ticket, _)| *ticket).eq(0..COMMANDS));
    assert_eq!(multiplexer.in_flight(), 0);
    (outcomes, is_broken)
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, bytes)) = data.split_first() else { return };
    let whole = converse(std::iter::once(bytes));
    let split = converse(bytes.chunks(usize::from(size) + 1));
    assert_eq!(whole, split);
});
