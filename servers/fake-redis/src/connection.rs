//! One client's connection: its socket, what arrived, what leaves, and what the client has told us about itself.

use std::{
    io,
    net::{SocketAddr, TcpStream},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::EventFlags,
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};

use crate::{
    clock::Nanos,
    commands::{CommandId, transactions::Transaction},
    output::Output,
    protocol::Parser,
    reply::{Reply, Resp},
};

/// Most bytes read into a connection's own buffer at once, where a long command is announced.
const LONG_READ_BYTES: usize = 1024 * 1024;

/// Least room for such a read.
const SHORT_READ_BYTES: usize = 16 * 1024;

/// Redis closes a client whose unread commands exceed this (`client-query-buffer-limit`).
const MAX_INPUT_BYTES: usize = 1024 * 1024 * 1024;

/// A client that leaves this much unread is closed. Redis sets no limit; we would rather survive a stuck client.
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024 * 1024;

/// Names a connection in the poller and the queue of due replies: its slot, and enough of its id that a name never
/// means a later connection in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

impl Token {
    pub fn new(slot: usize, id: u64) -> Self {
        Self((id << 32) | slot as u64)
    }

    pub fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// Whether replies are wanted (`CLIENT REPLY`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// Not for the next command.
    SkipNext,
}

/// What a client has told us about itself, and where it stands.
#[derive(Debug)]
pub struct Session {
    pub id: u64,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub name: Vec<u8>,
    pub library: (Vec<u8>, Vec<u8>),
    pub database: usize,
    pub resp: Resp,
    pub reply_mode: ReplyMode,
    pub transaction: Option<Transaction>,
    pub watched: Vec<Watched>,
    pub connected: Nanos,
    pub last_active: Nanos,
    pub last_command: Option<CommandId>,
    /// The connection ends when its replies have left; no further command is read.
    pub closing: bool,
    /// Commands wait for the end of `CLIENT PAUSE`.
    pub paused: bool,
}

/// A key under `WATCH`.
#[derive(Debug)]
pub struct Watched {
    pub database: usize,
    pub key: Box<[u8]>,
    pub version: u64,
}

/// One client's connection.
#[derive(Debug)]
pub struct Connection {
    pub token: Token,
    pub socket: TcpStream,
    pub session: Session,
    pub output: Output,
    pub parser: Parser,
    /// What arrived and is not executed: the beginning of a command, or all that waits for the end of a pause.
    pub input: Vec<u8>,
    /// What the poller was asked to report.
    pub interest: EventFlags,
    /// The socket takes no more for now.
    pub write_blocked: bool,
    /// The queue of due replies has an entry for this connection.
    pub scheduled: bool,
}

impl Connection {
    pub fn new(token: Token, id: u64, socket: TcpStream, peer: SocketAddr, now: Nanos) -> io::Result<Self> {
        let session = Session {
            id,
            peer,
            local: socket.local_addr()?,
            name: Vec::new(),
            library: (Vec::new(), Vec::new()),
            database: 0,
            resp: Resp::V2,
            reply_mode: ReplyMode::On,
            transaction: None,
            watched: Vec::new(),
            connected: now,
            last_active: now,
            last_command: None,
            closing: false,
            paused: false,
        };
        Ok(Self {
            token,
            socket,
            session,
            output: Output::default(),
            parser: Parser::default(),
            input: Vec::new(),
            interest: EventFlags::IN,
            write_blocked: false,
            scheduled: false,
        })
    }

    /// Where the reply to the current command is written.
    pub fn reply(&mut self) -> Reply<'_> {
        Reply::new(self.output.bytes(), self.session.resp)
    }

    /// Reads into a buffer that all connections share. `None`: nothing there after all. `Some(0)`: the client has gone.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        ignore_would_block(recv(&self.socket, buffer, RecvFlags::empty()).map(|(count, _)| count))
    }

    /// Reads behind what waits in the connection's own buffer.
    pub fn receive_more(&mut self) -> io::Result<Option<usize>> {
        if self.input.len() > MAX_INPUT_BYTES {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let missing = self.parser.wanted().saturating_sub(self.input.len());
        self.input.reserve(missing.clamp(SHORT_READ_BYTES, LONG_READ_BYTES));
        let received = recv(&self.socket, spare_capacity(&mut self.input), RecvFlags::empty());
        ignore_would_block(received.map(|(_, count)| count))
    }

    /// Sends what is due. An error means that the connection is lost.
    pub fn send(&mut self, now: Nanos) -> io::Result<()> {
        self.write_blocked = false;
        loop {
            let due = self.output.sendable(now);
            if due.is_empty() {
                return Ok(());
            }
            match ignore_would_block(send(&self.socket, due, SendFlags::NOSIGNAL))? {
                Some(count) => self.output.advance(count),
                None => {
                    self.write_blocked = true;
                    return Ok(());
                }
            }
        }
    }

    /// What the poller should report now.
    pub fn wanted_interest(&self) -> EventFlags {
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::IN, !self.session.paused && !self.session.closing);
        // A client that hangs up while its commands wait is let go, though nobody reads from it.
        wanted.set(EventFlags::RDHUP, self.session.paused);
        wanted.set(EventFlags::OUT, self.write_blocked);
        wanted
    }
}

fn ignore_would_block(result: Result<usize, Errno>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// All connections, each in a slot of its own.
#[derive(Debug, Default)]
pub struct Connections {
    slots: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    open: usize,
    next_id: u64,
}

impl Connections {
    /// Makes room for a connection; `make` gets its token and id.
    pub fn insert(&mut self, make: impl FnOnce(Token, u64) -> io::Result<Connection>) -> io::Result<&Connection> {
        let slot = self.free.last().copied().unwrap_or(self.slots.len());
        self.next_id += 1;
        let connection = make(Token::new(slot, self.next_id), self.next_id)?;
        if self.free.pop().is_none() {
            self.slots.push(None);
        }
        self.open += 1;
        Ok(self.slots[slot].insert(Box::new(connection)))
    }

    /// Takes a connection out of its slot, so that it and the server can be changed side by side. It must come back
    /// through [`Connections::put_back`] or end with [`Connections::forget`].
    pub fn take(&mut self, token: Token) -> Option<Box<Connection>> {
        self.slots.get_mut(token.slot())?.take_if(|connection| connection.token == token)
    }

    pub fn put_back(&mut self, connection: Box<Connection>) {
        let slot = connection.token.slot();
        self.slots[slot] = Some(connection);
    }

    /// Ends a connection that was taken.
    pub fn forget(&mut self, connection: Box<Connection>) {
        self.free.push(connection.token.slot());
        self.open -= 1;
    }

    /// How many are open, the one taken included.
    pub fn open(&self) -> usize {
        self.open
    }

    /// All but the one taken.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().flatten().map(|connection| &**connection)
    }
}
