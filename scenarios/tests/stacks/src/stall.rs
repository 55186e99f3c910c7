//! A store that is stopped now and then, as one is that shares its CPU with somebody who does not give it back.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::Client;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The store stands still for so long: half a delay of 20 ms, and five times what may be late.
const STOPPED: Duration = Duration::from_millis(10);
/// Between two stops: short enough that one answer in five is late.
const RUNNING: Duration = Duration::from_millis(40);

/// The stops of a store. Whoever holds the lock may decide whether there is another.
pub(crate) struct Stall(Arc<Mutex<Stopping>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Wanted,
    Over,
}

impl Stall {
    /// Begins to stop the store that listens there.
    pub(crate) fn begin(url: &str) -> Result<Self> {
        let store = process(url)?;
        let stopping = Arc::new(Mutex::new(Stopping::Wanted));
        let shared = Arc::clone(&stopping);
        thread::spawn(move || {
            loop {
                thread::sleep(RUNNING);
                let stopping = shared.lock().unwrap_or_else(PoisonError::into_inner);
                if *stopping == Stopping::Over || pidfd_send_signal(&store, Signal::STOP).is_err() {
                    return;
                }
                thread::sleep(STOPPED);
                if pidfd_send_signal(&store, Signal::CONT).is_err() {
                    return;
                }
            }
        });
        Ok(Self(stopping))
    }

    /// Returns when the store runs, and will not be stopped again: a process that ended in between would leave it stopped.
    pub(crate) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Stopping::Over;
    }
}

/// The store's process, by the number it tells itself.
fn process(url: &str) -> Result<OwnedFd> {
    let mut connection = Client::open(url)?.get_connection()?;
    let info: String = redis::cmd("INFO").arg("server").query(&mut connection)?;
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok());
    let pid = pid.and_then(Pid::from_raw).context("INFO names no process_id")?;
    pidfd_open(pid, PidfdFlags::empty()).context("the store's process is out of reach")
}
