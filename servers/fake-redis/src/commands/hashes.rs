//! Hashes.

use super::{Call, Error, Outcome};
use crate::keyspace::{Hash, Value};

pub fn hset(call: &mut Call) -> Outcome {
    let new = set_fields(call, "hset")?;
    call.reply().length(new);
    Ok(())
}

/// The older spelling of HSET, which client libraries still send.
pub fn hmset(call: &mut Call) -> Outcome {
    set_fields(call, "hmset")?;
    call.reply().ok();
    Ok(())
}

/// Sets the fields the command names; how many of them are new.
fn set_fields(call: &mut Call, name: &'static str) -> Result<usize, Error> {
    if call.words.len() % 2 == 1 {
        return Err(Error::Arity(name));
    }
    // A refused HSET is no write: look first.
    hash(call)?;
    let (database, key) = (call.database(), call.words.get(1));
    let value = call.state.keyspace.get_or_insert(database, key, || Value::Hash(Box::default()));
    let Value::Hash(hash) = value else { return Err(Error::WrongType) };
    let pairs = (2..call.words.len()).step_by(2);
    Ok(pairs.filter(|&at| hash.set(call.words.get(at), call.words.get(at + 1))).count())
}

pub fn hget(call: &mut Call) -> Outcome {
    let field = call.words.get(2);
    match call.state.keyspace.get(call.connection.session.database, call.words.get(1)) {
        Some(Value::Hash(hash)) => match hash.get(field) {
            Some(value) => call.connection.reply().bulk(value),
            None => call.connection.reply().null(),
        },
        None => call.connection.reply().null(),
        Some(_) => return Err(Error::WrongType),
    }
    Ok(())
}

pub fn hgetall(call: &mut Call) -> Outcome {
    let fields = match call.state.keyspace.get(call.connection.session.database, call.words.get(1)) {
        None => &[],
        Some(Value::Hash(hash)) => hash.fields(),
        Some(_) => return Err(Error::WrongType),
    };
    let mut reply = call.connection.reply();
    reply.map(fields.len());
    for (field, value) in fields {
        reply.bulk(field);
        reply.bulk(value);
    }
    Ok(())
}

pub fn hlen(call: &mut Call) -> Outcome {
    let length = hash(call)?.map_or(0, |hash| hash.fields().len());
    call.reply().length(length);
    Ok(())
}

/// The hash the command names, if there is one.
fn hash<'a>(call: &'a mut Call) -> Result<Option<&'a Hash>, Error> {
    match call.state.keyspace.get(call.connection.session.database, call.words.get(1)) {
        None => Ok(None),
        Some(Value::Hash(hash)) => Ok(Some(hash)),
        Some(_) => Err(Error::WrongType),
    }
}
