//! The soak: a server's memory after many requests and many connections that come and go.
//!
//! Memory may grow until caches, pools and allocators have what the load needs. What it may not do is to go on growing
//! under a load that stays the same: the second half must leave it about where the first half did.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Target;
use super::probe::{Probe, expect_ok, get, request_with};

/// Requests of one half, and connections of one half that come and go beside them.
pub const REQUESTS: usize = 100_000;
/// See [`REQUESTS`].
pub const CONNECTIONS: usize = 10_000;
/// Clients at work at once.
const CLIENTS: usize = 32;
/// Requests in one write.
const DEPTH: usize = 8;
/// Answered requests between two of a client's short connections: as many of these as [`CONNECTIONS`] wants.
const REQUESTS_PER_CONNECTION: usize = REQUESTS / CONNECTIONS;
/// How much more a server may hold after the second half than after the first: a fifth of it, and what allocators keep
/// and return in steps.
const GROWTH_SHARE: u64 = 5;
const GROWTH_BYTES: u64 = 8 * 1024 * 1024;
/// Far more than a soak takes; it is there to end one that hangs.
const AT_MOST: Duration = Duration::from_secs(600);

/// What a server held, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soaked {
    /// Before the first request.
    pub at_start: u64,
    /// After each half, and after a third one if the second was in doubt.
    pub after: Vec<u64>,
}

impl Soaked {
    /// Whether memory grew under the load that was the same before.
    pub fn grew(&self) -> bool {
        self.after.windows(2).last().is_none_or(|halves| grew(halves[0], halves[1]))
    }
}

fn grew(from: u64, to: u64) -> bool {
    to > from + from / GROWTH_SHARE + GROWTH_BYTES
}

/// Soaks a server. Every answer must be the usual 200.
///
/// # Errors
/// What the server answered instead, or that its memory cannot be read.
pub fn soak(target: &Target, rss_bytes: &dyn Fn() -> Result<u64>) -> Result<Soaked> {
    soak_with(target, rss_bytes, REQUESTS)
}

pub(super) fn soak_with(target: &Target, rss_bytes: &dyn Fn() -> Result<u64>, requests: usize) -> Result<Soaked> {
    let probe = Probe::new(target.addr, target.modes, AT_MOST, target.crowd);
    let mut soaked = Soaked { at_start: rss_bytes()?, after: Vec::new() };
    // A cache that happens to grow in the second half does not grow again in a third; a leak does.
    while soaked.after.len() < 2 || (soaked.after.len() < 3 && soaked.grew()) {
        half(&probe, requests)?;
        soaked.after.push(rss_bytes()?);
    }
    Ok(soaked)
}

fn half(probe: &Probe, requests: usize) -> Result<()> {
    let due = AtomicUsize::new(requests / REQUESTS_PER_CONNECTION);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| client(probe, &due))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
    })
}

/// A connection that stays, and beside it one after the other that come and go, until none is due any more.
fn client(probe: &Probe, due: &AtomicUsize) -> Result<()> {
    let paths = probe.known_paths();
    let mut kept = probe.connect()?;
    // The last request of each turn is that of the short connection.
    let depths = [DEPTH.min(REQUESTS_PER_CONNECTION - 1), (REQUESTS_PER_CONNECTION - 1).saturating_sub(DEPTH)];
    while let Ok(turn) = due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
        let path = &paths[turn % paths.len()];
        for depth in depths.into_iter().filter(|depth| *depth > 0) {
            kept.send(get(path).repeat(depth))?;
            for _ in 0..depth {
                kept.answer().and_then(|answer| expect_ok(&answer)).with_context(|| path.clone())?;
            }
        }
        come_and_go(probe, path, turn).with_context(|| format!("on a connection that comes and goes, {path}"))?;
    }
    Ok(())
}

/// The ways in which connections end: by the server if it honours `close`, by the client's end, by a reset after or instead
/// of the answer. That the server closes is not demanded here: the suite has cases for that, and stacks may deviate.
fn come_and_go(probe: &Probe, path: &str, turn: usize) -> Result<()> {
    let mut connection = probe.connect()?;
    let way = turn / probe.known_paths().len() % 4;
    connection.send(request_with("GET", path, if way == 0 { "Connection: close\r\n" } else { "" }))?;
    if way < 3 {
        expect_ok(&connection.answer()?)?;
    }
    if way < 2 { Ok(()) } else { connection.reset() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn growth_is_judged_between_the_last_two_halves() {
        let soaked = |after: &[u64]| Soaked { at_start: MIB, after: after.iter().map(|mib| mib * MIB).collect() };
        assert!(!soaked(&[100, 127]).grew());
        assert!(soaked(&[100, 129]).grew());
        assert!(!soaked(&[100, 129, 130]).grew());
        assert!(soaked(&[100, 129, 164]).grew());
        assert!(!soaked(&[2, 9]).grew());
    }
}
