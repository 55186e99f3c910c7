//! Taking leave of the connections: each is told once that it should end after the answer it is giving.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use slab::Slab;

/// What a connection does when it is to end: finish the request it is at, and take no further one.
pub(crate) trait Departing: Future {
    fn depart(self: Pin<&mut Self>);
}

/// All connections of one door. They look at a flag each time they run, and are woken once to see it.
#[derive(Debug, Default)]
pub(crate) struct Leave {
    taken: AtomicBool,
    wakers: Mutex<Slab<Waker>>,
}

impl Leave {
    /// Tells every connection, those that begin later too.
    pub(crate) fn take(&self) {
        self.taken.store(true, Ordering::SeqCst);
        let wakers: Vec<_> = self.lock().iter().map(|(_, waker)| waker.clone()).collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Runs a connection that will be told.
    pub(crate) fn watch<C: Departing + Unpin>(self: &Arc<Self>, connection: C) -> Watched<C> {
        Watched { connection, leave: Arc::clone(self), place: None, departing: false }
    }

    // No code panics while it holds the lock, and wakers are whole at all times.
    fn lock(&self) -> std::sync::MutexGuard<'_, Slab<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that can be told to end.
#[derive(Debug)]
pub(crate) struct Watched<C> {
    connection: C,
    leave: Arc<Leave>,
    /// Where our waker stands among the others, and what it is. A task has the same one for life, so that a connection
    /// takes the lock when it begins and when it ends, and not for its requests.
    place: Option<(usize, Waker)>,
    departing: bool,
}

impl<C> Watched<C> {
    fn register(&mut self, waker: &Waker) {
        match &mut self.place {
            Some((_, known)) if known.will_wake(waker) => {}
            Some((key, known)) => {
                known.clone_from(waker);
                self.leave.lock()[*key].clone_from(waker);
            }
            place @ None => *place = Some((self.leave.lock().insert(waker.clone()), waker.clone())),
        }
    }
}

impl<C: Departing + Unpin> Future for Watched<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.departing {
            // Before looking at the flag: whoever sets it later finds our waker.
            self.register(context.waker());
            if self.leave.taken.load(Ordering::SeqCst) {
                self.departing = true;
                Pin::new(&mut self.connection).depart();
            }
        }
        Pin::new(&mut self.connection).poll(context)
    }
}

impl<C> Drop for Watched<C> {
    fn drop(&mut self) {
        if let Some((key, _)) = self.place.take() {
            self.leave.lock().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, sync::atomic::AtomicUsize, task::Wake};

    use super::*;

    /// Ends when it is told to.
    #[derive(Default)]
    struct Guest {
        told: bool,
    }

    impl Future for Guest {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            if self.told { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    impl Departing for Guest {
        fn depart(mut self: Pin<&mut Self>) {
            self.told = true;
        }
    }

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll(connection: &mut Watched<Guest>, bell: &Arc<Bell>) -> Poll<()> {
        let waker = Waker::from(Arc::clone(bell));
        Pin::new(connection).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn a_connection_that_sleeps_is_woken_and_ends() {
        let (leave, bell) = (Arc::new(Leave::default()), Arc::new(Bell::default()));
        let mut connection = leave.watch(Guest::default());
        for _ in 0..3 {
            assert_eq!(poll(&mut connection, &bell), Poll::Pending);
        }
        leave.take();
        assert_eq!(bell.0.load(Ordering::SeqCst), 1);
        assert_eq!(poll(&mut connection, &bell), Poll::Ready(()));
    }

    #[test]
    fn a_connection_that_moved_to_another_task_is_woken_there() {
        let (leave, first, second) = (Arc::new(Leave::default()), Arc::new(Bell::default()), Arc::new(Bell::default()));
        let mut connection = leave.watch(Guest::default());
        assert_eq!(poll(&mut connection, &first), Poll::Pending);
        assert_eq!(poll(&mut connection, &second), Poll::Pending);
        leave.take();
        assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
    }

    #[test]
    fn a_connection_that_begins_too_late_is_told_at_once() {
        let (leave, bell) = (Arc::new(Leave::default()), Arc::new(Bell::default()));
        leave.take();
        assert_eq!(poll(&mut leave.watch(Guest::default()), &bell), Poll::Ready(()));
    }

    #[test]
    fn nothing_is_kept_of_a_connection_that_ended() {
        let (leave, bell) = (Arc::new(Leave::default()), Arc::new(Bell::default()));
        let mut connection = leave.watch(Guest::default());
        assert_eq!(poll(&mut connection, &bell), Poll::Pending);
        drop(connection);
        assert!(leave.lock().is_empty());
    }
}
