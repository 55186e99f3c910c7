//! Establishing connections, and replacing those that break.

use std::os::fd::AsFd as _;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::super::connection::{Dial, Phase};
use super::super::timers::Task;
use super::super::transport::{Stall, Transport};
use super::{EventLoop, token_of};
use crate::clock::now_ns;
use crate::result::ErrorKind;

/// How soon to try again where a unix socket's queue is full.
const CROWDED_PAUSE_NS: u64 = 1_000_000;

impl EventLoop<'_> {
    pub(super) fn open_all(&mut self, start_ns: u64) {
        let (spread_ns, count) = (u128::from(self.plan.spread_ns), u128::from(self.plan.connections));
        for slot in 0..self.connections.len() {
            let connection = &mut self.connections[slot];
            let offset_ns = if self.arrivals.is_some() { 0 } else { u128::from(connection.index) * spread_ns / count };
            connection.first_due_ns = start_ns + offset_ns as u64;
            self.open(slot);
        }
    }

    pub(super) fn open(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        let token = EventData::new_u64(token_of(slot, connection.generation));
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let dialled = connection.dial(&self.address, self.plan.tls.as_ref(), now_ns()).and_then(|transport| {
            self.connecting += 1;
            epoll::add(&self.epoll, transport.as_fd(), token, interest).map_err(|_| Dial::Failed(ErrorKind::Connect))
        });
        match dialled {
            Ok(()) => {}
            Err(Dial::Crowded) => self.timers.add(now_ns() + CROWDED_PAUSE_NS, Task::Open(slot)),
            Err(Dial::Failed(kind)) => self.fail(slot, kind),
        }
    }

    pub(super) fn on_connecting(&mut self, slot: usize, flags: EventFlags) {
        let connection = &mut self.connections[slot];
        let outcome = if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            connection.connect_outcome()
        } else if flags.contains(EventFlags::OUT) {
            Ok(())
        } else {
            return;
        };
        if let Err(kind) = outcome {
            return self.fail(slot, kind);
        }
        if connection.transport.as_ref().is_some_and(Transport::shakes_hands) {
            connection.phase = Phase::Shaking;
            return self.shake(slot, flags);
        }
        self.on_established(slot, flags);
    }

    /// Carries a TLS handshake on.
    pub(super) fn shake(&mut self, slot: usize, flags: EventFlags) {
        let Some(transport) = &mut self.connections[slot].transport else { return };
        match transport.shake() {
            Ok(()) => self.on_established(slot, flags),
            Err(Stall::NotNow) => {}
            // Whatever broke, it broke in the handshake.
            Err(Stall::Broken(_)) => self.fail(slot, ErrorKind::Tls),
        }
    }

    fn on_established(&mut self, slot: usize, flags: EventFlags) {
        self.connecting -= 1;
        self.tally.opened += 1;
        let connection = &mut self.connections[slot];
        connection.phase = Phase::Resting;
        connection.rested_ns = now_ns();
        let generation = connection.generation;
        // What came along with the handshake is not announced again.
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP) {
            self.on_readable(slot, flags.contains(EventFlags::RDHUP));
        }
        let connection = &self.connections[slot];
        if connection.generation != generation || connection.phase != Phase::Resting {
            return;
        }
        if connection.rested_ns >= connection.first_due_ns {
            self.send_next(slot);
        } else {
            self.timers.add(connection.first_due_ns, Task::SendNext(slot, generation));
        }
    }

    /// Ends attempts to connect that take longer than the timeout. Looked after in ticks only: a connect is no request.
    pub(super) fn give_up_connecting(&mut self, now_ns: u64) {
        if self.connecting == 0 || self.plan.timeout_ns == 0 {
            return;
        }
        for slot in 0..self.connections.len() {
            let connection = &self.connections[slot];
            if matches!(connection.phase, Phase::Connecting | Phase::Shaking)
                && now_ns.saturating_sub(connection.since_ns) > self.plan.timeout_ns
            {
                self.fail(slot, ErrorKind::ConnectTimeout);
            }
        }
    }

    /// Counts an error and replaces the connection.
    #[cold]
    pub(super) fn fail(&mut self, slot: usize, kind: ErrorKind) {
        let now_ns = now_ns();
        self.tally.error(kind, now_ns);
        let connection = &mut self.connections[slot];
        self.connecting -= usize::from(matches!(connection.phase, Phase::Connecting | Phase::Shaking));
        let backoff_ns = connection.backoff_ns();
        connection.hang_up();
        if self.is_stopped {
            // Nothing more is sent.
        } else if backoff_ns == 0 {
            self.open(slot);
        } else {
            self.timers.add(now_ns + backoff_ns, Task::Open(slot));
        }
    }

    /// Opens a new connection in place of one that was closed in good order.
    pub(super) fn replace(&mut self, slot: usize) {
        self.connections[slot].hang_up();
        self.open(slot);
    }
}
