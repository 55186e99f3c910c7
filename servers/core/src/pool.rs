//! The blocking store, on threads of its own.

use std::{
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread,
    time::Duration,
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
    queue: Queue<(Job, Slot)>,
    slots: Mutex<Slots>,
}

/// What a thread is to do.
#[derive(Debug, Clone, Copy)]
enum Job {
    Command(Command),
    Hold(Duration),
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
            let (job, slot) = self.queue.take(&sleeper);
            let outcome = job.run(&mut store);
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

impl Job {
    fn run(self, store: &mut BlockingStore) -> Outcome {
        match self {
            Self::Command(Command::Get(key)) => store.get(key).map(|lookup| match lookup {
                Lookup::Hit => Reply::Hit,
                Lookup::Miss => Reply::Miss,
            }),
            Self::Command(Command::Set(key, value)) => store.set(key, value).map(|()| Reply::Written),
            Self::Hold(time) => {
                store.hold(time);
                // Of no meaning; only that it comes.
                Ok(Reply::Written)
            }
        }
    }
}

impl BlockingPool {
    fn request(&self, job: Job) -> Request {
        Request { shared: self.0, stage: Stage::New(job) }
    }
}

impl AsyncStore for BlockingPool {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        self.request(Job::Command(Command::Get(key))).await?.looked_up()
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        self.request(Job::Command(Command::Set(key, value))).await?.written()
    }

    async fn hold(&self, time: Duration) {
        let _ = self.request(Job::Hold(time)).await;
    }
}

/// One job on its way.
struct Request {
    shared: &'static Shared,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    New(Job),
    Waiting(Slot),
    Done,
}

impl Future for Request {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match self.stage {
            Stage::New(job) => {
                let slot = self.shared.slots().take(context);
                self.stage = Stage::Waiting(slot);
                self.shared.queue.push_one((job, slot));
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
