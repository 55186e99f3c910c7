//! The pool: gives what is queued its turn, on threads that may block.

use std::sync::Arc;

use stack_contract::{Answer, Mode, Operation, Route};
use stack_http1::{Fill, Next, Session};
use stack_redis_store::{BlockingStore, MultiplexedStore, Target, Tokio};
use stack_threads::{Queue, Sleeper, Waiter};

use crate::table::{Interest, Table, Token};

/// Pipelined requests answered in one turn. More of them go to the back of the queue, behind everyone else.
const REQUESTS_PER_TURN: usize = 16;

/// What one read may bring: many pipelined requests, and more than the longest head.
const SCRATCH_BYTES: usize = 32 * 1024;

/// The stores of one thread.
pub struct Stores {
    blocking: BlockingStore,
    multiplexed: MultiplexedStore<Tokio>,
    waiter: Waiter,
}

impl Stores {
    /// For the calling thread, which has entered the runtime of `multiplexed`.
    pub fn new(target: Target, multiplexed: MultiplexedStore<Tokio>) -> Self {
        Self { blocking: BlockingStore::new(target), multiplexed, waiter: Waiter::current() }
    }

    fn run(&mut self, mode: Mode, operation: Operation) -> Answer {
        match mode {
            Mode::Sync => operation.run(&mut self.blocking),
            // This thread waits; the runtime's thread does the talking.
            Mode::Async => self.waiter.wait(operation.run_async(&self.multiplexed)),
        }
    }
}

/// One thread of the pool.
pub struct Worker {
    stores: Stores,
    table: &'static Table,
    queue: &'static Queue<Token>,
    sleeper: Arc<Sleeper>,
    scratch: Box<[u8]>,
}

/// The client is gone: nobody waits for further answers.
struct Gone;

/// What becomes of a connection after its turn.
enum Turn {
    Waits(Interest),
    MayGoOn,
    Over,
}

impl Worker {
    /// For the calling thread.
    pub fn new(stores: Stores, table: &'static Table, queue: &'static Queue<Token>) -> Self {
        Self { stores, table, queue, sleeper: Sleeper::current(), scratch: vec![0; SCRATCH_BYTES].into() }
    }

    /// Serves for as long as the program runs.
    pub fn run(mut self) -> ! {
        loop {
            let token = self.queue.take(&self.sleeper);
            self.serve(token);
        }
    }

    fn serve(&mut self, token: Token) {
        let table = self.table;
        let mut place = table.lock(token);
        let Some(session) = place.as_mut() else { return };
        let stopping = table.is_stopping();
        match self.turn(session, stopping) {
            Turn::Waits(interest) => {
                if table.rearm(token, session, interest).is_err() {
                    table.release(token, place);
                } else if !stopping && table.is_stopping() && table.claim(token) {
                    // It came back too late for the last turn that the dispatcher gives to all that wait.
                    self.queue.put_back(token);
                }
            }
            Turn::MayGoOn => {
                // From here on it waits for us.
                session.stop_clock();
                self.queue.put_back(token);
            }
            Turn::Over => table.release(token, place),
        }
    }

    fn turn(&mut self, session: &mut Session, stopping: bool) -> Turn {
        if stopping {
            session.http.close_after_next();
        }
        // Left over from a client that did not take its answers.
        match session.flush() {
            Next::Read => {}
            Next::Write => return Turn::Waits(Interest::Writable),
            Next::Close => return Turn::Over,
        }
        let Ok(mut answered) = self.answer(session, REQUESTS_PER_TURN) else { return Turn::Over };
        if answered < REQUESTS_PER_TURN {
            if session.fill(&mut self.scratch) == Fill::End {
                // A client that has said all it wants to say still gets its answers.
                return if session.settle() == Next::Write { Turn::Waits(Interest::Writable) } else { Turn::Over };
            }
            match self.answer(session, REQUESTS_PER_TURN - answered) {
                Ok(more) => answered += more,
                Err(Gone) => return Turn::Over,
            }
        }
        match session.settle() {
            Next::Close => Turn::Over,
            Next::Write => Turn::Waits(Interest::Writable),
            // Whether there is another whole request in what was read is for the next turn to find out.
            Next::Read if answered == REQUESTS_PER_TURN => Turn::MayGoOn,
            Next::Read if stopping && session.is_idle() => Turn::Over,
            Next::Read => Turn::Waits(Interest::Readable),
        }
    }

    /// Answers up to `limit` requests that are whole, and says how many.
    fn answer(&mut self, session: &mut Session, limit: usize) -> Result<usize, Gone> {
        for answered in 0..limit {
            let Some(request) = session.http.next_request() else { return Ok(answered) };
            let answer = match Route::resolve(request.method, request.path()) {
                Route::Answer(answer) => answer,
                Route::Store(mode, operation) => {
                    // Answers go out together, but none waits for a store that is not its own. What the client does not
                    // take now is written at the end of the turn.
                    if session.flush() == Next::Close {
                        return Err(Gone);
                    }
                    self.stores.run(mode, operation)
                }
            };
            session.http.answer(answer);
        }
        Ok(limit)
    }
}
