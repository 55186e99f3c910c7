//! Wakes a coroutine that has waited long enough for a socket.
//!
//! may has timeouts of its own for reads and writes. They are not used here: its timer lists are those of single
//! threads, a coroutine that is resumed by another thread takes its timer off the list from there, and the list does
//! not allow that; so the feature is off. Besides, a timer per command would have to be made and taken back, while this
//! costs one store to memory.

use std::{
    sync::{
        Arc, LazyLock, Mutex, Once, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use may::{coroutine, go, io::WaitIoWaker};

/// How often alarms are looked at; also how late one may ring.
const TICK: Duration = Duration::from_millis(25);

/// Instants are kept as nanoseconds from here.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

static ALARMS: Mutex<Vec<Weak<Setting>>> = Mutex::new(Vec::new());

static CLOCK: Once = Once::new();

/// Wakes one waiting coroutine when its time has come, which then has to look at the time itself.
#[derive(Debug)]
pub struct Alarm(Arc<Setting>);

struct Setting {
    /// Nanoseconds from the epoch; [`u64::MAX`] is never.
    at: AtomicU64,
    waker: WaitIoWaker,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Setting").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Alarm {
    /// An alarm that is not set, for the coroutine that this wakes.
    #[must_use]
    pub fn new(waker: WaitIoWaker) -> Self {
        // A coroutine that sleeps is resumed by the thread that may has for its timers, so the clock does not disturb
        // those that serve.
        CLOCK.call_once(|| {
            go!(|| {
                loop {
                    coroutine::sleep(TICK);
                    ring(Instant::now());
                }
            });
        });
        let setting = Arc::new(Setting { at: AtomicU64::new(u64::MAX), waker });
        ALARMS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&setting));
        Self(setting)
    }

    /// Sets it, or switches it off. It rings again and again until one of these happens.
    pub fn set(&self, at: Option<Instant>) {
        self.0.at.store(at.map_or(u64::MAX, nanoseconds), Ordering::Relaxed);
    }
}

fn nanoseconds(instant: Instant) -> u64 {
    // 2^64 ns are 584 years.
    instant.saturating_duration_since(*EPOCH).as_nanos() as u64
}

/// Wakes all whose time has come, and forgets the alarms that are gone.
fn ring(now: Instant) {
    let now = nanoseconds(now);
    ALARMS.lock().unwrap_or_else(PoisonError::into_inner).retain(|alarm| {
        let Some(alarm) = alarm.upgrade() else { return false };
        if alarm.at.load(Ordering::Relaxed) <= now {
            alarm.waker.wakeup();
        }
        true
    });
}
