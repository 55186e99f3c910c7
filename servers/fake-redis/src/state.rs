//! What all connections share.

use std::{net::SocketAddr, os::unix::net::UnixStream, time::SystemTime};

use crate::{
    acl::Permissions,
    clock::{self, Nanos},
    commands::{CommandId, table::Table},
    connection::{Connections, Token},
    delays::Delays,
    errors::Errors,
    keyspace::Keyspace,
};

/// How often a command was called and what it cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandStats {
    pub calls: u64,
    pub nanos: u64,
    /// Refused before execution: wrong number of arguments, no permission.
    pub rejected: u64,
    /// Executed, and answered with an error.
    pub failed: u64,
}

/// `CLIENT PAUSE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    pub until: Nanos,
    pub scope: PauseScope,
}

/// Which commands wait. The order matters: a second pause never narrows the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseScope {
    Writes,
    All,
}

/// What all connections share.
pub struct State {
    /// The clock when it was last read.
    pub now: Nanos,
    /// When the bytes being executed had arrived: just after they were read. Not when the poller reported them: while we
    /// wait for the CPU, more may come, and their replies would leave before their time.
    pub arrived: Nanos,
    pub table: Table,
    pub keyspace: Keyspace,
    pub connections: Connections,
    pub delays: Delays,
    pub errors: Errors,
    pub permissions: Permissions,
    pub pause: Option<Pause>,
    /// Connections whose commands wait for the end of the pause.
    pub paused: Vec<Token>,
    /// Connections to be closed by order of another.
    pub kills: Vec<Token>,
    pub stats: Vec<CommandStats>,
    pub connections_received: u64,
    pub connections_rejected: u64,
    pub max_connections: usize,
    pub address: SocketAddr,
    pub started: SystemTime,
    /// Readable once a signal asks the server to end.
    pub signals: UnixStream,
    running: Option<(CommandId, Nanos)>,
}

impl State {
    pub fn new(
        address: SocketAddr,
        delays: Delays,
        errors: Errors,
        max_connections: usize,
        table: Table,
        signals: UnixStream,
    ) -> Self {
        Self {
            now: clock::now(),
            arrived: 0,
            stats: vec![CommandStats::default(); table.len()],
            permissions: Permissions::all(table.len()),
            table,
            keyspace: Keyspace::new(),
            connections: Connections::default(),
            delays,
            errors,
            pause: None,
            paused: Vec::new(),
            kills: Vec::new(),
            connections_received: 0,
            connections_rejected: 0,
            max_connections,
            address,
            started: SystemTime::now(),
            signals,
            running: None,
        }
    }

    /// Charges time to `command` from here on. The clock is read only where the command changes, so a pipeline of one
    /// kind of command reads it twice, not once per command.
    pub fn charge(&mut self, command: CommandId) {
        match self.running {
            Some((running, _)) if running == command => {}
            Some(_) => {
                let since = self.stop_charging();
                self.running = Some((command, since));
            }
            // The first of what was just read.
            None => {
                self.arrived = clock::now();
                self.running = Some((command, self.arrived));
            }
        }
    }

    /// Sets all counters to zero.
    pub fn reset_stats(&mut self) {
        self.stats.fill(CommandStats::default());
        self.delays.reset();
        self.errors.reset();
        self.keyspace.reset_expired();
        self.connections_received = 0;
        self.connections_rejected = 0;
    }

    /// Charges the time since [`State::charge`] to the command named there. Returns the time.
    pub fn stop_charging(&mut self) -> Nanos {
        let now = clock::now();
        if let Some((command, since)) = self.running.take() {
            self.stats[command as usize].nanos += now - since;
        }
        now
    }
}
