//! The program's first thread, which is none of may's: waits for the wish to stop.

use std::time::{Duration, Instant};

use anyhow::Result;
use stack_contract::{Shutdown, limits::DRAIN_TIMEOUT};

use crate::registry::Registry;

/// How often slow clients are looked for; also how late they may be found.
const SWEEP: Duration = Duration::from_secs(1);

/// Returns when the server was asked to stop and has done what was in flight, as far as there was time.
pub fn wait(shutdown: &Shutdown, registry: &Registry) -> Result<()> {
    while !shutdown.wait_at_most(SWEEP)? {
        registry.sweep();
    }
    registry.stop();
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    // Among the last are clients that were told to leave and take their time.
    while !registry.wait_until_empty(SWEEP.min(deadline.saturating_duration_since(Instant::now())))
        && Instant::now() < deadline
    {
        registry.sweep();
    }
    Ok(())
}
