//! Reading answers, and what is counted of them.

use super::super::connection::{Connection, Parts, Phase};
use super::super::transport::Stall;
use super::{EventLoop, READ_BYTES, is_late};
use crate::clock::now_ns;
use crate::http::answer::{Answer, BadAnswer, Progress};
use crate::result::ErrorKind;

/// Statuses above this are what wrk calls "Non-2xx or 3xx".
const STATUS_FINE_MAX: u16 = 399;

/// What to do after the bytes of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Read on.
    Read,
    /// The connection is another one now, or rests.
    Leave,
}

impl EventLoop<'_> {
    /// Reads what there is. `ended` says that the peer has closed, so that the end is to be looked for as well;
    /// otherwise the kernel announces what comes after a read that took everything.
    pub(super) fn on_readable(&mut self, slot: usize, ended: bool) {
        loop {
            let Some(transport) = &mut self.connections[slot].transport else { return };
            let count = match transport.recv(&mut self.buffer) {
                Ok(count) => count,
                Err(Stall::NotNow) => return,
                Err(Stall::Broken(kind)) => return self.fail(slot, kind),
            };
            let is_drained = transport.is_drained(count, READ_BYTES) && !ended;
            let stop_ns = now_ns();
            self.notice_window();
            if count == 0 {
                return self.on_end(slot, stop_ns);
            }
            if stop_ns >= self.edges.closed_ns() {
                return;
            }
            self.tally.read(count as u64, stop_ns);
            if self.on_bytes(slot, count, stop_ns, ended) == Next::Leave || is_drained {
                return;
            }
        }
    }

    /// Takes the answers that are in the first `count` bytes of the buffer.
    fn on_bytes(&mut self, slot: usize, count: usize, stop_ns: u64, ended: bool) -> Next {
        let generation = self.connections[slot].generation;
        let mut used = 0;
        while used < count {
            if self.connections[slot].outstanding == 0 {
                // Nobody asked.
                self.fail(slot, ErrorKind::Protocol);
                return Next::Leave;
            }
            let (answer, taken) = match self.parse(slot, used, count) {
                Ok(_) if self.connections[slot].scripted.received.is_too_long() => {
                    self.fail(slot, ErrorKind::Protocol);
                    return Next::Leave;
                }
                Ok(Progress::Partial) => return Next::Read,
                Ok(Progress::Complete(answer, taken)) => (answer, taken),
                Err(BadAnswer) => {
                    self.fail(slot, ErrorKind::Protocol);
                    return Next::Leave;
                }
            };
            used += taken;
            let is_written = self.connections[slot].phase == Phase::Awaiting;
            let is_last = self.on_answer(slot, answer, stop_ns);
            if is_last && used < count {
                self.fail(slot, ErrorKind::Protocol);
                return Next::Leave;
            }
            if !answer.keep_alive && !is_last {
                // The rest of the batch has no answer.
                self.fail(slot, ErrorKind::Eof);
                return Next::Leave;
            }
            // After the answer to a batch of which half is written, the rest of it would be taken for the next one.
            if !answer.keep_alive || (is_last && !is_written) {
                self.replace(slot);
                return Next::Leave;
            }
            if is_last && !ended {
                self.send_next(slot);
            }
            // A failed write replaces the connection; what is left to read here was the old one's.
            if self.connections[slot].generation != generation {
                return Next::Leave;
            }
        }
        Next::Read
    }

    #[inline]
    fn parse(&mut self, slot: usize, from: usize, to: usize) -> Result<Progress, BadAnswer> {
        let bytes = &self.buffer[from..to];
        let connection = &mut self.connections[slot];
        let asked = connection.asked(&self.batch.asked);
        if self.plan.expect_body.is_none() && !self.wants.response {
            return connection.parser.feed(bytes, asked, &mut |_: &[u8]| {});
        }
        let Connection { parser, body, scripted, .. } = connection;
        let mut parts = Parts {
            check: self.plan.expect_body.as_deref().map(|expected| (body, expected)),
            received: self.wants.response.then_some(&mut scripted.received),
        };
        parser.feed(bytes, asked, &mut parts)
    }

    /// The peer has closed.
    fn on_end(&mut self, slot: usize, stop_ns: u64) {
        let is_open = stop_ns < self.edges.closed_ns();
        match self.connections[slot].parser.end() {
            Some(answer) if is_open => {
                if self.on_answer(slot, answer, stop_ns) {
                    self.replace(slot);
                } else {
                    self.fail(slot, ErrorKind::Eof);
                }
            }
            None if is_open => self.fail(slot, ErrorKind::Eof),
            Some(_) | None => {}
        }
    }

    /// Counts an answer; true if it was its batch's last.
    fn on_answer(&mut self, slot: usize, answer: Answer, stop_ns: u64) -> bool {
        let connection = &mut self.connections[slot];
        let is_last = connection.note_answer(stop_ns);
        self.answers_seen += 1;
        let in_window = self.open_ns.is_some_and(|open_ns| stop_ns >= open_ns);
        if in_window {
            connection.answers += 1;
            self.tally.answer(stop_ns, answer.status);
        } else {
            self.tally.warmup_answer();
        }
        if is_last {
            if in_window {
                self.tally.batch(connection.due_ns, connection.since_ns, stop_ns);
            }
            if !connection.is_late && is_late(connection, stop_ns, self.plan.timeout_ns) {
                self.tally.error(ErrorKind::Timeout, stop_ns);
            }
        }
        if answer.status > STATUS_FINE_MAX {
            self.tally.error(ErrorKind::Status, stop_ns);
        }
        if self.plan.expect_status.is_some_and(|expected| expected != answer.status) {
            self.tally.error(ErrorKind::UnexpectedStatus, stop_ns);
        }
        if let Some(expected) = &self.plan.expect_body {
            let check = &self.connections[slot].body;
            if answer.body_bytes != expected.len() as u64 || (check.is_sampled && check.differs) {
                self.tally.error(ErrorKind::UnexpectedBody, stop_ns);
            }
            self.check_next_body(slot);
        }
        if self.wants.response {
            self.show_answer(slot, answer.status);
        }
        is_last
    }

    /// Shows an answer to the hook.
    fn show_answer(&mut self, slot: usize, status: u16) {
        let Some(hooks) = &mut self.hooks else { return };
        let received = &mut self.connections[slot].scripted.received;
        received.status = status;
        received.finish();
        if let Err(error) = hooks.response(received) {
            self.failure = Some(error);
        }
        self.is_stopped |= hooks.is_stopped();
        received.clear();
    }
}
