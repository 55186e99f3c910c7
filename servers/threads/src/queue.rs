//! The queue in front of a pool of threads.
//!
//! First in, first out for work; last in, first out for threads: of thousands that sleep, the one that slept shortest
//! has its stack and its store connection in the caches still. A thread without work sleeps at once, as spinning would
//! take the CPU from those that have some.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::sleeper::Sleeper;

/// Items that wait for a thread, or threads that wait for an item.
#[derive(Debug)]
pub struct Queue<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    /// Threads that sleep; the last one is woken first.
    sleepers: Vec<Arc<Sleeper>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(Mutex::new(State { items: VecDeque::new(), sleepers: Vec::new() }))
    }
}

impl<T> Queue<T> {
    /// Adds items, all under one lock, and wakes a thread for each, as long as there are any. Leaves `items` empty.
    pub fn push(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        let woken = {
            let mut state = self.state();
            let awake = state.sleepers.len().saturating_sub(items.len());
            state.items.extend(items.drain(..));
            state.sleepers.split_off(awake)
        };
        // Each is a system call, so not with the lock held.
        woken.iter().rev().for_each(|sleeper| sleeper.wake());
    }

    /// Adds one item and wakes a thread for it, if one sleeps.
    pub fn push_one(&self, item: T) {
        let woken = {
            let mut state = self.state();
            state.items.push_back(item);
            state.sleepers.pop()
        };
        if let Some(sleeper) = woken {
            sleeper.wake();
        }
    }

    /// Puts an item behind all others. Wakes nobody, because whoever calls this takes the first one right after.
    pub fn put_back(&self, item: T) {
        self.state().items.push_back(item);
    }

    /// The first item; sleeps until there is one. `sleeper` is the calling thread.
    pub fn take(&self, sleeper: &Arc<Sleeper>) -> T {
        let mut state = self.state();
        loop {
            if let Some(item) = state.items.pop_front() {
                return item;
            }
            state.sleepers.push(Arc::clone(sleeper));
            drop(state);
            sleeper.sleep();
            // Another thread may have been quicker.
            state = self.state();
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics with the lock held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    /// Only a failing test waits that long.
    const DEADLINE: Duration = Duration::from_secs(10);

    /// Starts a thread that takes `count` items and reports each with its own name.
    fn taker(
        queue: &Arc<Queue<u32>>,
        name: usize,
        count: usize,
        taken: &mpsc::Sender<(usize, u32)>,
    ) -> thread::JoinHandle<()> {
        let (queue, taken) = (Arc::clone(queue), taken.clone());
        thread::spawn(move || {
            let sleeper = Sleeper::current();
            for _ in 0..count {
                taken.send((name, queue.take(&sleeper))).unwrap();
            }
        })
    }

    fn until_asleep(queue: &Queue<u32>, threads: usize) {
        let start = Instant::now();
        while queue.state().sleepers.len() < threads {
            assert!(start.elapsed() < DEADLINE, "never asleep");
            thread::yield_now();
        }
    }

    #[test]
    fn items_are_taken_in_the_order_they_came_in() {
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
            queue.push_one(7);
            assert_eq!(taken.recv_timeout(DEADLINE), Ok((name, 7)));
        }
    }

    #[test]
    fn a_batch_wakes_as_many_threads_as_it_has_items() {
        let queue = Arc::new(Queue::default());
        let (sender, taken) = mpsc::channel();
        for name in 0..4 {
            taker(&queue, name, 1, &sender);
        }
        until_asleep(&queue, 4);
        let mut batch = vec![1, 2, 3];
        queue.push(&mut batch);
        assert!(batch.is_empty());
        let mut items: Vec<_> = (0..3).map(|_| taken.recv_timeout(DEADLINE).unwrap().1).collect();
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3]);
        assert_eq!(queue.state().sleepers.len(), 1);
    }

    #[test]
    fn nothing_is_lost_or_taken_twice_by_many_threads() {
        const THREADS: usize = 8;
        const EACH: usize = 1000;
        let queue = Arc::new(Queue::default());
        let (sender, taken) = mpsc::channel();
        let threads: Vec<_> = (0..THREADS).map(|name| taker(&queue, name, EACH, &sender)).collect();
        for batch in (0..(THREADS * EACH) as u32).collect::<Vec<_>>().chunks(7) {
            queue.push(&mut batch.to_vec());
        }
        let mut items: Vec<_> = (0..THREADS * EACH).map(|_| taken.recv_timeout(DEADLINE).unwrap().1).collect();
        items.sort_unstable();
        assert!(items.into_iter().eq(0..(THREADS * EACH) as u32));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
