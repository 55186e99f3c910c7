//! `cache_hit` and `cache_set`: one command, one answer.

use crate::{
    answer::Answer,
    keys::{self, VALUE},
    store::{AsyncStore, Lookup, Store, StoreError},
};

pub(super) fn hit<S: Store>(store: &mut S) -> Answer {
    found(store.get(keys::draw()))
}

pub(super) async fn hit_async<S: AsyncStore>(store: &S) -> Answer {
    found(store.get(keys::draw()).await)
}

pub(super) fn set<S: Store>(store: &mut S) -> Answer {
    written(store.set(keys::draw(), VALUE))
}

pub(super) async fn set_async<S: AsyncStore>(store: &S) -> Answer {
    written(store.set(keys::draw(), VALUE).await)
}

fn found(result: Result<Lookup, StoreError>) -> Answer {
    match result {
        Ok(Lookup::Hit) => Answer::OK,
        Ok(Lookup::Miss) => Answer::NO_SUCH_KEY,
        Err(error) => error.into(),
    }
}

fn written(result: Result<(), StoreError>) -> Answer {
    result.map_or_else(Answer::from, |()| Answer::OK)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::keys::Key;

    struct Fixed(Result<Lookup, StoreError>);

    impl Store for Fixed {
        fn get(&mut self, key: Key) -> Result<Lookup, StoreError> {
            assert!(key.as_bytes().starts_with(b"cache:"));
            self.0
        }

        fn set(&mut self, _key: Key, value: &'static [u8]) -> Result<(), StoreError> {
            assert_eq!(value.len(), 1024);
            self.0.map(|_| ())
        }

        fn hold(&mut self, _: Duration) {
            panic!("a cache route does not hold");
        }
    }

    #[test]
    fn what_the_store_says_decides_the_status() {
        for (result, on_hit, on_set) in [
            (Ok(Lookup::Hit), 200, 200),
            (Ok(Lookup::Miss), 404, 200),
            (Err(StoreError::Unavailable), 503, 503),
            (Err(StoreError::Refused), 503, 503),
        ] {
            assert_eq!(hit(&mut Fixed(result)).status, on_hit);
            assert_eq!(set(&mut Fixed(result)).status, on_set);
        }
    }
}
