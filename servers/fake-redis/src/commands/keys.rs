//! What is the same for values of every kind: existence, expiry, listing.

use super::{Call, Error, Outcome, error::echo};
use crate::{
    clock::unix_millis,
    glob::{self, Case},
    number::parse_i64,
};

pub fn del(call: &mut Call) -> Outcome {
    let database = call.database();
    let removed = call.words.from(1).filter(|key| call.state.keyspace.remove(database, key)).count();
    call.reply().length(removed);
    Ok(())
}

pub fn exists(call: &mut Call) -> Outcome {
    let database = call.database();
    let found = call.words.from(1).filter(|key| call.state.keyspace.get(database, key).is_some()).count();
    call.reply().length(found);
    Ok(())
}

pub fn type_name(call: &mut Call) -> Outcome {
    let value = call.state.keyspace.get(call.connection.session.database, call.words.get(1));
    let name = value.map_or("none", |value| value.type_name());
    call.reply().simple(name);
    Ok(())
}

/// The instant, in milliseconds since 1970, that `value` × `scale` ms names; `None` if it cannot be written down.
pub fn expiry_from(value: i64, scale: i64, relative: bool) -> Option<i64> {
    let millis = value.checked_mul(scale)?;
    if relative { millis.checked_add(unix_millis()) } else { Some(millis) }
}

pub fn expire(call: &mut Call) -> Outcome {
    expire_after(call, 1000, "expire")
}

pub fn pexpire(call: &mut Call) -> Outcome {
    expire_after(call, 1, "pexpire")
}

/// When `EXPIRE` changes the expiry.
#[derive(Clone, Copy, Debug, Default)]
struct ExpireIf {
    absent: bool,
    present: bool,
    later: bool,
    earlier: bool,
}

impl ExpireIf {
    fn parse<'a>(options: impl Iterator<Item = &'a [u8]>) -> Result<Self, Error> {
        let mut only_if = Self::default();
        for option in options {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => only_if.absent = true,
                b"xx" => only_if.present = true,
                b"gt" => only_if.later = true,
                b"lt" => only_if.earlier = true,
                _ => return Err(Error::text(format!("ERR Unsupported option {}", echo(option, usize::MAX)))),
            }
        }
        if only_if.absent && (only_if.present || only_if.later || only_if.earlier) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(Error::text(text));
        }
        if only_if.later && only_if.earlier {
            return Err(Error::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(only_if)
    }

    /// A key that never expires counts as one that expires at the end of time.
    fn holds(self, current: Option<i64>, new: i64) -> bool {
        !(self.absent && current.is_some()
            || self.present && current.is_none()
            || self.later && current.is_none_or(|current| new <= current)
            || self.earlier && current.is_some_and(|current| new >= current))
    }
}

fn expire_after(call: &mut Call, scale: i64, name: &'static str) -> Outcome {
    let (database, key) = (call.database(), call.words.get(1));
    let only_if = ExpireIf::parse(call.words.from(3))?;
    let value = parse_i64(call.words.get(2)).ok_or(Error::NotAnInteger)?;
    let at = expiry_from(value, scale, true).ok_or(Error::InvalidExpire(name))?;
    let keyspace = &mut call.state.keyspace;
    let changes = keyspace.expiry(database, key).is_some_and(|current| only_if.holds(current, at));
    if changes {
        if at <= unix_millis() {
            keyspace.remove(database, key);
        } else {
            keyspace.set_expiry(database, key, Some(at));
        }
    }
    call.reply().integer(i64::from(changes));
    Ok(())
}

pub fn ttl(call: &mut Call) -> Outcome {
    let millis = remaining(call);
    call.reply().integer(if millis < 0 { millis } else { millis.saturating_add(500) / 1000 });
    Ok(())
}

pub fn pttl(call: &mut Call) -> Outcome {
    let millis = remaining(call);
    call.reply().integer(millis);
    Ok(())
}

/// -2 without the key, -1 if it never expires.
fn remaining(call: &mut Call) -> i64 {
    match call.state.keyspace.expiry(call.connection.session.database, call.words.get(1)) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => at.saturating_sub(unix_millis()).max(0),
    }
}

pub fn persist(call: &mut Call) -> Outcome {
    let (database, key) = (call.database(), call.words.get(1));
    let volatile = matches!(call.state.keyspace.expiry(database, key), Some(Some(_)));
    if volatile {
        call.state.keyspace.set_expiry(database, key, None);
    }
    call.reply().integer(i64::from(volatile));
    Ok(())
}

pub fn keys(call: &mut Call) -> Outcome {
    let pattern = call.words.get(1);
    let keys = call.state.keyspace.iter(call.connection.session.database).map(|(key, _)| key);
    let found: Vec<&[u8]> = keys.filter(|key| glob::matches(pattern, key, Case::Sensitive)).collect();
    let mut reply = call.connection.reply();
    reply.array(found.len());
    found.iter().for_each(|key| reply.bulk(key));
    Ok(())
}

/// `COUNT` is a hint, and this takes the liberty it gives: every key comes at once, with the cursor that ends the scan.
pub fn scan(call: &mut Call) -> Outcome {
    let cursor = std::str::from_utf8(call.words.get(1)).ok().and_then(|text| text.parse::<u64>().ok());
    let cursor = cursor.ok_or(Error::text("ERR invalid cursor"))?;
    let (mut pattern, mut kind): (&[u8], Option<&[u8]>) = (b"*", None);
    let mut options = call.words.from(2);
    while let Some(option) = options.next() {
        let value = options.next().ok_or(Error::Syntax)?;
        match option.to_ascii_lowercase().as_slice() {
            b"match" => pattern = value,
            b"type" => kind = Some(value),
            b"count" if parse_i64(value).ok_or(Error::NotAnInteger)? >= 1 => {}
            _ => return Err(Error::Syntax),
        }
    }
    let is_kind = |name: &str| kind.is_none_or(|kind| kind.eq_ignore_ascii_case(name.as_bytes()));
    let keys = call.state.keyspace.iter(call.connection.session.database);
    let keys = keys.filter(|(key, value)| is_kind(value.type_name()) && glob::matches(pattern, key, Case::Sensitive));
    // Any cursor but 0 is one we never gave: nothing is left behind it.
    let found: Vec<&[u8]> = keys.map(|(key, _)| key).filter(|_| cursor == 0).collect();
    let mut reply = call.connection.reply();
    reply.array(2);
    reply.bulk("0");
    reply.array(found.len());
    found.iter().for_each(|key| reply.bulk(key));
    Ok(())
}

pub fn dbsize(call: &mut Call) -> Outcome {
    let (keys, _) = call.state.keyspace.len(call.database());
    call.reply().length(keys);
    Ok(())
}

pub fn flushall(call: &mut Call) -> Outcome {
    check_flush_options(call)?;
    call.state.keyspace.clear_all();
    call.reply().ok();
    Ok(())
}

pub fn flushdb(call: &mut Call) -> Outcome {
    check_flush_options(call)?;
    let database = call.database();
    call.state.keyspace.clear(database);
    call.reply().ok();
    Ok(())
}

/// `ASYNC` and `SYNC` differ in nothing that can be seen.
fn check_flush_options(call: &Call) -> Outcome {
    let known = |word: &[u8]| word.eq_ignore_ascii_case(b"async") || word.eq_ignore_ascii_case(b"sync");
    match call.words.len() {
        1 => Ok(()),
        2 if known(call.words.get(1)) => Ok(()),
        _ => Err(Error::Syntax),
    }
}
