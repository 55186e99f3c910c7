//! One connection's turn: reads, answers and writes as far as it goes.

use std::net::TcpStream;

use anyhow::Result;
use rustix::event::epoll::EventFlags;
use stack_contract::{Answer, Route};
use stack_http1::{Fill, Next, Session};

use crate::service::{Begun, Service, Ticket};

/// Reads of one connection before the others have their turn.
const READS_PER_TURN: usize = 8;

/// Requests of one connection before the others have their turn, where each of them holds up everyone.
const WAITS_PER_TURN: usize = 16;

pub(crate) struct Peer {
    pub(crate) session: Session,
    /// Edges are reported once: whether there may be bytes that no further edge will announce.
    unread: bool,
    /// Whether the end of the stream was announced. That is not announced again, so from here on we read up to it.
    ended: bool,
    owed: Owed,
}

/// What keeps us from reading on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// A request waits for the store. Those behind it wait in turn, as answers keep the order of requests.
    Answer,
    /// There may be whole requests in what was read.
    Requests,
}

pub(crate) enum Turn {
    Waits,
    MayGoOn,
    Over,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        Ok(Self { session: Session::new(stream)?, unread: false, ended: false, owed: Owed::Nothing })
    }

    pub(crate) fn notice(&mut self, flags: EventFlags) {
        self.ended |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.unread |= self.ended || flags.contains(EventFlags::IN);
    }

    /// The answer that was due. A turn should follow.
    pub(crate) fn answer(&mut self, answer: Answer) {
        self.session.http.answer(answer);
        self.owed = Owed::Requests;
    }

    pub(crate) fn turn<S: Service>(
        &mut self,
        service: &mut S,
        ticket: Ticket,
        scratch: &mut [u8],
        stopping: bool,
    ) -> Turn {
        if stopping {
            self.session.http.close_after_next();
        }
        // An answer that was due, or those that the client did not take before.
        match self.session.settle() {
            Next::Read => {}
            Next::Write => return Turn::Waits,
            Next::Close => return Turn::Over,
        }
        for _ in 0..READS_PER_TURN {
            match self.owed {
                Owed::Answer => return Turn::Waits,
                Owed::Requests => {}
                Owed::Nothing if !self.unread => break,
                Owed::Nothing => {
                    let fill = self.session.fill(scratch);
                    // Fewer bytes than asked for: the kernel has no more, and will announce what comes.
                    self.unread = fill == Fill::Some || (fill == Fill::Drained && self.ended);
                    if fill == Fill::End {
                        return Turn::Over;
                    }
                }
            }
            self.serve(service, ticket);
            match self.session.settle() {
                Next::Read => {}
                Next::Write => return Turn::Waits,
                Next::Close => return Turn::Over,
            }
            if S::WAITS_IN_PLACE && self.owed == Owed::Requests {
                // From here on it waits for us.
                self.session.stop_clock();
                return Turn::MayGoOn;
            }
        }
        if stopping && self.session.is_idle() {
            return Turn::Over;
        }
        if self.unread && self.owed != Owed::Answer { Turn::MayGoOn } else { Turn::Waits }
    }

    /// Answers what was read, up to a request whose answer comes later.
    fn serve<S: Service>(&mut self, service: &mut S, ticket: Ticket) {
        let limit = if S::WAITS_IN_PLACE { WAITS_PER_TURN } else { usize::MAX };
        for _ in 0..limit {
            let Some(request) = self.session.http.next_request() else {
                self.owed = Owed::Nothing;
                return;
            };
            let answer = match Route::resolve(request.method, request.path()) {
                Route::Answer(answer) => answer,
                Route::Store(mode, operation) => {
                    if S::WAITS_IN_PLACE {
                        // No answer waits for a store that is not its own. What the client does not take now, or that
                        // it is gone, is found at the end of the turn.
                        self.session.flush();
                    }
                    match service.begin(mode, operation, ticket) {
                        Begun::Answered(answer) => answer,
                        Begun::Later => {
                            self.owed = Owed::Answer;
                            return;
                        }
                    }
                }
            };
            self.session.http.answer(answer);
        }
        self.owed = Owed::Requests;
    }
}
