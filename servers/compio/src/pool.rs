//! Threads that block on the store, for `/sync`.
//!
//! compio has threads for blocking work too, but a task that finds all of them busy makes its whole worker spin until one
//! is free. Here the commands wait in a queue instead.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Poll, Waker},
    thread,
};

use anyhow::{Context, Result};
use stack_contract::{AsyncStore, Lookup, Store, StoreError, keys::Key};
use stack_redis_store::BlockingStore;
use stack_resp::{Command, Outcome, Reply, Target};

/// `--pool` threads, each with a store connection of its own.
#[derive(Debug, Clone)]
pub struct BlockingPool(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    filled: Condvar,
}

#[derive(Debug)]
struct Job {
    command: Command,
    letter: Arc<Mutex<Letter>>,
}

/// What a request waits for.
#[derive(Debug, Default)]
struct Letter {
    outcome: Option<Outcome>,
    reader: Option<Waker>,
}

impl BlockingPool {
    /// Starts the threads, for the rest of the program's life. Nothing is connected before the first command.
    pub fn start(threads: u32, target: &Target) -> Result<Self> {
        let queue = Arc::new(Queue::default());
        for _ in 0..threads {
            let (queue, store) = (Arc::clone(&queue), BlockingStore::new(target.clone()));
            let work = move || queue.work(store);
            thread::Builder::new().name("blocking".into()).spawn(work).context("cannot start a thread for --pool")?;
        }
        Ok(Self(queue))
    }

    async fn ask(&self, command: Command) -> Outcome {
        let letter = Arc::new(Mutex::new(Letter::default()));
        self.0.put(Job { command, letter: Arc::clone(&letter) });
        poll_fn(|context| {
            let mut letter = letter.lock().unwrap_or_else(PoisonError::into_inner);
            match letter.outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    letter.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Queue {
    fn put(&self, job: Job) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
        self.filled.notify_one();
    }

    fn take(&self) -> Job {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match jobs.pop_front() {
                Some(job) => return job,
                None => jobs = self.filled.wait(jobs).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn work(&self, mut store: BlockingStore) -> ! {
        loop {
            let Job { command, letter } = self.take();
            let outcome = match command {
                Command::Get(key) => store.get(key).map(|found| match found {
                    Lookup::Hit => Reply::Hit,
                    Lookup::Miss => Reply::Miss,
                }),
                Command::Set(key, value) => store.set(key, value).map(|()| Reply::Written),
            };
            let mut letter = letter.lock().unwrap_or_else(PoisonError::into_inner);
            letter.outcome = Some(outcome);
            let reader = letter.reader.take();
            drop(letter);
            reader.into_iter().for_each(Waker::wake);
        }
    }
}

impl AsyncStore for BlockingPool {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        self.ask(Command::Get(key)).await?.looked_up()
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        self.ask(Command::Set(key, value)).await?.written()
    }
}
