//! CLIENT: connections from outside.

use std::fmt::Write;

use super::{Call, Error, Outcome, error::echo};
use crate::{
    connection::{Connection, ReplyMode},
    number::parse_i64,
    reply::Resp,
    state::{Pause, PauseScope, State},
};

pub fn id(call: &mut Call) -> Outcome {
    let id = call.connection.session.id;
    call.reply().integer(id as i64);
    Ok(())
}

pub fn get_name(call: &mut Call) -> Outcome {
    let name = call.connection.session.name.clone();
    if name.is_empty() {
        call.reply().null();
    } else {
        call.reply().bulk(name);
    }
    Ok(())
}

pub fn set_name(call: &mut Call) -> Outcome {
    check_name(call.words.get(2))?;
    call.connection.session.name = call.words.get(2).to_vec();
    call.reply().ok();
    Ok(())
}

/// Names stand in the lines of `CLIENT LIST`, so they must be plain.
pub fn check_name(name: &[u8]) -> Outcome {
    if name.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(Error::text("ERR Client names cannot contain spaces, newlines or special characters."))
}

/// Of a later Redis, which current client libraries send to every server.
pub fn set_info(call: &mut Call) -> Outcome {
    let (option, value) = (call.words.get(2), call.words.get(3));
    let plain = |what: &str| {
        let text = format!("ERR {what} cannot contain spaces, newlines or special characters.");
        if value.iter().all(u8::is_ascii_graphic) { Ok(()) } else { Err(Error::text(text)) }
    };
    let library = &mut call.connection.session.library;
    match option.to_ascii_lowercase().as_slice() {
        b"lib-name" => {
            plain("lib-name")?;
            library.0 = value.to_vec();
        }
        b"lib-ver" => {
            plain("lib-ver")?;
            library.1 = value.to_vec();
        }
        _ => return Err(Error::text(format!("ERR Unrecognized option '{}'", echo(option, usize::MAX)))),
    }
    call.reply().ok();
    Ok(())
}

pub fn info(call: &mut Call) -> Outcome {
    let line = describe(call.state, call.connection);
    call.reply().text(&line);
    Ok(())
}

pub fn list(call: &mut Call) -> Outcome {
    let mut wanted: Box<dyn Fn(u64) -> bool> = Box::new(|_| true);
    let words = call.words;
    if words.len() > 2 {
        match words.get(2).to_ascii_lowercase().as_slice() {
            b"type" if words.len() == 4 => {
                let normal = is_normal_type(words.get(3))?;
                wanted = Box::new(move |_| normal);
            }
            b"id" if words.len() > 3 => {
                let ids = words.from(3).map(|word| parse_i64(word).filter(|&id| id > 0));
                let ids = ids.collect::<Option<Vec<_>>>().ok_or(Error::text("ERR Invalid client ID"))?;
                wanted = Box::new(move |id| ids.contains(&(id as i64)));
            }
            _ => return Err(Error::Syntax),
        }
    }
    let others = call.state.connections.iter();
    let mut all: Vec<&Connection> =
        others.chain([&*call.connection]).filter(|connection| wanted(connection.session.id)).collect();
    all.sort_unstable_by_key(|connection| connection.session.id);
    let lines: String = all.iter().map(|connection| describe(call.state, connection)).collect();
    call.reply().text(&lines);
    Ok(())
}

fn describe(state: &State, connection: &Connection) -> String {
    let session = &connection.session;
    let seconds_since = |then| state.now.saturating_sub(then) / 1_000_000_000;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut line = String::new();
    let flags = if session.closing { "c" } else { "N" };
    let multi = session.transaction.as_ref().map_or(-1, |transaction| transaction.len() as i64);
    let command = session.last_command.map_or("NULL", |id| state.table.get(id).name);
    let resp = if session.resp == Resp::V3 { 3 } else { 2 };
    writeln!(
        line,
        "id={} addr={} laddr={} name={} age={} idle={} flags={flags} db={} multi={multi} qbuf={} oll={} omem={} \
         cmd={command} user=default lib-name={} lib-ver={} resp={resp}",
        session.id,
        session.peer,
        session.local,
        text(&session.name),
        seconds_since(session.connected),
        seconds_since(session.last_active),
        session.database,
        connection.input.len(),
        connection.output.held_replies(),
        connection.output.len(),
        text(&session.library.0),
        text(&session.library.1),
    )
    .expect("a string takes everything");
    line
}

/// All connections are of type `normal`; the other types exist, and no connection is of them.
fn is_normal_type(name: &[u8]) -> Result<bool, Error> {
    match name.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(true),
        b"master" | b"slave" | b"replica" | b"pubsub" => Ok(false),
        _ => Err(Error::text(format!("ERR Unknown client type '{}'", echo(name, usize::MAX)))),
    }
}

/// Which connections `CLIENT KILL` means.
struct Filter<'a> {
    id: Option<i64>,
    peer: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    normal: bool,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(call: &Call<'a>) -> Result<Self, Error> {
        let mut filter = Self { id: None, peer: None, local: None, normal: true, skip_me: true };
        let words = call.words;
        if words.len() == 3 {
            return Ok(Self { peer: Some(words.get(2)), skip_me: false, ..filter });
        }
        let mut rest = words.from(2);
        while let Some(option) = rest.next() {
            let value = rest.next().ok_or(Error::Syntax)?;
            match option.to_ascii_lowercase().as_slice() {
                b"id" => {
                    let id = parse_i64(value).filter(|&id| id > 0);
                    filter.id = Some(id.ok_or(Error::text("ERR client-id should be greater than 0"))?);
                }
                b"addr" => filter.peer = Some(value),
                b"laddr" => filter.local = Some(value),
                b"type" => filter.normal = is_normal_type(value)?,
                b"user" if value == b"default" => {}
                b"user" => {
                    return Err(Error::text(format!("ERR No such user '{}'", echo(value, usize::MAX))));
                }
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
                _ => return Err(Error::Syntax),
            }
        }
        Ok(filter)
    }

    fn means(&self, connection: &Connection) -> bool {
        let session = &connection.session;
        self.normal
            && self.id.is_none_or(|id| id == session.id as i64)
            && self.peer.is_none_or(|peer| peer == session.peer.to_string().as_bytes())
            && self.local.is_none_or(|local| local == session.local.to_string().as_bytes())
    }
}

pub fn kill(call: &mut Call) -> Outcome {
    let filter = Filter::parse(call)?;
    let others = call.state.connections.iter().filter(|connection| filter.means(connection));
    let mut killed: Vec<_> = others.map(|connection| connection.token).collect();
    let me = !filter.skip_me && filter.means(call.connection);
    let count = killed.len() + usize::from(me);
    call.state.kills.append(&mut killed);
    if call.words.len() > 3 {
        call.reply().length(count);
    } else if count > 0 {
        call.reply().ok();
    } else {
        return Err(Error::text("ERR No such client"));
    }
    // The one who asked gets the answer first.
    call.connection.session.closing |= me;
    Ok(())
}

pub fn pause(call: &mut Call) -> Outcome {
    let scope = match call.words.len() {
        3 => PauseScope::All,
        4 if call.words.get(3).eq_ignore_ascii_case(b"all") => PauseScope::All,
        4 if call.words.get(3).eq_ignore_ascii_case(b"write") => PauseScope::Writes,
        4 => return Err(Error::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(Error::wrong_subcommand(call.words.get(1), "CLIENT")),
    };
    let millis = parse_i64(call.words.get(2)).ok_or(Error::text("ERR timeout is not an integer or out of range"))?;
    let millis = u64::try_from(millis).map_err(|_| Error::text("ERR timeout is negative"))?;
    let until = call.state.now.saturating_add(millis.saturating_mul(1_000_000));
    // A second pause only ever adds to the first.
    let pause = match call.state.pause {
        Some(old) => Pause { until: old.until.max(until), scope: old.scope.max(scope) },
        None => Pause { until, scope },
    };
    call.state.pause = Some(pause);
    call.reply().ok();
    Ok(())
}

pub fn unpause(call: &mut Call) -> Outcome {
    call.state.pause = None;
    call.reply().ok();
    Ok(())
}

pub fn reply(call: &mut Call) -> Outcome {
    let session = &mut call.connection.session;
    match call.words.get(2).to_ascii_lowercase().as_slice() {
        b"on" => {
            session.reply_mode = ReplyMode::On;
            call.reply().ok();
        }
        b"off" => session.reply_mode = ReplyMode::Off,
        b"skip" if session.reply_mode == ReplyMode::Off => {}
        b"skip" => session.reply_mode = ReplyMode::SkipNext,
        _ => return Err(Error::Syntax),
    }
    Ok(())
}

pub fn no_evict(call: &mut Call) -> Outcome {
    let choice = call.words.get(2);
    if ![b"on".as_slice(), b"off"].iter().any(|known| choice.eq_ignore_ascii_case(known)) {
        return Err(Error::Syntax);
    }
    call.reply().ok();
    Ok(())
}
