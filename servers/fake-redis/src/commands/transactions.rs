//! MULTI, EXEC and what makes EXEC refuse.

use super::{
    Call, CommandId, Error, Outcome, Words, run,
    table::{Command, Kind},
};
use crate::{
    connection::{Connection, Watched},
    delays::Drawn,
    protocol::Arguments,
    state::State,
};

/// What was queued since MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    queue: Vec<(CommandId, Arguments)>,
    /// A queued command writes.
    writes: bool,
    /// A command was refused, so EXEC will refuse all.
    doomed: bool,
}

impl Transaction {
    pub fn len(&self) -> usize {
        self.queue.len()
    }
}

/// Keeps a command for EXEC.
pub fn queue(connection: &mut Connection, id: CommandId, command: &Command, words: Words) {
    if let Some(transaction) = &mut connection.session.transaction {
        transaction.writes |= command.kind == Kind::Write;
        transaction.queue.push((id, Arguments::owned(words.from(0))));
    }
}

/// A command was refused: EXEC will refuse the whole transaction.
pub fn doom(connection: &mut Connection) {
    if let Some(transaction) = &mut connection.session.transaction {
        transaction.doomed = true;
    }
}

/// EXEC itself is refused, which ends the transaction.
pub fn abort(connection: &mut Connection, reason: &Error) -> Error {
    connection.session.transaction = None;
    connection.session.watched.clear();
    let reason = reason.to_string();
    let reason = reason.strip_prefix("ERR ").unwrap_or(&reason);
    Error::text(format!("EXECABORT Transaction discarded because of: {reason}"))
}

/// Whether this is an EXEC that would write, which `CLIENT PAUSE … WRITE` holds back.
pub fn exec_would_write(connection: &Connection, command: &Command) -> bool {
    let Some(transaction) = connection.session.transaction.as_ref().filter(|_| command.kind == Kind::Exec) else {
        return false;
    };
    transaction.writes
}

/// A transaction is answered when the slowest of its commands would have been; at once if none of them runs.
pub fn draw_slowest(state: &mut State, connection: &Connection) -> Option<Drawn> {
    let transaction = connection.session.transaction.as_ref()?;
    if transaction.doomed || any_changed(state, &connection.session.watched) {
        return None;
    }
    let allowed = transaction.queue.iter().filter(|(id, _)| state.permissions.allows(*id));
    allowed.filter_map(|(id, _)| state.delays.draw(*id)).max_by_key(|drawn| drawn.nanos)
}

/// Whether a key under `WATCH` was written since.
fn any_changed(state: &mut State, watched: &[Watched]) -> bool {
    watched.iter().any(|key| state.keyspace.version(key.database, &key.key) != key.version)
}

pub fn multi(call: &mut Call) -> Outcome {
    if call.connection.session.transaction.is_some() {
        return Err(Error::text("ERR MULTI calls can not be nested"));
    }
    call.connection.session.transaction = Some(Transaction::default());
    call.reply().ok();
    Ok(())
}

pub fn discard(call: &mut Call) -> Outcome {
    if call.connection.session.transaction.take().is_none() {
        return Err(Error::text("ERR DISCARD without MULTI"));
    }
    call.connection.session.watched.clear();
    call.reply().ok();
    Ok(())
}

pub fn exec(call: &mut Call) -> Outcome {
    let Some(transaction) = call.connection.session.transaction.take() else {
        return Err(Error::text("ERR EXEC without MULTI"));
    };
    let watched = std::mem::take(&mut call.connection.session.watched);
    if transaction.doomed {
        return Err(Error::text("EXECABORT Transaction discarded because of previous errors."));
    }
    if any_changed(call.state, &watched) {
        call.reply().null_array();
        return Ok(());
    }
    call.reply().array(transaction.queue.len());
    for (id, arguments) in &transaction.queue {
        let command = call.state.table.get(*id);
        if call.state.permissions.allows(*id) {
            run(call.state, call.connection, Words::new(&[], arguments), *id, command);
        } else {
            let error = Error::NoPermission(command.name);
            call.reply().error(&error.to_string());
        }
    }
    Ok(())
}

pub fn watch(call: &mut Call) -> Outcome {
    if call.connection.session.transaction.is_some() {
        return Err(Error::text("ERR WATCH inside MULTI is not allowed"));
    }
    let database = call.database();
    for key in call.words.from(1) {
        let watched = &mut call.connection.session.watched;
        if !watched.iter().any(|known| known.database == database && *known.key == *key) {
            let version = call.state.keyspace.version(database, key);
            watched.push(Watched { database, key: key.into(), version });
        }
    }
    call.reply().ok();
    Ok(())
}

pub fn unwatch(call: &mut Call) -> Outcome {
    call.connection.session.watched.clear();
    call.reply().ok();
    Ok(())
}
