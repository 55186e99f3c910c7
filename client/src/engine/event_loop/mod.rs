//! One event loop.
//!
//! # Layout
//! - this file: turns and timers; `connecting`, `sending`, `receiving`: what is done with a connection, in that order.

mod connecting;
mod receiving;
mod sending;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use thiserror::Error;

use super::arrivals::Arrivals;
use super::connection::{Connection, Phase};
use super::hooks::{HookError, Hooks, Wants};
use super::pace::Pace;
use super::timers::{Task, Timers};
use super::{Address, Edges, LoopOutcome, Plan, Role, Schedule};
use crate::clock::{now_ns, thread_cpu_ns, timespec};
use crate::http::answer::LastHead;
use crate::http::request::Batch;
use crate::result::ErrorKind;
use crate::tally::{RATE_SAMPLE_MS, Tally};

/// One read takes this much: an answer of up to 64 KiB in a single call. The buffer is the loop's, not a connection's,
/// so it stays in the cache.
const READ_BYTES: usize = 64 * 1024;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// How often to look after rate samples, timeouts and overdue connects when nothing else happens.
const TICK_NS: u64 = RATE_SAMPLE_MS * 1_000_000;

/// The peer has closed, in good order or not.
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// There is something to read, if only the end.
const READABLE: EventFlags = EventFlags::IN.union(ENDED);

/// Marks the events of descriptors that are no connection, the one that ends the run and the one that ticks; no slot has
/// this number.
const WAKE: u64 = u64::MAX;

/// Why a loop ended before its time.
#[derive(Debug, Error)]
pub enum LoopError {
    /// The kernel refused to wait for events.
    #[error("waiting for events: {0}")]
    Kernel(#[from] io::Error),
    /// A hook failed.
    #[error(transparent)]
    Hook(#[from] HookError),
}

/// An event loop and its connections.
#[derive(Debug)]
pub struct EventLoop<'run> {
    plan: &'run Plan,
    edges: &'run Edges,
    address: Address,
    batch: Cow<'run, Batch>,
    hooks: Option<Box<dyn Hooks>>,
    wants: Wants,
    epoll: OwnedFd,
    /// Ends a wait every [`TICK_NS`]. A limit of the wait itself would have the kernel start and stop a timer each time.
    _ticker: OwnedFd,
    /// When it expires next, or a moment before.
    tick_ns: u64,
    connections: Vec<Connection>,
    /// Connections that are being established.
    connecting: usize,
    timers: Timers,
    pace: Pace,
    /// In the open loop: what is due next, …
    arrivals: Option<Arrivals>,
    /// … and the connections that are free for it, the longest free first.
    free: VecDeque<usize>,
    buffer: Box<[u8]>,
    last_head: LastHead,
    /// Whether bodies need not be read: nobody wants to see them, and the kernel can pass over them.
    may_discard: bool,
    /// What such reads name as their buffer; never written to.
    void: Box<[u8]>,
    tally: Tally,
    open_ns: Option<u64>,
    cpu_at_open_ns: u64,
    answers_seen: u64,
    /// Seconds that were shown.
    shown: usize,
    /// A hook wants nothing more sent.
    is_stopped: bool,
    /// The first hook that failed, which ends the loop.
    failure: Option<HookError>,
}

/// The connections of a loop that has ended; dropping it closes them.
#[derive(Debug)]
pub struct Open {
    _connections: Vec<Connection>,
}

impl<'run> EventLoop<'run> {
    /// The loop number `thread`, with every `threads`-th connection. `wake` becomes readable when the run is over.
    pub fn new(
        plan: &'run Plan,
        edges: &'run Edges,
        role: Role,
        thread: u32,
        start_ns: u64,
        wake: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        let ticker = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let every = Itimerspec { it_interval: timespec(TICK_NS), it_value: timespec(TICK_NS) };
        let tick_ns = now_ns() + TICK_NS;
        timerfd_settime(&ticker, TimerfdTimerFlags::empty(), &every)?;
        // Announced each time it expires, and never read.
        epoll::add(&epoll, &ticker, EventData::new_u64(WAKE), EventFlags::IN | EventFlags::ET)?;
        let mut connections: Vec<Connection> =
            (thread..plan.connections).step_by(plan.threads as usize).map(Connection::new).collect();
        let arrivals = match plan.schedule {
            Schedule::Closed => None,
            Schedule::Open { rate, arrival, seed } => {
                let share = connections.len() as f64 / f64::from(plan.connections);
                Some(Arrivals::new(rate, arrival, seed, thread, share, start_ns + plan.lead_ns()))
            }
        };
        let address = role.address.unwrap_or_else(|| plan.address.clone());
        let wants = role.hooks.as_ref().map(|hooks| hooks.wants()).unwrap_or_default();
        if wants.request || wants.response {
            connections.iter_mut().for_each(|connection| connection.scripted = Some(Box::default()));
        }
        let is_tcp = matches!(address, Address::Tcp(_)) && plan.tls.is_none();
        let may_discard = is_tcp && plan.expect_body.is_none() && !wants.response;
        Ok(Self {
            plan,
            edges,
            address,
            wants,
            batch: role.batch.map_or(Cow::Borrowed(&plan.batch), Cow::Owned),
            hooks: role.hooks,
            epoll,
            _ticker: ticker,
            tick_ns,
            connecting: 0,
            timers: Timers::with_capacity(2 * connections.len()),
            pace: Pace::new(plan.spins),
            tally: if arrivals.is_some() { Tally::open_loop() } else { Tally::new() }.by_intervals_of(plan.interval_ns),
            arrivals,
            free: VecDeque::new(),
            connections,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            last_head: LastHead::default(),
            may_discard,
            void: vec![0; receiving::DISCARD_BYTES].into_boxed_slice(),
            open_ns: None,
            cpu_at_open_ns: 0,
            answers_seen: 0,
            shown: 0,
            is_stopped: false,
            failure: None,
        })
    }

    /// Runs from `start_ns` until the window is closed. `spent` is called once if the budget is spent and answered
    /// before. The connections come back open, for whoever wants to look at the server as it is with them.
    pub fn run(mut self, start_ns: u64, spent: impl FnOnce()) -> Result<(LoopOutcome, Open), LoopError> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX.min(self.connections.len() + 1));
        let mut spent = Some(spent);
        self.notice_window();
        self.open_all(start_ns);
        let mut now = now_ns();
        while now < self.edges.closed_ns() && self.failure.is_none() {
            let due_ns = self.next_due_ns();
            let wait = self.pace.wait_ns(due_ns, now).map(timespec);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), wait.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
            let woke_ns = now_ns();
            self.pace.woke(!events.is_empty(), woke_ns);
            let has_work = !events.is_empty() || due_ns.is_some_and(|due_ns| due_ns <= woke_ns);
            self.notice_window();
            for event in events.drain(..) {
                self.on_event(event.data.u64(), event.flags);
            }
            if self.is_stopped {
                // As in wrk, what is under way is dropped. The run goes on without this loop.
                self.connections.iter_mut().for_each(Connection::hang_up);
            }
            while let Some(task) = self.timers.take_due(woke_ns) {
                self.on_task(task);
            }
            self.send_due();
            if woke_ns >= self.tick_ns {
                self.tick_ns += (woke_ns - self.tick_ns).next_multiple_of(TICK_NS).max(TICK_NS);
                self.give_up_connecting(woke_ns);
                self.count_timeouts(woke_ns);
                self.show_seconds(woke_ns);
            }
            if self.plan.budget.is_spent() && !self.connections.iter().any(Connection::is_in_flight) {
                spent.take().into_iter().for_each(|spent| spent());
            }
            self.tally.sample_rate(woke_ns);
            now = now_ns();
            if has_work {
                self.tally.turn(now - woke_ns);
            }
        }
        match self.failure.take() {
            Some(failure) => Err(failure.into()),
            None => Ok(self.finish()),
        }
    }

    fn finish(mut self) -> (LoopOutcome, Open) {
        self.notice_window();
        self.tally.cpu_ns = thread_cpu_ns() - self.cpu_at_open_ns;
        let closed_ns = self.edges.closed_ns();
        self.count_timeouts(closed_ns);
        self.tally.close_window(closed_ns);
        self.count_unsent(closed_ns);
        let connections = self.connections.iter().map(Connection::outcome).collect();
        (LoopOutcome { tally: self.tally, connections, hooks: self.hooks }, Open { _connections: self.connections })
    }

    /// When there is something to do even if nothing happens, ticks aside.
    fn next_due_ns(&self) -> Option<u64> {
        // Without a free connection it is the next answer that matters.
        let may_send = !self.free.is_empty() && !self.is_stopped && !self.plan.budget.is_spent();
        let arrival_ns = self.arrivals.as_ref().filter(|_| may_send).map(Arrivals::next_ns);
        arrival_ns.into_iter().chain(self.timers.next_ns()).min()
    }

    /// Sees whether the window has opened since the last look.
    #[inline]
    fn notice_window(&mut self) {
        if self.open_ns.is_none() && self.edges.opened_ns() != u64::MAX {
            let open_ns = self.edges.opened_ns();
            self.open_ns = Some(open_ns);
            self.cpu_at_open_ns = thread_cpu_ns();
            self.tally.open_window(open_ns);
        }
    }

    fn on_event(&mut self, token: u64, flags: EventFlags) {
        let slot = (token & u64::from(u32::MAX)) as usize;
        let Some(connection) = self.connections.get(slot).filter(|known| token == token_of(slot, known.generation))
        else {
            return;
        };
        match connection.phase {
            Phase::Down => {}
            Phase::Connecting => self.on_connecting(slot, flags),
            Phase::Shaking => self.shake(slot, flags),
            phase => {
                if phase == Phase::Sending && flags.contains(EventFlags::OUT) {
                    self.write_rest(slot);
                }
                // Failing above replaces the connection; what is announced here was the old one's.
                if token == token_of(slot, self.connections[slot].generation) && flags.intersects(READABLE) {
                    self.on_readable(slot, flags.intersects(ENDED));
                }
            }
        }
    }

    fn on_task(&mut self, task: Task) {
        let rests = |slot: usize, generation| {
            let connection: &Connection = &self.connections[slot];
            connection.generation == generation && connection.phase == Phase::Resting
        };
        match task {
            Task::Open(slot) if self.connections[slot].phase == Phase::Down && !self.is_stopped => self.open(slot),
            Task::SendNext(slot, generation) if rests(slot, generation) => self.send_next(slot),
            Task::Send(slot, generation) if rests(slot, generation) => self.send_now(slot),
            // The connection has moved on by itself.
            Task::Open(_) | Task::SendNext(..) | Task::Send(..) => {}
        }
    }

    /// Hands finished seconds to whoever looks on.
    fn show_seconds(&mut self, now_ns: u64) {
        let Some(live) = self.plan.live.as_ref().filter(|_| self.open_ns.is_some()) else { return };
        self.tally.turn_intervals(now_ns);
        for number in self.shown..self.tally.intervals.len() {
            live.add(number / self.tally.intervals_per_s(), &self.tally.intervals[number]);
        }
        self.shown = self.tally.intervals.len();
    }

    /// Counts batches whose time is over, each once, whether an answer comes or not.
    fn count_timeouts(&mut self, now_ns: u64) {
        let timeout_ns = self.plan.timeout_ns;
        for connection in &mut self.connections {
            if connection.is_in_flight() && !connection.is_late && is_late(connection, now_ns, timeout_ns) {
                connection.is_late = true;
                self.tally.error(ErrorKind::Timeout, now_ns);
            }
        }
    }
}

/// Whether the current batch takes longer than the timeout. In microseconds, as wrk compares them.
fn is_late(connection: &Connection, now_ns: u64, timeout_ns: u64) -> bool {
    now_ns.saturating_sub(connection.since_ns) / 1000 > timeout_ns / 1000
}

/// An event's mark: the slot, and which of its sockets.
fn token_of(slot: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | slot as u64
}
