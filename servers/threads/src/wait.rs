//! Waits for a future on a thread that has nothing else to do.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::sleeper::Sleeper;

/// Waits for one future after another on the thread that made it. `Handle::block_on` of tokio would do as well, but
/// enters the runtime anew for each; here the thread does that once.
#[derive(Debug)]
pub struct Waiter {
    sleeper: Arc<Sleeper>,
    waker: Waker,
}

impl Waiter {
    /// For the calling thread.
    #[must_use]
    pub fn current() -> Self {
        let sleeper = Sleeper::current();
        Self { waker: Waker::from(Arc::clone(&sleeper)), sleeper }
    }

    /// Sleeps until the future is done.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut context = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            self.sleeper.sleep();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_future_that_another_thread_completes_is_waited_for() {
        let waiter = Waiter::current();
        for round in 0..100 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let other = thread::spawn(move || sender.send(round));
            assert_eq!(waiter.wait(receiver), Ok(round));
            assert_eq!(other.join().unwrap(), Ok(()));
        }
        assert_eq!(waiter.wait(async { 1 }), 1);
    }
}
