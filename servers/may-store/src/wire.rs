//! A connection to the store that suspends the coroutine instead of blocking the thread.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use may::io::WaitIoWaker;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    alarm::Alarm,
    runtime::is_watched_by,
    watched::{Watched, Woken},
};

/// The connection, and the alarm that ends its waiting.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Watched<TcpStream>,
    alarm: Alarm,
}

impl Wire {
    /// Connects to the first address of `host` that accepts. A name is resolved by the system's resolver, which blocks
    /// the thread for as long as it takes; an address is not resolved.
    pub(crate) fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<Self> {
        Self::connect_with(host, port, timeout, new_socket)
    }

    /// The same, with a socket that this worker's event loop watches.
    pub(crate) fn connect_on(worker: usize, host: &str, port: u16, timeout: Duration) -> io::Result<Self> {
        Self::connect_with(host, port, timeout, |address| socket_for(worker, address))
    }

    fn connect_with(
        host: &str,
        port: u16,
        timeout: Duration,
        open: impl Fn(SocketAddr) -> io::Result<Socket>,
    ) -> io::Result<Self> {
        let deadline = Instant::now() + timeout;
        let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (host, port).to_socket_addrs()? {
            match open(address).and_then(|socket| Self::connect_to(socket, address, deadline)) {
                Ok(wire) => return Ok(wire),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn connect_to(socket: Socket, address: SocketAddr, deadline: Instant) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Commands wait for replies, so Nagle's algorithm would only delay them.
        socket.set_tcp_nodelay(true)?;
        // Before connecting, or its end could be missed.
        let stream = Watched::new(TcpStream::from(socket))?;
        let alarm = Alarm::new(stream.waker());
        let wire = Self { stream, alarm };
        wire.finish_connecting(address, deadline)?;
        Ok(wire)
    }

    fn finish_connecting(&self, address: SocketAddr, deadline: Instant) -> io::Result<()> {
        let socket = socket2::SockRef::from(self.stream.socket());
        match socket.connect(&address.into()) {
            Ok(()) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        loop {
            self.wait_until(deadline)?;
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            // The first edge may be that of the registration.
            if socket.peer_addr().is_ok() {
                return Ok(());
            }
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.stream.socket()
    }

    pub(crate) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    pub(crate) fn waker(&self) -> WaitIoWaker {
        self.stream.waker()
    }

    /// Suspends the coroutine until something happens, the waker is used or the alarm rings.
    pub(crate) fn wait(&self) -> Woken {
        self.stream.wait()
    }

    /// Suspends the coroutine until something happens, which may be nothing of interest.
    pub(crate) fn wait_until(&self, deadline: Instant) -> io::Result<()> {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.alarm.set(Some(deadline));
        self.stream.wait();
        self.alarm.set(None);
        Ok(())
    }

    /// Writes all of it.
    pub(crate) fn send(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.socket().write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) => self.come_back(error, deadline)?,
            }
        }
        Ok(())
    }

    /// Reads what there is, and waits for it if there is nothing.
    pub(crate) fn receive(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            match self.stream.socket().read(buffer) {
                Err(error) => self.come_back(error, deadline)?,
                read => return read,
            }
        }
    }

    fn come_back(&self, error: io::Error, deadline: Instant) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.wait_until(deadline),
            io::ErrorKind::Interrupted => Ok(()),
            _ => Err(error),
        }
    }
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
}

/// Tries the next descriptors until one is right, which it is after as many as there are workers unless others take
/// them meanwhile. Then any will do.
fn socket_for(worker: usize, address: SocketAddr) -> io::Result<Socket> {
    let mut others = Vec::new();
    loop {
        let socket = new_socket(address)?;
        if is_watched_by(worker, &socket) || others.len() >= may::config().get_workers() {
            return Ok(socket);
        }
        // Kept until then, or its descriptor would come again.
        others.push(socket);
    }
}
