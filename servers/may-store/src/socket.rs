//! The `redis` crate's blocking interface over a connection that suspends the coroutine.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use redis::{ConnectionLike, Parser, RedisConnectionInfo, RedisResult, Value, cmd};
use stack_contract::limits::STORE_CONNECT_TIMEOUT;
use stack_redis_store::{Connector, Target};

use crate::{runtime, wire::Wire};

/// Opens connections that may be used by coroutines, and only by them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coroutines;

impl Connector for Coroutines {
    type Connection = Socket;

    fn open(&self, target: &Target) -> RedisResult<Socket> {
        let wire = Wire::connect(target.host(), target.port(), STORE_CONNECT_TIMEOUT)?;
        let (response_timeout, settings) = (target.response_timeout(), target.settings());
        let mut socket = Socket { wire, parser: Parser::new(), response_timeout, db: settings.db(), usable: true };
        socket.introduce(settings)?;
        Ok(socket)
    }

    fn wait(&self, time: Duration) {
        runtime::sleep(time);
    }
}

/// One connection. After an error that is no reply it is of no use any more.
pub(crate) struct Socket {
    wire: Wire,
    parser: Parser,
    response_timeout: Duration,
    db: i64,
    usable: bool,
}

impl Socket {
    /// Sends what the URL demands of a new connection.
    fn introduce(&mut self, settings: &RedisConnectionInfo) -> RedisResult<()> {
        if let Some(password) = settings.password() {
            let mut auth = cmd("AUTH");
            if let Some(user) = settings.username() {
                auth.arg(user);
            }
            auth.arg(password).exec(self)?;
        }
        if settings.db() != 0 {
            cmd("SELECT").arg(settings.db()).exec(self)?;
        }
        Ok(())
    }

    /// Sends commands and takes `replies` replies, of which it returns those after the first `skipped`.
    fn exchange(&mut self, commands: &[u8], skipped: usize, replies: usize) -> RedisResult<Vec<Value>> {
        let deadline = Instant::now() + self.response_timeout;
        self.wire.send(commands, deadline)?;
        let mut kept = Vec::with_capacity(replies);
        for number in 0..skipped + replies {
            let reply = self.reply(deadline)?;
            if number >= skipped {
                kept.push(reply);
            }
        }
        Ok(kept)
    }

    fn reply(&mut self, deadline: Instant) -> RedisResult<Value> {
        let reply = self.parser.parse_value(Replies { wire: &self.wire, deadline });
        self.usable &= reply.is_ok();
        reply
    }
}

impl ConnectionLike for Socket {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        let deadline = Instant::now() + self.response_timeout;
        self.wire.send(command, deadline)?;
        // The reply takes a while: spares a read that finds nothing.
        self.wire.wait_until(deadline)?;
        self.reply(deadline)
    }

    fn req_packed_commands(&mut self, commands: &[u8], skipped: usize, replies: usize) -> RedisResult<Vec<Value>> {
        self.exchange(commands, skipped, replies)
    }

    fn get_db(&self) -> i64 {
        self.db
    }

    fn check_connection(&mut self) -> bool {
        cmd("PING").exec(self).is_ok()
    }

    fn is_open(&self) -> bool {
        self.usable
    }
}

/// What the parser reads from.
struct Replies<'a> {
    wire: &'a Wire,
    deadline: Instant,
}

impl Read for Replies<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wire.receive(buffer, self.deadline)
    }
}
