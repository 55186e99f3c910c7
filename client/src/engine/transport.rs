//! The bytes of a connection: a socket, or TLS over one.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::result::ErrorKind;

/// Why nothing was read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// The kernel announces when there is more to do.
    NotNow,
    /// The connection is of no more use.
    Broken(ErrorKind),
}

/// How connections speak TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Versions, verification and the sessions to resume.
    pub config: Arc<ClientConfig>,
    /// Whom the server must be, and what SNI says.
    pub name: ServerName<'static>,
}

/// A connected, non-blocking stream.
#[derive(Debug)]
pub enum Transport {
    /// As it is.
    Plain(OwnedFd),
    /// Encrypted.
    Tls(Box<TlsStream>),
}

impl Transport {
    /// Over a socket that is connected, or about to be.
    pub fn new(socket: OwnedFd, tls: Option<&Tls>) -> Result<Self, ErrorKind> {
        let Some(tls) = tls else { return Ok(Self::Plain(socket)) };
        let session = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone()).map_err(|_| ErrorKind::Tls)?;
        Ok(Self::Tls(Box::new(TlsStream { socket, session, is_drained: false })))
    }

    /// Whether a handshake follows the connecting.
    pub fn shakes_hands(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Carries the handshake on; `Ok` when it is complete.
    pub fn shake(&mut self) -> Result<(), Stall> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.shake(),
        }
    }

    /// Reads what there is, 0 bytes at the end.
    #[inline]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, Stall> {
        match self {
            Self::Plain(socket) => loop {
                match recv(&*socket, &mut *buffer, RecvFlags::empty()) {
                    Ok((_, count)) => return Ok(count),
                    Err(Errno::AGAIN) => return Err(Stall::NotNow),
                    Err(Errno::INTR) => {}
                    Err(_) => return Err(Stall::Broken(ErrorKind::Read)),
                }
            },
            Self::Tls(stream) => stream.recv(buffer),
        }
    }

    /// Passes over what there is, at most as much as `void` is long, without copying it; over TCP only, where
    /// `MSG_TRUNC` means that (tcp(7)).
    pub fn discard(&mut self, void: &mut [u8]) -> Result<usize, Stall> {
        let Self::Plain(socket) = self else { return self.recv(void) };
        loop {
            match recv(&*socket, &mut *void, RecvFlags::TRUNC) {
                Ok((_, count)) => return Ok(count),
                Err(Errno::AGAIN) => return Err(Stall::NotNow),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Stall::Broken(ErrorKind::Read)),
            }
        }
    }

    /// Whether nothing was left behind by a read of `count` bytes where `room` were asked for: the kernel then
    /// announces what comes after it, and asking again would be in vain.
    #[inline]
    pub fn is_drained(&self, count: usize, room: usize) -> bool {
        match self {
            Self::Plain(_) => count < room,
            // The session may hold decrypted bytes still.
            Self::Tls(stream) => stream.is_drained && count < room,
        }
    }

    /// Takes bytes to send and says how many; see [`Self::flush`].
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, Stall> {
        match self {
            Self::Plain(socket) => loop {
                match send(&*socket, bytes, SendFlags::NOSIGNAL) {
                    Ok(count) => return Ok(count),
                    Err(Errno::AGAIN) => return Err(Stall::NotNow),
                    Err(Errno::INTR) => {}
                    Err(_) => return Err(Stall::Broken(ErrorKind::Write)),
                }
            },
            Self::Tls(stream) => stream.send(bytes),
        }
    }

    /// Gives the kernel what was taken and not yet sent.
    #[inline]
    pub fn flush(&mut self) -> Result<(), Stall> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            Self::Tls(stream) => stream.socket.as_fd(),
        }
    }
}

/// A TLS session and its socket.
#[derive(Debug)]
pub struct TlsStream {
    socket: OwnedFd,
    session: ClientConnection,
    /// Whether the last read of the socket took all there was.
    is_drained: bool,
}

impl TlsStream {
    fn shake(&mut self) -> Result<(), Stall> {
        while self.session.is_handshaking() {
            self.flush()?;
            if self.session.wants_read() && self.take_records()? == 0 {
                return Err(Stall::Broken(ErrorKind::Tls));
            }
        }
        self.flush()
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, Stall> {
        loop {
            match self.session.reader().read(buffer) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer left without saying goodbye, as many do; whether the answer is whole, its framing tells.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(_) => return Err(Stall::Broken(ErrorKind::Tls)),
            }
            self.take_records()?;
        }
    }

    /// Reads the socket once and decrypts; 0 at its end.
    fn take_records(&mut self) -> Result<usize, Stall> {
        let mut wire = Wire { socket: self.socket.as_fd(), is_drained: false };
        let count = self.session.read_tls(&mut wire).map_err(|error| stall(&error, ErrorKind::Read))?;
        match self.session.process_new_packets() {
            // After a goodbye the end is to be read still, and nobody announces it.
            Ok(state) => self.is_drained = wire.is_drained && !state.peer_has_closed(),
            Err(_) => {
                // Tells the peer why, if it still listens.
                let _ = self.flush();
                return Err(Stall::Broken(ErrorKind::Tls));
            }
        }
        Ok(count)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, Stall> {
        match self.session.writer().write(bytes) {
            Ok(0) => self.flush().map(|()| 0),
            Ok(count) => Ok(count),
            Err(_) => Err(Stall::Broken(ErrorKind::Tls)),
        }
    }

    fn flush(&mut self) -> Result<(), Stall> {
        let mut wire = Wire { socket: self.socket.as_fd(), is_drained: false };
        while self.session.wants_write() {
            self.session.write_tls(&mut wire).map_err(|error| stall(&error, ErrorKind::Write))?;
        }
        Ok(())
    }
}

fn stall(error: &io::Error, otherwise: ErrorKind) -> Stall {
    if error.kind() == io::ErrorKind::WouldBlock { Stall::NotNow } else { Stall::Broken(otherwise) }
}

/// The socket as a session reads and writes it.
struct Wire<'a> {
    socket: BorrowedFd<'a>,
    is_drained: bool,
}

impl io::Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        let (_, count) = rustix::io::retry_on_intr(|| recv(self.socket, &mut *buffer, RecvFlags::empty()))?;
        self.is_drained = count < room;
        Ok(count)
    }
}

impl io::Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| send(self.socket, bytes, SendFlags::NOSIGNAL))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
