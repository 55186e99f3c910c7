//! The listening socket, made the same way for every stack.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicBool, Ordering},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::limits::BACKLOG;

static ANNOUNCED: AtomicBool = AtomicBool::new(false);

/// Binds and listens on `address` with `SO_REUSEADDR` and a backlog of [`BACKLOG`]. The socket blocks; a stack with an
/// event loop switches that off itself.
///
/// # Errors
/// The message names the address and, for a busy port, the remedy.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    open(address, Port::Exclusive).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => {
                ": another program listens there; stop it or choose another port (0: any free one)"
            }
            io::ErrorKind::PermissionDenied => ": choose a port above 1023",
            io::ErrorKind::AddrNotAvailable => ": no interface of this machine has that address",
            _ => "",
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}{remedy} ({error})"))
    })
}

#[derive(PartialEq, Eq)]
enum Port {
    Exclusive,
    Shared,
}

fn open(address: SocketAddr, port: Port) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if port == Port::Shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Another listener on the address of `first`: the kernel spreads new connections over all that share it.
///
/// `SO_REUSEPORT` is set only now, after `first` was bound without it: a port where another program listens was thus
/// refused, also when that program shares it among listeners of its own.
///
/// # Errors
/// What the system says.
pub fn share(first: &TcpListener) -> io::Result<TcpListener> {
    SockRef::from(first).set_reuse_port(true)?;
    open(first.local_addr()?, Port::Shared)
}

/// Prints the line that tells a parent process where this server listens: `listening on ADDR:PORT`.
///
/// # Errors
/// When standard output is closed.
pub fn announce(listener: &TcpListener) -> io::Result<()> {
    announce_address(listener.local_addr()?)
}

/// [`announce`] for a library that keeps its listener to itself.
///
/// # Errors
/// When standard output is closed.
pub fn announce_address(address: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {address}")?;
    ANNOUNCED.store(true, Ordering::Relaxed);
    // A pipe is block-buffered, and whoever started us waits for this very line.
    stdout.flush()
}

/// Whether this server has said where it listens.
pub(crate) fn announced() -> bool {
    ANNOUNCED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_refused_with_its_address_and_the_remedy() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let message = bind(address).unwrap_err().to_string();
        assert!(message.contains(&address.to_string()) && message.contains("choose another port"), "{message}");
    }

    #[test]
    fn a_shared_port_spreads_connections_and_is_still_refused_to_others() {
        const CONNECTIONS: usize = 64;
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = share(&first).unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(second.local_addr().unwrap(), address);
        assert_eq!(bind(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let accepted = [first, second].map(|listener| {
            listener.set_nonblocking(true).unwrap();
            listener.incoming().map_while(Result::ok).count()
        });
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        // Each connection goes to either by a hash: that all go to one is as likely as 63 equal tosses of a coin.
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }
}
