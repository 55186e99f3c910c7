//! From any thread into a loop: a list under a lock, and a descriptor that wakes whoever waits for it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::event::{EventfdFlags, eventfd};

/// A descriptor that is readable from a ring until it is silenced.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent one.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Makes it readable.
    pub fn ring(&self) {
        // Fails only if nobody has silenced 2^64 rings, and then it is readable.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes it unreadable.
    pub fn silence(&self) {
        // Fails only if it is.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Letters that wait for one reader.
#[derive(Debug)]
pub struct Mailbox<T> {
    letters: Mutex<Letters<T>>,
    filled: Bell,
}

#[derive(Debug)]
struct Letters<T> {
    waiting: Vec<T>,
    /// Whether no more will come.
    closed: bool,
}

impl<T> Mailbox<T> {
    /// An empty one.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { letters: Mutex::new(Letters { waiting: Vec::new(), closed: false }), filled: Bell::new()? })
    }

    /// Rings when there is something to take, and when there will be nothing more.
    #[must_use]
    pub fn filled(&self) -> &Bell {
        &self.filled
    }

    /// Puts one in.
    pub fn put(&self, letter: T) {
        let was_empty = {
            let mut letters = self.letters();
            let was_empty = letters.waiting.is_empty();
            letters.waiting.push(letter);
            was_empty
        };
        // Otherwise whoever put in the first one rings, and the reader silences the bell before it takes them all.
        if was_empty {
            self.filled.ring();
        }
    }

    /// Takes all there are. `into` must be empty; the two lists change places, so that neither is allocated anew.
    pub fn take(&self, into: &mut Vec<T>) {
        debug_assert!(into.is_empty(), "what was taken before would be put back");
        self.filled.silence();
        std::mem::swap(&mut self.letters().waiting, into);
    }

    /// Nothing will be put in from here on.
    pub fn close(&self) {
        self.letters().closed = true;
        self.filled.ring();
    }

    /// Whether all that will ever come was taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let letters = self.letters();
        letters.closed && letters.waiting.is_empty()
    }

    fn letters(&self) -> MutexGuard<'_, Letters<T>> {
        // Nothing panics with the lock held.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn rings(bell: &Bell) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    #[test]
    fn the_bell_rings_while_there_are_letters() {
        let mailbox = Mailbox::new().unwrap();
        let mut taken = Vec::new();
        for _ in 0..2 {
            assert!(!rings(mailbox.filled()));
            mailbox.put(1);
            mailbox.put(2);
            assert!(rings(mailbox.filled()));
            mailbox.take(&mut taken);
            assert_eq!(std::mem::take(&mut taken), [1, 2]);
        }
        assert!(!rings(mailbox.filled()) && !mailbox.is_done());
        mailbox.close();
        assert!(rings(mailbox.filled()) && mailbox.is_done());
    }

    #[test]
    fn a_reader_that_waits_for_the_bell_misses_no_letter() {
        const WRITERS: usize = 4;
        const EACH: usize = 2000;
        let mailbox = Mailbox::new().unwrap();
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| (0..EACH).for_each(|letter| mailbox.put(letter)));
            }
            let (mut sum, mut count, mut taken) = (0, 0, Vec::new());
            while count < WRITERS * EACH {
                // Without a deadline: a letter that was missed makes the test hang.
                poll(&mut [PollFd::new(mailbox.filled(), PollFlags::IN)], None).unwrap();
                mailbox.take(&mut taken);
                count += taken.len();
                sum += taken.drain(..).sum::<usize>();
            }
            assert_eq!((count, sum), (WRITERS * EACH, WRITERS * EACH * (EACH - 1) / 2));
        });
    }
}
