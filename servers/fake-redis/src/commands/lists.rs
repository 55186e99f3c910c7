//! Lists.

use std::collections::VecDeque;

use super::{Call, Error, Outcome};
use crate::{
    keyspace::{Bytes, Value},
    number::parse_i64,
};

pub fn rpush(call: &mut Call) -> Outcome {
    push(call, VecDeque::push_back)
}

pub fn lpush(call: &mut Call) -> Outcome {
    push(call, VecDeque::push_front)
}

fn push(call: &mut Call, push: fn(&mut VecDeque<Bytes>, Bytes)) -> Outcome {
    // A refused push is no write: look first.
    list(call)?;
    let (database, key) = (call.database(), call.words.get(1));
    let value = call.state.keyspace.get_or_insert(database, key, || Value::List(VecDeque::new()));
    let Value::List(list) = value else { return Err(Error::WrongType) };
    call.words.from(2).for_each(|element| push(list, element.into()));
    let length = list.len();
    call.reply().length(length);
    Ok(())
}

pub fn lrange(call: &mut Call) -> Outcome {
    let start = parse_i64(call.words.get(2)).ok_or(Error::NotAnInteger)?;
    let stop = parse_i64(call.words.get(3)).ok_or(Error::NotAnInteger)?;
    let database = call.database();
    let found = match call.state.keyspace.get(database, call.words.get(1)) {
        None => &VecDeque::new(),
        Some(Value::List(list)) => list,
        Some(_) => return Err(Error::WrongType),
    };
    let length = found.len() as i64;
    // Negative positions count from the end.
    let absolute = |position: i64| if position < 0 { (position + length).max(-1) } else { position };
    let (start, stop) = (absolute(start).max(0), absolute(stop).min(length - 1));
    let count = (stop - start + 1).max(0) as usize;
    let mut reply = call.connection.reply();
    reply.array(count);
    found.iter().skip(start as usize).take(count).for_each(|element| reply.bulk(element));
    Ok(())
}

pub fn llen(call: &mut Call) -> Outcome {
    let length = list(call)?.map_or(0, VecDeque::len);
    call.reply().length(length);
    Ok(())
}

/// The list the command names, if there is one.
fn list<'a>(call: &'a mut Call) -> Result<Option<&'a VecDeque<Bytes>>, Error> {
    match call.state.keyspace.get(call.connection.session.database, call.words.get(1)) {
        None => Ok(None),
        Some(Value::List(list)) => Ok(Some(list)),
        Some(_) => Err(Error::WrongType),
    }
}
