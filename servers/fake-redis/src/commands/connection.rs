//! What concerns the connection that says it.

use super::{Call, Error, Outcome, client::check_name, error::echo as echoed};
use crate::{connection::ReplyMode, info::REDIS_VERSION, keyspace::DATABASES, number::parse_i64, reply::Resp};

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

pub fn ping(call: &mut Call) -> Outcome {
    match call.words.len() {
        1 => call.reply().simple("PONG"),
        2 => call.connection.reply().bulk(call.words.get(1)),
        _ => return Err(Error::Arity("ping")),
    }
    Ok(())
}

pub fn echo(call: &mut Call) -> Outcome {
    call.connection.reply().bulk(call.words.get(1));
    Ok(())
}

pub fn select(call: &mut Call) -> Outcome {
    let index = parse_i64(call.words.get(1)).ok_or(Error::NotAnInteger)?;
    if i32::try_from(index).is_err() {
        let text = "ERR value is out of range, value must between -2147483648 and 2147483647";
        return Err(Error::text(text));
    }
    let database = usize::try_from(index).ok().filter(|&database| database < DATABASES);
    call.connection.session.database = database.ok_or(Error::text("ERR DB index is out of range"))?;
    call.reply().ok();
    Ok(())
}

pub fn auth(call: &mut Call) -> Outcome {
    match call.words.len() {
        2 => Err(Error::text(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?",
        )),
        3 => {
            authenticate(call.words.get(1))?;
            call.reply().ok();
            Ok(())
        }
        _ => Err(Error::Syntax),
    }
}

/// There is one user, and it has no password: any will do.
fn authenticate(user: &[u8]) -> Outcome {
    if user == b"default" { Ok(()) } else { Err(Error::text(WRONG_PASSWORD)) }
}

pub fn hello(call: &mut Call) -> Outcome {
    let words = call.words;
    let mut resp = call.connection.session.resp;
    let mut name = None;
    if words.len() > 1 {
        let version = parse_i64(words.get(1));
        resp = match version.ok_or(Error::text("ERR Protocol version is not an integer or out of range"))? {
            2 => Resp::V2,
            3 => Resp::V3,
            _ => return Err(Error::text("NOPROTO unsupported protocol version")),
        };
    }
    let mut at = 2;
    while at < words.len() {
        let after = words.len() - at - 1;
        match words.get(at).to_ascii_lowercase().as_slice() {
            b"auth" if after >= 2 => {
                authenticate(words.get(at + 1))?;
                at += 3;
            }
            b"setname" if after >= 1 => {
                name = Some(words.get(at + 1));
                check_name(words.get(at + 1))?;
                at += 2;
            }
            _ => {
                let option = echoed(words.get(at), usize::MAX);
                return Err(Error::text(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        }
    }
    let session = &mut call.connection.session;
    session.resp = resp;
    if let Some(name) = name {
        session.name = name.to_vec();
    }
    let id = session.id;
    greet(call, id);
    Ok(())
}

fn greet(call: &mut Call, id: u64) {
    let version = if call.connection.session.resp == Resp::V3 { 3 } else { 2 };
    let mut reply = call.reply();
    reply.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(name);
        reply.bulk(value);
    }
    reply.bulk("proto");
    reply.integer(version);
    reply.bulk("id");
    reply.integer(id as i64);
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(name);
        reply.bulk(value);
    }
    reply.bulk("modules");
    reply.array(0);
}

pub fn quit(call: &mut Call) -> Outcome {
    call.connection.session.closing = true;
    call.reply().ok();
    Ok(())
}

pub fn reset(call: &mut Call) -> Outcome {
    let session = &mut call.connection.session;
    session.transaction = None;
    session.watched.clear();
    session.database = 0;
    session.resp = Resp::V2;
    session.name.clear();
    session.reply_mode = ReplyMode::On;
    call.reply().simple("RESET");
    Ok(())
}
