//! The master: accepts, hands connections over, and keeps the workers running. It never sees a request.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    process::{Child, Command},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use stack_contract::{Args, Shutdown, limits::DRAIN_TIMEOUT, listener};
use stack_event_loop::{Places, acceptor};

use crate::{WORKER, board::Board, post::Sender};

/// This very program, even if its file was replaced since it was started.
const PROGRAM_FILE: &str = "/proc/self/exe";

/// Pause before a worker is started in the place of one that died young: one that cannot live must not make us spin.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How often a connection is offered when no worker takes it.
const NOBODY_PAUSE: Duration = Duration::from_millis(5);

/// How much longer than a worker may take to finish we wait for it before we end it.
const GRACE: Duration = Duration::from_millis(250);

/// Serves with `--pool` workers until the server is to stop.
pub fn run(args: &Args, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    // For the rest of the program's life, like the threads that use them.
    let places: &'static Places = Box::leak(Box::new(Places::new(args.max_connections)?));
    let stopping: &'static AtomicBool = Box::leak(Box::default());
    let board: &'static Board = Box::leak(Box::new(Board::new(args.pool).context("cannot share memory")?));
    let (finished, all_finished) = mpsc::channel::<()>();
    let mut desks = Vec::new();
    for number in 0..args.pool {
        let desk = Arc::new(Desk { number, redis: args.redis()?.to_owned(), board, worker: Mutex::default() });
        let (first, keeper, finished) = (desk.start()?, Arc::clone(&desk), finished.clone());
        let keep = move || {
            keeper.keep(first, places, stopping);
            drop(finished);
        };
        thread::Builder::new().name(format!("keeper-{number}")).spawn(keep).context("cannot start a thread")?;
        desks.push(desk);
    }
    drop(finished);
    listener::announce(&listener)?;
    let mut turn = desks.iter().cycle();
    acceptor::run(listener, &shutdown, places, |stream| {
        // A client is not given to one that waits for the store, unless all do. One that is being replaced, or has no
        // room for more at the moment, is passed over; if all are, the others stay in the backlog as long.
        let mut give = || {
            turn.by_ref().take(desks.len()).any(|desk| !board.waits(desk.number) && desk.give(&stream))
                || turn.by_ref().take(desks.len()).any(|desk| desk.give(&stream))
        };
        while !give() {
            if shutdown.requested() {
                return places.release(1);
            }
            thread::sleep(NOBODY_PAUSE);
        }
    })?;
    stopping.store(true, Ordering::SeqCst);
    desks.iter().for_each(|desk| desk.finish());
    // Nobody sends: the channel closes when the last keeper is done.
    if all_finished.recv_timeout(DRAIN_TIMEOUT + GRACE) == Err(mpsc::RecvTimeoutError::Timeout) {
        desks.iter().for_each(|desk| desk.end());
    }
    Ok(())
}

/// Where the master deals with one worker, and with the next one in its place.
struct Desk {
    number: u32,
    redis: String,
    board: &'static Board,
    /// None while there is no process.
    worker: Mutex<Option<Handle>>,
}

/// A running worker, as the acceptor sees it.
struct Handle {
    line: Sender,
    pid: Pid,
    /// Connections it was given and has not reported as ended.
    held: u32,
}

/// A running worker, as its keeper sees it.
struct Kept {
    line: Sender,
    child: Child,
    since: Instant,
}

impl Desk {
    /// Starts a worker.
    fn start(&self) -> Result<Kept> {
        let (line, workers_end) = Sender::pair()?;
        // The one before may have died waiting.
        self.board.set(self.number, false);
        let child = Command::new(PROGRAM_FILE)
            .args([WORKER, &self.number.to_string(), &self.redis])
            .stdin(workers_end)
            .stdout(self.board.as_fd().try_clone_to_owned()?)
            .spawn()
            .context("cannot start a worker")?;
        let kept = Kept { line: line.try_clone()?, child, since: Instant::now() };
        *self.worker() = Some(Handle { line, pid: Pid::from_child(&kept.child), held: 0 });
        Ok(kept)
    }

    /// Waits for connections to end and workers to die, and replaces these, until the server is to stop.
    fn keep(&self, first: Kept, places: &Places, stopping: &AtomicBool) {
        let mut next = Some(first);
        loop {
            let Some(Kept { line, mut child, since }) = next.take() else {
                thread::sleep(RESTART_PAUSE);
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                next = self.start().inspect_err(|error| eprintln!("worker {}: {error:#}", self.number)).ok();
                continue;
            };
            if stopping.load(Ordering::SeqCst) {
                // It came too late to be told with the others.
                line.finish();
            }
            while let Some(ended) = line.wait_for_ended() {
                if let Some(handle) = self.worker().as_mut() {
                    handle.held = handle.held.saturating_sub(ended);
                }
                places.release(ended);
            }
            // Before the process is waited for: as long as it can be named, its number is not another's.
            let held = self.worker().take().map_or(0, |handle| handle.held);
            places.release(held);
            let status = child.wait();
            if stopping.load(Ordering::SeqCst) {
                return;
            }
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            eprintln!("worker {}: {status}; starting another one", self.number);
            if since.elapsed() >= RESTART_PAUSE {
                next = self.start().inspect_err(|error| eprintln!("worker {}: {error:#}", self.number)).ok();
            }
        }
    }

    /// Hands a connection over, if there is a worker that takes it.
    fn give(&self, stream: &TcpStream) -> bool {
        let mut worker = self.worker();
        let Some(handle) = worker.as_mut() else { return false };
        let given = handle.line.send(stream).is_ok();
        handle.held += u32::from(given);
        given
    }

    /// Lets the worker finish.
    fn finish(&self) {
        if let Some(handle) = self.worker().as_ref() {
            handle.line.finish();
        }
    }

    /// Ends a worker that does not.
    fn end(&self) {
        if let Some(handle) = self.worker().as_ref() {
            // Fails only if it has ended.
            let _ = kill_process(handle.pid, Signal::KILL);
        }
    }

    fn worker(&self) -> MutexGuard<'_, Option<Handle>> {
        // Nothing panics with the lock held.
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
