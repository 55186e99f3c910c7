//! What concerns the server as a whole.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    Call, Error, Outcome,
    error::echo,
    table::{Command, Keys, Kind, Table},
};
use crate::{info, reply::Reply};

/// Longest nap `DEBUG SLEEP` takes: a typing error must not stop the server for ever.
const MAX_SLEEP: Duration = Duration::from_secs(3600);

/// A container without a subcommand. The number of words is checked before.
pub fn container(call: &mut Call) -> Outcome {
    let name = echo(call.words.get(0), usize::MAX).into_owned();
    Err(Error::text(format!("ERR wrong number of arguments for '{name}' command")))
}

pub fn info(call: &mut Call) -> Outcome {
    let sections: Vec<String> =
        call.words.from(1).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
    let text = info::render(call.state, &sections);
    call.reply().text(&text);
    Ok(())
}

/// Only `DEBUG SLEEP`: the whole server stops for a while, as a stuck store does.
pub fn debug(call: &mut Call) -> Outcome {
    let subcommand = call.words.get(1);
    if !subcommand.eq_ignore_ascii_case(b"sleep") || call.words.len() != 3 {
        return Err(Error::wrong_subcommand(subcommand, "DEBUG"));
    }
    // What is no number is zero, as in Redis.
    let seconds: f64 = echo(call.words.get(2), usize::MAX).parse().unwrap_or(0.0);
    let nap = Duration::try_from_secs_f64(seconds).unwrap_or_default().min(MAX_SLEEP);
    sleep_unless_asked_to_end(&call.state.signals, nap)
        .map_err(|error| Error::text(format!("ERR cannot sleep: {error}")))?;
    call.reply().ok();
    Ok(())
}

/// A stuck store can still be stopped.
fn sleep_unless_asked_to_end(signals: impl AsFd, time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(&signals, PollFlags::IN)], Some(&timeout)) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub fn command(call: &mut Call) -> Outcome {
    let commands: Vec<_> = call.state.table.top_level().collect();
    describe_all(&mut call.connection.reply(), &call.state.table, commands.into_iter().map(Some));
    Ok(())
}

pub fn command_count(call: &mut Call) -> Outcome {
    let count = call.state.table.top_level().count();
    call.reply().length(count);
    Ok(())
}

/// Without the filters that Redis knows.
pub fn command_list(call: &mut Call) -> Outcome {
    if call.words.len() > 2 {
        return Err(Error::Syntax);
    }
    let names: Vec<_> = call.state.table.top_level().map(|command| command.name).collect();
    let mut reply = call.reply();
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

pub fn command_info(call: &mut Call) -> Outcome {
    if call.words.len() == 2 {
        return command(call);
    }
    let table = &call.state.table;
    let named: Vec<_> = call.words.from(2).map(|name| by_name(table, name)).collect();
    describe_all(&mut call.connection.reply(), table, named.into_iter());
    Ok(())
}

pub fn command_docs(call: &mut Call) -> Outcome {
    let table = &call.state.table;
    let commands: Vec<&Command> = if call.words.len() == 2 {
        table.top_level().collect()
    } else {
        call.words.from(2).filter_map(|name| by_name(table, name)).collect()
    };
    let mut reply = call.connection.reply();
    reply.map(commands.len());
    for command in commands {
        reply.bulk(command.name);
        reply.map(3);
        for (name, value) in [("summary", command.summary), ("since", command.since), ("group", group(command))] {
            reply.bulk(name);
            reply.bulk(value);
        }
    }
    Ok(())
}

fn by_name(table: &Table, name: &[u8]) -> Option<&'static Command> {
    table.find_any(&name.to_ascii_lowercase()).map(|id| table.get(id))
}

/// The group under which `redis-cli` lists a command.
fn group(command: &Command) -> &'static str {
    match command.name {
        "get" | "set" | "mget" | "mset" | "incr" | "decr" | "incrby" | "decrby" => "string",
        name if name.starts_with('h') && command.keys != Keys(0, 0, 0) => "hash",
        "rpush" | "lpush" | "lrange" | "llen" => "list",
        "multi" | "exec" | "discard" | "watch" | "unwatch" => "transactions",
        "ping" | "echo" | "hello" | "auth" | "select" | "quit" | "reset" => "connection",
        name if name.starts_with("client") => "connection",
        _ if matches!(command.kind, Kind::Read | Kind::Write) => "generic",
        _ => "server",
    }
}

fn describe_all(reply: &mut Reply, table: &Table, commands: impl ExactSizeIterator<Item = Option<&'static Command>>) {
    reply.array(commands.len());
    for command in commands {
        match command {
            Some(command) => describe(reply, table, command),
            None => reply.null(),
        }
    }
}

/// Name, arity, flags, first key, last key, step; then categories, hints and key specifications, which are empty; and
/// subcommands in the same form.
fn describe(reply: &mut Reply, table: &Table, command: &Command) {
    reply.array(10);
    reply.bulk(command.name);
    reply.integer(command.arity);
    let flag = match command.kind {
        Kind::Read => Some("readonly"),
        Kind::Write => Some("write"),
        _ => None,
    };
    reply.set(flag.iter().len());
    flag.iter().for_each(|flag| reply.simple(flag));
    for position in [command.keys.0, command.keys.1, command.keys.2] {
        reply.integer(position);
    }
    reply.set(0);
    reply.array(0);
    reply.array(0);
    let subcommands: Vec<_> = table.subcommands(command.name).collect();
    reply.array(subcommands.len());
    subcommands.into_iter().for_each(|subcommand| describe(reply, table, subcommand));
}
