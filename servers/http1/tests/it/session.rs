//! The codec with its socket.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use stack_contract::{Answer, limits::HEAD_TIMEOUT};
use stack_http1::{Fill, Next, Session};

const GET: &[u8] = b"GET /check HTTP/1.1\r\nHost: a\r\n\r\n";

/// How long the kernel may take to hand bytes over. Only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(10);

/// Answers a client owes it to take. A few reads of the test's client open the kernel's buffers for less than that.
const LEFT_OVER: usize = 8 * 1024 * 1024;

/// Both ends of a connection.
fn pair() -> (TcpStream, Session) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    (client, Session::new(listener.accept().unwrap().0).unwrap())
}

/// Reads until there is something to read.
fn fill(session: &mut Session) -> Fill {
    let start = Instant::now();
    loop {
        match session.fill(&mut [0; 4096]) {
            Fill::Nothing => assert!(start.elapsed() < DEADLINE, "nothing came"),
            filled => return filled,
        }
    }
}

fn answer_all(session: &mut Session) {
    while session.http.next_request().is_some() {
        session.http.answer(Answer::OK);
    }
}

#[test]
fn a_turn_reads_answers_and_waits_for_the_next_request() {
    let (mut client, mut session) = pair();
    assert_eq!(session.fill(&mut [0; 64]), Fill::Nothing);
    client.write_all(GET).unwrap();
    assert_eq!(fill(&mut session), Fill::Drained);
    answer_all(&mut session);
    assert_eq!(session.settle(), Next::Read);
    let mut said = [0; 15];
    client.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 200 OK");
}

#[test]
fn a_client_that_left_is_noticed() {
    let (client, mut session) = pair();
    drop(client);
    assert_eq!(fill(&mut session), Fill::End);
}

#[test]
fn idling_is_allowed_and_dawdling_is_not() {
    let (mut client, mut session) = pair();
    let late = Instant::now() + 2 * HEAD_TIMEOUT;
    assert_eq!(session.settle(), Next::Read);
    assert!(!session.is_expired(late), "nothing was begun");
    client.write_all(&GET[..10]).unwrap();
    fill(&mut session);
    answer_all(&mut session);
    assert_eq!(session.settle(), Next::Read);
    assert!(session.is_expired(late) && !session.is_expired(Instant::now()));
    client.write_all(&GET[10..]).unwrap();
    fill(&mut session);
    answer_all(&mut session);
    assert_eq!(session.settle(), Next::Read);
    assert!(!session.is_expired(late), "the request is answered");
}

#[test]
fn a_client_that_takes_no_answers_is_waited_for_but_not_for_ever() {
    let (mut client, mut session) = pair();
    let start = Instant::now();
    let next = loop {
        assert!(start.elapsed() < DEADLINE, "the kernel takes everything");
        client.write_all(&GET.repeat(100)).unwrap();
        fill(&mut session);
        answer_all(&mut session);
        match session.settle() {
            Next::Read => {}
            next => break next,
        }
    };
    assert_eq!(next, Next::Write);
    assert!(session.is_expired(Instant::now() + 2 * HEAD_TIMEOUT));
    // Once it reads, all is well again.
    client.set_nonblocking(true).unwrap();
    while session.settle() != Next::Read {
        assert!(start.elapsed() < DEADLINE, "never written");
        while client.read(&mut [0; 65536]).is_ok() {}
    }
    assert!(session.http.output().is_empty());
}

#[test]
fn a_client_that_takes_a_little_and_then_stops_has_only_so_long() {
    let (mut client, mut session) = pair();
    let start = Instant::now();
    // More than the kernel keeps, and more again, so that it does not end in one write.
    while session.flush() != Next::Write || session.http.output().len() < LEFT_OVER {
        assert!(start.elapsed() < DEADLINE, "the kernel takes everything");
        client.write_all(&GET.repeat(100)).unwrap();
        fill(&mut session);
        answer_all(&mut session);
    }
    let owed = session.http.output().len();
    client.set_nonblocking(true).unwrap();
    while session.http.output().len() == owed {
        assert!(start.elapsed() < DEADLINE, "never written");
        let _ = client.read(&mut [0; 65536]);
        assert_eq!(session.flush(), Next::Write, "a part of it at most");
    }
    assert!(session.is_expired(Instant::now() + 2 * HEAD_TIMEOUT), "what it took bought it time, but not for ever");
    assert!(!session.is_expired(Instant::now()));
}

#[test]
fn a_refused_client_gets_to_read_why_although_it_goes_on_sending() {
    let (mut client, mut session) = pair();
    client.write_all(b"nonsense\r\n\r\n").unwrap();
    fill(&mut session);
    answer_all(&mut session);
    assert_eq!(session.settle(), Next::Read, "it lingers");
    client.write_all(GET).unwrap();
    fill(&mut session);
    answer_all(&mut session);
    assert_eq!(session.settle(), Next::Read);
    assert!(session.is_expired(Instant::now() + HEAD_TIMEOUT), "but not for long");
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(fill(&mut session), Fill::End);
}

#[test]
fn a_client_that_the_server_takes_leave_of_keeps_its_last_answer_although_it_pipelines() {
    let (mut client, mut session) = pair();
    session.http.close_after_next();
    client.write_all(GET).unwrap();
    fill(&mut session);
    answer_all(&mut session);
    assert_eq!(session.settle(), Next::Read, "it lingers");
    assert!(!session.is_idle() && session.is_expired(Instant::now() + HEAD_TIMEOUT));
    session.stop_clock();
    assert!(session.is_expired(Instant::now() + HEAD_TIMEOUT), "lingering ends, whoever is busy");
    client.write_all(GET).unwrap();
    assert_ne!(fill(&mut session), Fill::End);
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(said.contains("Connection: close\r\n"), "{said}");
}

#[test]
fn a_close_that_the_client_asked_for_is_a_close() {
    let (mut client, mut session) = pair();
    session.http.close_after_next();
    client.write_all(b"GET /check HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    fill(&mut session);
    answer_all(&mut session);
    assert_eq!(session.settle(), Next::Close);
}

#[test]
fn while_the_server_is_the_slow_one_no_time_runs_out() {
    let (mut client, mut session) = pair();
    client.write_all(&GET.repeat(2)).unwrap();
    fill(&mut session);
    assert!(session.http.next_request().is_some());
    session.http.answer(Answer::OK);
    assert_eq!(session.settle(), Next::Read);
    session.stop_clock();
    assert!(!session.is_expired(Instant::now() + 2 * HEAD_TIMEOUT), "a whole request is left to us");
}
