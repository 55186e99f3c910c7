//! Sending batches: at once in the closed loop, when they are due in the open one.

use super::super::connection::{BodyCheck, Phase};
use super::super::timers::Task;
use super::super::transport::Stall;
use super::EventLoop;
use crate::clock::now_ns;

/// Every so many answers, a body is compared byte by byte; all are compared in length.
const BODY_SAMPLE_EVERY: u64 = 64;

impl EventLoop<'_> {
    /// Lets a connection that rests go on: at once, after a hook's delay, or, in the open loop, when it is its turn.
    pub(super) fn send_next(&mut self, slot: usize) {
        if self.arrivals.is_some() {
            // One that broke while it was free has its place still.
            if !std::mem::replace(&mut self.connections[slot].is_queued, true) {
                self.free.push_back(slot);
            }
            return self.send_due();
        }
        match self.asked_delay_ms() {
            0 => self.send_now(slot),
            delay_ms => {
                let due_ns = now_ns().saturating_add(delay_ms.saturating_mul(1_000_000));
                self.timers.add(due_ns, Task::Send(slot, self.connections[slot].generation));
            }
        }
    }

    /// Sends what is due as long as connections are free.
    pub(super) fn send_due(&mut self) {
        while let Some(arrivals) = &mut self.arrivals {
            let due_ns = arrivals.next_ns();
            let now_ns = now_ns();
            // What is due after the end is not sent, and counted as such.
            let is_over = self.is_stopped || now_ns >= self.edges.closed_ns() || self.plan.budget.is_spent();
            if self.free.is_empty() || due_ns > now_ns || is_over {
                return;
            }
            let Some(slot) = self.free.pop_front() else { return };
            self.connections[slot].is_queued = false;
            // One that is down now comes back when it is established again.
            if self.connections[slot].phase == Phase::Resting {
                arrivals.advance();
                self.send(slot, Some(due_ns));
            }
        }
    }

    /// Counts what was due before the end and found no connection.
    pub(super) fn count_unsent(&mut self, closed_ns: u64) {
        let Some(arrivals) = self.arrivals.as_mut().filter(|_| !self.is_stopped) else { return };
        while arrivals.next_ns() < closed_ns && self.plan.budget.take() {
            self.tally.unsent(arrivals.next_ns(), closed_ns);
            arrivals.advance();
        }
    }

    /// Sends the next batch in the closed loop.
    pub(super) fn send_now(&mut self, slot: usize) {
        self.send(slot, None);
    }

    /// Starts a batch, unless the run is over.
    fn send(&mut self, slot: usize, due_ns: Option<u64>) {
        let mut start_ns = now_ns();
        let is_over = self.is_stopped || self.failure.is_some() || start_ns >= self.edges.closed_ns();
        // The warm-up takes nothing from the budget. Without one, what is sent before the window opens does.
        let counts = self.open_ns.is_some() || !self.plan.has_warmup;
        if is_over || (counts && !self.plan.budget.take()) {
            return;
        }
        if self.wants.request {
            if !self.make_batch(slot) {
                return;
            }
            // What the hook took is no part of the latency.
            start_ns = now_ns();
        }
        let connection = &mut self.connections[slot];
        connection.begin_batch(self.batch.depth(), due_ns.unwrap_or(start_ns), start_ns);
        if let Some(due_ns) = due_ns {
            // A connection that became free late is the server's lateness.
            self.tally.sent(due_ns, start_ns.saturating_sub(due_ns.max(connection.rested_ns)), start_ns);
        }
        self.check_next_body(slot);
        self.write_rest(slot);
    }

    /// Decides whether the next answer's body is compared byte by byte.
    pub(super) fn check_next_body(&mut self, slot: usize) {
        if self.plan.expect_body.is_some() {
            let connection = &mut self.connections[slot];
            let is_sampled = self.answers_seen.is_multiple_of(BODY_SAMPLE_EVERY) || !connection.productive;
            connection.body = BodyCheck::new(is_sampled);
        }
    }

    /// Writes what the socket takes; the kernel announces room for the rest, after a write that it refused.
    pub(super) fn write_rest(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        let Some(transport) = &mut connection.transport else { return };
        let bytes = match &connection.scripted {
            Some(scripted) if self.wants.request => &scripted.batch,
            _ => &self.batch.bytes,
        };
        let mut outcome = Ok(());
        while outcome.is_ok() && connection.written < bytes.len() {
            outcome = transport.send(&bytes[connection.written..]).map(|written| connection.written += written);
        }
        match outcome.and_then(|()| transport.flush()) {
            Ok(()) => connection.phase = Phase::Awaiting,
            Err(Stall::NotNow) => {}
            Err(Stall::Broken(kind)) => self.fail(slot, kind),
        }
    }

    // --- hooks ------------------------------------------------------------------------------------

    fn asked_delay_ms(&mut self) -> u64 {
        let Some(hooks) = self.hooks.as_mut().filter(|_| self.wants.delay) else { return 0 };
        let outcome = hooks.delay_ms();
        self.is_stopped |= hooks.is_stopped();
        outcome.unwrap_or_else(|error| {
            self.failure = Some(error);
            0
        })
    }

    /// Has the hook make a batch; false if there is nothing to send.
    fn make_batch(&mut self, slot: usize) -> bool {
        let Some(hooks) = &mut self.hooks else { return false };
        let batch = &mut self.connections[slot].scripted.get_or_insert_default().batch;
        batch.clear();
        if let Err(error) = hooks.request(batch) {
            self.failure = Some(error);
            return false;
        }
        // What it made is sent still, as wrk does.
        self.is_stopped |= hooks.is_stopped();
        true
    }
}
