//! Accepts, as long as there are places.

use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};
use stack_contract::{Shutdown, limits::ACCEPT_PAUSE};

use crate::mailbox::Bell;

/// The places for connections.
#[derive(Debug)]
pub struct Places {
    free: AtomicU32,
    /// Rung when a connection ends while there was no place.
    freed: Bell,
}

impl Places {
    /// So many, all free.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(number: u32) -> Result<Self> {
        Ok(Self { free: AtomicU32::new(number), freed: Bell::new()? })
    }

    /// Connections that held places ended.
    pub fn release(&self, number: u32) {
        if number > 0 && self.free.fetch_add(number, Ordering::AcqRel) == 0 {
            self.freed.ring();
        }
    }

    /// Only the acceptor takes places, so one it has seen is still there when it takes it.
    fn any(&self) -> bool {
        self.free.load(Ordering::Acquire) > 0
    }
}

/// Accepts until the server is to stop. Whoever a connection is handed to releases its place when it ends.
///
/// # Errors
/// When the system refuses to wait for the listener.
pub fn run(
    listener: TcpListener,
    shutdown: &Shutdown,
    places: &Places,
    mut hand_over: impl FnMut(TcpStream),
) -> Result<()> {
    listener.set_nonblocking(true)?;
    while !shutdown.requested() {
        let full = !places.any();
        let source =
            if full { PollFd::new(&places.freed, PollFlags::IN) } else { PollFd::new(&listener, PollFlags::IN) };
        match poll(&mut [source, PollFd::new(shutdown, PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if full {
            places.freed.silence();
            continue;
        }
        match listener.accept() {
            Ok((stream, _)) => {
                places.free.fetch_sub(1, Ordering::AcqRel);
                hand_over(stream);
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
