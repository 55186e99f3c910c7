//! One connection.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use stack_contract::{Answer, AsyncStore, Mode, Operation, Route, limits::HEAD_TIMEOUT};
use stack_http1::{
    Connection,
    session::{LINGER_BYTES, LINGER_TIMEOUT},
};

use crate::{
    runtime::{Runtime, Timer, give_way},
    server::Place,
};

/// What one read may bring: many pipelined requests, and more than the longest head.
const SCRATCH_BYTES: usize = 32 * 1024;

/// Reads of one connection before the others have their turn, if it always has more.
const READS_PER_TURN: u32 = 8;

thread_local! {
    /// Where a read puts its bytes before the codec takes them: shared, as that is what keeps idle connections small.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// The stores of a stack, one for each mode.
#[derive(Debug, Clone)]
pub struct Stores<S, A> {
    /// What `/sync/…` uses.
    pub sync: S,
    /// What `/async/…` uses.
    pub asynchronous: A,
}

/// Serves one connection to its end. To be spawned as a task of its own: the server's end is told to the task that polled
/// this first.
pub async fn serve<R: Runtime, S: AsyncStore, A: AsyncStore>(stream: R::Stream, place: Place, stores: &Stores<S, A>) {
    poll_fn(|context| {
        place.watch(context);
        Poll::Ready(())
    })
    .await;
    let mut client = Client::<R> { stream, http: Connection::new(), timer: Timer::STOPPED, reads: 0, ended: false };
    // A client that leaves, takes too long or speaks nonsense is its own affair.
    if client.converse(&place, stores).await.is_ok() {
        client.linger().await;
    }
}

/// There is nothing more to be said to this client, or no way to.
struct Gone;

struct Client<R: Runtime> {
    stream: R::Stream,
    http: Connection,
    /// Runs against a client that is slow.
    timer: Timer,
    /// Reads since the others had their turn.
    reads: u32,
    /// Whether the client has said all it wants to say.
    ended: bool,
}

impl<R: Runtime> Client<R> {
    /// Until the last answer is written, or the client is idle and one of the two leaves.
    async fn converse<S: AsyncStore, A: AsyncStore>(
        &mut self,
        place: &Place,
        stores: &Stores<S, A>,
    ) -> Result<(), Gone> {
        loop {
            self.answer_all(place, stores).await?;
            self.flush().await?;
            if self.http.is_over() {
                return Ok(());
            }
            if self.ended {
                return Err(Gone);
            }
            if self.http.is_amid_request() {
                self.timer.start::<R>(HEAD_TIMEOUT);
            } else {
                self.timer.stop();
            }
            poll_fn(|context| self.poll_receive(place, context)).await?;
            if self.reads > READS_PER_TURN {
                self.reads = 0;
                give_way().await;
            }
        }
    }

    async fn answer_all<S: AsyncStore, A: AsyncStore>(
        &mut self,
        place: &Place,
        stores: &Stores<S, A>,
    ) -> Result<(), Gone> {
        while let Some(request) = self.http.next_request() {
            let answer = match Route::resolve(request.method, request.path()) {
                Route::Answer(answer) => answer,
                Route::Store(mode, operation) => {
                    // Answers go out together, but none waits for a store that is not its own.
                    self.flush().await?;
                    operate(mode, operation, stores).await
                }
            };
            // Asked this late, as the store may have taken its time.
            if place.server().is_stopping() {
                self.http.close_after_next();
            }
            self.http.answer(answer);
            self.timer.stop();
        }
        Ok(())
    }

    /// Writes all there is to write.
    async fn flush(&mut self) -> Result<(), Gone> {
        if self.http.output().is_empty() {
            return Ok(());
        }
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        while !self.http.output().is_empty() {
            match R::poll_write(&mut self.stream, context, self.http.output()) {
                Poll::Ready(Ok(bytes @ 1..)) => {
                    self.http.written(bytes);
                    self.timer.stop();
                }
                Poll::Ready(_) => return Poll::Ready(Err(Gone)),
                Poll::Pending => {
                    self.reads = 0;
                    self.timer.start::<R>(HEAD_TIMEOUT);
                    return if self.timer.rings(context) { Poll::Ready(Err(Gone)) } else { Poll::Pending };
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, place: &Place, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let http = &mut self.http;
        let read = poll_read::<R>(&mut self.stream, context, |bytes| http.receive(bytes));
        match read {
            Poll::Ready(Ok(0)) => self.ended = true,
            Poll::Ready(Ok(_)) => self.reads += 1,
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Gone)),
            Poll::Pending => {
                self.reads = 0;
                let late = self.timer.rings(context);
                if late || (place.server().is_stopping() && self.http.is_idle() && !has_unread(&self.stream)) {
                    return Poll::Ready(Err(Gone));
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The last answer is out. If the client did not ask for the end, it may still be sending, and to close with bytes
    /// unread would reset the connection and could take the answer from the client.
    async fn linger(mut self) {
        if !self.http.was_cut_short() || self.ended || shutdown(&self.stream, Shutdown::Write).is_err() {
            return;
        }
        let (mut left, mut timer) = (LINGER_BYTES, Timer::STOPPED);
        timer.start::<R>(LINGER_TIMEOUT);
        poll_fn(|context| {
            while let Poll::Ready(read) = poll_read::<R>(&mut self.stream, context, |_| ()) {
                let bytes = read.unwrap_or(0);
                left = left.saturating_sub(bytes);
                if bytes == 0 || left == 0 {
                    return Poll::Ready(());
                }
            }
            if timer.rings(context) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

async fn operate<S: AsyncStore, A: AsyncStore>(mode: Mode, operation: Operation, stores: &Stores<S, A>) -> Answer {
    match mode {
        Mode::Sync => operation.run_async(&stores.sync).await,
        Mode::Async => operation.run_async(&stores.asynchronous).await,
    }
}

/// Reads once and hands over what came: how many bytes.
fn poll_read<R: Runtime>(
    stream: &mut R::Stream,
    context: &mut Context<'_>,
    take: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let bytes = ready!(R::poll_read(stream, context, scratch))?;
        take(&scratch[..bytes]);
        Poll::Ready(Ok(bytes))
    })
}

/// Whether bytes came that the runtime has not told us of yet: what was sent before the server was to stop is answered.
fn has_unread(stream: &impl std::os::fd::AsFd) -> bool {
    let bytes = recv(stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    matches!(bytes, Ok((1.., _)))
}
