//! The worker's store connection: the commands of all its requests travel on it, and those that come in one turn of the
//! runtime in one write.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::Shutdown,
    rc::Rc,
    sync::mpsc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use compio::{
    BufResult,
    io::{AsyncRead, AsyncWriteExt},
    net::TcpStream,
    runtime::spawn,
    time,
};
use slab::Slab;
use socket2::SockRef;
use stack_contract::{AsyncStore, Lookup, StoreError, keys::Key, limits::STORE_CONNECT_TIMEOUT};
use stack_resp::{Command, Multiplexer, Outcome, Target, socket};

/// What one read may bring: a few dozen values of 1 KiB.
const READ_BYTES: usize = 64 * 1024;

/// A store for the requests of one worker: no locks, and not to be sent to another thread.
pub struct LocalStore {
    multiplexer: RefCell<Multiplexer<usize>>,
    /// Requests that wait; their keys are the multiplexer's tickets.
    waiting: RefCell<Slab<Slot>>,
    /// The task that writes, while it has nothing to write.
    writer: Cell<Option<Waker>>,
}

#[derive(Debug)]
enum Slot {
    Waits(Option<Waker>),
    Done(Outcome),
    /// Nobody waits any more.
    Forsaken,
}

impl LocalStore {
    /// A store without a connection, until somebody [`drive`]s it.
    pub fn new(target: &Target) -> Rc<Self> {
        Rc::new(Self {
            multiplexer: RefCell::new(Multiplexer::new(target)),
            waiting: RefCell::default(),
            writer: Cell::default(),
        })
    }

    async fn ask(&self, command: Command) -> Outcome {
        let ticket = self.waiting.borrow_mut().insert(Slot::Waits(None));
        self.multiplexer.borrow_mut().submit(command, ticket, Instant::now());
        // Without a connection there is an outcome already.
        self.settle();
        Waiting { store: self, ticket }.await
    }

    /// Hands out outcomes, and has the writer write.
    fn settle(&self) {
        let mut multiplexer = self.multiplexer.borrow_mut();
        while let Some((ticket, outcome)) = multiplexer.next_outcome() {
            let mut waiting = self.waiting.borrow_mut();
            let Some(slot) = waiting.get_mut(ticket) else { continue };
            match std::mem::replace(slot, Slot::Done(outcome)) {
                Slot::Waits(waker) => waker.into_iter().for_each(Waker::wake),
                Slot::Forsaken => _ = waiting.remove(ticket),
                Slot::Done(_) => {}
            }
        }
        if !multiplexer.output().is_empty()
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
    }

    /// Uses a connection until it ends. `attempted` is dropped when the store has returned our greeting.
    async fn talk(self: &Rc<Self>, stream: &TcpStream, attempted: &mut Option<mpsc::Sender<()>>) {
        // Both end with their handles.
        let _writer = spawn(Rc::clone(self).write(stream.clone()));
        let _clock = spawn(Rc::clone(self).keep_time(stream.clone()));
        let mut buffer = Vec::with_capacity(READ_BYTES);
        while !self.multiplexer.borrow().is_broken() {
            if self.multiplexer.borrow().is_up() {
                *attempted = None;
            }
            buffer.clear();
            let BufResult(read, bytes) = (&*stream).read(buffer).await;
            buffer = bytes;
            if read.map_or(0, |bytes| bytes) == 0 {
                return;
            }
            self.multiplexer.borrow_mut().receive(&buffer, Instant::now());
            self.settle();
        }
    }

    async fn write(self: Rc<Self>, stream: TcpStream) {
        let mut buffer = Vec::new();
        loop {
            poll_fn(|context| self.poll_output(context)).await;
            let output = self.multiplexer.borrow_mut().take_output(buffer);
            let BufResult(written, bytes) = (&stream).write_all(output).await;
            buffer = bytes;
            if written.is_err() {
                return hang_up(&stream);
            }
        }
    }

    fn poll_output(&self, context: &Context<'_>) -> Poll<()> {
        if self.multiplexer.borrow().output().is_empty() {
            self.writer.set(Some(context.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    async fn keep_time(self: Rc<Self>, stream: TcpStream) {
        loop {
            let (deadline, timeout) = {
                let multiplexer = self.multiplexer.borrow();
                (multiplexer.deadline(), multiplexer.response_timeout())
            };
            // Whatever is sent from now on is not due before that.
            time::sleep_until(deadline.unwrap_or_else(|| Instant::now() + timeout)).await;
            self.multiplexer.borrow_mut().expire(Instant::now());
            self.settle();
            if self.multiplexer.borrow().is_broken() {
                return hang_up(&stream);
            }
        }
    }
}

/// Lets the reader notice that the connection is of no use any more.
fn hang_up(stream: &TcpStream) {
    // Fails if the other side did so before.
    let _ = SockRef::from(stream).shutdown(Shutdown::Both);
}

/// Connects, and connects anew whenever a connection ends, for the rest of the program's life. `attempted` is dropped
/// after the first attempt.
pub async fn drive(store: Rc<LocalStore>, target: Target, attempted: mpsc::Sender<()>) {
    let mut attempted = Some(attempted);
    loop {
        let connect_at = store.multiplexer.borrow().connect_at();
        time::sleep_until(connect_at.unwrap_or_else(Instant::now)).await;
        store.multiplexer.borrow_mut().connecting();
        match open(&target).await {
            Ok(stream) => {
                store.multiplexer.borrow_mut().connected(Instant::now());
                store.settle();
                store.talk(&stream, &mut attempted).await;
                hang_up(&stream);
                store.multiplexer.borrow_mut().lost(Instant::now());
            }
            Err(error) => store.multiplexer.borrow_mut().connect_failed(Instant::now(), &error),
        }
        drop(attempted.take());
        store.settle();
    }
}

async fn open(target: &Target) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect((target.host(), target.port()));
    let stream = time::timeout(STORE_CONNECT_TIMEOUT, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
    socket::configure(&stream, target)?;
    Ok(stream)
}

/// A request on its way to the store.
struct Waiting<'a> {
    store: &'a LocalStore,
    ticket: usize,
}

impl Future for Waiting<'_> {
    type Output = Outcome;

    fn poll(self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.store.waiting.borrow_mut()[self.ticket] {
            Slot::Done(outcome) => Poll::Ready(*outcome),
            slot => {
                *slot = Slot::Waits(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.store.waiting.borrow_mut();
        match &mut waiting[self.ticket] {
            Slot::Done(_) => _ = waiting.remove(self.ticket),
            // Its ticket is the multiplexer's until that gives it back.
            slot => *slot = Slot::Forsaken,
        }
    }
}

impl AsyncStore for LocalStore {
    async fn get(&self, key: Key) -> Result<Lookup, StoreError> {
        self.ask(Command::Get(key)).await?.looked_up()
    }

    async fn set(&self, key: Key, value: &'static [u8]) -> Result<(), StoreError> {
        self.ask(Command::Set(key, value)).await?.written()
    }

    fn hold(&self, time: Duration) -> impl Future<Output = ()> {
        time::sleep(time)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn store() -> Rc<LocalStore> {
        LocalStore::new(&Target::parse("redis://127.0.0.1:1").unwrap())
    }

    fn connected() -> Rc<LocalStore> {
        let store = store();
        store.multiplexer.borrow_mut().connecting();
        store.multiplexer.borrow_mut().connected(Instant::now());
        store
    }

    fn receive(store: &LocalStore, bytes: &[u8]) {
        store.multiplexer.borrow_mut().receive(bytes, Instant::now());
        store.settle();
    }

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn replies_find_their_requests_and_leave_nothing_behind() {
        let store = connected();
        {
            let (mut first, mut second) = (pin!(store.get(Key::new(1))), pin!(store.set(Key::new(2), b"x")));
            assert!(first.as_mut().poll(&mut context()).is_pending());
            assert!(second.as_mut().poll(&mut context()).is_pending());
            receive(&store, b"$-1\r\n+OK\r\n");
            assert_eq!(second.as_mut().poll(&mut context()), Poll::Ready(Ok(())));
            assert_eq!(first.as_mut().poll(&mut context()), Poll::Ready(Ok(Lookup::Miss)));
        }
        assert!(store.waiting.borrow().is_empty());
    }

    #[test]
    fn a_request_without_a_connection_fails_at_once() {
        let store = store();
        let request = pin!(store.get(Key::new(1)));
        assert_eq!(request.poll(&mut context()), Poll::Ready(Err(StoreError::Unavailable)));
    }

    #[test]
    fn a_forsaken_request_is_forgotten_when_its_reply_comes() {
        let store = connected();
        {
            let request = pin!(store.get(Key::new(1)));
            assert!(request.poll(&mut context()).is_pending());
        }
        assert_eq!(store.waiting.borrow().len(), 1, "its ticket is the multiplexer's");
        receive(&store, b"$1\r\nv\r\n");
        assert!(store.waiting.borrow().is_empty());
    }

    #[test]
    fn the_writer_is_woken_once_for_the_commands_of_many() {
        let store = connected();
        assert!(store.poll_output(&context()).is_pending());
        let (first, second) = (pin!(store.get(Key::new(1))), pin!(store.get(Key::new(2))));
        assert!(first.poll(&mut context()).is_pending() && second.poll(&mut context()).is_pending());
        assert!(store.writer.take().is_none(), "it was woken by the first");
        assert!(store.poll_output(&context()).is_ready());
        let output = store.multiplexer.borrow_mut().take_output(Vec::new());
        assert_eq!(output.iter().filter(|byte| **byte == b'*').count(), 2);
    }
}
