//! Strings and integers.

use super::{Call, Error, Outcome, Words, keys::expiry_from};
use crate::{
    keyspace::{Expiry, Value},
    number::parse_i64,
};

pub fn get(call: &mut Call) -> Outcome {
    let value = call.state.keyspace.get(call.connection.session.database, call.words.get(1));
    match value {
        None => call.connection.reply().null(),
        Some(Value::String(text)) => call.connection.reply().bulk(text),
        Some(_) => return Err(Error::WrongType),
    }
    Ok(())
}

/// When `SET` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    Absent,
    Present,
}

/// The options of `SET`, as they were given: expiry still with its unit.
struct SetOptions<'a> {
    condition: Condition,
    /// Answer with the old value.
    get: bool,
    keep_ttl: bool,
    expiry: Option<(Unit, &'a [u8])>,
}

/// What an expiry counts, and from when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
}

impl<'a> SetOptions<'a> {
    fn parse(words: Words<'a>) -> Result<Self, Error> {
        let mut options = Self { condition: Condition::Always, get: false, keep_ttl: false, expiry: None };
        let mut rest = words.from(3);
        while let Some(word) = rest.next() {
            let unexpired = options.expiry.is_none() && !options.keep_ttl;
            match word.to_ascii_lowercase().as_slice() {
                b"nx" if options.condition != Condition::Present => options.condition = Condition::Absent,
                b"xx" if options.condition != Condition::Absent => options.condition = Condition::Present,
                b"get" => options.get = true,
                b"keepttl" if options.expiry.is_none() => options.keep_ttl = true,
                name if unexpired => {
                    let unit = match name {
                        b"ex" => Unit::Seconds,
                        b"px" => Unit::Millis,
                        b"exat" => Unit::UnixSeconds,
                        b"pxat" => Unit::UnixMillis,
                        _ => return Err(Error::Syntax),
                    };
                    options.expiry = Some((unit, rest.next().ok_or(Error::Syntax)?));
                }
                _ => return Err(Error::Syntax),
            }
        }
        Ok(options)
    }

    fn expiry(&self) -> Result<Expiry, Error> {
        let Some((unit, text)) = self.expiry else {
            return Ok(if self.keep_ttl { Expiry::Keep } else { Expiry::Never });
        };
        let value = parse_i64(text).ok_or(Error::NotAnInteger)?;
        if value <= 0 {
            return Err(Error::InvalidExpire("set"));
        }
        let scale = if matches!(unit, Unit::Seconds | Unit::UnixSeconds) { 1000 } else { 1 };
        let relative = matches!(unit, Unit::Seconds | Unit::Millis);
        expiry_from(value, scale, relative).map(Expiry::At).ok_or(Error::InvalidExpire("set"))
    }
}

pub fn set(call: &mut Call) -> Outcome {
    let (database, words) = (call.database(), call.words);
    let (key, text) = (words.get(1), words.get(2));
    if words.len() == 3 {
        call.state.keyspace.set_string(database, key, text, Expiry::Never);
        call.reply().ok();
        return Ok(());
    }
    let options = SetOptions::parse(words)?;
    let expiry = options.expiry()?;
    if options.get {
        get(call)?;
    }
    if options.condition != Condition::Always {
        let present = call.state.keyspace.get(database, key).is_some();
        if present != (options.condition == Condition::Present) {
            if !options.get {
                call.reply().null();
            }
            return Ok(());
        }
    }
    call.state.keyspace.set_string(database, key, text, expiry);
    if !options.get {
        call.reply().ok();
    }
    Ok(())
}

pub fn mget(call: &mut Call) -> Outcome {
    let database = call.database();
    call.connection.reply().array(call.words.len() - 1);
    for key in call.words.from(1) {
        match call.state.keyspace.get(database, key) {
            Some(Value::String(text)) => call.connection.reply().bulk(text),
            _ => call.connection.reply().null(),
        }
    }
    Ok(())
}

pub fn mset(call: &mut Call) -> Outcome {
    if call.words.len().is_multiple_of(2) {
        return Err(Error::Arity("mset"));
    }
    let database = call.database();
    for at in (1..call.words.len()).step_by(2) {
        let (key, text) = (call.words.get(at), call.words.get(at + 1));
        call.state.keyspace.set_string(database, key, text, Expiry::Never);
    }
    call.reply().ok();
    Ok(())
}

pub fn incr(call: &mut Call) -> Outcome {
    add(call, 1)
}

pub fn decr(call: &mut Call) -> Outcome {
    add(call, -1)
}

pub fn incrby(call: &mut Call) -> Outcome {
    let amount = parse_i64(call.words.get(2)).ok_or(Error::NotAnInteger)?;
    add(call, amount)
}

pub fn decrby(call: &mut Call) -> Outcome {
    let amount = parse_i64(call.words.get(2)).ok_or(Error::NotAnInteger)?;
    add(call, amount.checked_neg().ok_or(Error::text("ERR decrement would overflow"))?)
}

fn add(call: &mut Call, amount: i64) -> Outcome {
    let (database, key) = (call.database(), call.words.get(1));
    let keyspace = &mut call.state.keyspace;
    // Look before writing: a refused command must not make a key, nor look like a write to those who watch it.
    let old = match keyspace.get(database, key) {
        None => 0,
        Some(Value::String(text)) => parse_i64(text).ok_or(Error::NotAnInteger)?,
        Some(_) => return Err(Error::WrongType),
    };
    let new = old.checked_add(amount).ok_or(Error::text("ERR increment or decrement would overflow"))?;
    keyspace.set_string(database, key, itoa::Buffer::new().format(new).as_bytes(), Expiry::Keep);
    call.reply().integer(new);
    Ok(())
}
