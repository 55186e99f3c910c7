//! Things that are lent, in the order in which they are asked for.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stack_threads::Sleeper;

/// Fewer things than threads that want one. What is given back goes straight to the thread that waited longest, so that
/// no other one, which happens to be awake, can be quicker.
#[derive(Debug)]
pub struct Lender<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    /// The last one that was given back is lent first: it is in the caches still.
    idle: Vec<T>,
    waiting: VecDeque<Arc<Seat<T>>>,
}

/// Where a thread waits.
#[derive(Debug)]
pub struct Seat<T> {
    sleeper: Arc<Sleeper>,
    handed: Mutex<Option<T>>,
}

impl<T> Seat<T> {
    /// The calling thread's.
    pub fn current() -> Arc<Self> {
        Arc::new(Self { sleeper: Sleeper::current(), handed: Mutex::new(None) })
    }

    fn hand(&self, thing: T) {
        *lock(&self.handed) = Some(thing);
        self.sleeper.wake();
    }

    fn wait(&self) -> T {
        loop {
            self.sleeper.sleep();
            if let Some(thing) = lock(&self.handed).take() {
                return thing;
            }
        }
    }
}

impl<T> Lender<T> {
    /// Lends these.
    pub fn new(things: Vec<T>) -> Self {
        Self(Mutex::new(State { idle: things, waiting: VecDeque::new() }))
    }

    /// Uses one; sleeps until it is this thread's turn. One that is being used when its user panics is not seen again.
    pub fn lend<R>(&self, seat: &Arc<Seat<T>>, act: impl FnOnce(&mut T) -> R) -> R {
        let mut thing = self.take(seat);
        let result = act(&mut thing);
        self.give_back(thing);
        result
    }

    fn take(&self, seat: &Arc<Seat<T>>) -> T {
        {
            let mut state = lock(&self.0);
            // While there are idle ones, nobody waits.
            if let Some(thing) = state.idle.pop() {
                return thing;
            }
            state.waiting.push_back(Arc::clone(seat));
        }
        seat.wait()
    }

    fn give_back(&self, thing: T) {
        let next = {
            let mut state = lock(&self.0);
            match state.waiting.pop_front() {
                Some(seat) => seat,
                None => return state.idle.push(thing),
            }
        };
        // A system call, so not with the lock held.
        next.hand(thing);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics with a lock held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    /// Only a failing test waits that long.
    const DEADLINE: Duration = Duration::from_secs(10);

    fn until_waiting(lender: &Lender<u32>, threads: usize) {
        let start = Instant::now();
        while lock(&lender.0).waiting.len() < threads {
            assert!(start.elapsed() < DEADLINE, "never waiting");
            thread::yield_now();
        }
    }

    #[test]
    fn what_is_idle_is_lent_at_once_and_the_last_one_given_back_first() {
        let (lender, seat) = (Lender::new(vec![1, 2]), Seat::current());
        assert_eq!(lender.lend(&seat, |outer| (*outer, lender.lend(&seat, |inner| *inner))), (2, 1));
        assert_eq!(lender.lend(&seat, |thing| *thing), 2);
    }

    #[test]
    fn those_who_wait_are_served_in_the_order_they_came() {
        let lender = Arc::new(Lender::new(vec![7]));
        let (sender, served) = mpsc::channel();
        let mine = lender.take(&Seat::current());
        let threads: Vec<_> = (0..5)
            .map(|name| {
                let (lender, sender) = (Arc::clone(&lender), sender.clone());
                let thread = thread::spawn(move || {
                    lender.lend(&Seat::current(), |_| sender.send(name).unwrap());
                });
                thread_is_waiting(&served);
                thread
            })
            .enumerate()
            .map(|(number, thread)| {
                until_waiting(&lender, number + 1);
                thread
            })
            .collect();
        lender.give_back(mine);
        for name in 0..5 {
            assert_eq!(served.recv_timeout(DEADLINE), Ok(name));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    fn thread_is_waiting(served: &mpsc::Receiver<i32>) {
        assert!(served.try_recv().is_err(), "served though nothing was given back");
    }

    #[test]
    fn nothing_is_lent_to_two_at_a_time_or_lost() {
        const THINGS: usize = 3;
        const THREADS: usize = 16;
        const EACH: usize = 500;
        let in_use: Arc<[AtomicUsize]> = (0..THINGS).map(|_| AtomicUsize::new(0)).collect();
        let lender = Arc::new(Lender::new((0..THINGS as u32).collect()));
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (lender, in_use) = (Arc::clone(&lender), Arc::clone(&in_use));
                thread::spawn(move || {
                    let seat = Seat::current();
                    for _ in 0..EACH {
                        lender.lend(&seat, |thing| {
                            assert_eq!(in_use[*thing as usize].fetch_add(1, Ordering::SeqCst), 0);
                            thread::yield_now();
                            in_use[*thing as usize].fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(lock(&lender.0).idle.len(), THINGS);
    }
}
