//! Serves one connection, as one coroutine.

use std::{cell::RefCell, io, net::TcpStream, time::Instant};

use may::coroutine;
use stack_contract::{Answer, Route};
use stack_http1::{Fill, Next, Session};
use stack_may_store::{Stores, Watched, watched::Woken};

use crate::registry::{Place, Registry};

/// Requests answered before the other coroutines of the thread have their turn.
const REQUESTS_PER_TURN: usize = 16;

/// What one read may bring: many pipelined requests, and more than the longest head.
const SCRATCH_BYTES: usize = 32 * 1024;

thread_local! {
    /// One for each thread and not one for each coroutine, which keeps idle connections small.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// A connection and all it needs.
pub struct Client {
    session: Watched<Session>,
    stores: Stores,
    registry: &'static Registry,
    /// After the session, so that it is freed when the connection is closed and not before.
    place: Place,
    /// Whether the end of the client's stream was announced. That is not announced again, so from here on we read up
    /// to it.
    ended: bool,
}

/// What becomes of a connection after its turn.
enum Turn {
    Waits,
    MayGoOn,
    Over,
}

/// The client is gone: nobody waits for further answers.
struct Gone;

impl Client {
    /// Takes over an accepted connection, and the place that was waited for.
    ///
    /// # Errors
    /// When it cannot be watched, or is gone already. Then the place is still the caller's.
    pub fn new(stream: TcpStream, stores: Stores, registry: &'static Registry) -> io::Result<Self> {
        let session = Watched::new(Session::new(stream)?)?;
        let place = registry.register(session.waker());
        Ok(Self { session, stores, registry, place, ended: false })
    }

    /// Serves until the end.
    pub fn serve(mut self) {
        loop {
            match self.turn() {
                Turn::Over => return,
                Turn::MayGoOn => {
                    // From here on the client waits for us.
                    self.session.socket_mut().stop_clock();
                    coroutine::yield_now();
                }
                Turn::Waits => {
                    let may_expire = !self.session.socket().is_idle();
                    self.place.set_deadline(may_expire);
                    self.ended |= self.session.wait() == Woken::Ended;
                    if may_expire && self.session.socket().is_expired(Instant::now()) {
                        return;
                    }
                }
            }
        }
    }

    fn turn(&mut self) -> Turn {
        let session = self.session.socket_mut();
        // Left over from a client that did not take its answers.
        match session.flush() {
            Next::Read => {}
            Next::Write => return Turn::Waits,
            Next::Close => return Turn::Over,
        }
        let Ok(mut answered) = self.answer(REQUESTS_PER_TURN) else { return Turn::Over };
        let mut unread = true;
        if answered < REQUESTS_PER_TURN {
            let session = self.session.socket_mut();
            let fill = fill(session);
            if fill == Fill::End {
                // A client that has said all it wants to say still gets its answers.
                return if session.settle() == Next::Write { Turn::Waits } else { Turn::Over };
            }
            // Fewer bytes than asked for: the kernel has no more, and will announce what comes.
            unread = fill == Fill::Some || (fill == Fill::Drained && self.ended);
            match self.answer(REQUESTS_PER_TURN - answered) {
                Ok(more) => answered += more,
                Err(Gone) => return Turn::Over,
            }
        }
        let session = self.session.socket_mut();
        match session.settle() {
            Next::Close => Turn::Over,
            Next::Write => Turn::Waits,
            // Whether there is another whole request in what was read is for the next turn to find out.
            Next::Read if unread || answered == REQUESTS_PER_TURN => Turn::MayGoOn,
            Next::Read if self.registry.is_stopping() && session.is_idle() => Turn::Over,
            Next::Read => Turn::Waits,
        }
    }

    /// Answers up to `limit` requests that are whole, and says how many.
    fn answer(&mut self, limit: usize) -> Result<usize, Gone> {
        for answered in 0..limit {
            let session = self.session.socket_mut();
            let Some(request) = session.http.next_request() else { return Ok(answered) };
            let answer = match Route::resolve(request.method, request.path()) {
                Route::Answer(answer) => answer,
                Route::Store(mode, operation) => {
                    // Answers go out together, but none waits for a store that is not its own. What the client does not
                    // take now is written at the end of the turn.
                    if session.flush() == Next::Close {
                        return Err(Gone);
                    }
                    session.stop_clock();
                    self.stores.run(mode, operation)
                }
            };
            let session = self.session.socket_mut();
            // Asked this late, as the store may have taken its time.
            if self.registry.is_stopping() {
                session.http.close_after_next();
            }
            render(session, answer);
        }
        Ok(limit)
    }
}

// Both use thread-local variables, and are called by a coroutine that may be on another thread the next time; see
// `stack_may_store`. So neither may be inlined.

#[inline(never)]
fn fill(session: &mut Session) -> Fill {
    SCRATCH.with_borrow_mut(|scratch| session.fill(scratch))
}

#[inline(never)]
fn render(session: &mut Session, answer: Answer) {
    session.http.answer(answer);
}
