//! The blocking store, on threads of its own.

use std::{
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread,
};

use anyhow::{Context as _, Result};
use stack_contract::{AsyncStore, Lookup, Store, StoreError, keys::Key};
use stack_redis_store::{BlockingStore, Target};
use stack_resp::{Command, Outcome, Reply};
use stack_threads::{Queue, Sleeper};

use crate::slots::{Slot, Slots};

/// Threads that block, each with a blocking connection of its own: the bridge of `/sync`, the same under every runtime.
#[derive(Debug, Clone, Copy)]
pub struct BlockingPool(&'static Shared);

#[derive(Debug, Default)]
struct Shared {
    queue: Queue<(Command, Slot)>,
    slots: Mutex<Slots>,
}

impl BlockingPool {
    /// Starts so many threads, for the rest of the program's life. Nothing is connected before the first command.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(target: &Target, threads: u32) -> Result<Self> {
        let shared: &'static Shared = Box::leak(Box::default());
        for number in 0..threads {
            let store = BlockingStore::new(target.clone());
            // Detached: a thread that is stuck in a store command must not hold up the exit.
            let name = format!("pool-{number}");
            thread::Builder::new()
                .name(name)
                .spawn(move || shared.work(store))
                .context("cannot start a thread of the pool")?;
        }
        Ok(Self(shared))
    }
}

impl Shared {
    fn work(&self, mut store: BlockingStore) -> ! {
        let sleeper = Sleeper::current();
        loop {
            let (command, slot) = self.queue.take(&sleeper);
            let outcome = match command {
                Command::Get(key) => store.get(key).map(|lookup| match lookup {
                    Lookup::Hit => Reply::Hit,
                    Lookup::Miss => Reply::Miss,
                }),
                Command::Set(key, value) => store.set(key, value).map(|()| Reply::Written),
            };
            let waker = self.slots().fill(slot, outcome);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Nothing panics with the lock held.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncStore for BlockingPool {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        Request { shared: self.0, stage: Stage::New(Command::Get(key)) }.await?.looked_up()
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        Request { shared: self.0, stage: Stage::New(Command::Set(key, value)) }.await?.written()
    }
}

/// One command on its way.
struct Request {
    shared: &'static Shared,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    New(Command),
    Waiting(Slot),
    Done,
}

impl Future for Request {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match self.stage {
            Stage::New(command) => {
                let slot = self.shared.slots().take(context);
                self.stage = Stage::Waiting(slot);
                self.shared.queue.push_one((command, slot));
                Poll::Pending
            }
            Stage::Waiting(slot) => {
                let outcome = self.shared.slots().poll(slot, context);
                if outcome.is_ready() {
                    self.stage = Stage::Done;
                }
                outcome
            }
            Stage::Done => Poll::Pending,
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Stage::Waiting(slot) = self.stage {
            self.shared.slots().abandon(slot);
        }
    }
}
