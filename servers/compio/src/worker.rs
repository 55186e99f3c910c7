//! A thread with a runtime of its own: accept, sweep, drain.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::TcpListener,
    rc::Rc,
    sync::{Arc, Once, mpsc},
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use compio::{
    driver::ProactorBuilder,
    net::TcpListener as RingListener,
    runtime::{ResumeUnwind, Runtime, spawn},
    time,
};
use rustix::io::Errno;
use slab::Slab;
use stack_contract::limits::{ACCEPT_PAUSE, DRAIN_TIMEOUT};
use stack_core::BlockingPool;
use stack_resp::Target;

use crate::{
    places::{Place, Places},
    serve::{Peer, serve},
    store::{LocalStore, drive},
};

/// Entries of a ring's submission queue; the completion queue has twice as many. Enough for the answers of thousands of
/// connections to be collected at once.
const RING_ENTRIES: u32 = 4096;

/// Wakes from the threads of the pool that may wait for the worker; when it is full, a thread spins.
const WAKES: usize = 4096;

/// How often slow clients are looked for; also how late they may be found.
const SWEEP: Duration = Duration::from_secs(1);

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    pub target: Target,
    pub pool: BlockingPool,
    pub places: Places,
}

/// What all connections of a worker share.
pub struct Worker {
    pub shared: Arc<Shared>,
    pub store: Rc<LocalStore>,
    peers: RefCell<Slab<Rc<Peer>>>,
    stopping: Cell<bool>,
    /// The time of the last sweep: near enough for clocks that are looked at once a sweep.
    swept: Cell<Instant>,
    /// Who waits for the last connection to end.
    emptied: Cell<Option<Waker>>,
}

/// A runtime on a ring of its own, which only the thread that calls this may use.
///
/// # Errors
/// When this machine has no io_uring to give: there is no other driver.
pub fn runtime() -> Result<Runtime> {
    static PLAIN: Once = Once::new();
    let mut ring = ProactorBuilder::new();
    ring.capacity(RING_ENTRIES);
    let mut deferred = ring.clone();
    // Completions are collected when the worker asks for them, and do not interrupt it. The flag is what tells compio
    // that there are some, when it has tasks to run and would not wait.
    deferred.single_issuer(true).defer_taskrun(true).taskrun_flag(true);
    let built = build(deferred).or_else(|error| {
        if Errno::from_io_error(&error) != Some(Errno::INVAL) {
            return Err(error);
        }
        PLAIN.call_once(|| eprintln!("this kernel is too old to defer an io_uring's work: plain rings are used"));
        build(ring)
    });
    built.map_err(|error| {
        anyhow!(
            "this machine gives us no io_uring ({error}), and this stack has no other driver; see \
             kernel.io_uring_disabled, the seccomp profile of a container, and the limit of locked memory (ulimit -l)"
        )
    })
}

fn build(ring: ProactorBuilder) -> io::Result<Runtime> {
    Runtime::builder().with_proactor(ring).sync_queue_size(WAKES).build()
}

/// A worker's thread. `connected` is dropped after the first attempt to reach the store.
pub fn run(listener: TcpListener, shared: Arc<Shared>, connected: mpsc::Sender<()>) -> Result<()> {
    let runtime = runtime()?;
    // As a task, because the runtime polls what it blocks on at every turn.
    runtime.block_on(async {
        let work = spawn(async move {
            let store = LocalStore::new(&shared.target);
            spawn(drive(Rc::clone(&store), shared.target.clone(), connected)).detach();
            let worker = Rc::new(Worker {
                shared,
                store,
                peers: RefCell::default(),
                stopping: Cell::new(false),
                swept: Cell::new(Instant::now()),
                emptied: Cell::default(),
            });
            spawn(sweep(Rc::clone(&worker))).detach();
            // The ring waits for a socket by itself, and would be told `EAGAIN` by one that does not block.
            accept(&worker, RingListener::from_std(listener).context("cannot accept")?).await;
            worker.drain().await;
            Ok(())
        });
        work.await.resume_unwind().unwrap_or(Ok(()))
    })
}

async fn accept(worker: &Rc<Worker>, listener: RingListener) {
    let places = &worker.shared.places;
    // Not taken yet: a worker to which nobody connects must not hold the place that another one could use.
    while places.any().await {
        let error = match listener.accept().await {
            Ok((stream, _)) => {
                let place = places.take().await;
                // An error: the client left.
                if stream.set_nodelay(true).is_ok() {
                    spawn(attend(Guest::enter(worker, Peer::new(stream), place))).detach();
                }
                continue;
            }
            Err(error) => error,
        };
        // The client gave up before we came to it.
        if error.kind() != io::ErrorKind::ConnectionAborted && !places.are_closed() {
            eprintln!("accept: {error}");
            time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// A connection's task.
async fn attend(guest: Guest) {
    serve(&guest.worker, &guest.peer).await;
}

/// A connection as its worker knows it, for as long as its task lives: also if that panics.
struct Guest {
    worker: Rc<Worker>,
    index: usize,
    // In this order: the socket is closed before another connection may take the place.
    peer: Rc<Peer>,
    _place: Place,
}

impl Guest {
    fn enter(worker: &Rc<Worker>, peer: Peer, place: Place) -> Self {
        let peer = Rc::new(peer);
        let index = worker.peers.borrow_mut().insert(Rc::clone(&peer));
        Self { worker: Rc::clone(worker), index, peer, _place: place }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut peers = self.worker.peers.borrow_mut();
        drop(peers.remove(self.index));
        if peers.is_empty()
            && let Some(waker) = self.worker.emptied.take()
        {
            waker.wake();
        }
    }
}

/// Looks for clients that take too long.
async fn sweep(worker: Rc<Worker>) {
    loop {
        time::sleep(SWEEP).await;
        let now = Instant::now();
        worker.swept.set(now);
        worker.peers.borrow().iter().for_each(|(_, peer)| peer.check(now));
    }
}

impl Worker {
    /// Whether the server is to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// After that time, or up to [`SWEEP`] later.
    pub fn later(&self, time: Duration) -> Instant {
        self.swept.get() + SWEEP + time
    }

    /// Lets what is in flight finish. What is not done by then is cut off.
    async fn drain(&self) {
        self.stopping.set(true);
        self.peers.borrow().iter().for_each(|(_, peer)| peer.end_if_idle());
        let emptied = poll_fn(|context| {
            if self.peers.borrow().is_empty() {
                return Poll::Ready(());
            }
            self.emptied.set(Some(context.waker().clone()));
            Poll::Pending
        });
        let _ = time::timeout(DRAIN_TIMEOUT, emptied).await;
    }
}
