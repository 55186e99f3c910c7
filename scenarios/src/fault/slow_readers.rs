//! Clients that ask all the time and hardly read: a server that reads on from them gathers answers without bound.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use socket2::{Domain, Socket, Type};

use crate::server::request_bytes;

/// How often each reads, …
const TURN: Duration = Duration::from_millis(100);
/// … and how much: a few answers, of the hundreds that it asks for.
const READ_BYTES: usize = 512;
/// A small window, so that the server's side of the connection fills up within a second. The kernel makes it larger.
const RECEIVE_BUFFER_BYTES: usize = 4096;
/// Requests that each writes in a turn, if the server takes them.
const PIPELINED: usize = 32;
/// What they ask for: what costs a server least, so that it is their reading that tells and not the work they make.
const TARGET: &str = "/check";

/// Clients at work, on a thread of their own.
pub struct SlowReaders {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// One of them. What it has not written of its requests yet begins at `from`.
struct SlowReader {
    stream: TcpStream,
    from: usize,
    is_open: bool,
}

impl SlowReaders {
    /// Connects them.
    ///
    /// # Errors
    /// When one cannot connect.
    pub fn start(server: SocketAddr, clients: u32) -> Result<Self> {
        let requests = request_bytes("GET", TARGET, server, &[]).repeat(PIPELINED).into_bytes();
        let mut readers: Vec<SlowReader> =
            (0..clients).map(|_| SlowReader::connect(server)).collect::<Result<_>>().context("a slow reader")?;
        let (stop, stopped) = mpsc::channel();
        let work = move || {
            while stopped.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
                readers.iter_mut().for_each(|reader| reader.turn(&requests));
            }
        };
        let thread = thread::Builder::new().name("slow-readers".to_owned()).spawn(work)?;
        Ok(Self { stop, thread })
    }

    /// Closes their connections, answers unread.
    ///
    /// # Errors
    /// When their thread has panicked.
    pub fn stop(self) -> Result<()> {
        drop(self.stop);
        self.thread.join().map_err(|_| anyhow!("the slow readers' thread has panicked"))
    }
}

impl SlowReader {
    fn connect(server: SocketAddr) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        socket.connect(&server.into())?;
        socket.set_nonblocking(true)?;
        Ok(Self { stream: socket.into(), from: 0, is_open: true })
    }

    /// Writes what is taken, and reads a little. A server may close the connection: it owes a slow reader nothing for ever.
    fn turn(&mut self, requests: &[u8]) {
        if !self.is_open {
            return;
        }
        match self.stream.write(&requests[self.from..]) {
            Ok(written) => self.from = (self.from + written) % requests.len(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.is_open = false,
        }
        match self.stream.read(&mut [0; READ_BYTES]) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.is_open = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::mpsc::sync_channel};

    use super::*;

    /// Somebody who reads takes any number of bytes, somebody who does not what the kernel's buffers hold.
    const MORE_THAN_BUFFERS: usize = 64 << 20;

    #[test]
    fn slow_readers_ask_on_and_take_little_of_what_they_are_sent() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = sync_channel(0);
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let read = stream.read(&mut asked).unwrap();
            assert!(asked[..read].starts_with(b"GET /check HTTP/1.1\r\n"));
            stream.set_nonblocking(true).unwrap();
            let mut sent = 0;
            while sent < MORE_THAN_BUFFERS
                && let Ok(written) = stream.write(&[b'x'; 65_536])
            {
                sent += written;
            }
            tell.send(sent).unwrap();
            stream.set_nonblocking(false).unwrap();
            // Its end shows that the readers have gone.
            while stream.read(&mut asked).is_ok_and(|read| read > 0) {}
        });
        let readers = SlowReaders::start(address, 1).unwrap();
        let sent = told.recv().unwrap();
        assert!(sent < MORE_THAN_BUFFERS, "{sent}");
        readers.stop().unwrap();
        server.join().unwrap();
    }
}
