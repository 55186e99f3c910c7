//! The pool: gives what is queued its turn, on threads that may block.

use crossbeam_channel::{Receiver, Sender};
use stack_contract::{Answer, Mode, Operation, Route};
use stack_http1::{Fill, Next, Session};
use stack_redis_store::{BlockingStore, MultiplexedStore, Target};
use tokio::runtime::Handle;

use crate::table::{Interest, Table, Token};

/// Pipelined requests answered in one turn. More of them go to the back of the queue, behind everyone else.
const REQUESTS_PER_TURN: usize = 16;

/// What one read may bring: many pipelined requests, and more than the longest head.
const SCRATCH_BYTES: usize = 32 * 1024;

/// The stores of one thread.
pub struct Stores {
    blocking: BlockingStore,
    multiplexed: MultiplexedStore,
    runtime: Handle,
}

impl Stores {
    pub fn new(target: Target, multiplexed: MultiplexedStore, runtime: Handle) -> Self {
        Self { blocking: BlockingStore::new(target), multiplexed, runtime }
    }

    fn run(&mut self, mode: Mode, operation: Operation) -> Answer {
        match mode {
            Mode::Sync => operation.run(&mut self.blocking),
            // This thread waits; the runtime's thread does the talking.
            Mode::Async => self.runtime.block_on(operation.run_async(&self.multiplexed)),
        }
    }
}

/// One thread of the pool.
pub struct Worker {
    stores: Stores,
    table: &'static Table,
    ready: Sender<Token>,
    queue: Receiver<Token>,
    scratch: Box<[u8]>,
}

/// What becomes of a connection after its turn.
enum Turn {
    Waits(Interest),
    MayGoOn,
    Over,
}

impl Worker {
    pub fn new(stores: Stores, table: &'static Table, ready: Sender<Token>, queue: Receiver<Token>) -> Self {
        Self { stores, table, ready, queue, scratch: vec![0; SCRATCH_BYTES].into() }
    }

    /// Serves for as long as the program runs.
    pub fn run(mut self) {
        while let Ok(token) = self.queue.recv() {
            self.serve(token);
        }
    }

    fn serve(&mut self, token: Token) {
        let table = self.table;
        let mut place = table.lock(token);
        // It may have been cut off while it was queued.
        let Some(session) = place.as_mut() else { return };
        match self.turn(session) {
            Turn::Waits(interest) => {
                if table.rearm(token, session, interest).is_err() {
                    table.release(token, place);
                }
            }
            // Cannot fail: this very thread holds the other end.
            Turn::MayGoOn => drop(self.ready.send(token)),
            Turn::Over => table.release(token, place),
        }
    }

    fn turn(&mut self, session: &mut Session) -> Turn {
        let stopping = self.table.is_stopping();
        if stopping {
            session.http.close_after_next();
        }
        // Left over from a client that did not take its answers.
        match session.flush() {
            Next::Read => {}
            Next::Write => return Turn::Waits(Interest::Writable),
            Next::Close => return Turn::Over,
        }
        let mut answered = self.answer(session, REQUESTS_PER_TURN);
        if answered < REQUESTS_PER_TURN {
            match session.fill(&mut self.scratch) {
                Fill::End => return Turn::Over,
                Fill::Some | Fill::Drained | Fill::Nothing => {}
            }
            answered += self.answer(session, REQUESTS_PER_TURN - answered);
        }
        match session.settle() {
            Next::Close => Turn::Over,
            Next::Write => Turn::Waits(Interest::Writable),
            // Whether there is another whole request in what was read is for the next turn to find out.
            Next::Read if answered == REQUESTS_PER_TURN => Turn::MayGoOn,
            Next::Read if stopping && session.http.is_idle() => Turn::Over,
            Next::Read => Turn::Waits(Interest::Readable),
        }
    }

    /// Answers up to `limit` requests that are whole, and says how many.
    fn answer(&mut self, session: &mut Session, limit: usize) -> usize {
        for answered in 0..limit {
            let Some(request) = session.http.next_request() else { return answered };
            let answer = match Route::resolve(request.method, request.path()) {
                Route::Answer(answer) => answer,
                Route::Store(mode, operation) => {
                    // Answers go out together, but none waits for a store that is not its own. What the client does not
                    // take now is written at the end of the turn.
                    session.flush();
                    self.stores.run(mode, operation)
                }
            };
            session.http.answer(answer);
        }
        limit
    }
}
