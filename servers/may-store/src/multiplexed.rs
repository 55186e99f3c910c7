//! `/async`: one multiplexed connection for each worker, driven by a coroutine of its own.
//!
//! A request's coroutine puts its command into the multiplexer, wakes the driver if it is the first to do so, and is
//! suspended. The driver comes to its turn behind all that are ready on this thread, so their commands travel in one
//! write; it reads what the store replied, and wakes those whose reply has come.
//!
//! A request uses the connection of the thread it is on, whose event loop also watches that connection: so a request
//! and its reply stay on one thread, and its lock is hardly ever contended. Nothing depends on it but time.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

use may::{
    coroutine::{self, Builder},
    go,
    io::WaitIoWaker,
    sync::Blocker,
};
use stack_contract::{Lookup, Store, StoreError, keys::Key, limits::STORE_CONNECT_TIMEOUT};
use stack_resp::{Command, Multiplexer, Outcome, Target, socket};

use crate::{runtime, watched::Woken, wire::Wire};

/// What one read may bring: the replies of some dozens of commands with values of 1 KiB.
const READ_BYTES: usize = 64 * 1024;

/// A set of multiplexed connections. Clones share them; each is for one coroutine.
pub struct MultiplexedStore {
    lanes: Arc<[Lane]>,
    /// Made by the first command, for the coroutine that gives it.
    waiter: Option<Arc<Waiter>>,
}

/// One connection.
struct Lane(Mutex<State>);

/// Never locked while a coroutine is suspended, nor during a system call: another thread would be blocked with all that
/// is ready on it.
struct State {
    multiplexer: Multiplexer<Arc<Waiter>>,
    /// Wakes the driver, while there is a connection.
    driver: Option<WaitIoWaker>,
    /// Whether the driver was woken to write, and did not yet.
    woken: bool,
    /// Told when the first attempt to connect is over.
    attempted: Option<Sender<()>>,
}

/// A connection's socket, and what is on its way out of it.
struct Line {
    wire: Wire,
    /// What is being written; bytes before `sent` are.
    output: Vec<u8>,
    sent: usize,
}

/// Where a coroutine waits for the outcome of its command.
#[derive(Debug)]
struct Waiter {
    blocker: Blocker,
    outcome: Mutex<Option<Outcome>>,
}

impl Clone for MultiplexedStore {
    fn clone(&self) -> Self {
        Self { lanes: Arc::clone(&self.lanes), waiter: None }
    }
}

impl MultiplexedStore {
    /// Starts `connections` connections and gives each one attempt to come up before it returns, which is why this must
    /// not be called by a coroutine. A store that is not there is not an error: the drivers go on trying.
    #[must_use]
    pub fn connect(target: &Target, connections: u32) -> Self {
        let (lanes, attempts): (Vec<_>, Vec<_>) = (0..connections.max(1)).map(|_| Lane::new(target)).unzip();
        let lanes: Arc<[Lane]> = lanes.into();
        for index in 0..lanes.len() {
            let (lanes, target) = (Arc::clone(&lanes), target.clone());
            let drive = move || {
                runtime::set_worker(index);
                lanes[index].drive(&target, index);
            };
            // It starts on the worker of that number. The only error would be that of a thread.
            let _ = go!(Builder::new().id(index), drive);
        }
        let deadline = Instant::now() + STORE_CONNECT_TIMEOUT;
        for attempt in attempts {
            // Late or not, the server starts.
            let _ = attempt.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        Self { lanes, waiter: None }
    }

    fn request(&mut self, command: Command) -> Outcome {
        let waiter = self.waiter.get_or_insert_with(|| Arc::new(Waiter::new()));
        self.lanes[runtime::worker() % self.lanes.len()].submit(command, Arc::clone(waiter));
        waiter.wait()
    }
}

impl Store for MultiplexedStore {
    fn get(&mut self, key: Key) -> Result<Lookup, StoreError> {
        self.request(Command::Get(key))?.looked_up()
    }

    fn set(&mut self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        self.request(Command::Set(key, value))?.written()
    }

    fn hold(&mut self, time: Duration) {
        runtime::sleep(time);
    }
}

impl Waiter {
    fn new() -> Self {
        // may's cancellation unwinds the coroutine; nothing here uses it.
        Self { blocker: Blocker::new(true), outcome: Mutex::new(None) }
    }

    fn wait(&self) -> Outcome {
        loop {
            if let Some(outcome) = self.outcome().take() {
                return outcome;
            }
            // An error would be a timeout or a cancellation, and there is neither.
            let _ = self.blocker.park(None);
        }
    }

    fn wake(&self, outcome: Outcome) {
        *self.outcome() = Some(outcome);
        self.blocker.unpark();
    }

    fn outcome(&self) -> MutexGuard<'_, Option<Outcome>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn new(target: &Target) -> (Self, Receiver<()>) {
        let (attempted, attempt) = mpsc::channel();
        let multiplexer = Multiplexer::new(target);
        (Self(Mutex::new(State { multiplexer, driver: None, woken: false, attempted: Some(attempted) })), attempt)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // may keeps the number of the thread that wakes in a thread-local variable.
    #[inline(never)]
    fn submit(&self, command: Command, waiter: Arc<Waiter>) {
        let mut state = self.lock();
        state.multiplexer.submit(command, waiter, Instant::now());
        if let Some((waiter, outcome)) = state.multiplexer.next_outcome() {
            // There is no connection.
            waiter.wake(outcome);
        } else if !std::mem::replace(&mut state.woken, true)
            && let Some(driver) = &state.driver
        {
            driver.wakeup();
        }
    }

    /// Keeps the connection alive for as long as the program runs.
    fn drive(&self, target: &Target, worker: usize) {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let due = self.lock().multiplexer.connect_at();
            if let Some(pause) = due.and_then(|due| due.checked_duration_since(Instant::now())) {
                coroutine::sleep(pause);
            }
            self.lock().multiplexer.connecting();
            match open(target, worker) {
                Ok(wire) => {
                    self.begin(&wire);
                    let mut line = Line { wire, output: Vec::new(), sent: 0 };
                    let mut ended = false;
                    while self.turn(&mut line, &mut buffer, ended) {
                        ended |= line.wire.wait() == Woken::Ended;
                    }
                }
                Err(error) => {
                    let mut state = self.lock();
                    state.multiplexer.connect_failed(Instant::now(), &error);
                    self.settle(state);
                }
            }
        }
    }

    fn begin(&self, wire: &Wire) {
        let mut state = self.lock();
        state.driver = Some(wire.waker());
        state.multiplexer.connected(Instant::now());
    }

    /// Reads and writes as far as it goes, and wakes those whose outcome is known. False: the connection is over.
    #[inline(never)]
    fn turn(&self, line: &mut Line, buffer: &mut [u8], ended: bool) -> bool {
        let mut alive = self.read(&line.wire, buffer, ended) && line.write();
        let mut state = self.lock();
        state.woken = false;
        state.multiplexer.expire(Instant::now());
        alive = alive && !state.multiplexer.is_broken();
        if alive {
            // One buffer after the other. Commands that come from here on wake the driver again.
            if line.is_written() {
                line.take_output(&mut state.multiplexer);
            }
            line.wire.alarm().set(state.multiplexer.deadline());
            self.settle(state);
            if line.write() {
                return true;
            }
            state = self.lock();
        }
        state.driver = None;
        state.multiplexer.lost(Instant::now());
        self.settle(state);
        false
    }

    /// Reads until there is no more. False: the connection is over.
    fn read(&self, wire: &Wire, buffer: &mut [u8], ended: bool) -> bool {
        loop {
            match wire.stream().read(buffer) {
                Ok(0) => return false,
                Ok(bytes) => {
                    self.lock().multiplexer.receive(&buffer[..bytes], Instant::now());
                    // Fewer bytes than asked for: there are no more, or their coming is still to be announced.
                    if bytes < buffer.len() && !ended {
                        return true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Wakes those whose outcome is known, beside the lock.
    fn settle(&self, mut state: MutexGuard<'_, State>) {
        if state.multiplexer.is_up() || state.multiplexer.connect_at().is_some() {
            // Whoever waited for it may have given up.
            let _ = state.attempted.take().map(|attempted| attempted.send(()));
        }
        let outcomes: Vec<_> = std::iter::from_fn(|| state.multiplexer.next_outcome()).collect();
        drop(state);
        for (waiter, outcome) in outcomes {
            waiter.wake(outcome);
        }
    }
}

impl Line {
    fn take_output(&mut self, multiplexer: &mut Multiplexer<Arc<Waiter>>) {
        let spare = std::mem::take(&mut self.output);
        self.output = multiplexer.take_output(spare);
        self.sent = 0;
    }

    fn is_written(&self) -> bool {
        self.sent == self.output.len()
    }

    /// Writes what there is to write, as far as the store takes it. False: the connection is broken.
    fn write(&mut self) -> bool {
        while !self.is_written() {
            match self.wire.stream().write(&self.output[self.sent..]) {
                Ok(0) => return false,
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

fn open(target: &Target, worker: usize) -> io::Result<Wire> {
    let wire = Wire::connect_on(worker, target.host(), target.port(), STORE_CONNECT_TIMEOUT)?;
    socket::configure(&wire.stream(), target)?;
    Ok(wire)
}
