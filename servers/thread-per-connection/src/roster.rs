//! Who is being served, so that a server that stops can wake those who wait for a client.

use std::{
    collections::HashMap,
    io::{self, Read},
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// All connections that have a thread, or are about to.
#[derive(Debug, Default)]
pub struct Roster {
    members: Mutex<Members>,
    /// Notified when the last one has left.
    empty: Condvar,
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct Members {
    entered: u64,
    present: HashMap<u64, Arc<Line>>,
}

/// A connection, as the roster knows it.
#[derive(Debug)]
struct Line {
    stream: TcpStream,
    /// Whether its thread waits between requests, with nothing owed to the client.
    idle: AtomicBool,
}

/// A thread's entry in the roster; drop it to leave.
#[derive(Debug)]
pub struct Member<'a> {
    roster: &'a Roster,
    number: u64,
    line: Arc<Line>,
}

impl Roster {
    /// Enters a connection.
    pub fn enter(&self, stream: TcpStream) -> Member<'_> {
        let line = Arc::new(Line { stream, idle: AtomicBool::new(false) });
        let mut members = self.members();
        members.entered += 1;
        let number = members.entered;
        members.present.insert(number, Arc::clone(&line));
        Member { roster: self, number, line }
    }

    /// From now on every answer is its connection's last. Those who wait for a next request find the end instead, once
    /// they have read what was sent before.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for line in self.members().present.values() {
            if line.idle.load(Ordering::SeqCst) {
                line.send_home();
            }
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits for the last one to leave, but no longer than that.
    pub fn wait_until_empty(&self, at_most: Duration) {
        let members = self.members();
        let waited = self.empty.wait_timeout_while(members, at_most, |members| !members.present.is_empty());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // Nothing panics with the lock held.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn send_home(&self) {
        // Fails only if the client is gone, and then the thread is awake.
        let _ = self.stream.shutdown(Shutdown::Read);
    }
}

impl Member<'_> {
    pub fn stream(&self) -> &TcpStream {
        &self.line.stream
    }

    /// Reads between two requests: for as long as it takes, unless the server stops.
    pub fn read_idle(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // In this order: either the one who stops the server sees that we are idle, or we see that it stops.
        self.line.idle.store(true, Ordering::SeqCst);
        if self.roster.is_stopping() {
            self.line.send_home();
        }
        let read = (&self.line.stream).read(buffer);
        self.line.idle.store(false, Ordering::SeqCst);
        read
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        let mut members = self.roster.members();
        members.present.remove(&self.number);
        if members.present.is_empty() {
            self.roster.empty.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener, thread, time::Instant};

    use super::*;

    /// Only a failing test waits that long.
    const DEADLINE: Duration = Duration::from_secs(10);

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn who_waits_for_a_client_is_woken_by_the_stop() {
        let roster = Roster::default();
        let (_client, stream) = pair();
        thread::scope(|scope| {
            let member = roster.enter(stream);
            let line = Arc::clone(&member.line);
            let reader = scope.spawn(move || member.read_idle(&mut [0; 8]));
            let start = Instant::now();
            while !line.idle.load(Ordering::SeqCst) {
                assert!(start.elapsed() < DEADLINE, "never idle");
                thread::yield_now();
            }
            roster.stop();
            assert_eq!(reader.join().unwrap().unwrap(), 0);
        });
        roster.wait_until_empty(DEADLINE);
        assert!(roster.members().present.is_empty());
    }

    #[test]
    fn what_was_sent_before_the_stop_is_read_first() {
        let roster = Roster::default();
        let (mut client, stream) = pair();
        let member = roster.enter(stream);
        client.write_all(b"sent").unwrap();
        member.stream().peek(&mut [0]).unwrap();
        roster.stop();
        let mut buffer = [0; 8];
        assert_eq!(member.read_idle(&mut buffer).unwrap(), 4);
        assert_eq!(member.read_idle(&mut buffer).unwrap(), 0);
    }
}
