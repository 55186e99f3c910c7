//! The soak: a server's memory after many requests and many connections that come and go.
//!
//! Memory may grow until caches, pools and allocators have what the load needs. What it may not do is to go on growing
//! under a load that stays the same: a second part of the load must leave it about where the first one did, and if it
//! does not, one of the further parts must.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Target;
use super::probe::{Probe, expect_ok, get, request_with};

/// Requests of one part, and connections of one part that come and go beside them.
pub const REQUESTS: usize = 100_000;
/// See [`REQUESTS`].
pub const CONNECTIONS: usize = 10_000;
/// Clients at work at once.
const CLIENTS: usize = 32;
/// Requests in one write.
const DEPTH: usize = 8;
/// Answered requests between two of a client's short connections: as many of these as [`CONNECTIONS`] wants.
const REQUESTS_PER_CONNECTION: usize = REQUESTS / CONNECTIONS;
/// Parts at most. What happens to grow, a cache or an allocator's stock, comes to rest before; a leak does not.
pub(super) const PARTS: usize = 5;
/// By how much more memory may differ after a part and still be called the same: a fiftieth, and about twenty bytes for
/// each request of the part. Servers that leak nothing were seen to differ by half a MiB.
const REST_SHARE: u64 = 50;
const REST_BYTES: u64 = 2 * 1024 * 1024;
/// A growth that never came to rest must at least have slowed down, to less than this part of the second growth.
const SLOWER: u64 = 2;
/// Far more than a soak takes; it is there to end one that hangs.
const AT_MOST: Duration = Duration::from_secs(600);

/// What a server held, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soaked {
    /// Before the first request.
    pub at_start: u64,
    /// After each part: two, and more while memory grows, up to five.
    pub after: Vec<u64>,
}

impl Soaked {
    /// Whether memory went on growing under a load that stayed the same.
    pub fn grew(&self) -> bool {
        let growth = |parts: &[u64]| parts[1].saturating_sub(parts[0]);
        let growths: Vec<u64> = self.after.windows(2).map(growth).collect();
        // The first one may hold what the first part of the load was too short for.
        self.is_growing() && growths.last().copied() >= growths.get(1).map(|second| second / SLOWER)
    }

    /// Whether the last part left more than the one before it.
    fn is_growing(&self) -> bool {
        let differ = |parts: &[u64]| parts[1] > parts[0] + parts[0] / REST_SHARE + REST_BYTES;
        self.after.windows(2).last().is_none_or(differ)
    }
}

/// Soaks a server. Every answer must be the usual 200.
///
/// # Errors
/// What the server answered instead, or that its memory cannot be read.
pub fn soak(target: &Target, rss_bytes: &dyn Fn() -> Result<u64>) -> Result<Soaked> {
    soak_with(target, rss_bytes, REQUESTS)
}

pub(super) fn soak_with(target: &Target, rss_bytes: &dyn Fn() -> Result<u64>, requests: usize) -> Result<Soaked> {
    let probe = Probe::new(target, AT_MOST);
    let mut soaked = Soaked { at_start: rss_bytes()?, after: Vec::new() };
    while soaked.after.len() < 2 || (soaked.after.len() < PARTS && soaked.is_growing()) {
        part(&probe, requests)?;
        soaked.after.push(rss_bytes()?);
    }
    Ok(soaked)
}

fn part(probe: &Probe, requests: usize) -> Result<()> {
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

    fn soaked(after: &[u64]) -> Soaked {
        Soaked { at_start: MIB, after: after.iter().map(|mib| mib * MIB).collect() }
    }

    #[test]
    fn a_server_that_comes_to_rest_has_not_grown() {
        assert!(!soaked(&[10, 11]).grew());
        assert!(!soaked(&[100, 103]).grew(), "a fiftieth of a large one is its noise");
        assert!(!soaked(&[10, 40, 41]).grew(), "a cache was filled late");
        assert!(!soaked(&[10, 30, 40, 45, 48]).grew(), "it slows down");
        assert!(!soaked(&[10, 20, 15]).grew());
    }

    #[test]
    fn a_small_leak_is_one_that_goes_on() {
        assert!(soaked(&[10, 13, 16, 19, 22]).grew(), "thirty bytes for each request");
        assert!(soaked(&[100, 150, 200, 250, 300]).grew());
        assert!(soaked(&[10, 60, 80, 100, 120]).grew(), "whatever it began with");
        assert!(soaked(&[10, 13]).is_growing() && !soaked(&[10, 13, 16, 19, 20]).is_growing());
    }
}
