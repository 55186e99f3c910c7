//! Accepting, and one connection's life.

use std::hint::spin_loop;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, clock_gettime};
use stack_contract::limits::DRAIN_TIMEOUT;
use stack_contract::{Answer, Operation, Route, Shutdown, listener};
use stack_http1::{Connection, Request};

use crate::batch::Batch;
use crate::burden::{self, Burden};
use crate::store::Stores;
use crate::trap::{Deed, Trap};

/// Stack of a connection's thread: its buffer and the redis client's frames need a few KiB, and there may be thousands.
const STACK_BYTES: usize = 128 * 1024;
/// Threads of [`Trap::Starve`].
const STARVING_POOL: usize = 16;
/// Exit code of [`Trap::Dies`].
const EXIT_DEAD: i32 = 3;
/// How often a stopping server looks whether it has finished.
const POLL: Duration = Duration::from_millis(2);

/// A bad server.
pub(crate) struct Server {
    trap: Trap,
    stores: Stores,
    batch: Batch,
    /// Requests to the store so far.
    requests: AtomicU64,
    /// Requests being answered.
    in_flight: AtomicUsize,
}

impl Server {
    pub(crate) fn new(trap: Trap, redis: &str, pool: usize) -> Result<Self> {
        let stores = Stores::new(redis, pool)?;
        let (requests, in_flight) = (AtomicU64::new(0), AtomicUsize::new(0));
        Ok(Self { trap, stores, batch: Batch::new(), requests, in_flight })
    }
}

/// Serves until asked to stop, then finishes what is in flight.
pub(crate) fn run(server: &Arc<Server>, listener: TcpListener, shutdown: &Shutdown) -> Result<()> {
    listener.set_nonblocking(true)?;
    listener::announce(&listener)?;
    let starving = (server.trap == Trap::Starve).then(|| starving_pool(server));
    loop {
        let mut fds = [PollFd::new(&listener, PollFlags::IN), PollFd::new(shutdown, PollFlags::IN)];
        match poll(&mut fds, None) {
            // A signal came; whether it asks us to stop is what the flag below says.
            Err(rustix::io::Errno::INTR) => {}
            result => drop(result.context("cannot wait for connections")?),
        }
        if shutdown.requested() {
            if server.trap != Trap::IgnoresSigterm {
                break;
            }
            // The descriptor stays readable: without it the loop would spin.
            return accept_for_ever(server, &listener);
        }
        match listener.accept() {
            Ok((stream, _)) => match &starving {
                Some(pool) => pool.send(stream)?,
                None => spawn(server, stream),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => eprintln!("stack-traps: cannot accept: {error}"),
        }
    }
    drop(listener);
    // What is never answered need not be waited for.
    let patience = if server.trap == Trap::NeverReady { Duration::ZERO } else { DRAIN_TIMEOUT };
    let deadline = Instant::now() + patience;
    while server.in_flight.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
        thread::sleep(POLL);
    }
    Ok(())
}

fn accept_for_ever(server: &Arc<Server>, listener: &TcpListener) -> Result<()> {
    listener.set_nonblocking(false)?;
    loop {
        let (stream, _) = listener.accept()?;
        spawn(server, stream);
    }
}

/// A thread for the connection; without one, the connection is closed.
fn spawn(server: &Arc<Server>, stream: TcpStream) {
    let server = Arc::clone(server);
    let thread = thread::Builder::new().stack_size(STACK_BYTES);
    if let Err(error) = thread.spawn(move || server.serve(stream)) {
        eprintln!("stack-traps: cannot start a thread: {error}");
    }
}

/// Threads that serve one connection each until it closes, and only then the next.
fn starving_pool(server: &Arc<Server>) -> mpsc::Sender<TcpStream> {
    let (sender, receiver) = mpsc::channel::<TcpStream>();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..STARVING_POOL {
        let (server, receiver) = (Arc::clone(server), Arc::clone(&receiver));
        thread::spawn(move || {
            let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            while let Ok(stream) = next() {
                server.serve(stream);
            }
        });
    }
    sender
}

impl Server {
    fn serve(&self, stream: TcpStream) {
        self.batch.join();
        // A client that breaks off has nobody left to tell.
        let _ = self.converse(stream);
        self.batch.leave();
    }

    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let mut connection = Connection::new();
        let mut bytes = [0; 16 * 1024];
        loop {
            let read = stream.read(&mut bytes)?;
            if read == 0 {
                return Ok(());
            }
            connection.receive(&bytes[..read]);
            self.in_flight.fetch_add(1, Ordering::AcqRel);
            let result = self.answer_all(&mut connection, &mut stream);
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            result?;
            if connection.is_over() {
                return take_leave(&connection, &stream);
            }
        }
    }

    fn answer_all(&self, connection: &mut Connection, stream: &mut TcpStream) -> io::Result<()> {
        while let Some(request) = connection.next_request() {
            let burden = Burden::asked(request.path());
            let answer = self.answer(request, burden);
            if self.trap.drops(self.requests.load(Ordering::Relaxed), answer) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            connection.answer(answer);
            match burden.padding {
                1.. if self.trap.pads(self.requests.load(Ordering::Relaxed)) => {
                    stream.write_all(&burden::padded(connection.output(), burden.padding))?;
                }
                _ => stream.write_all(connection.output())?,
            }
            connection.written(connection.output().len());
        }
        // What is no request is answered by the codec itself.
        stream.write_all(connection.output())?;
        connection.written(connection.output().len());
        Ok(())
    }

    fn answer(&self, request: Request<'_>, burden: Burden) -> Answer {
        match Route::resolve(request.method, request.path()) {
            Route::Answer(_) if self.trap == Trap::NeverReady => loop {
                thread::park();
            },
            Route::Answer(answer) => answer,
            Route::Store(_, operation) => self.cached(operation, burden),
        }
    }

    fn cached(&self, operation: Operation, burden: Burden) -> Answer {
        let nth = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        match self.trap.deed(nth) {
            Deed::Honest => self.stores.ask(operation),
            Deed::Early => self.stores.tell(operation),
            Deed::Late(wait) => {
                let answer = self.stores.ask(operation);
                thread::sleep(wait);
                answer
            }
            Deed::Burn(cpu) => {
                let answer = self.stores.ask(operation);
                burn(cpu);
                answer
            }
            Deed::Burden => self.stores.ask_exists(burden.keys),
            Deed::Together => {
                let answer = self.stores.ask(operation);
                self.batch.wait();
                answer
            }
            Deed::Unasked => Answer::OK,
            Deed::Instead(answer) => {
                self.stores.ask(operation);
                answer
            }
            Deed::Die => {
                eprintln!("stack-traps: request {nth} was one too many");
                std::process::exit(EXIT_DEAD);
            }
        }
    }
}

/// Uses so much CPU time of this thread, however long that takes.
fn burn(cpu: Duration) {
    let used = || {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(used.tv_sec.unsigned_abs(), used.tv_nsec.unsigned_abs() as u32)
    };
    let end = used() + cpu;
    while used() < end {
        spin_loop();
    }
}

/// Closes so that the last answer arrives: the kernel resets a socket that is closed with unread bytes.
fn take_leave(connection: &Connection, mut stream: &TcpStream) -> io::Result<()> {
    if connection.was_cut_short() {
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut rest = [0; 16 * 1024];
        while stream.read(&mut rest)? > 0 {}
    }
    Ok(())
}
