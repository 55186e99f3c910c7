//! Servers and raw connections for the tests.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Far beyond any wait on a healthy machine: a bound on hanging, never a measure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server process that ends with the test.
pub struct Server {
    pub address: SocketAddr,
    pub process: Child,
}

impl Server {
    pub fn fake(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fake-redis"));
        let mut process = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("the first line says where it listens");
        Self { address: address.parse().unwrap(), process }
    }

    /// Debian's redis-server, allowed to be debugged as ours is.
    pub fn real() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--enable-debug-command", "yes"]).current_dir(std::env::temp_dir()).stdout(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| {
            panic!("redis-server cannot be started ({error}): install it, on Debian with `apt install redis-server`")
        });
        let server = Self { address: format!("127.0.0.1:{port}").parse().unwrap(), process };
        until("redis-server answers", || TcpStream::connect(server.address).is_ok());
        server
    }

    pub fn connect(&self) -> Raw {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw { socket, received: Vec::new() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Waits for a condition.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A connection that speaks bytes.
pub struct Raw {
    pub socket: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// The bytes of the next whole reply; empty when the server has closed the connection.
    pub fn reply(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = reply_length(&self.received) {
                return self.received.drain(..length).collect();
            }
            if !self.receive() {
                return Vec::new();
            }
        }
    }

    /// The next reply, readable.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.reply()).into_owned()
    }

    /// Sends an inline command and returns its reply.
    pub fn ask(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n"));
        self.text()
    }

    /// Whether the server closes the connection without another word.
    pub fn is_closed(&mut self) -> bool {
        self.received.is_empty() && !self.receive()
    }

    /// What arrives within `time`.
    pub fn within(&mut self, time: Duration) -> Vec<u8> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        self.receive();
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        std::mem::take(&mut self.received)
    }

    /// Whether anything came; `false` at the end of the connection or of patience.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 65536];
        match self.socket.read(&mut buffer) {
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                count > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::WouldBlock) => false,
            Err(error) => panic!("cannot read a reply: {error}"),
        }
    }
}

/// Length of the reply at the start of `bytes`, if it is all there. Counts frames, knows nothing of their meaning.
fn reply_length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let end = line + 2;
    let number = || std::str::from_utf8(&bytes[1..line]).unwrap().parse::<i64>().unwrap();
    let nested = |count: i64| (0..count).try_fold(end, |at, _| Some(at + reply_length(&bytes[at..])?));
    match bytes[0] {
        b'$' | b'=' if number() >= 0 => {
            let whole = end + number() as usize + 2;
            (bytes.len() >= whole).then_some(whole)
        }
        b'*' | b'~' | b'>' => nested(number()),
        b'%' => nested(2 * number()),
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'$' => Some(end),
        other => panic!("no reply starts with {:?}", char::from(other)),
    }
}

/// A command as an array of bulk strings.
pub fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}
