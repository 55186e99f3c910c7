//! The queue between the dispatcher and the pool.
//!
//! First in, first out for connections; last in, first out for threads: of thousands that sleep, the one that slept
//! shortest has its stack and its store connection in the caches still. A thread without work sleeps at once, as
//! spinning would take the CPU from those that have some.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
};

use crate::table::Token;

/// Connections that wait for a thread, or threads that wait for a connection.
#[derive(Debug, Default)]
pub struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    tokens: VecDeque<Token>,
    /// Threads that sleep; the last one is woken first.
    sleepers: Vec<Arc<Sleeper>>,
}

/// A thread that takes from the queue.
#[derive(Debug)]
pub struct Sleeper {
    thread: Thread,
    /// Set to wake it: a thread may also return from `park` for no reason.
    called: AtomicBool,
}

impl Sleeper {
    /// The calling thread.
    pub fn current() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), called: AtomicBool::new(false) })
    }

    fn sleep(&self) {
        while !self.called.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }

    fn wake(&self) {
        self.called.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Queue {
    /// Adds connections, all under one lock, and wakes a thread for each, as long as there are any. Leaves `tokens`
    /// empty.
    pub fn push(&self, tokens: &mut Vec<Token>) {
        if tokens.is_empty() {
            return;
        }
        let woken = {
            let mut state = self.state();
            let awake = state.sleepers.len().saturating_sub(tokens.len());
            state.tokens.extend(tokens.drain(..));
            state.sleepers.split_off(awake)
        };
        // Each is a system call, so not with the lock held.
        woken.iter().rev().for_each(|sleeper| sleeper.wake());
    }

    /// Puts a connection behind all others. Wakes nobody, because whoever calls this takes the first one right after.
    pub fn put_back(&self, token: Token) {
        self.state().tokens.push_back(token);
    }

    /// The first connection; sleeps until there is one.
    pub fn take(&self, sleeper: &Arc<Sleeper>) -> Token {
        let mut state = self.state();
        loop {
            if let Some(token) = state.tokens.pop_front() {
                return token;
            }
            state.sleepers.push(Arc::clone(sleeper));
            drop(state);
            sleeper.sleep();
            // Another thread may have been quicker.
            state = self.state();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics with the lock held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        time::{Duration, Instant},
    };

    use super::*;

    /// Only a failing test waits that long.
    const DEADLINE: Duration = Duration::from_secs(10);

    /// Starts a thread that takes `count` tokens and reports each with its own name.
    fn taker(
        queue: &Arc<Queue>,
        name: usize,
        count: usize,
        taken: &mpsc::Sender<(usize, Token)>,
    ) -> thread::JoinHandle<()> {
        let (queue, taken) = (Arc::clone(queue), taken.clone());
        thread::spawn(move || {
            let sleeper = Sleeper::current();
            for _ in 0..count {
                taken.send((name, queue.take(&sleeper))).unwrap();
            }
        })
    }

    fn until_asleep(queue: &Queue, threads: usize) {
        let start = Instant::now();
        while queue.state().sleepers.len() < threads {
            assert!(start.elapsed() < DEADLINE, "never asleep");
            thread::yield_now();
        }
    }

    #[test]
    fn connections_are_taken_in_the_order_they_came_in() {
        let (queue, sleeper) = (Queue::default(), Sleeper::current());
        queue.push(&mut vec![1, 2, 3]);
        assert_eq!(queue.take(&sleeper), 1);
        queue.put_back(1);
        assert_eq!([queue.take(&sleeper), queue.take(&sleeper), queue.take(&sleeper)], [2, 3, 1]);
    }

    #[test]
    fn the_thread_that_slept_shortest_is_woken_first() {
        let queue = Arc::new(Queue::default());
        let (sender, taken) = mpsc::channel();
        for name in 0..3 {
            taker(&queue, name, 1, &sender);
            until_asleep(&queue, name + 1);
        }
        for name in (0..3).rev() {
            queue.push(&mut vec![7]);
            assert_eq!(taken.recv_timeout(DEADLINE), Ok((name, 7)));
        }
    }

    #[test]
    fn a_batch_wakes_as_many_threads_as_it_has_connections() {
        let queue = Arc::new(Queue::default());
        let (sender, taken) = mpsc::channel();
        for name in 0..4 {
            taker(&queue, name, 1, &sender);
        }
        until_asleep(&queue, 4);
        let mut batch = vec![1, 2, 3];
        queue.push(&mut batch);
        assert!(batch.is_empty());
        let mut tokens: Vec<_> = (0..3).map(|_| taken.recv_timeout(DEADLINE).unwrap().1).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, [1, 2, 3]);
        assert_eq!(queue.state().sleepers.len(), 1);
    }

    #[test]
    fn nothing_is_lost_or_taken_twice_by_many_threads() {
        const THREADS: usize = 8;
        const EACH: usize = 1000;
        let queue = Arc::new(Queue::default());
        let (sender, taken) = mpsc::channel();
        let threads: Vec<_> = (0..THREADS).map(|name| taker(&queue, name, EACH, &sender)).collect();
        for batch in (0..(THREADS * EACH) as Token).collect::<Vec<_>>().chunks(7) {
            queue.push(&mut batch.to_vec());
        }
        let mut tokens: Vec<_> = (0..THREADS * EACH).map(|_| taken.recv_timeout(DEADLINE).unwrap().1).collect();
        tokens.sort_unstable();
        assert!(tokens.into_iter().eq(0..(THREADS * EACH) as Token));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
