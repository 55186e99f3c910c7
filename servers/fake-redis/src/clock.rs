//! The two clocks: a monotonic one for delays, the calendar's for expiry.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the server started: half the size of an `Instant`, and ordered by one comparison.
pub type Nanos = u64;

/// The monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub fn now(self) -> Nanos {
        // 584 years fit.
        self.start.elapsed().as_nanos() as Nanos
    }
}

/// Milliseconds since 1970: the unit in which Redis keeps expiry.
pub fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
