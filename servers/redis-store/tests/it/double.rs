//! A stand-in for a store: answers each command with the reply it was given, or misbehaves.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use stack_redis_store::Target;

/// Generous: only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(10);

/// What it does with a command.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// Answers with these bytes.
    Reply(&'static str),
    /// Holds this reply back until the next command is answered.
    Late(&'static str),
    /// Closes the connection without a word.
    HangUp,
}

/// A store on a port of its own, which serves every connection on a thread of its own.
pub struct Double {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    commands: Arc<Mutex<Vec<Vec<String>>>>,
    connections: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Double {
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let double = Self {
            address: listener.local_addr().unwrap(),
            manner: Arc::new(Mutex::new(manner)),
            commands: Arc::default(),
            connections: Arc::default(),
            open: Arc::default(),
        };
        let (manner, commands) = (Arc::clone(&double.manner), Arc::clone(&double.commands));
        let (connections, open) = (Arc::clone(&double.connections), Arc::clone(&double.open));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                open.lock().unwrap().push(stream.try_clone().unwrap());
                // Last, so that whoever sees the number can hang up on the connection.
                connections.fetch_add(1, Ordering::SeqCst);
                let (manner, commands) = (Arc::clone(&manner), Arc::clone(&commands));
                thread::spawn(move || serve(stream, &manner, &commands));
            }
        });
        double
    }

    pub fn target(&self) -> Target {
        Target::parse(&format!("redis://{}", self.address)).unwrap()
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Breaks every connection, as a restart would.
    pub fn hang_up(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // It may be broken already.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until there have been so many: the kernel connects before the double accepts.
    pub fn wait_for_connections(&self, number: usize) {
        let start = Instant::now();
        while self.connections() < number {
            assert!(start.elapsed() < DEADLINE, "{} connections, not {number}", self.connections());
            thread::yield_now();
        }
    }

    /// Waits until so many commands came.
    pub fn wait_for_commands(&self, number: usize) {
        let start = Instant::now();
        while self.commands().len() < number {
            assert!(start.elapsed() < DEADLINE, "fewer than {number} commands");
            thread::yield_now();
        }
    }

    pub fn commands(&self) -> Vec<Vec<String>> {
        self.commands.lock().unwrap().clone()
    }
}

/// A target where nobody listens, and the socket that keeps its port from others.
pub fn nobody() -> (Target, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (Target::parse(&format!("redis://{address}")).unwrap(), socket)
}

fn serve(mut stream: TcpStream, manner: &Mutex<Manner>, commands: &Mutex<Vec<Vec<String>>>) {
    let mut input = BufReader::new(stream.try_clone().unwrap());
    let mut late = String::new();
    while let Some(command) = read_command(&mut input) {
        commands.lock().unwrap().push(command);
        match *manner.lock().unwrap() {
            Manner::Reply(reply) => {
                let replies = std::mem::take(&mut late) + reply;
                stream.write_all(replies.as_bytes()).unwrap_or_default();
            }
            Manner::Late(reply) => late.push_str(reply),
            Manner::HangUp => return stream.shutdown(std::net::Shutdown::Both).unwrap_or_default(),
        }
    }
}

/// An array of bulk strings, which is the only thing a client sends.
fn read_command(input: &mut impl BufRead) -> Option<Vec<String>> {
    let arguments = read_number(input, '*')?;
    (0..arguments)
        .map(|_| {
            let mut text = vec![0; read_number(input, '$')? + 2];
            input.read_exact(&mut text).ok()?;
            String::from_utf8(text).ok().map(|text| text.trim_end().to_owned())
        })
        .collect()
}

fn read_number(input: &mut impl BufRead, kind: char) -> Option<usize> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}
