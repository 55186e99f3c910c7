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

/// A body of which so much is still to come is not copied out of the kernel, if nobody wants to see it.
const DISCARD_FROM_BYTES: u64 = 8 * 1024;

/// Where a long body is expected, only so much is read at first: its head.
const HEAD_ROOM_BYTES: usize = 1024;

/// Most bytes that are passed over at once. The kernel writes nothing, so these pages are never touched.
pub const DISCARD_BYTES: usize = 1 << 20;

impl EventLoop<'_> {
    /// Reads what there is. `ended` says that the peer has closed, so that the end is to be looked for as well;
    /// otherwise the kernel announces what comes after a read that took everything.
    pub(super) fn on_readable(&mut self, slot: usize, ended: bool) {
        loop {
            let connection = &mut self.connections[slot];
            let Some(transport) = &mut connection.transport else { return };
            let rest = connection.parser.body_remaining().filter(|rest| *rest >= DISCARD_FROM_BYTES);
            // One byte more than the last answer has: a read that is not filled has taken everything, and one that is
            // has found what nobody asked for.
            let spare = u64::from(connection.outstanding == 1);
            let discarded = rest
                .filter(|_| self.may_discard)
                .map(|rest| rest.saturating_add(spare).min(DISCARD_BYTES as u64) as usize);
            let room = match discarded {
                Some(room) => room,
                None if connection.is_large && connection.parser.is_at_head() => HEAD_ROOM_BYTES,
                None => READ_BYTES,
            };
            let received = match discarded {
                Some(room) => transport.discard(&mut self.void[..room]),
                None => transport.recv(&mut self.buffer[..room]),
            };
            let count = match received {
                Ok(count) => count,
                Err(Stall::NotNow) => return,
                Err(Stall::Broken(kind)) => return self.fail(slot, kind),
            };
            let is_drained = transport.is_drained(count, room) && !ended;
            let stop_ns = now_ns();
            self.notice_window();
            if count == 0 {
                return self.on_end(slot, stop_ns);
            }
            if stop_ns >= self.edges.closed_ns() {
                return;
            }
            self.tally.read(count as u64, stop_ns);
            let next = match discarded {
                Some(_) => self.on_discarded(slot, count as u64, stop_ns, ended),
                None => self.on_bytes(slot, count, stop_ns, ended),
            };
            if next == Next::Leave || is_drained {
                return;
            }
        }
    }

    /// Takes the answers that are in the first `count` bytes of the buffer.
    fn on_bytes(&mut self, slot: usize, count: usize, stop_ns: u64, ended: bool) -> Next {
        let mut used = 0;
        while used < count {
            if self.connections[slot].outstanding == 0 {
                // Nobody asked.
                self.fail(slot, ErrorKind::Protocol);
                return Next::Leave;
            }
            let progress = self.parse(slot, used, count);
            if self.connections[slot].scripted.as_ref().is_some_and(|scripted| scripted.received.is_too_long()) {
                self.fail(slot, ErrorKind::Protocol);
                return Next::Leave;
            }
            match progress {
                Ok(Progress::Partial) => return Next::Read,
                Ok(Progress::Complete(answer, taken)) => {
                    used += taken;
                    if self.conclude(slot, answer, stop_ns, used < count, ended) == Next::Leave {
                        return Next::Leave;
                    }
                }
                Err(BadAnswer) => {
                    self.fail(slot, ErrorKind::Protocol);
                    return Next::Leave;
                }
            }
        }
        Next::Read
    }

    /// Passes over a part of a body that was not read.
    fn on_discarded(&mut self, slot: usize, count: u64, stop_ns: u64, ended: bool) -> Next {
        let parser = &mut self.connections[slot].parser;
        let is_followed = parser.body_remaining().is_some_and(|rest| rest < count);
        match parser.skip(count) {
            Some(answer) => self.conclude(slot, answer, stop_ns, is_followed, ended),
            None => Next::Read,
        }
    }

    /// Counts an answer and goes on: with the next batch, another connection, or the next answer. `is_followed` says that
    /// more bytes came with it.
    #[inline]
    fn conclude(&mut self, slot: usize, answer: Answer, stop_ns: u64, is_followed: bool, ended: bool) -> Next {
        let connection = &mut self.connections[slot];
        let generation = connection.generation;
        let is_written = connection.phase == Phase::Awaiting;
        connection.is_large = self.may_discard && answer.body_bytes >= DISCARD_FROM_BYTES;
        let is_last = self.on_answer(slot, answer, stop_ns);
        if is_last && is_followed {
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
        if self.connections[slot].generation == generation { Next::Read } else { Next::Leave }
    }

    #[inline]
    fn parse(&mut self, slot: usize, from: usize, to: usize) -> Result<Progress, BadAnswer> {
        let bytes = &self.buffer[from..to];
        let connection = &mut self.connections[slot];
        let asked = connection.asked(&self.batch.asked);
        if self.plan.expect_body.is_none() && !self.wants.response {
            return connection.parser.feed_unseen(bytes, asked, &mut self.last_head);
        }
        let wants_response = self.wants.response;
        let Connection { parser, body, scripted, .. } = connection;
        let mut parts = Parts {
            check: self.plan.expect_body.as_deref().map(|expected| (body, expected)),
            received: scripted.as_mut().filter(|_| wants_response).map(|scripted| &mut scripted.received),
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
        let (Some(hooks), Some(scripted)) = (&mut self.hooks, &mut self.connections[slot].scripted) else { return };
        let received = &mut scripted.received;
        received.status = status;
        received.finish();
        if let Err(error) = hooks.response(received) {
            self.failure = Some(error);
        }
        self.is_stopped |= hooks.is_stopped();
        received.clear();
    }
}
