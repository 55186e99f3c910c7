//! The server as its clients see it, where the contract's checks do not look.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use stack_contract::listener;
use stack_core::{BlockingPool, MultiplexedStore, Server, Stores};
use stack_core_tokio::{Tokio, start};
use tokio::runtime::{Builder, Runtime};

use crate::double::{Double, Manner};

const REQUEST: &[u8] = b"GET /myapp/async/cache_hit HTTP/1.1\r\nHost: a\r\n\r\n";

/// Only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(10);

/// A server with so many places, in front of a store.
fn serve(double: &Double, max_connections: u32) -> (Runtime, SocketAddr) {
    serve_as(double, Server::new(max_connections))
}

fn serve_as(double: &Double, server: &'static Server) -> (Runtime, SocketAddr) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (asynchronous, drivers) = MultiplexedStore::<Tokio>::new(&double.target(), 1);
    for driver in drivers {
        runtime.spawn(driver.run());
    }
    runtime.block_on(asynchronous.attempted());
    let sync = BlockingPool::start(&double.target(), 1).unwrap();
    let stores = Box::leak(Box::new(Stores { sync, asynchronous }));
    let entered = runtime.enter();
    start(listener, server, stores).unwrap();
    drop(entered);
    (runtime, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Reads one answer and gives its status.
fn status(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8(answer[9..12].to_vec()).unwrap()
}

#[test]
fn a_client_that_has_said_all_it_wants_to_say_still_gets_its_answers() {
    let double = Double::start(Manner::Reply("$1\r\nx\r\n"));
    let (_runtime, address) = serve(&double, 10);
    let mut stream = connect(address);
    stream.write_all(&[REQUEST, REQUEST].concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

#[test]
fn a_connection_without_a_place_waits_until_another_one_ends() {
    let double = Double::start(Manner::Reply("$-1\r\n"));
    let (_runtime, address) = serve(&double, 1);
    let (mut first, mut second) = (connect(address), connect(address));
    first.write_all(REQUEST).unwrap();
    assert_eq!(status(&mut first), "404");
    second.write_all(REQUEST).unwrap();
    second.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(second.read(&mut [0; 1]).is_err(), "served beyond the number of places");
    drop(first);
    second.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(status(&mut second), "404");
}

#[test]
fn a_client_that_leaves_amid_its_request_frees_its_place() {
    let double = Double::start(Manner::Late("$1\r\nx\r\n"));
    let (_runtime, address) = serve(&double, 1);
    let mut leaver = connect(address);
    leaver.write_all(REQUEST).unwrap();
    double.wait_for_commands(1);
    drop(leaver);
    double.behave(Manner::Reply("$1\r\nx\r\n"));
    let mut next = connect(address);
    next.write_all(b"GET /check HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    // The leaver's place is free when its answer cannot be written, and that is when the store has replied.
    double.hang_up();
    assert_eq!(status(&mut next), "200");
}

#[test]
fn a_server_that_stops_finishes_what_is_in_flight_and_says_that_it_leaves() {
    let double = Double::start(Manner::Reply("$1\r\nx\r\n"));
    let server = Server::new(10);
    let (_runtime, address) = serve_as(&double, server);
    let (mut idle, mut busy) = (connect(address), connect(address));
    idle.write_all(REQUEST).unwrap();
    assert_eq!(status(&mut idle), "200");
    double.behave(Manner::Late("$1\r\nx\r\n"));
    busy.write_all(REQUEST).unwrap();
    double.wait_for_commands(2);
    let stopping = thread::spawn(|| server.stop());
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
    // Sent again or given up, as the connection lived long enough or not: what counts is that it is answered.
    double.behave(Manner::Reply("$1\r\nx\r\n"));
    double.hang_up();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 ") && answer.contains("Connection: close"), "{answer}");
    drop(busy);
    stopping.join().unwrap();
}
