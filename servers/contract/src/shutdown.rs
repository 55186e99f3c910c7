//! The wish to stop, as a flag and as a descriptor that any event loop can wait for.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
    low_level::pipe,
};

/// Becomes true, and readable, at the first SIGTERM or SIGINT, and stays so: nobody drains it, so that any number of
/// threads can wait for the same descriptor.
#[derive(Debug)]
pub struct Shutdown {
    requested: Arc<AtomicBool>,
    readable: UnixStream,
}

impl Shutdown {
    /// Catches the signals from here on.
    ///
    /// # Errors
    /// When the system refuses a socket pair or the signal handler.
    pub fn on_signals() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let (readable, writable) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT] {
            // In this order, so that whoever is woken by the descriptor sees the flag.
            flag::register(signal, Arc::clone(&requested))?;
            pipe::register(signal, writable.try_clone()?)?;
        }
        Ok(Self { requested, readable })
    }

    /// Whether the server was asked to stop.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Blocks until the server is asked to stop.
    ///
    /// # Errors
    /// When the system refuses to wait.
    pub fn wait(&self) -> io::Result<()> {
        while !self.requested() {
            self.poll(None)?;
        }
        Ok(())
    }

    /// Blocks until the server is asked to stop, but not longer than `time`, and says whether it was.
    ///
    /// # Errors
    /// When the system refuses to wait.
    pub fn wait_at_most(&self, time: Duration) -> io::Result<bool> {
        if !self.requested() {
            let time = Timespec::try_from(time).map_err(|_| io::ErrorKind::InvalidInput)?;
            self.poll(Some(&time))?;
        }
        Ok(self.requested())
    }

    fn poll(&self, time: Option<&Timespec>) -> io::Result<()> {
        match poll(&mut [PollFd::new(self, PollFlags::IN)], time) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The descriptor as a stream, for runtimes that wait for their own kind of socket. Never read from it.
    #[must_use]
    pub fn into_stream(self) -> UnixStream {
        self.readable
    }
}

impl AsFd for Shutdown {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}
