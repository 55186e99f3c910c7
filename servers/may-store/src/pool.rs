//! `/sync`: a bounded number of blocking clients, shared by any number of coroutines.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use may::sync::Semphore;
use stack_contract::{Lookup, Store, StoreError, keys::Key};
use stack_redis_store::{BlockingStore, Target};

use crate::socket::Coroutines;

/// A store's connections, of which each command borrows one. A coroutine that finds none free is suspended, in the
/// order of arrival. Clones share the connections.
#[derive(Clone)]
pub struct PooledStore(Arc<Pool>);

struct Pool {
    /// The last one used is used first. Never held while a coroutine is suspended.
    #[expect(clippy::vec_box, reason = "moved out and in for each command")]
    free: Mutex<Vec<Box<BlockingStore<Coroutines>>>>,
    /// How many are free.
    count: Semphore,
}

impl PooledStore {
    /// A pool of `size` stores, none of which is connected yet.
    #[must_use]
    pub fn new(target: &Target, size: u32) -> Self {
        let free = (0..size).map(|_| Box::new(BlockingStore::with_connector(target.clone(), Coroutines))).collect();
        Self(Arc::new(Pool { free: Mutex::new(free), count: Semphore::new(size as usize) }))
    }

    fn borrow(&self) -> Option<Borrowed<'_>> {
        self.0.count.wait();
        let store = self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        store.map(|store| Borrowed { store: Some(store), pool: &self.0 })
    }
}

/// A connection on loan.
struct Borrowed<'a> {
    /// There until it is given back.
    store: Option<Box<BlockingStore<Coroutines>>>,
    pool: &'a Pool,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).extend(self.store.take());
        self.pool.count.post();
    }
}

impl Store for PooledStore {
    fn get(&mut self, key: Key) -> Result<Lookup, StoreError> {
        // There is one for every permit; the fallback only spares a panic.
        let mut borrowed = self.borrow().ok_or(StoreError::Unavailable)?;
        borrowed.store.as_mut().map_or(Err(StoreError::Unavailable), |store| store.get(key))
    }

    fn set(&mut self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        let mut borrowed = self.borrow().ok_or(StoreError::Unavailable)?;
        borrowed.store.as_mut().map_or(Err(StoreError::Unavailable), |store| store.set(key, value))
    }

    fn hold(&mut self, time: Duration) {
        if let Some(store) = self.borrow().as_mut().and_then(|borrowed| borrowed.store.as_mut()) {
            store.hold(time);
        }
    }
}
