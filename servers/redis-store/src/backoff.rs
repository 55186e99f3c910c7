//! How often to try again.

use std::time::Duration;

use stack_contract::limits::STORE_BACKOFF_FIRST as FIRST;
pub(crate) use stack_contract::limits::STORE_BACKOFF_LONGEST as LONGEST;

/// Pauses that double from the first to the longest.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    /// The pause to make now.
    // It never ends, so `Option`s would only be in the way.
    #[expect(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        pause
    }

    /// After a success the next pause is the first one again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_start_over_after_a_success() {
        let mut backoff = Backoff::default();
        assert_eq!([backoff.next(), backoff.next()], [FIRST, FIRST * 2]);
        for _ in 0..20 {
            backoff.next();
        }
        assert_eq!(backoff.next(), LONGEST);
        backoff.reset();
        assert_eq!(backoff.next(), FIRST);
    }
}
