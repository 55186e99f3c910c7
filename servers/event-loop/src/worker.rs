//! One thread, one epoll, its own connections.

use std::{
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
};
use stack_contract::{Answer, Shutdown, limits::DRAIN_TIMEOUT};

use crate::{
    intake::Intake,
    peer::{Peer, Turn},
    service::{NAMES, Registry, Service, Ticket},
};

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// Answers delivered before the kernel is asked again, so that a client whose requests fail at once cannot keep the
/// loop to itself.
const ANSWERS: usize = 4096;

/// What one read may bring: many pipelined requests, and more than the longest head.
const SCRATCH_BYTES: usize = 32 * 1024;

/// How often slow clients are looked for; also how late they may be found.
const SWEEP: Duration = Duration::from_secs(1);

/// Names that are neither a connection's nor the service's.
const INTAKE: u64 = u64::MAX;
const SHUTDOWN: u64 = u64::MAX - 1;

/// A loop, its connections and its service.
pub struct Worker<I, S> {
    registry: Registry,
    intake: I,
    service: S,
    places: Vec<Place>,
    free: Vec<u32>,
    /// Places of connections that have had their turn and may have more to do, each of them once.
    unfinished: Vec<u32>,
    /// Lists that are empty between turns, kept for their memory.
    resumed: Vec<u32>,
    arrived: Vec<TcpStream>,
    scratch: Box<[u8]>,
    /// Whether answers may be left over.
    answers_left: bool,
    /// Set when the server is to stop: when it will, whatever is in flight.
    stop_at: Option<Instant>,
}

#[derive(Default)]
struct Place {
    peer: Option<Peer>,
    generation: u32,
    /// Whether it is listed in `unfinished`. Outlives its connection, as the entry does.
    is_unfinished: bool,
}

impl<I: Intake, S: Service> Worker<I, S> {
    /// A loop that stops when `shutdown` is readable or `intake` has come to its end.
    ///
    /// # Errors
    /// When the system refuses the descriptors, or `service` fails.
    pub fn new(shutdown: &Shutdown, intake: I, service: impl FnOnce(&Registry) -> Result<S>) -> Result<Self> {
        let registry = Registry(Arc::new(epoll::create(CreateFlags::CLOEXEC)?));
        epoll::add(&*registry.0, intake.descriptor(), EventData::new_u64(INTAKE), EventFlags::IN)?;
        // One edge is enough: from then on the loop knows.
        epoll::add(&*registry.0, shutdown, EventData::new_u64(SHUTDOWN), EventFlags::IN | EventFlags::ET)?;
        let service = service(&registry)?;
        Ok(Self {
            registry,
            intake,
            service,
            places: Vec::new(),
            free: Vec::new(),
            unfinished: Vec::new(),
            resumed: Vec::new(),
            arrived: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            answers_left: false,
            stop_at: None,
        })
    }

    /// Serves until the server is to stop and nothing is in flight, or time is up.
    ///
    /// # Errors
    /// When the system refuses to wait.
    pub fn run(mut self) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        let mut now = Instant::now();
        let mut next_sweep = now + SWEEP;
        while !self.is_done() {
            self.wait(&mut events, now)?;
            // The clock is read once for a batch of events.
            now = Instant::now();
            self.service.begin_turn(now);
            for event in events.drain(..) {
                match event.data.u64() {
                    INTAKE => self.welcome(),
                    SHUTDOWN => self.begin_to_stop(),
                    name if name >= NAMES => self.service.ready(name as u32, event.flags),
                    index => self.notice(index as u32, event.flags),
                }
            }
            self.resume();
            self.service.after_events();
            self.deliver();
            self.service.end_turn();
            if now >= next_sweep {
                self.sweep(now);
                next_sweep = now + SWEEP;
            }
        }
        Ok(())
    }

    fn wait(&mut self, events: &mut Vec<Event>, now: Instant) -> Result<()> {
        let timeout = if !self.unfinished.is_empty() || self.answers_left {
            Duration::ZERO
        } else {
            self.service.wake_at().map_or(SWEEP, |wake_at| wake_at.saturating_duration_since(now).min(SWEEP))
        };
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&*self.registry.0, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn is_done(&self) -> bool {
        let all_served = || self.free.len() == self.places.len() && self.intake.is_done();
        self.stop_at.is_some_and(|stop_at| all_served() || Instant::now() >= stop_at)
    }

    fn welcome(&mut self) {
        let mut arrived = std::mem::take(&mut self.arrived);
        self.intake.take(&mut arrived);
        for stream in arrived.drain(..) {
            match self.admit(stream) {
                // Accepted before the stop: what it sent is answered, and if it sent nothing, it is closed.
                Ok(index) if self.stop_at.is_some() => self.turn(index, EventFlags::IN),
                Ok(_) => {}
                Err(_) => self.intake.release(),
            }
        }
        self.arrived = arrived;
        if self.intake.is_done() {
            // The end of a socket stays readable: the loop would spin until the last connection has ended. Fails only
            // if it was taken out before.
            let _ = epoll::delete(&*self.registry.0, self.intake.descriptor());
            self.begin_to_stop();
        }
    }

    fn admit(&mut self, stream: TcpStream) -> Result<u32> {
        let peer = Peer::new(stream)?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        // All that may ever be asked for, once: edges make further calls superfluous.
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(index.into());
        if let Err(error) = epoll::add(&*self.registry.0, peer.session.stream(), data, interest) {
            self.free.push(index);
            return Err(error.into());
        }
        self.places[index as usize].peer = Some(peer);
        Ok(index)
    }

    /// A connection is ready. If it is to have another turn anyway, that will do: edges must not gain a client more
    /// turns than others have.
    fn notice(&mut self, index: u32, flags: EventFlags) {
        match self.places.get_mut(index as usize) {
            Some(Place { peer: Some(peer), is_unfinished: true, .. }) => peer.notice(flags),
            _ => self.turn(index, flags),
        }
    }

    /// Reads, answers and writes as far as one connection goes.
    fn turn(&mut self, index: u32, flags: EventFlags) {
        let Some(place) = self.places.get_mut(index as usize) else { return };
        let Some(peer) = &mut place.peer else { return };
        peer.notice(flags);
        let ticket = Ticket { index, generation: place.generation };
        match peer.turn(&mut self.service, ticket, &mut self.scratch, self.stop_at.is_some()) {
            Turn::Waits => {}
            Turn::MayGoOn => {
                if !std::mem::replace(&mut place.is_unfinished, true) {
                    self.unfinished.push(index);
                }
            }
            Turn::Over => self.close(index),
        }
    }

    /// Gives those another turn that had not come to their end.
    fn resume(&mut self) {
        let mut resumed = std::mem::replace(&mut self.unfinished, std::mem::take(&mut self.resumed));
        for index in resumed.drain(..) {
            self.places[index as usize].is_unfinished = false;
            self.turn(index, EventFlags::empty());
        }
        self.resumed = resumed;
    }

    fn deliver(&mut self) {
        self.answers_left = true;
        for _ in 0..ANSWERS {
            let Some((ticket, answer)) = self.service.next_answer() else {
                self.answers_left = false;
                return;
            };
            self.deliver_one(ticket, answer);
        }
    }

    fn deliver_one(&mut self, ticket: Ticket, answer: Answer) {
        let Some(place) = self.places.get_mut(ticket.index as usize) else { return };
        // Otherwise the client has left.
        if place.generation == ticket.generation
            && let Some(peer) = &mut place.peer
        {
            peer.answer(answer);
            self.turn(ticket.index, EventFlags::empty());
        }
    }

    fn close(&mut self, index: u32) {
        let place = &mut self.places[index as usize];
        // Closing the socket also takes it out of epoll.
        place.peer = None;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index);
        self.intake.release();
    }

    fn begin_to_stop(&mut self) {
        if self.stop_at.is_some() {
            return;
        }
        self.stop_at = Some(Instant::now() + DRAIN_TIMEOUT);
        self.intake.refuse();
        // What was sent before we stopped is answered; what is idle is closed.
        for index in 0..self.places.len() {
            self.turn(index as u32, EventFlags::IN);
        }
    }

    fn sweep(&mut self, now: Instant) {
        for index in 0..self.places.len() {
            let is_expired = |place: &Place| place.peer.as_ref().is_some_and(|peer| peer.session.is_expired(now));
            if !is_expired(&self.places[index]) {
                continue;
            }
            // What has arrived in the meantime counts: no time runs out for a client while the server is the slow one.
            self.turn(index as u32, EventFlags::IN);
            if is_expired(&self.places[index]) {
                self.close(index as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        os::{
            fd::{AsFd, BorrowedFd},
            unix::net::UnixStream,
        },
    };

    use rustix::event::epoll::EventFlags;
    use stack_contract::{Mode, Operation};

    use super::*;
    use crate::service::Begun;

    /// Done when the other end of its socket is gone.
    struct Socket {
        stream: UnixStream,
        is_done: bool,
    }

    impl Intake for Socket {
        fn descriptor(&self) -> BorrowedFd<'_> {
            self.stream.as_fd()
        }

        fn take(&mut self, _: &mut Vec<TcpStream>) {
            self.is_done = matches!(self.stream.read(&mut [0]), Ok(0));
        }

        fn is_done(&self) -> bool {
            self.is_done
        }

        fn release(&mut self) {}
    }

    /// Answers in place, so that turns are short.
    struct InPlace;

    impl Service for InPlace {
        const WAITS_IN_PLACE: bool = true;

        fn begin(&mut self, _: Mode, _: Operation, _: Ticket) -> Begun {
            Begun::Answered(Answer::OK)
        }
    }

    fn worker() -> (UnixStream, Worker<Socket, InPlace>) {
        let (end, stream) = UnixStream::pair().unwrap();
        let shutdown = Shutdown::on_signals().unwrap();
        let intake = Socket { stream, is_done: false };
        (end, Worker::new(&shutdown, intake, |_| Ok(InPlace)).unwrap())
    }

    #[test]
    fn a_connection_with_more_to_do_is_listed_once_however_many_edges_come() {
        const REQUESTS: usize = 200;
        let (_end, mut worker) = worker();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let sent = b"GET /check HTTP/1.1\r\nHost: here\r\n\r\n".repeat(REQUESTS);
        client.write_all(&sent).unwrap();
        let stream = listener.accept().unwrap().0;
        while stream.peek(&mut vec![0; sent.len()]).unwrap() < sent.len() {}
        let index = worker.admit(stream).unwrap();
        for _ in 0..3 {
            worker.notice(index, EventFlags::IN);
            worker.turn(index, EventFlags::IN);
            assert_eq!(worker.unfinished, [index]);
        }
        while !worker.unfinished.is_empty() {
            assert_eq!(worker.unfinished, [index]);
            worker.resume();
        }
        worker.close(index);
        let mut answers = String::new();
        client.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200").count(), REQUESTS);
    }

    #[test]
    fn an_intake_that_has_come_to_its_end_does_not_wake_the_loop_again() {
        let (end, mut worker) = worker();
        drop(end);
        let ready = |worker: &Worker<Socket, InPlace>| {
            let mut events = Vec::with_capacity(EVENTS);
            epoll::wait(&*worker.registry.0, spare_capacity(&mut events), Some(&Timespec::default())).unwrap()
        };
        assert_eq!(ready(&worker), 1);
        worker.welcome();
        assert_eq!(ready(&worker), 0);
        assert!(worker.is_done());
    }
}
