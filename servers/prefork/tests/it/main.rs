//! The master and its workers, as processes.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// A running server, ended with the test.
struct Server {
    master: Child,
    address: String,
}

impl Server {
    fn start(workers: u32) -> Self {
        // Nothing listens on port 1, and none of these requests needs a store.
        let mut master = Command::new(env!("CARGO_BIN_EXE_stack-prefork"))
            .args(["--listen", "127.0.0.1:0", "--redis", "redis://127.0.0.1:1", "--pool", &workers.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(master.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { master, address }
    }

    /// The workers' process ids, as the kernel knows them.
    fn workers(&self) -> Vec<i32> {
        let mut workers = Vec::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.master.id())).unwrap().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            workers.extend(children.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
        }
        workers.sort_unstable();
        workers
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn signal_master(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.master), signal).unwrap();
    }

    fn wait(&mut self) -> Option<i32> {
        until("the master to end", || self.master.try_wait().unwrap()).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its workers end with it, as they see the other end of their sockets closed.
        let _ = self.master.kill();
        let _ = self.master.wait();
    }
}

fn kill(worker: i32, signal: Signal) {
    kill_process(Pid::from_raw(worker).unwrap(), signal).unwrap();
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < DEADLINE, "waited in vain for {what}");
        thread::sleep(POLL);
    }
}

/// Asks on this connection; `None` when it is closed.
fn ask(stream: &mut TcpStream) -> Option<String> {
    stream.write_all(b"GET /check HTTP/1.1\r\nHost: here\r\n\r\n").ok()?;
    let mut answer = [0; 1024];
    let bytes = stream.read(&mut answer).ok().filter(|&bytes| bytes > 0)?;
    Some(String::from_utf8_lossy(&answer[..bytes]).into_owned())
}

fn is_ok(answer: Option<String>) -> bool {
    answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200 OK\r\n"))
}

#[test]
fn a_worker_that_dies_is_replaced_and_the_others_go_on() {
    let server = Server::start(3);
    let before = until("three workers", || Some(server.workers()).filter(|workers| workers.len() == 3));
    // Handed out in turn: one for each worker.
    let mut connections: Vec<_> = (0..3).map(|_| server.connect()).collect();
    assert!(connections.iter_mut().all(|connection| is_ok(ask(connection))));
    kill(before[1], Signal::KILL);
    let after = until("another worker", || Some(server.workers()).filter(|now| now.len() == 3 && *now != before));
    assert!(after.contains(&before[0]) && after.contains(&before[2]) && !after.contains(&before[1]));
    assert_eq!(connections.iter_mut().filter_map(ask).count(), 2);
    let mut later: Vec<_> = (0..6).map(|_| server.connect()).collect();
    assert!(later.iter_mut().all(|connection| is_ok(ask(connection))));
}

#[test]
fn a_worker_that_is_asked_to_stop_serves_its_clients_to_the_end() {
    let server = Server::start(1);
    let worker = until("a worker", || server.workers().first().copied());
    let mut amid = server.connect();
    assert!(is_ok(ask(&mut amid)));
    amid.write_all(b"GET /check HTTP/1.1\r\nHo").unwrap();
    let mut idle = server.connect();
    assert!(is_ok(ask(&mut idle)));
    kill(worker, Signal::TERM);
    // That this one is closed shows that the worker knows.
    assert_eq!(idle.read(&mut [0; 8]).unwrap(), 0);
    amid.write_all(b"st: here\r\n\r\n").unwrap();
    let mut rest = String::new();
    amid.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.contains("Connection: close\r\n"), "{rest}");
    until("another worker", || server.workers().first().copied().filter(|&now| now != worker));
    assert!(is_ok(ask(&mut server.connect())));
}

#[test]
fn sigterm_ends_the_master_and_its_workers_with_0() {
    let mut server = Server::start(2);
    let mut idle = server.connect();
    assert!(is_ok(ask(&mut idle)));
    let workers = server.workers();
    server.signal_master(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    assert_eq!(idle.read(&mut [0; 8]).unwrap(), 0);
    assert!(workers.iter().all(|worker| !fs::exists(format!("/proc/{worker}")).unwrap()));
}

#[test]
fn workers_do_not_outlive_a_master_that_is_killed() {
    let mut server = Server::start(2);
    let workers = until("two workers", || Some(server.workers()).filter(|workers| workers.len() == 2));
    server.signal_master(Signal::KILL);
    server.wait();
    // Whoever inherits them may not have collected their exit yet: that is not running.
    let is_running =
        |worker: &i32| fs::read_to_string(format!("/proc/{worker}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    until("the workers to end", || (!workers.iter().any(is_running)).then_some(()));
}
