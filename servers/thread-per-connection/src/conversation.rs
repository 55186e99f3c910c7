//! The codec over a socket that blocks.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use stack_contract::{Answer, Mode, Operation, Route, limits::HEAD_TIMEOUT};
use stack_http1::{
    Connection,
    session::{LINGER_BYTES, LINGER_TIMEOUT},
};

use crate::roster::{Member, Roster};

/// What one read may bring: a hundred short pipelined requests. It lies on the thread's stack, of which it is the
/// larger part.
const SCRATCH_BYTES: usize = 4096;

/// One connection, from its first request to its last.
pub struct Conversation<'a> {
    member: &'a Member<'a>,
    roster: &'a Roster,
    http: Connection,
    /// Until when the present request must be whole.
    deadline: Option<Instant>,
    /// Whether reads of the socket end after a while.
    is_timed: bool,
}

/// There is nobody to talk to any more, or no more to say.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl<'a> Conversation<'a> {
    pub fn new(member: &'a Member<'a>, roster: &'a Roster) -> Self {
        Self { member, roster, http: Connection::new(), deadline: None, is_timed: false }
    }

    /// Serves until either side has had enough. `run` does what a request asks of the store.
    pub fn run(mut self, run: impl FnMut(Mode, Operation) -> Answer) {
        // How it ends is the client's affair.
        let _ = self.talk(run);
    }

    fn talk(&mut self, mut run: impl FnMut(Mode, Operation) -> Answer) -> Result<(), Over> {
        let mut stream = self.member.stream();
        // An acceptor that waits for several things has a listener that does not block.
        stream.set_nonblocking(false)?;
        // Each answer is one write, which Nagle's algorithm would only delay.
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(HEAD_TIMEOUT))?;
        let mut scratch = [0; SCRATCH_BYTES];
        loop {
            let bytes = self.read(&mut scratch)?;
            self.http.receive(&scratch[..bytes]);
            self.answer_all(&mut run)?;
            send(&mut stream, &mut self.http)?;
            if self.http.is_over() {
                return self.take_leave(&mut scratch);
            }
        }
    }

    /// Waits for the client to send, for as long as the contract allows it to take.
    fn read(&mut self, scratch: &mut [u8]) -> Result<usize, Over> {
        loop {
            let read = if self.http.is_amid_request() {
                // The first byte counts: a client that sends another one now and then gains nothing.
                let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + HEAD_TIMEOUT);
                self.end_reads_at(deadline)?;
                self.member.stream().read(scratch)
            } else {
                self.deadline = None;
                if std::mem::take(&mut self.is_timed) {
                    self.member.stream().set_read_timeout(None)?;
                }
                self.member.read_idle(scratch)
            };
            match read {
                Ok(0) => return Err(Over),
                Ok(bytes) => return Ok(bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Over),
            }
        }
    }

    fn end_reads_at(&mut self, deadline: Instant) -> Result<(), Over> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            return Err(Over);
        }
        self.is_timed = true;
        Ok(self.member.stream().set_read_timeout(Some(left))?)
    }

    fn answer_all(&mut self, run: &mut impl FnMut(Mode, Operation) -> Answer) -> Result<(), Over> {
        while let Some(request) = self.http.next_request() {
            let answer = match Route::resolve(request.method, request.path()) {
                Route::Answer(answer) => answer,
                Route::Store(mode, operation) => {
                    // Answers go out together, but none waits for a store that is not its own.
                    send(&mut self.member.stream(), &mut self.http)?;
                    run(mode, operation)
                }
            };
            if self.roster.is_stopping() {
                self.http.close_after_next();
            }
            self.http.answer(answer);
            // The next one has its own time, also where the connection is never without an incomplete request.
            self.deadline = None;
        }
        Ok(())
    }

    /// The last answer is out. If the client did not ask for the end, it may still be sending, and to close with bytes
    /// unread would reset the connection and could take the answer from the client.
    fn take_leave(&mut self, scratch: &mut [u8]) -> Result<(), Over> {
        if !self.http.was_cut_short() {
            return Ok(());
        }
        let mut stream = self.member.stream();
        stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + LINGER_TIMEOUT;
        let mut left = LINGER_BYTES;
        while left > 0 {
            self.end_reads_at(deadline)?;
            match stream.read(scratch) {
                Ok(0) => break,
                Ok(bytes) => left = left.saturating_sub(bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// Writes what there is to write. A client that takes nothing of it for too long is given up.
fn send(stream: &mut &TcpStream, http: &mut Connection) -> Result<(), Over> {
    while !http.output().is_empty() {
        match stream.write(http.output()) {
            Ok(0) => return Err(Over),
            Ok(bytes) => http.written(bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Over),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn each_request_has_its_own_time_even_if_no_read_ends_between_two() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let roster = Roster::default();
        let member = roster.enter(listener.accept().unwrap().0);
        let mut conversation = Conversation::new(&member, &roster);
        let over = Instant::now();
        conversation.deadline = Some(over);
        conversation.http.receive(b"GET /check HTTP/1.1\r\nHost: he");
        let mut run = |_, _| unreachable!("no request asks for the store");
        assert!(conversation.answer_all(&mut run).is_ok());
        assert_eq!(conversation.deadline, Some(over), "it was not answered yet");
        conversation.http.receive(b"re\r\n\r\nGET /check HTT");
        assert!(conversation.answer_all(&mut run).is_ok());
        assert!(conversation.http.is_amid_request());
        assert_eq!(conversation.deadline, None);
    }
}
