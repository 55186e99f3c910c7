//! CONFIG: the settings there are, most of them fixed.

use super::{Call, Error, Outcome, error::echo};
use crate::{
    assigned::{self, Assignable, Assigned},
    glob::{self, Case},
    keyspace::DATABASES,
    protocol::MAX_BULK_BYTES,
    state::State,
};

/// The settings and their values. Those that Redis has and we lack (persistence, memory limits) have the value that
/// says so.
fn settings(state: &State) -> Vec<(&'static str, String)> {
    vec![
        ("appendonly", "no".into()),
        ("bind", state.address.ip().to_string()),
        ("databases", DATABASES.to_string()),
        ("delay", state.delays.assignments(&state.table)),
        ("errors", state.errors.assignments(&state.table)),
        ("io-threads", "1".into()),
        ("maxclients", state.max_connections.to_string()),
        ("maxmemory", "0".into()),
        ("port", state.address.port().to_string()),
        ("proto-max-bulk-len", MAX_BULK_BYTES.to_string()),
        ("save", String::new()),
        ("timeout", "0".into()),
    ]
}

pub fn get(call: &mut Call) -> Outcome {
    let mut found = Vec::new();
    for (name, value) in settings(call.state) {
        let describes = |pattern: &&[u8]| glob::matches(pattern, name.as_bytes(), Case::Insensitive);
        if let Some(pattern) = call.words.from(2).find(describes) {
            // A name is given back as it was asked for.
            let literal = !pattern.iter().any(|byte| b"*?[".contains(byte));
            found.push((if literal { pattern } else { name.as_bytes() }, value));
        }
    }
    let mut reply = call.connection.reply();
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name);
        reply.bulk(value);
    }
    Ok(())
}

pub fn set(call: &mut Call) -> Outcome {
    let words = call.words;
    if words.len() % 2 == 1 {
        return Err(Error::Syntax);
    }
    let current = settings(call.state);
    let (mut chosen, mut delays, mut errors) = (Vec::new(), None, None);
    // All names are looked at first, then all values; nothing changes until all are good.
    for at in (2..words.len()).step_by(2) {
        let asked = words.get(at);
        let Some(setting) = current.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(asked)) else {
            let name = echo(asked, usize::MAX);
            return Err(Error::text(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")));
        };
        if chosen.iter().any(|&(known, _)| known == setting) {
            return Err(refusal(&echo(asked, usize::MAX), "duplicate parameter"));
        }
        chosen.push((setting, echo(words.get(at + 1), usize::MAX)));
    }
    for ((name, current), value) in chosen {
        match *name {
            "delay" => delays = Some(read(name, &value, call.state)?),
            "errors" => errors = Some(read(name, &value, call.state)?),
            _ => check_fixed(name, current, &value).map_err(|reason| refusal(name, reason))?,
        }
    }
    if let Some(laws) = delays {
        call.state.delays.replace(laws);
    }
    if let Some(shares) = errors {
        call.state.errors.replace(shares);
    }
    call.reply().ok();
    Ok(())
}

fn read<T: Assignable>(name: &str, value: &str, state: &State) -> Result<Assigned<T>, Error> {
    let assigned = assigned::read(value.split_ascii_whitespace(), &state.table);
    assigned.map_err(|error| refusal(name, &format!("{error:#}")))
}

fn refusal(name: &str, reason: &str) -> Error {
    Error::text(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
}

/// A setting without a choice takes the value it has.
fn check_fixed(name: &str, current: &str, value: &str) -> Result<(), &'static str> {
    match name {
        _ if value == current => Ok(()),
        "appendonly" if value != "yes" => Err("argument must be 'yes' or 'no'"),
        _ => Err("this server has no other value for it"),
    }
}

pub fn reset_stat(call: &mut Call) -> Outcome {
    call.state.reset_stats();
    call.reply().ok();
    Ok(())
}
