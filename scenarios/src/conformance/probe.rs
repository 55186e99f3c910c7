//! What a case is given, and the steps most cases take.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use stackbench_reports::row::Mode;

use super::{CannotTry, Target};
use crate::wire::{Answer, Connection};

/// The body of every 200.
pub(super) const OK_BODY: &str = r#"{"status": "ok"}"#;
/// The route that leaves the store alone.
pub(super) const CHECK: &str = "/check";
/// A path no server knows.
pub(super) const UNKNOWN: &str = "/no/such/path";

/// Where the kernel lists its TCP sockets of IPv4.
const SOCKETS: &str = "/proc/net/tcp";
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(5);
/// A listener of this machine accepts at once, unless its queue is full: then the kernel drops who comes, and lets him
/// try again for minutes.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(1);

/// A server under test.
#[derive(Clone)]
pub(super) struct Probe {
    addr: SocketAddr,
    modes: Vec<&'static str>,
    holds: Vec<Hold>,
    deadline: Instant,
    crowd: usize,
}

/// A route that holds.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub(super) path: String,
    /// Whether each one held takes a place of the pool.
    pub(super) pool_bounded: bool,
}

/// What a cache route asks of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Hit,
    Set,
}

impl Operation {
    pub(super) const ALL: [Self; 2] = [Self::Hit, Self::Set];

    /// The one command it costs.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Hit => "get",
            Self::Set => "set",
        }
    }
}

impl Probe {
    pub(super) fn new(target: &Target, budget: Duration) -> Self {
        let name = |mode: &Mode| match mode {
            Mode::Sync => "sync",
            Mode::Async => "async",
        };
        let hold = |mode: &Mode| Hold {
            path: format!("/myapp/{}/hold", name(mode)),
            pool_bounded: target.pool_bounded.contains(mode),
        };
        Self {
            addr: target.addr,
            modes: target.modes.iter().map(name).collect(),
            holds: target.modes.iter().map(hold).collect(),
            deadline: Instant::now() + budget,
            crowd: target.crowd,
        }
    }

    /// The same for another server of the stack.
    pub(super) fn at(&self, addr: SocketAddr) -> Self {
        Self { addr, ..self.clone() }
    }

    /// The same with more time.
    pub(super) fn later(&self, by: Duration) -> Self {
        Self { deadline: self.deadline + by, ..self.clone() }
    }

    /// How many connections a crowd is.
    pub(super) fn crowd(&self) -> usize {
        self.crowd
    }

    /// Whether nobody listens any more.
    pub(super) fn is_port_free(&self) -> bool {
        let connected = TcpStream::connect_timeout(&self.addr, ACCEPTED_WITHIN);
        connected.is_err_and(|error| error.kind() != ErrorKind::TimedOut)
    }

    /// The paths of one operation, in each mode the stack answers.
    pub(super) fn paths(&self, operation: Operation) -> Vec<String> {
        let name = match operation {
            Operation::Hit => "cache_hit",
            Operation::Set => "cache_set",
        };
        self.modes.iter().map(|mode| format!("/myapp/{mode}/{name}")).collect()
    }

    /// The routes that hold, in each mode the stack answers.
    pub(super) fn holds(&self) -> Vec<Hold> {
        self.holds.clone()
    }

    /// Every path that answers 200 as soon as it can.
    pub(super) fn known_paths(&self) -> Vec<String> {
        let cache = Operation::ALL.into_iter().flat_map(|operation| self.paths(operation));
        std::iter::once(CHECK.to_string()).chain(cache).collect()
    }

    pub(super) fn connect(&self) -> Result<Connection> {
        Connection::open(self.addr, self.deadline)
    }

    /// A connection with little room for what is not read.
    pub(super) fn connect_narrow(&self) -> Result<Connection> {
        Connection::open_narrow(self.addr, self.deadline)
    }

    pub(super) fn connect_many(&self, count: usize) -> Result<Vec<Connection>> {
        (0..count).map(|_| self.connect()).collect()
    }

    /// Sends one request on a connection of its own.
    pub(super) fn ask(&self, request: impl AsRef<[u8]>) -> Result<Answer> {
        let mut connection = self.connect()?;
        connection.send(request)?;
        connection.answer()
    }

    /// Waits until the server has read all that was sent on these connections, as the kernel counts it.
    pub(super) fn wait_until_read<'c>(&self, connections: impl Iterator<Item = &'c Connection>) -> Result<()> {
        let ports: BTreeSet<u16> = connections.map(Connection::port).collect::<Result<_>>()?;
        let server = self.addr.port();
        loop {
            let sockets = fs::read_to_string(SOCKETS).map_err(|error| CannotTry(format!("{SOCKETS}: {error}")))?;
            let waits = sockets.lines().filter_map(socket).any(|socket| match socket.ports {
                // Not at the server yet, or not read there.
                (from, to) if to == server && ports.contains(&from) => socket.unsent,
                (from, to) if from == server && ports.contains(&to) => socket.unread,
                _ => false,
            });
            if !waits {
                return Ok(());
            }
            ensure!(Instant::now() < self.deadline, "the server does not read what it is sent");
            thread::sleep(POLL);
        }
    }

    /// Demands that the server still answers new connections.
    pub(super) fn expect_alive(&self) -> Result<()> {
        self.ask(get(CHECK)).and_then(|answer| expect_ok(&answer)).context("afterwards, on a new connection")
    }
}

/// One end of a connection.
struct Socket {
    /// Its own and the other's.
    ports: (u16, u16),
    unsent: bool,
    unread: bool,
}

/// A line of [`SOCKETS`]: number, address, peer's address, state, `unsent:unread`, all hexadecimal.
fn socket(line: &str) -> Option<Socket> {
    let mut fields = line.split_whitespace().skip(1);
    let mut port = || u16::from_str_radix(fields.next()?.rsplit_once(':')?.1, 16).ok();
    let ports = (port()?, port()?);
    let (unsent, unread) = fields.nth(1)?.split_once(':')?;
    let some = |count: &str| count.bytes().any(|digit| digit != b'0');
    Some(Socket { ports, unsent: some(unsent), unread: some(unread) })
}

/// A plain request for a path.
pub(super) fn get(path: &str) -> String {
    request("GET", path)
}

/// A plain request.
pub(super) fn request(method: &str, path: &str) -> String {
    request_with(method, path, "")
}

/// A request with more headers, each ended by CRLF.
pub(super) fn request_with(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n")
}

/// Sends a plain GET and reads its answer, which must be the usual 200.
pub(super) fn expect_ok_for(connection: &mut Connection, path: &str) -> Result<()> {
    connection.send(get(path))?;
    connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| format!("GET {path}"))
}

/// Demands the usual 200, to the byte.
pub(super) fn expect_ok(answer: &Answer) -> Result<()> {
    expect_json(answer, 200)?;
    let body = answer.body.escape_ascii();
    ensure!(answer.body == OK_BODY.as_bytes(), "the body is `{body}`, not `{OK_BODY}`");
    Ok(())
}

/// Demands an error in JSON.
pub(super) fn expect_error(answer: &Answer, status: u16) -> Result<()> {
    expect_json(answer, status)?;
    let body = answer.body.escape_ascii();
    let parsed: serde_json::Value =
        serde_json::from_slice(&answer.body).with_context(|| format!("the body `{body}` is not JSON"))?;
    ensure!(parsed.get("error").is_some(), "the body `{body}` has no `error`");
    Ok(())
}

fn expect_json(answer: &Answer, status: u16) -> Result<()> {
    let body = answer.body.escape_ascii();
    ensure!(answer.status == status, "the status is {}, not {status} (body `{body}`)", answer.status);
    let kind = answer.header("content-type")?;
    ensure!(kind == "application/json", "the Content-Type is `{kind}`, not `application/json`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn a_port_whose_queue_is_full_is_not_free() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        // Room for one, and nobody takes it out.
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let budget = Duration::ZERO;
        let target = Target { addr, modes: &[], pool_bounded: &[], server: None, store: None, budget, crowd: 0 };
        let probe = Probe::new(&target, budget);
        let _first = TcpStream::connect(addr).unwrap();
        assert!(!probe.is_port_free());
        drop(listener);
        assert!(probe.is_port_free());
    }
}
