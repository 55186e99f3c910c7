//! The asynchronous store: one multiplexed connection per worker, each driven by a task.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    marker::PhantomData,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use stack_contract::{AsyncStore, Lookup, StoreError, keys::Key, limits::STORE_CONNECT_TIMEOUT};
use stack_resp::{Command, Multiplexer, Outcome, Target, socket};

use crate::{
    runtime::{Runtime, Timer, give_way},
    slots::{Slot, Slots},
};

/// What one read may bring: hundreds of replies.
const SCRATCH_BYTES: usize = 64 * 1024;

/// A set of multiplexed connections of a runtime. Cheap to clone; all clones share the connections.
#[derive(Debug, Clone)]
pub struct MultiplexedStore<R> {
    links: Arc<[Arc<Link>]>,
    // None is needed, its functions are.
    runtime: PhantomData<fn() -> R>,
}

/// One connection, as those who use it and the task that drives it share it.
#[derive(Debug)]
struct Link {
    target: Target,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    multiplexer: Multiplexer<Slot>,
    slots: Slots,
    /// The driver, while it waits for commands.
    driver: Option<Waker>,
    /// Who waits for the end of the first attempt to connect, until it ended.
    first_attempt: Option<Vec<Waker>>,
}

/// Drives one connection of a store; to be spawned as a task of the runtime. It never ends.
#[derive(Debug)]
pub struct Driver<R> {
    link: Arc<Link>,
    runtime: PhantomData<fn() -> R>,
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Numbers the threads that use a store, so that each keeps to one connection without any counting.
    static THREAD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

impl<R: Runtime> MultiplexedStore<R> {
    /// A store of so many connections, and what drives them.
    #[must_use]
    pub fn new(target: &Target, connections: u32) -> (Self, Vec<Driver<R>>) {
        let links: Arc<[_]> = (0..connections.max(1)).map(|_| Arc::new(Link::new(target))).collect();
        let drive = |link| Driver { link: Arc::clone(link), runtime: PhantomData };
        let drivers = links.iter().map(drive).collect();
        (Self { links, runtime: PhantomData }, drivers)
    }

    /// Completes when each connection had one attempt to come up. A store that is not there is not an error: the drivers
    /// go on trying.
    pub async fn attempted(&self) {
        for link in self.links.iter() {
            poll_fn(|context| match &mut link.state().first_attempt {
                Some(waiting) => {
                    waiting.push(context.waker().clone());
                    Poll::Pending
                }
                None => Poll::Ready(()),
            })
            .await;
        }
    }

    fn request(&self, command: Command) -> Request<'_> {
        Request { link: &self.links[THREAD.get() % self.links.len()], stage: Stage::New(command) }
    }
}

impl<R: Runtime> AsyncStore for MultiplexedStore<R> {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        self.request(Command::Get(key)).await?.looked_up()
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        self.request(Command::Set(key, value)).await?.written()
    }

    fn hold(&self, time: Duration) -> impl Future<Output = ()> {
        // Boxed, because with tokio's it would be the largest of the three futures, and each request would have room for it.
        Box::pin(R::sleep(time))
    }
}

/// One command on its way.
struct Request<'a> {
    link: &'a Link,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    New(Command),
    Waiting(Slot),
    Done,
}

impl Future for Request<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match self.stage {
            Stage::New(command) => {
                let now = Instant::now();
                let mut guard = self.link.state();
                let state = &mut *guard;
                let slot = state.slots.take(context);
                state.multiplexer.submit(command, slot, now);
                if let Some((slot, outcome)) = state.multiplexer.next_outcome() {
                    state.slots.give_back(slot);
                    return Poll::Ready(outcome);
                }
                let driver = state.driver.take();
                drop(guard);
                self.stage = Stage::Waiting(slot);
                if let Some(driver) = driver {
                    driver.wake();
                }
                Poll::Pending
            }
            Stage::Waiting(slot) => {
                let outcome = self.link.state().slots.poll(slot, context);
                if outcome.is_ready() {
                    self.stage = Stage::Done;
                }
                outcome
            }
            Stage::Done => Poll::Pending,
        }
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if let Stage::Waiting(slot) = self.stage {
            self.link.state().slots.abandon(slot);
        }
    }
}

impl Link {
    fn new(target: &Target) -> Self {
        let state = State {
            multiplexer: Multiplexer::new(target),
            slots: Slots::default(),
            driver: None,
            first_attempt: Some(Vec::new()),
        };
        Self { target: target.clone(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics with the lock held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something about the connection, and wakes those whose outcomes came of it. `woken` is memory to use.
    fn change<T>(&self, woken: &mut Vec<Waker>, change: impl FnOnce(&mut Multiplexer<Slot>) -> T) -> T {
        let result = {
            let state = &mut *self.state();
            let result = change(&mut state.multiplexer);
            while let Some((slot, outcome)) = state.multiplexer.next_outcome() {
                woken.extend(state.slots.fill(slot, outcome));
            }
            // Not when it is connected: a store that asks for a password has to accept it first.
            if state.first_attempt.is_some() && state.multiplexer.is_up() {
                woken.extend(state.first_attempt.take().into_iter().flatten());
            }
            result
        };
        woken.drain(..).for_each(Waker::wake);
        result
    }

    fn end_first_attempt(&self) {
        let waiting = self.state().first_attempt.take();
        waiting.into_iter().flatten().for_each(Waker::wake);
    }
}

impl<R: Runtime> Driver<R> {
    /// Connects, carries commands and replies, and connects anew, for as long as the runtime runs it.
    pub async fn run(self) {
        let link = &*self.link;
        let mut woken = Vec::new();
        loop {
            let connect_at = link.change(&mut woken, |multiplexer| multiplexer.connect_at());
            let pause = connect_at.map(|instant| instant.saturating_duration_since(Instant::now()));
            if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
                R::sleep(pause).await;
            }
            link.change(&mut woken, Multiplexer::connecting);
            match connect::<R>(&link.target).await {
                Ok(stream) => {
                    link.change(&mut woken, |multiplexer| multiplexer.connected(Instant::now()));
                    carry::<R>(link, stream, &mut woken).await;
                    link.change(&mut woken, |multiplexer| multiplexer.lost(Instant::now()));
                }
                Err(error) => {
                    link.change(&mut woken, |multiplexer| multiplexer.connect_failed(Instant::now(), &error));
                }
            }
            link.end_first_attempt();
        }
    }
}

async fn connect<R: Runtime>(target: &Target) -> io::Result<R::Stream> {
    let mut timer = Timer::STOPPED;
    timer.start::<R>(STORE_CONNECT_TIMEOUT);
    let mut connecting = pin!(R::connect(target.host(), target.port()));
    let stream = poll_fn(|context| match connecting.as_mut().poll(context) {
        Poll::Pending if timer.rings(context) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        other => other,
    })
    .await?;
    socket::configure(&stream, target)?;
    Ok(stream)
}

/// Carries commands and replies until the connection is lost.
async fn carry<R: Runtime>(link: &Link, stream: R::Stream, woken: &mut Vec<Waker>) {
    let mut line = Line::<R> {
        link,
        stream,
        output: Vec::new(),
        sent: 0,
        scratch: vec![0; SCRATCH_BYTES].into(),
        timer: Timer::STOPPED,
    };
    loop {
        match poll_fn(|context| line.poll(context, woken)).await {
            // Whoever was woken together with us has commands too: in one write they cost no more than one of them.
            Ok(Todo::Write) => give_way().await,
            Err(Lost) => return,
        }
        line.take_output();
    }
}

/// A connection and what is on its way over it.
struct Line<'a, R: Runtime> {
    link: &'a Link,
    stream: R::Stream,
    /// What is being written; bytes before `sent` are.
    output: Vec<u8>,
    sent: usize,
    scratch: Box<[u8]>,
    /// Runs while commands are in flight, up to the first deadline there was when it was started.
    timer: Timer,
}

/// There are commands to be written.
enum Todo {
    Write,
}

/// The connection is gone, or is to be dropped.
struct Lost;

impl<R: Runtime> Line<'_, R> {
    fn poll(&mut self, context: &mut Context<'_>, woken: &mut Vec<Waker>) -> Poll<Result<Todo, Lost>> {
        self.poll_write(context)?;
        // Before reading: who was woken for these commands alone would find nothing to read. It is read when they are
        // written, and before this waits for anything.
        if self.sent == self.output.len() && !self.link.state().multiplexer.output().is_empty() {
            return Poll::Ready(Ok(Todo::Write));
        }
        self.poll_read(context, woken)?;
        self.poll_clock(context, woken)?;
        // One buffer after the other: what is being written, and what comes in meanwhile.
        if self.sent < self.output.len() {
            return Poll::Pending;
        }
        let mut state = self.link.state();
        if !state.multiplexer.output().is_empty() {
            return Poll::Ready(Ok(Todo::Write));
        }
        state.driver = Some(context.waker().clone());
        Poll::Pending
    }

    fn take_output(&mut self) {
        let spare = std::mem::take(&mut self.output);
        self.sent = 0;
        self.output = self.link.state().multiplexer.take_output(spare);
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), Lost> {
        while self.sent < self.output.len() {
            match R::poll_write(&mut self.stream, context, &self.output[self.sent..]) {
                Poll::Ready(Ok(bytes @ 1..)) => self.sent += bytes,
                Poll::Ready(_) => return Err(Lost),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    fn poll_read(&mut self, context: &mut Context<'_>, woken: &mut Vec<Waker>) -> Result<(), Lost> {
        loop {
            let bytes = match R::poll_read(&mut self.stream, context, &mut self.scratch) {
                Poll::Ready(Ok(bytes @ 1..)) => bytes,
                Poll::Ready(_) => return Err(Lost),
                Poll::Pending => return Ok(()),
            };
            let (link, received) = (self.link, &self.scratch[..bytes]);
            let broken = link.change(woken, |multiplexer| {
                multiplexer.receive(received, Instant::now());
                multiplexer.is_broken()
            });
            if broken {
                return Err(Lost);
            }
        }
    }

    /// Looks after overdue commands. The timer is started for the oldest one and not moved when that is answered: so it
    /// costs something once in a while, and nothing for each command.
    fn poll_clock(&mut self, context: &mut Context<'_>, woken: &mut Vec<Waker>) -> Result<(), Lost> {
        loop {
            if !self.timer.is_running() {
                let deadline = self.link.state().multiplexer.deadline();
                let Some(deadline) = deadline else { return Ok(()) };
                self.timer.start::<R>(deadline.saturating_duration_since(Instant::now()));
            }
            if !self.timer.rings(context) {
                return Ok(());
            }
            let broken = self.link.change(woken, |multiplexer| {
                multiplexer.expire(Instant::now());
                multiplexer.is_broken()
            });
            if broken {
                return Err(Lost);
            }
        }
    }
}
