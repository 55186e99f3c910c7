//! The two clocks: a monotonic one for delays, the calendar's for expiry.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the kernel's monotonic clock: half the size of an `Instant`, ordered by one comparison, and what a
/// timer takes.
pub type Nanos = u64;

/// The monotonic clock.
pub fn now() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as Nanos * 1_000_000_000 + time.tv_nsec as Nanos
}

/// Milliseconds since 1970: the unit in which Redis keeps expiry.
pub fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
