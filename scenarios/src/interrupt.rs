//! Ctrl-C: noticed at any moment, wherever the harness waits.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use signal_hook::consts::{SIGINT, SIGTERM};

/// The exit code of an interrupted run, as shells have it for Ctrl-C.
pub const EXIT_INTERRUPTED: i32 = 130;

/// SIGINT and SIGTERM, as a flag to ask and as a descriptor to wait on. A second signal ends the harness on the spot; the
/// guard then stops what it leaves. SIGHUP is left as it was found, so that `nohup` works.
#[derive(Debug)]
pub struct Interrupt {
    raised: Arc<AtomicBool>,
    wake: UnixStream,
}

/// The run was interrupted. Travels as an error through `anyhow` so that every `?` unwinds and every child is stopped.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The process is gone.
    Exited,
    /// The time is up.
    TimedOut,
}

impl Interrupt {
    /// Takes over the two signals for the rest of the process's life.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        let raised = Arc::new(AtomicBool::new(false));
        let (wake, tell) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            // Comes first, so that it sees what an earlier signal has raised.
            signal_hook::flag::register_conditional_shutdown(signal, EXIT_INTERRUPTED, Arc::clone(&raised))?;
            signal_hook::flag::register(signal, Arc::clone(&raised))?;
            signal_hook::low_level::pipe::register(signal, tell.try_clone()?)?;
        }
        Ok(Self { raised, wake })
    }

    /// Whether a signal has come.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// An error if a signal has come.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_raised() { Err(Interrupted) } else { Ok(()) }
    }

    /// Waits until a child has exited, the time is up or a signal comes, whichever is first.
    ///
    /// # Errors
    /// [`Interrupted`], or what the kernel says.
    pub fn wait_for_exit(&self, child: &OwnedFd, at_most: Duration) -> Result<Wake> {
        let deadline = Instant::now() + at_most;
        loop {
            self.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds =
                [PollFd::new(child, PollFlags::IN), PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&timespec(left))) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
                Ok(_) if !fds[0].revents().is_empty() => return Ok(Wake::Exited),
                Ok(_) if left.is_zero() => return Ok(Wake::TimedOut),
                Ok(_) => {}
            }
        }
    }

    /// Asks `state` again and again until it gives a value: every few milliseconds, because what is asked (does a port
    /// answer? is a group empty?) has no descriptor to wait on.
    ///
    /// # Errors
    /// [`Interrupted`], or what `state` says. `Ok(None)` when the time is up.
    pub fn poll_until<T>(&self, at_most: Duration, mut state: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
        const ASK_AGAIN: Duration = Duration::from_millis(2);
        let deadline = Instant::now() + at_most;
        loop {
            self.check()?;
            if let Some(value) = state()? {
                return Ok(Some(value));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            let mut fds = [PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
            // Woken early only by a signal, which the next turn's check sees.
            let _ = poll(&mut fds, Some(&timespec(ASK_AGAIN)));
        }
    }
}

/// A descriptor that becomes readable when the process exits.
///
/// # Errors
/// When there is no such process.
pub fn exit_descriptor(pid: u32) -> io::Result<OwnedFd> {
    Ok(pidfd_open(to_pid(pid), PidfdFlags::empty())?)
}

/// A process id for system calls.
///
/// # Panics
/// If `pid` is 0, which no child has.
pub fn to_pid(pid: u32) -> Pid {
    i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a child's process id is positive")
}

/// A duration for system calls.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}
