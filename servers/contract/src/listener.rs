//! The listening socket, made the same way for every stack.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::BACKLOG;

/// Binds and listens on `address` with `SO_REUSEADDR` and a backlog of [`BACKLOG`]. The socket blocks; a stack with an
/// event loop switches that off itself.
///
/// # Errors
/// The message names the address and, for a busy port, the remedy.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    open(address).map_err(|error| {
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

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Prints the line that tells a parent process where this server listens: `listening on ADDR:PORT`.
///
/// # Errors
/// When standard output is closed.
pub fn announce(listener: &TcpListener) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    // A pipe is block-buffered, and whoever started us waits for this very line.
    stdout.flush()
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
}
