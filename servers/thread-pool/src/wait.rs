//! Waits for a future on a thread that has nothing else to do.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// Waits for one future after another on the thread that made it. `Handle::block_on` of tokio would do as well, but
/// enters the runtime anew for each; here the thread does that once.
#[derive(Debug)]
pub struct Waiter {
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Debug)]
struct Bell {
    thread: Thread,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Waiter {
    /// For the calling thread.
    pub fn new() -> Self {
        let bell = Arc::new(Bell { thread: thread::current(), rung: AtomicBool::new(false) });
        Self { waker: Waker::from(Arc::clone(&bell)), bell }
    }

    /// Sleeps until the future is done.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut context = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            while !self.bell.rung.swap(false, Ordering::Acquire) {
                thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_that_another_thread_completes_is_waited_for() {
        let waiter = Waiter::new();
        for round in 0..100 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let other = thread::spawn(move || sender.send(round));
            assert_eq!(waiter.wait(receiver), Ok(round));
            assert_eq!(other.join().unwrap(), Ok(()));
        }
        assert_eq!(waiter.wait(async { 1 }), 1);
    }
}
