//! The connections that are served, so that their coroutines can be woken.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use may::{io::WaitIoWaker, sync::Semphore};

/// Who is there, and whether to go on.
pub struct Registry {
    entries: Mutex<Entries>,
    emptied: Condvar,
    /// Connections that may still be accepted. Coroutines wait for it, hence one of may's.
    places: Semphore,
    stopping: AtomicBool,
}

#[derive(Default)]
struct Entries {
    /// By place. Empty ones are in `free`.
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// Set while connections are accepted.
    acceptor: Option<WaitIoWaker>,
}

struct Entry {
    waker: WaitIoWaker,
    has_deadline: Arc<AtomicBool>,
}

/// A connection's place, given up when it is dropped.
pub struct Place {
    registry: &'static Registry,
    index: usize,
    /// Whether the client has only so long for what is waited for now.
    has_deadline: Arc<AtomicBool>,
}

impl Registry {
    pub fn new(max_connections: u32) -> Self {
        Self {
            entries: Mutex::default(),
            emptied: Condvar::new(),
            places: Semphore::new(max_connections as usize),
            stopping: AtomicBool::new(false),
        }
    }

    /// Suspends the acceptor until one more connection may be accepted.
    pub fn wait_for_place(&self) {
        self.places.wait();
    }

    /// Gives the place back: there is no connection after all.
    pub fn return_place(&self) {
        self.places.post();
    }

    /// Takes in the connection that a place was waited for.
    pub fn register(&'static self, waker: WaitIoWaker) -> Place {
        let has_deadline = Arc::new(AtomicBool::new(false));
        let entry = Some(Entry { waker, has_deadline: Arc::clone(&has_deadline) });
        let mut entries = self.lock();
        let index = match entries.free.pop() {
            Some(index) => {
                entries.entries[index] = entry;
                index
            }
            None => {
                entries.entries.push(entry);
                entries.entries.len() - 1
            }
        };
        Place { registry: self, index, has_deadline }
    }

    /// From here on there is an acceptor to wake, until [`Self::close`].
    pub fn open(&self, acceptor: WaitIoWaker) {
        self.lock().acceptor = Some(acceptor);
    }

    /// Nothing is accepted any more.
    pub fn close(&self) {
        self.lock().acceptor = None;
        self.emptied.notify_all();
    }

    /// Wakes the clients that may have taken too long, to look at the time.
    pub fn sweep(&self) {
        for entry in self.lock().entries.iter().flatten() {
            if entry.has_deadline.load(Ordering::Relaxed) {
                entry.waker.wakeup();
            }
        }
    }

    /// From now on every answer is its connection's last, and nothing more is accepted.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let entries = self.lock();
        entries
            .entries
            .iter()
            .flatten()
            .map(|entry| &entry.waker)
            .chain(&entries.acceptor)
            .for_each(WaitIoWaker::wakeup);
        drop(entries);
        // The acceptor may be waiting for a place instead.
        self.places.post();
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Blocks the thread until nobody is served any more, but not for longer. Whether that is so.
    pub fn wait_until_empty(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut entries = self.lock();
        while entries.acceptor.is_some() || entries.free.len() < entries.entries.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            entries = self.emptied.wait_timeout(entries, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Says, before waiting for the client, whether it is to be woken now and then to see if the client is late.
    pub fn set_deadline(&self, has_deadline: bool) {
        self.has_deadline.store(has_deadline, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut entries = self.registry.lock();
        entries.entries[self.index] = None;
        entries.free.push(self.index);
        drop(entries);
        self.registry.emptied.notify_all();
        self.registry.places.post();
    }
}
