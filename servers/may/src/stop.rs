//! The program's first thread, which is none of may's: waits for the wish to stop.

use anyhow::Result;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use stack_contract::{Shutdown, limits::DRAIN_TIMEOUT};

use crate::registry::Registry;

/// How often slow clients are looked for; also how late they may be found.
const SWEEP: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Returns when the server was asked to stop and has done what was in flight, as far as there was time.
pub fn wait(shutdown: &Shutdown, registry: &Registry) -> Result<()> {
    while !shutdown.requested() {
        match poll(&mut [PollFd::new(shutdown, PollFlags::IN)], Some(&SWEEP)) {
            Ok(_) | Err(Errno::INTR) => registry.sweep(),
            Err(error) => return Err(error.into()),
        }
    }
    registry.stop();
    registry.wait_until_empty(DRAIN_TIMEOUT);
    Ok(())
}
