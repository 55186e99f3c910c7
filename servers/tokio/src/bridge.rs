//! The blocking client in an async server: each command runs on one of tokio's blocking threads.

use std::cell::RefCell;

use stack_contract::{AsyncStore, Lookup, Store, StoreError, keys::Key};
use stack_redis_store::{BlockingStore, Target};
use tokio::task;

thread_local! {
    static STORE: RefCell<Option<BlockingStore>> = const { RefCell::new(None) };
}

/// tokio's blocking threads, each with a store connection of its own. The runtime bounds their number.
#[derive(Debug)]
pub struct BlockingThreads {
    // For the rest of the program's life: only a thread's first command needs a copy.
    target: &'static Target,
}

impl BlockingThreads {
    pub fn new(target: Target) -> Self {
        Self { target: Box::leak(Box::new(target)) }
    }

    async fn run<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut BlockingStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let target = self.target;
        let on_thread = move || {
            STORE.with_borrow_mut(|store| command(store.get_or_insert_with(|| BlockingStore::new(target.clone()))))
        };
        // Fails only if the command panicked or the runtime is going down.
        task::spawn_blocking(on_thread).await.unwrap_or(Err(StoreError::Lost))
    }
}

impl AsyncStore for BlockingThreads {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        self.run(move |store| store.get(key)).await
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        self.run(move |store| store.set(key, value)).await
    }
}
