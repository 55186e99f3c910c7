//! `/async`: one multiplexed connection for each worker, driven by a coroutine of its own.
//!
//! A request's coroutine puts its command into the multiplexer, wakes the driver if it is the first to do so, and is
//! suspended. The driver comes to its turn behind all that are ready on this thread, so their commands travel in one
//! write; it reads what the store replied, and wakes those whose reply has come.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    time::Instant,
};

use may::{coroutine, go, io::WaitIoWaker, sync::Blocker};
use stack_contract::{Lookup, Store, StoreError, keys::Key, limits::STORE_CONNECT_TIMEOUT};
use stack_resp::{Command, Multiplexer, Outcome, Target, socket};

use crate::{runtime::thread_number, watched::Woken, wire::Wire};

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

/// Never locked while a coroutine is suspended.
struct State {
    multiplexer: Multiplexer<Arc<Waiter>>,
    /// Wakes the driver, while there is a connection.
    driver: Option<WaitIoWaker>,
    /// Whether the driver was woken to write, and did not yet.
    woken: bool,
    /// Told when the first attempt to connect is over.
    attempted: Option<Sender<()>>,
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
            go!(move || lanes[index].drive(&target));
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
        self.lanes[thread_number() % self.lanes.len()].submit(command, Arc::clone(waiter));
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
    fn drive(&self, target: &Target) {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let due = self.lock().multiplexer.connect_at();
            if let Some(pause) = due.and_then(|due| due.checked_duration_since(Instant::now())) {
                coroutine::sleep(pause);
            }
            self.lock().multiplexer.connecting();
            match open(target) {
                Ok(wire) => {
                    self.begin(&wire);
                    let mut ended = false;
                    while self.turn(&wire, &mut buffer, ended) {
                        ended |= wire.wait() == Woken::Ended;
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
    fn turn(&self, wire: &Wire, buffer: &mut [u8], ended: bool) -> bool {
        let mut alive = true;
        loop {
            match wire.stream().read(buffer) {
                Ok(0) => alive = false,
                Ok(bytes) => {
                    self.lock().multiplexer.receive(&buffer[..bytes], Instant::now());
                    // Fewer bytes than asked for: there are no more, or their coming is still to be announced.
                    if bytes == buffer.len() || ended {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => alive = error.kind() == io::ErrorKind::WouldBlock,
            }
            break;
        }
        let mut state = self.lock();
        state.woken = false;
        let now = Instant::now();
        state.multiplexer.expire(now);
        alive = alive && write(wire, &mut state.multiplexer) && !state.multiplexer.is_broken();
        if alive {
            wire.alarm().set(state.multiplexer.deadline());
        } else {
            state.driver = None;
            state.multiplexer.lost(now);
        }
        self.settle(state);
        alive
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

fn open(target: &Target) -> io::Result<Wire> {
    let wire = Wire::connect(target.host(), target.port(), STORE_CONNECT_TIMEOUT)?;
    socket::configure(&wire.stream(), target)?;
    Ok(wire)
}

/// Writes what there is to write, as far as the store takes it. False: the connection is broken.
fn write(wire: &Wire, multiplexer: &mut Multiplexer<Arc<Waiter>>) -> bool {
    while !multiplexer.output().is_empty() {
        match wire.stream().write(multiplexer.output()) {
            Ok(0) => return false,
            Ok(bytes) => multiplexer.written(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}
