//! A loop with a service whose answers come when the test says so.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rustix::event::epoll::EventFlags;
use stack_contract::{Answer, Mode, Operation, Shutdown, StoreError};
use stack_event_loop::{Begun, FromAcceptor, Mailbox, Places, Registry, Service, Ticket, Worker};

/// Only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(20);

/// Reports what begins, and answers what it is told to.
struct Told {
    begun: mpsc::Sender<Ticket>,
    due: Arc<Mailbox<(Ticket, Answer)>>,
    answers: Vec<(Ticket, Answer)>,
}

impl Service for Told {
    fn begin(&mut self, _: Mode, _: Operation, ticket: Ticket) -> Begun {
        // The test may be over.
        let _ = self.begun.send(ticket);
        Begun::Later
    }

    fn ready(&mut self, _: u32, _: EventFlags) {
        self.due.take(&mut self.answers);
        // In the order in which the test gave them.
        self.answers.reverse();
    }

    fn next_answer(&mut self) -> Option<(Ticket, Answer)> {
        self.answers.pop()
    }
}

/// A loop on a thread of its own, and the test's ends of everything.
struct Loop {
    mailbox: Arc<Mailbox<TcpStream>>,
    begun: mpsc::Receiver<Ticket>,
    due: Arc<Mailbox<(Ticket, Answer)>>,
    thread: thread::JoinHandle<()>,
}

impl Loop {
    fn start() -> Self {
        let (begin, begun) = mpsc::channel();
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let due = Arc::new(Mailbox::<(Ticket, Answer)>::new().unwrap());
        let places: &'static Places = Box::leak(Box::new(Places::new(8).unwrap()));
        let intake = FromAcceptor::new(Arc::clone(&mailbox), places);
        let told = Arc::clone(&due);
        let thread = thread::spawn(move || {
            let shutdown = Shutdown::on_signals().unwrap();
            let service = |registry: &Registry| {
                registry.add(told.filled(), 0, EventFlags::IN)?;
                Ok(Told { begun: begin, due: told, answers: Vec::new() })
            };
            Worker::new(&shutdown, intake, service).unwrap().run().unwrap();
        });
        Self { mailbox, begun, due, thread }
    }

    fn connect(&self) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        self.mailbox.put(listener.accept().unwrap().0);
        client
    }

    fn begun(&self) -> Ticket {
        self.begun.recv_timeout(DEADLINE).unwrap()
    }

    fn answer(&self, ticket: Ticket, answer: Answer) {
        self.due.put((ticket, answer));
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").into_bytes()
}

/// The status of the next answer, and whether it is the last one.
fn status(client: &mut TcpStream) -> (u16, bool) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mut body = vec![0; field("Content-Length:").unwrap().parse().unwrap()];
    client.read_exact(&mut body).unwrap();
    (head[9..12].parse().unwrap(), field("Connection:") == Some("close"))
}

const CACHE_HIT: &str = "/myapp/async/cache_hit";

#[test]
fn requests_behind_one_that_waits_keep_their_order_and_those_of_others_do_not_wait() {
    let worker = Loop::start();
    let (mut first, mut second) = (worker.connect(), worker.connect());
    first.write_all(&[get("/check"), get(CACHE_HIT), get("/nowhere"), get(CACHE_HIT)].concat()).unwrap();
    assert_eq!(status(&mut first), (200, false), "what comes before the one that waits is sent at once");
    let waiting = worker.begun();
    second.write_all(&get("/check")).unwrap();
    assert_eq!(status(&mut second), (200, false));
    worker.answer(waiting, StoreError::Timeout.into());
    assert_eq!(status(&mut first), (503, false));
    assert_eq!(status(&mut first), (404, false));
    let last = worker.begun();
    worker.answer(last, Answer::OK);
    assert_eq!(status(&mut first), (200, false));
}

#[test]
fn an_answer_for_a_client_that_left_does_not_reach_the_next_one() {
    let worker = Loop::start();
    let mut gone = worker.connect();
    gone.write_all(&[get(CACHE_HIT), get("/check")].concat()).unwrap();
    let stale = worker.begun();
    // Seen only by writing to it: the answer of the first request meets a reset.
    drop(gone);
    let (mut next, theirs) = loop {
        worker.answer(stale, Answer::OK);
        let mut client = worker.connect();
        client.write_all(&get(CACHE_HIT)).unwrap();
        let begun = worker.begun();
        if begun.index() == stale.index() {
            break (client, begun);
        }
    };
    worker.answer(stale, Answer::NO_SUCH_KEY);
    next.write_all(&get("/check")).unwrap();
    // Delivered after the stale one, which therefore was dropped once this one has arrived.
    worker.answer(theirs, Answer::OK);
    assert_eq!(status(&mut next), (200, false), "it was given another one's answer");
    assert_eq!(status(&mut next), (200, false));
    worker.mailbox.close();
    assert_eq!(next.read(&mut [0]).unwrap(), 0, "there was an answer too many");
}

#[test]
fn a_loop_that_stops_answers_what_is_in_flight_and_says_that_it_is_the_last() {
    let worker = Loop::start();
    let (mut busy, mut idle) = (worker.connect(), worker.connect());
    busy.write_all(&get(CACHE_HIT)).unwrap();
    let ticket = worker.begun();
    idle.write_all(&get("/check")).unwrap();
    assert_eq!(status(&mut idle), (200, false));
    worker.mailbox.close();
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    worker.answer(ticket, Answer::OK);
    assert_eq!(status(&mut busy), (200, true));
    assert_eq!(busy.read(&mut [0]).unwrap(), 0);
    drop(busy);
    worker.thread.join().unwrap();
}
