//! `/sync`: each operation runs on one of the threads that may block, and its answer comes back through a mailbox that
//! wakes the loop.

use std::{thread, time::Instant};

use anyhow::{Context, Result};
use rustix::event::epoll::EventFlags;
use stack_contract::{Answer, Mode, Operation};
use stack_event_loop::{Begun, Mailbox, Registry, Service, Ticket};
use stack_redis_store::{BlockingStore, Target};
use stack_threads::{Queue, Sleeper};

/// What the mailbox is called in the loop. The other service counts its names from below.
const MAILBOX: u32 = u32::MAX;

/// The threads that may block, each with a store connection of its own. All workers share them.
#[derive(Clone, Copy)]
pub struct Pool(&'static Queue<Job>);

struct Job {
    operation: Operation,
    ticket: Ticket,
    done: &'static Mailbox<(Ticket, Answer)>,
}

impl Pool {
    /// Starts so many threads. They run as long as the program: one that is stuck in a store command must not hold up
    /// its exit.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(threads: u32, target: &Target) -> Result<Self> {
        let queue: &'static Queue<Job> = Box::leak(Box::default());
        for number in 0..threads {
            let mut store = BlockingStore::new(target.clone());
            let run = move || {
                let sleeper = Sleeper::current();
                loop {
                    let Job { operation, ticket, done } = queue.take(&sleeper);
                    done.put((ticket, operation.run(&mut store)));
                }
            };
            let name = format!("pool-{number}");
            thread::Builder::new().name(name).spawn(run).context("cannot start a thread of the pool")?;
        }
        Ok(Self(queue))
    }
}

/// A service for `/async`, with `/sync` bridged to the pool.
pub struct Bridged<A> {
    asynchronous: A,
    pool: Pool,
    done: &'static Mailbox<(Ticket, Answer)>,
    /// Jobs of one turn of the loop, which are queued together.
    jobs: Vec<Job>,
    /// Answers taken from the mailbox and not yet by the loop.
    answers: Vec<(Ticket, Answer)>,
}

impl<A> Bridged<A> {
    /// For one worker.
    ///
    /// # Errors
    /// When the system refuses the mailbox.
    pub fn new(registry: &Registry, asynchronous: A, pool: Pool) -> Result<Self> {
        // The threads of the pool may come back to it at any time.
        let done: &'static _ = Box::leak(Box::new(Mailbox::new()?));
        registry.add(done.filled(), MAILBOX, EventFlags::IN)?;
        Ok(Self { asynchronous, pool, done, jobs: Vec::new(), answers: Vec::new() })
    }
}

impl<A: Service> Service for Bridged<A> {
    fn begin(&mut self, mode: Mode, operation: Operation, ticket: Ticket) -> Begun {
        match mode {
            Mode::Async => self.asynchronous.begin(mode, operation, ticket),
            Mode::Sync => {
                self.jobs.push(Job { operation, ticket, done: self.done });
                Begun::Later
            }
        }
    }

    fn begin_turn(&mut self, now: Instant) {
        self.asynchronous.begin_turn(now);
    }

    fn ready(&mut self, name: u32, flags: EventFlags) {
        match name {
            // What is left over from the turn before comes first; the mailbox is reported again.
            MAILBOX if !self.answers.is_empty() => {}
            MAILBOX => self.done.take(&mut self.answers),
            name => self.asynchronous.ready(name, flags),
        }
    }

    fn after_events(&mut self) {
        self.asynchronous.after_events();
    }

    fn next_answer(&mut self) -> Option<(Ticket, Answer)> {
        // Each is of another connection, so their order is of no matter.
        self.answers.pop().or_else(|| self.asynchronous.next_answer())
    }

    fn end_turn(&mut self) {
        self.pool.0.push(&mut self.jobs);
        self.asynchronous.end_turn();
    }

    fn wake_at(&self) -> Option<Instant> {
        self.asynchronous.wake_at()
    }
}
