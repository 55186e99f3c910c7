//! How long a loop sleeps.
//!
//! The kernel never wakes a thread before the instant it asked for, and always some time after it: tens of microseconds
//! on a virtual machine. So the loop asks for an earlier instant, by as much as it has learnt to expect, but sleeps
//! through half of each wait at least. One wake in four is then early, and what is left of it is spent asking for
//! events without sleeping.

/// The most that a loop asks to be woken early, and so the longest that it may be busy with waiting. A machine that
/// wakes threads later has other work for this CPU.
const EARLY_MAX_NS: u64 = 50_000;

/// How far one wake moves what is expected of the next: three times as far down as up, so that it settles where one
/// wake in four is early (stochastic approximation of a quantile, Robbins and Monro 1951).
const STEP_UP_NS: u64 = 200;
const STEP_DOWN_NS: u64 = 3 * STEP_UP_NS;

/// When to wake, and what the kernel makes of it.
#[derive(Debug)]
pub struct Pace {
    spins: bool,
    early_ns: u64,
    asked_ns: Option<u64>,
    /// What was due after the last sleep: the little that is left of the same wait is not slept through.
    slept_for_ns: Option<u64>,
}

impl Pace {
    /// One that knows nothing of this machine yet; `spins` has it never sleep.
    pub fn new(spins: bool) -> Self {
        Self { spins, early_ns: 0, asked_ns: None, slept_for_ns: None }
    }

    /// How long to wait for events where something is due at `due_ns`; `None`: until there is one.
    #[inline]
    pub fn wait_ns(&mut self, due_ns: Option<u64>, now_ns: u64) -> Option<u64> {
        if self.spins {
            return Some(0);
        }
        let due_ns = due_ns?;
        let gap_ns = due_ns.saturating_sub(now_ns);
        if gap_ns == 0 || self.slept_for_ns.replace(due_ns) == Some(due_ns) && gap_ns <= self.early_ns {
            return Some(0);
        }
        let wait_ns = gap_ns - self.early_ns.min(gap_ns / 2);
        self.asked_ns = Some(now_ns + wait_ns);
        Some(wait_ns)
    }

    /// Learns from a wait that ended at `woke_ns`; one that an event ended says nothing.
    #[inline]
    pub fn woke(&mut self, by_event: bool, woke_ns: u64) {
        let Some(asked_ns) = self.asked_ns.take().filter(|_| !by_event) else { return };
        self.early_ns = if woke_ns.saturating_sub(asked_ns) > self.early_ns {
            (self.early_ns + STEP_UP_NS).min(EARLY_MAX_NS)
        } else {
            self.early_ns.saturating_sub(STEP_DOWN_NS)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wakes with these latenesses in turn; how often the loop woke early.
    fn early_wakes(pace: &mut Pace, lateness_ns: impl Fn(u64) -> u64, wakes: u64) -> u64 {
        let mut is_early = |wake| {
            let due_ns = (wake + 1) * 1_000_000;
            let wait_ns = pace.wait_ns(Some(due_ns), due_ns - 1_000_000).unwrap();
            let woke_ns = due_ns - 1_000_000 + wait_ns + lateness_ns(wake);
            pace.woke(false, woke_ns);
            woke_ns < due_ns
        };
        (0..wakes).filter(|wake| is_early(*wake)).count() as u64
    }

    #[test]
    fn one_wake_in_four_is_early_once_the_machine_is_known() {
        let mut pace = Pace::new(false);
        // Between 10 and 30 us, all equally often.
        let lateness_ns = |wake| 10_000 + wake * 7_919 % 20_000;
        early_wakes(&mut pace, lateness_ns, 1000);
        let early = early_wakes(&mut pace, lateness_ns, 10_000);
        assert!((2_300..=2_700).contains(&early), "{early}");
    }

    #[test]
    fn a_machine_that_wakes_late_is_not_made_busy_with_waiting() {
        let mut pace = Pace::new(false);
        assert_eq!(early_wakes(&mut pace, |_| 5_000_000, 1000), 0);
        assert_eq!(pace.wait_ns(Some(1_000_000), 0), Some(1_000_000 - EARLY_MAX_NS));
    }

    #[test]
    fn a_wait_that_an_event_ends_teaches_nothing() {
        let mut pace = Pace::new(false);
        early_wakes(&mut pace, |_| 20_000, 1000);
        let wait_ns = pace.wait_ns(Some(1_000_000), 0);
        assert!(wait_ns < Some(1_000_000 - 15_000), "{wait_ns:?}");
        pace.woke(true, 1_000);
        assert_eq!(pace.wait_ns(Some(1_000_000), 0), wait_ns);
    }

    #[test]
    fn half_of_a_short_wait_is_slept_through() {
        let mut pace = Pace::new(false);
        early_wakes(&mut pace, |_| 5_000_000, 1000);
        assert_eq!(pace.wait_ns(Some(10_000), 0), Some(5_000));
        pace.woke(false, 8_000);
        assert_eq!(pace.wait_ns(Some(10_000), 8_000), Some(0));
    }

    #[test]
    fn nothing_due_is_an_endless_wait_unless_it_spins() {
        assert_eq!(Pace::new(false).wait_ns(None, 0), None);
        assert_eq!(Pace::new(true).wait_ns(None, 0), Some(0));
    }
}
