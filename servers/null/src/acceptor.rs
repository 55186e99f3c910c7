//! Accepts, and hands connections to the workers in turn, so that each has its share from the first moment on.

use std::{
    io,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use stack_contract::Shutdown;

/// Pause after an error of `accept` that will not go away by itself, such as too few descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The places for connections.
#[derive(Debug)]
pub struct Places {
    free: AtomicU32,
    /// Written when a connection ends while there was no place.
    freed: OwnedFd,
}

impl Places {
    pub fn new(number: u32) -> Result<Self> {
        Ok(Self { free: AtomicU32::new(number), freed: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)? })
    }

    pub fn release(&self) {
        if self.free.fetch_add(1, Ordering::AcqRel) == 0 {
            notify(&self.freed);
        }
    }

    /// Only the acceptor takes places, so one it has seen is still there when it takes it.
    fn any(&self) -> bool {
        self.free.load(Ordering::Acquire) > 0
    }
}

/// Where a worker finds its new connections.
#[derive(Debug)]
pub struct Inbox {
    letters: Mutex<Letters>,
    /// Written when there are some, and when there will be no more.
    pub filled: OwnedFd,
}

#[derive(Debug, Default)]
struct Letters {
    streams: Vec<TcpStream>,
    /// Whether no more will come.
    closed: bool,
}

impl Inbox {
    pub fn new() -> Result<Self> {
        let filled = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { letters: Mutex::default(), filled })
    }

    fn put(&self, stream: TcpStream) {
        self.letters().streams.push(stream);
        notify(&self.filled);
    }

    pub fn take(&self) -> Vec<TcpStream> {
        acknowledge(&self.filled);
        std::mem::take(&mut self.letters().streams)
    }

    /// Nothing will be put in from here on.
    pub fn close(&self) {
        self.letters().closed = true;
        notify(&self.filled);
    }

    /// Whether all that will ever come was taken.
    pub fn is_done(&self) -> bool {
        let letters = self.letters();
        letters.closed && letters.streams.is_empty()
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn notify(event: &OwnedFd) {
    // Fails only if nobody has read 2^64 notifications, and then one is pending.
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
}

fn acknowledge(event: &OwnedFd) {
    // Fails only if there was nothing to acknowledge.
    let _ = rustix::io::read(event, &mut [0; 8]);
}

/// Accepts until the server is to stop.
pub fn run(listener: TcpListener, shutdown: &Shutdown, places: &Places, inboxes: &[Arc<Inbox>]) -> Result<()> {
    listener.set_nonblocking(true)?;
    let mut turn = inboxes.iter().cycle();
    while !shutdown.requested() {
        let full = !places.any();
        let source =
            if full { PollFd::new(&places.freed, PollFlags::IN) } else { PollFd::new(&listener, PollFlags::IN) };
        match poll(&mut [source, PollFd::new(shutdown, PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if full {
            acknowledge(&places.freed);
            continue;
        }
        match listener.accept() {
            Ok((stream, _)) => {
                places.free.fetch_sub(1, Ordering::AcqRel);
                if let Some(inbox) = turn.next() {
                    inbox.put(stream);
                }
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                _ => {
                    eprintln!("accept: {error}");
                    thread::sleep(ACCEPT_PAUSE);
                }
            },
        }
    }
    Ok(())
}
