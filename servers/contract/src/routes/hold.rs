//! `hold`: keeps its handler for a while and asks no store. Among other requests it is the slow one, and what it does to
//! them is the stack's.

use std::time::Duration;

use crate::{
    answer::Answer,
    store::{AsyncStore, Store},
};

/// For how long: so many times a usual request that nobody behind it can miss it, and short enough to be usual itself.
pub const HOLD: Duration = Duration::from_millis(50);

pub(super) fn hold<S: Store>(store: &mut S) -> Answer {
    store.hold(HOLD);
    Answer::OK
}

pub(super) async fn hold_async<S: AsyncStore>(store: &S) -> Answer {
    store.hold(HOLD).await;
    Answer::OK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::Key,
        store::{Lookup, StoreError},
    };

    /// Has no store to ask, and keeps account of the holds.
    struct Ledger(Vec<Duration>);

    impl Store for Ledger {
        fn get(&mut self, _: Key) -> Result<Lookup, StoreError> {
            panic!("a hold asks no store");
        }

        fn set(&mut self, _: Key, _: &'static [u8]) -> Result<(), StoreError> {
            panic!("a hold asks no store");
        }

        fn hold(&mut self, time: Duration) {
            self.0.push(time);
        }
    }

    #[test]
    fn a_hold_is_one_wait_and_no_command() {
        let mut ledger = Ledger(Vec::new());
        assert_eq!(hold(&mut ledger), Answer::OK);
        assert_eq!(ledger.0, [HOLD]);
    }
}
