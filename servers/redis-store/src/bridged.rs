//! The blocking client behind an asynchronous store: each command runs on one of the runtime's blocking threads.

use std::{cell::RefCell, thread, time::Duration};

use stack_contract::{AsyncStore, Lookup, Store, StoreError, keys::Key};

use crate::{BlockingStore, Target, runtime::Runtime};

thread_local! {
    static STORE: RefCell<Option<BlockingStore>> = const { RefCell::new(None) };
}

/// A runtime's blocking threads, each with a store connection of its own. The runtime bounds their number.
#[derive(Debug, Clone)]
pub struct BridgedStore<R> {
    runtime: R,
    // For the rest of the program's life: only a thread's first command needs a copy.
    target: &'static Target,
}

impl<R: Runtime> BridgedStore<R> {
    /// Nothing is connected before the first command.
    pub fn new(runtime: R, target: Target) -> Self {
        Self { runtime, target: Box::leak(Box::new(target)) }
    }

    /// Its future borrows nothing, see [`Runtime::unblock`].
    fn run<A: Send + 'static, T: Send + 'static>(
        &self,
        command: fn(&mut BlockingStore, A) -> Result<T, StoreError>,
        arguments: A,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<R, A, T> {
        let target = self.target;
        let done = self.runtime.unblock(move || {
            STORE.with_borrow_mut(|store| {
                command(store.get_or_insert_with(|| BlockingStore::new(target.clone())), arguments)
            })
        });
        async { done.await.unwrap_or(Err(StoreError::Lost)) }
    }
}

impl<R: Runtime> AsyncStore for BridgedStore<R> {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        self.run(|store, key| store.get(key), key).await
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        self.run(|store, (key, value)| store.set(key, value), (key, value)).await
    }

    async fn hold(&self, time: Duration) {
        // `None`: the runtime is going down, and nobody is left to wait for.
        let _ = self.runtime.unblock(move || thread::sleep(time)).await;
    }
}
