//! hyper's clock for runtimes whose timers are dear.
//!
//! hyper starts its clock for every request and stops it when the head has come. On async-io each start ends a wait of
//! the reactor, through a descriptor and often on another thread, so that it takes the timer into account. Here a start
//! and a stop are a line in a table, which a task looks through once in a while: minutes need no better clock.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};
use slab::Slab;

/// Between two looks at the table, and so how late a sleeper may wake.
const INTERVAL: Duration = Duration::from_secs(1);

/// A table of those who sleep. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CoarseTimer(Arc<Mutex<Slab<Sleeper>>>);

#[derive(Debug)]
struct Sleeper {
    deadline: Instant,
    /// `None`: the deadline has passed.
    waker: Option<Waker>,
}

impl CoarseTimer {
    /// Wakes those whose time has come, for ever: a task to be spawned. `pause` is the runtime's own sleep.
    pub async fn run<F: Future<Output = ()>>(self, pause: impl Fn(Duration) -> F) {
        loop {
            pause(INTERVAL).await;
            self.wake_until(Instant::now());
        }
    }

    fn wake_until(&self, now: Instant) {
        let wakers: Vec<_> = {
            let mut sleepers = self.lock();
            let late = sleepers.iter_mut().filter(|(_, sleeper)| sleeper.deadline <= now);
            late.filter_map(|(_, sleeper)| sleeper.waker.take()).collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }

    // Nothing panics with the lock held.
    fn lock(&self) -> MutexGuard<'_, Slab<Sleeper>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timer for CoarseTimer {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + time)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(CoarseSleep { timer: self.clone(), deadline, key: None })
    }
}

struct CoarseSleep {
    timer: CoarseTimer,
    deadline: Instant,
    /// Our line in the table, once we were polled.
    key: Option<usize>,
}

impl Sleep for CoarseSleep {}

impl Future for CoarseSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (deadline, waker) = (self.deadline, context.waker());
        let Some(key) = self.key else {
            let sleeper = Sleeper { deadline, waker: Some(waker.clone()) };
            let key = self.timer.lock().insert(sleeper);
            self.key = Some(key);
            return Poll::Pending;
        };
        match &mut self.timer.lock()[key].waker {
            Some(known) => known.clone_from(waker),
            None => return Poll::Ready(()),
        }
        Poll::Pending
    }
}

impl Drop for CoarseSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.timer.lock().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(300);

    fn poll(sleep: &mut Pin<Box<dyn Sleep>>) -> Poll<()> {
        sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_sleeper_wakes_after_its_deadline_and_not_before() {
        let timer = CoarseTimer::default();
        let now = Instant::now();
        let (mut short, mut long) = (timer.sleep_until(now + TIME), timer.sleep_until(now + 2 * TIME));
        assert_eq!((poll(&mut short), poll(&mut long)), (Poll::Pending, Poll::Pending));
        timer.wake_until(now + TIME / 2);
        assert_eq!(poll(&mut short), Poll::Pending);
        timer.wake_until(now + TIME);
        assert_eq!((poll(&mut short), poll(&mut long)), (Poll::Ready(()), Poll::Pending));
    }

    #[test]
    fn nothing_is_kept_of_a_sleeper_that_gave_up() {
        let timer = CoarseTimer::default();
        let mut sleep = timer.sleep(TIME);
        assert_eq!(poll(&mut sleep), Poll::Pending);
        drop(sleep);
        assert!(timer.lock().is_empty());
    }
}
