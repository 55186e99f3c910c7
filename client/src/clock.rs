//! The one clock of a run: monotonic nanoseconds.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::units::NS_PER_S;

/// Now, in nanoseconds of the monotonic clock.
#[inline]
pub fn now_ns() -> u64 {
    to_ns(clock_gettime(ClockId::Monotonic))
}

/// CPU time of the calling thread, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    to_ns(clock_gettime(ClockId::ThreadCPUTime))
}

/// Wall-clock time in microseconds since the Unix epoch.
pub fn unix_us() -> u64 {
    to_ns(clock_gettime(ClockId::Realtime)) / 1000
}

/// A span as the kernel takes it.
pub fn timespec(span_ns: u64) -> Timespec {
    Timespec { tv_sec: (span_ns / NS_PER_S) as i64, tv_nsec: (span_ns % NS_PER_S) as i64 }
}

fn to_ns(time: Timespec) -> u64 {
    time.tv_sec as u64 * NS_PER_S + time.tv_nsec as u64
}
