//! Finding the server: names, addresses, and whether anybody accepts a connection there.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::engine::Address;
use crate::run::RunError;
use crate::url::Url;

/// Shortest patience when probing the server: a timeout of 0 must not make every server unreachable.
const PROBE_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// The addresses of a host, in the resolver's order.
pub fn resolve(host: &str, port: u16, service: &str) -> Result<Vec<SocketAddr>, RunError> {
    match (host, port).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(RunError::Resolve(host.to_owned(), service.to_owned(), plain_text(&error))),
    }
}

/// Those of a URL's addresses that accept a connection, tried and closed again as wrk does; at least one.
pub fn find_servers(url: &Url, timeout_ns: u64) -> Result<Vec<SocketAddr>, RunError> {
    let service = url.service();
    let mut reason = "no address".to_owned();
    let mut accepting = Vec::new();
    for address in resolve(&url.host, url.port(), &service)? {
        match TcpStream::connect_timeout(&address, patience(timeout_ns)) {
            Ok(_) => accepting.push(address),
            Err(error) => reason = plain_text(&error),
        }
    }
    if accepting.is_empty() { Err(RunError::Connect(url.host.clone(), service, reason)) } else { Ok(accepting) }
}

/// A unix socket, tried likewise.
pub fn find_socket(path: &Path) -> Result<Address, RunError> {
    match UnixStream::connect(path) {
        Ok(_) => Ok(Address::Unix(path.to_owned())),
        Err(error) => Err(RunError::Connect("unix".to_owned(), path.display().to_string(), plain_text(&error))),
    }
}

/// How long to wait when probing a server.
fn patience(timeout_ns: u64) -> Duration {
    Duration::from_nanos(timeout_ns).max(PROBE_TIMEOUT_MIN)
}

/// The C library's text alone: the standard library puts words before that of a resolver and a number after the others.
fn plain_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    text.split(" (os error").next().unwrap_or(text).to_owned()
}
