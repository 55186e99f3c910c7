//! Every command: its name, how many words it takes, what it does to keys, and what runs it.

use hashbrown::HashMap;

use super::{
    Call, CommandId, Outcome, acl, client, config, connection, hashes, keys, lists, server, strings, transactions,
};

/// Longer than any name in the table, subcommand included.
pub const MAX_NAME_BYTES: usize = 32;

/// What a command is, as far as anybody has to know before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Read,
    Write,
    /// Touches no key.
    Admin,
    /// Has subcommands, each a command of its own in the table.
    Container,
    /// Runs at once even between MULTI and EXEC.
    Transaction,
    Exec,
}

/// Where a command's keys are: first word, last word (negative: from the end), step. Zeros: it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys(pub i64, pub i64, pub i64);

/// One command.
#[derive(Debug)]
pub struct Command {
    pub name: &'static str,
    /// Number of words, name included; negative: at least so many. With a subcommand, its name counts.
    pub arity: i64,
    pub kind: Kind,
    pub keys: Keys,
    pub since: &'static str,
    pub summary: &'static str,
    pub run: fn(&mut Call) -> Outcome,
}

impl Command {
    pub fn accepts(&self, words: usize) -> bool {
        let words = words as i64;
        if self.arity < 0 { words >= -self.arity } else { words == self.arity }
    }

    pub fn runs_inside_multi(&self) -> bool {
        matches!(self.kind, Kind::Transaction | Kind::Exec)
    }
}

/// The commands and the way from a name to one.
pub struct Table {
    top_level: HashMap<&'static [u8], CommandId>,
    subcommands: HashMap<&'static [u8], CommandId>,
}

impl Table {
    pub fn new() -> Self {
        let ids = COMMANDS.iter().enumerate().map(|(id, command)| (command.name.as_bytes(), id as CommandId));
        let (subcommands, top_level) = ids.partition(|(name, _)| name.contains(&b'|'));
        Self { top_level, subcommands }
    }

    pub fn len(&self) -> usize {
        COMMANDS.len()
    }

    pub fn get(&self, id: CommandId) -> &'static Command {
        &COMMANDS[id as usize]
    }

    /// A command that is no subcommand, by its name in small letters.
    pub fn find(&self, name: &[u8]) -> Option<CommandId> {
        self.top_level.get(name).copied()
    }

    /// Any command, by its name in small letters; a subcommand's is `client|kill`.
    pub fn find_any(&self, name: &[u8]) -> Option<CommandId> {
        self.find(name).or_else(|| self.subcommands.get(name).copied())
    }

    /// A container's subcommand, in any letters.
    pub fn find_sub(&self, container: &str, subcommand: &[u8]) -> Option<CommandId> {
        let name = [container.as_bytes(), b"|", &subcommand.to_ascii_lowercase()].concat();
        self.subcommands.get(name.as_slice()).copied()
    }

    /// A command that is run as such, neither a container nor a subcommand.
    pub fn plain(&self, name: &[u8]) -> Option<CommandId> {
        let id = self.find(name)?;
        (self.get(id).kind != Kind::Container).then_some(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (CommandId, &'static Command)> {
        COMMANDS.iter().enumerate().map(|(id, command)| (id as CommandId, command))
    }

    /// The subcommands of a container.
    pub fn subcommands(&self, container: &str) -> impl Iterator<Item = &'static Command> {
        let prefix = format!("{container}|");
        COMMANDS.iter().filter(move |command| command.name.starts_with(&prefix))
    }

    /// The commands that are no subcommands.
    pub fn top_level(&self) -> impl Iterator<Item = &'static Command> {
        COMMANDS.iter().filter(|command| !command.name.contains('|'))
    }
}

const NO_KEYS: Keys = Keys(0, 0, 0);
const ONE_KEY: Keys = Keys(1, 1, 1);
const ALL_KEYS: Keys = Keys(1, -1, 1);
const EVERY_SECOND: Keys = Keys(1, -1, 2);

const fn row(
    name: &'static str,
    arity: i64,
    kind: Kind,
    keys: Keys,
    since: &'static str,
    run: fn(&mut Call) -> Outcome,
    summary: &'static str,
) -> Command {
    Command { name, arity, kind, keys, since, summary, run }
}

use Kind::{Admin, Container, Exec, Read, Transaction, Write};

#[rustfmt::skip]
static COMMANDS: &[Command] = &[
    row("get", 2, Read, ONE_KEY, "1.0.0", strings::get, "The string of a key"),
    row("set", -3, Write, ONE_KEY, "1.0.0", strings::set, "Gives a key a string, with conditions and expiry"),
    row("mget", -2, Read, ALL_KEYS, "1.0.0", strings::mget, "The strings of several keys"),
    row("mset", -3, Write, EVERY_SECOND, "1.0.1", strings::mset, "Gives several keys their strings"),
    row("incr", 2, Write, ONE_KEY, "1.0.0", strings::incr, "Adds one to the integer of a key"),
    row("decr", 2, Write, ONE_KEY, "1.0.0", strings::decr, "Takes one from the integer of a key"),
    row("incrby", 3, Write, ONE_KEY, "1.0.0", strings::incrby, "Adds to the integer of a key"),
    row("decrby", 3, Write, ONE_KEY, "1.0.0", strings::decrby, "Takes from the integer of a key"),
    row("del", -2, Write, ALL_KEYS, "1.0.0", keys::del, "Removes keys"),
    row("unlink", -2, Write, ALL_KEYS, "4.0.0", keys::del, "Removes keys"),
    row("exists", -2, Read, ALL_KEYS, "1.0.0", keys::exists, "How many of the keys exist"),
    row("type", 2, Read, ONE_KEY, "1.0.0", keys::type_name, "What kind of value a key has"),
    row("expire", -3, Write, ONE_KEY, "1.0.0", keys::expire, "Lets a key expire after some seconds"),
    row("pexpire", -3, Write, ONE_KEY, "2.6.0", keys::pexpire, "Lets a key expire after some milliseconds"),
    row("ttl", 2, Read, ONE_KEY, "1.0.0", keys::ttl, "Seconds until a key expires"),
    row("pttl", 2, Read, ONE_KEY, "2.6.0", keys::pttl, "Milliseconds until a key expires"),
    row("persist", 2, Write, ONE_KEY, "2.2.0", keys::persist, "Keeps a key from expiring"),
    row("keys", 2, Read, NO_KEYS, "1.0.0", keys::keys, "The keys that match a pattern"),
    row("scan", -2, Read, NO_KEYS, "2.8.0", keys::scan, "The keys, all of them at once"),
    row("dbsize", 1, Read, NO_KEYS, "1.0.0", keys::dbsize, "How many keys the database has"),
    row("flushall", -1, Write, NO_KEYS, "1.0.0", keys::flushall, "Removes all keys of all databases"),
    row("flushdb", -1, Write, NO_KEYS, "1.0.0", keys::flushdb, "Removes all keys of the database"),
    row("hset", -4, Write, ONE_KEY, "2.0.0", hashes::hset, "Sets fields of a hash"),
    row("hmset", -4, Write, ONE_KEY, "2.0.0", hashes::hmset, "Sets fields of a hash"),
    row("hget", 3, Read, ONE_KEY, "2.0.0", hashes::hget, "One field of a hash"),
    row("hgetall", 2, Read, ONE_KEY, "2.0.0", hashes::hgetall, "All fields of a hash"),
    row("hlen", 2, Read, ONE_KEY, "2.0.0", hashes::hlen, "How many fields a hash has"),
    row("rpush", -3, Write, ONE_KEY, "1.0.0", lists::rpush, "Appends to a list"),
    row("lpush", -3, Write, ONE_KEY, "1.0.0", lists::lpush, "Prepends to a list"),
    row("lrange", 4, Read, ONE_KEY, "1.0.0", lists::lrange, "A range of a list"),
    row("llen", 2, Read, ONE_KEY, "1.0.0", lists::llen, "How long a list is"),
    row("multi", 1, Transaction, NO_KEYS, "1.2.0", transactions::multi, "Starts a transaction"),
    row("exec", 1, Exec, NO_KEYS, "1.2.0", transactions::exec, "Runs the commands queued since MULTI"),
    row("discard", 1, Transaction, NO_KEYS, "2.0.0", transactions::discard, "Drops the commands queued since MULTI"),
    row("watch", -2, Transaction, ALL_KEYS, "2.2.0", transactions::watch, "Makes EXEC depend on keys staying the same"),
    row("unwatch", 1, Admin, NO_KEYS, "2.2.0", transactions::unwatch, "Forgets the watched keys"),
    row("ping", -1, Admin, NO_KEYS, "1.0.0", connection::ping, "Answers PONG, or what it is given"),
    row("echo", 2, Admin, NO_KEYS, "1.0.0", connection::echo, "Answers what it is given"),
    row("hello", -1, Admin, NO_KEYS, "6.0.0", connection::hello, "Chooses the version of the protocol"),
    row("auth", -2, Admin, NO_KEYS, "1.0.0", connection::auth, "Authenticates; the default user needs no password"),
    row("select", 2, Admin, NO_KEYS, "1.0.0", connection::select, "Chooses the database"),
    row("quit", -1, Transaction, NO_KEYS, "1.0.0", connection::quit, "Ends the connection"),
    row("reset", 1, Transaction, NO_KEYS, "6.2.0", connection::reset, "Makes the connection as if it were new"),
    row("client", -2, Container, NO_KEYS, "2.4.0", server::container, "About connections"),
    row("client|id", 2, Admin, NO_KEYS, "5.0.0", client::id, "The number of this connection"),
    row("client|getname", 2, Admin, NO_KEYS, "2.6.9", client::get_name, "The name of this connection"),
    row("client|setname", 3, Admin, NO_KEYS, "2.6.9", client::set_name, "Names this connection"),
    row("client|setinfo", 4, Admin, NO_KEYS, "7.2.0", client::set_info, "Names the client's library"),
    row("client|info", 2, Admin, NO_KEYS, "6.2.0", client::info, "About this connection"),
    row("client|list", -2, Admin, NO_KEYS, "2.4.0", client::list, "About all connections"),
    row("client|kill", -3, Admin, NO_KEYS, "2.4.0", client::kill, "Closes connections"),
    row("client|pause", -3, Admin, NO_KEYS, "3.0.0", client::pause, "Makes commands wait"),
    row("client|unpause", 2, Admin, NO_KEYS, "6.2.0", client::unpause, "Ends a pause"),
    row("client|reply", 3, Admin, NO_KEYS, "3.2.0", client::reply, "Whether replies are sent"),
    row("client|no-evict", 3, Admin, NO_KEYS, "7.0.0", client::no_evict, "Nothing here evicts clients"),
    row("command", -1, Container, NO_KEYS, "2.8.13", server::command, "About all commands"),
    row("command|count", 2, Admin, NO_KEYS, "2.8.13", server::command_count, "How many commands there are"),
    row("command|docs", -2, Admin, NO_KEYS, "7.0.0", server::command_docs, "What commands do"),
    row("command|info", -2, Admin, NO_KEYS, "2.8.13", server::command_info, "About some commands"),
    row("command|list", -2, Admin, NO_KEYS, "7.0.0", server::command_list, "The names of all commands"),
    row("config", -2, Container, NO_KEYS, "2.0.0", server::container, "About settings"),
    row("config|get", -3, Admin, NO_KEYS, "2.0.0", config::get, "The settings that match patterns"),
    row("config|set", -4, Admin, NO_KEYS, "2.0.0", config::set, "Changes settings, delays and errors among them"),
    row("config|resetstat", 2, Admin, NO_KEYS, "2.0.0", config::reset_stat, "Sets all counters to zero"),
    row("info", -1, Admin, NO_KEYS, "1.0.0", server::info, "Counters, the lateness of delays among them"),
    row("debug", -2, Admin, NO_KEYS, "1.0.0", server::debug, "DEBUG SLEEP stops the whole server for a while"),
    row("acl", -2, Container, NO_KEYS, "6.0.0", server::container, "About permissions"),
    row("acl|whoami", 2, Admin, NO_KEYS, "6.0.0", acl::whoami, "The user of this connection"),
    row("acl|setuser", -3, Admin, NO_KEYS, "6.0.0", acl::set_user, "Allows and denies commands"),
    row("acl|getuser", 3, Admin, NO_KEYS, "6.0.0", acl::get_user, "What a user may do"),
    row("acl|list", 2, Admin, NO_KEYS, "6.0.0", acl::list, "What all users may do"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_fits() {
        let table = Table::new();
        for (id, command) in table.iter() {
            assert_eq!(table.find_any(command.name.as_bytes()), Some(id));
            assert!(command.name.len() <= MAX_NAME_BYTES && command.name == command.name.to_ascii_lowercase());
        }
    }

    #[test]
    fn every_subcommand_belongs_to_a_container() {
        let table = Table::new();
        for (_, command) in table.iter() {
            if let Some((container, _)) = command.name.split_once('|') {
                let id = table.find(container.as_bytes()).unwrap();
                assert_eq!(table.get(id).kind, Kind::Container);
            }
        }
    }
}
