//! Keys, values and their expiry.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

// Faster than std's map for short keys (foldhash instead of SipHash), and `entry_ref` spares a key's allocation when
// the key is already there. The store is reached from loopback only, so nobody floods it with colliding keys.
use hashbrown::{HashMap, hash_map::EntryRef};

use crate::clock::unix_millis;

/// Databases that `SELECT` reaches: Redis's default.
pub const DATABASES: usize = 16;

/// Deadlines looked at in one sweep: a bound on how long a sweep may hold up replies (about 0.1 ms).
const SWEEP_BATCH: usize = 512;

/// Outdated deadlines are tolerated up to this many beyond those in use, before the queue is rebuilt.
const STALE_DEADLINES: usize = 4096;

/// A key, a field, an element: as long as it is, and never longer.
pub type Bytes = Box<[u8]>;

/// A key's value.
#[derive(Debug)]
pub enum Value {
    String(Vec<u8>),
    List(VecDeque<Bytes>),
    Hash(Box<Hash>),
}

impl Value {
    /// What `TYPE` calls it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Hash(_) => "hash",
        }
    }
}

/// A hash that lists its fields in the order they were first set, as Redis does for small ones.
#[derive(Debug, Default)]
pub struct Hash {
    fields: Vec<(Bytes, Bytes)>,
    index: HashMap<Bytes, usize>,
}

impl Hash {
    /// Whether the field is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        match self.index.entry_ref(field) {
            EntryRef::Occupied(at) => {
                self.fields[*at.get()].1 = value.into();
                false
            }
            EntryRef::Vacant(vacant) => {
                vacant.insert_entry_with_key(field.into(), self.fields.len());
                self.fields.push((field.into(), value.into()));
                true
            }
        }
    }

    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        self.index.get(field).map(|&at| &*self.fields[at].1)
    }

    pub fn fields(&self) -> &[(Bytes, Bytes)] {
        &self.fields
    }
}

/// What a write does to a key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Keep,
    Never,
    /// Milliseconds since 1970.
    At(i64),
}

#[derive(Debug)]
struct Entry {
    value: Value,
    expires_at: Option<i64>,
    /// The number of the write that made it what it is: how `WATCH` notices a change.
    version: u64,
}

#[derive(Debug, Default)]
struct Database {
    entries: HashMap<Bytes, Entry>,
    /// How many entries expire. While there are none, no lookup reads the clock.
    volatile: usize,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    at: i64,
    database: usize,
    key: Bytes,
}

/// All databases.
#[derive(Debug)]
pub struct Keyspace {
    databases: [Database; DATABASES],
    /// Keys by expiry. An entry may be outdated: its key is looked at before it is removed.
    deadlines: BinaryHeap<Reverse<Deadline>>,
    writes: u64,
    expired: u64,
}

impl Keyspace {
    pub fn new() -> Self {
        Self { databases: Default::default(), deadlines: BinaryHeap::new(), writes: 0, expired: 0 }
    }

    /// The value of a key that exists and has not expired.
    pub fn get(&mut self, database: usize, key: &[u8]) -> Option<&Value> {
        self.find(database, key).map(|entry| &entry.value)
    }

    /// The value of a key, made by `new` if there is none; for changing it in place.
    pub fn get_or_insert(&mut self, database: usize, key: &[u8], new: fn() -> Value) -> &mut Value {
        self.remove_if_expired(database, key);
        self.writes += 1;
        let version = self.writes;
        let entry = match self.databases[database].entries.entry_ref(key) {
            EntryRef::Occupied(occupied) => occupied.into_mut(),
            EntryRef::Vacant(vacant) => {
                let entry = Entry { value: new(), expires_at: None, version };
                vacant.insert_entry_with_key(key.into(), entry).into_mut()
            }
        };
        entry.version = version;
        &mut entry.value
    }

    /// Gives a key a string. The space of an earlier string is used again.
    pub fn set_string(&mut self, database: usize, key: &[u8], text: &[u8], expiry: Expiry) {
        match self.get_or_insert(database, key, || Value::String(Vec::new())) {
            Value::String(old) => {
                old.clear();
                old.extend_from_slice(text);
            }
            other => *other = Value::String(text.to_vec()),
        }
        match expiry {
            Expiry::Keep => {}
            // Without volatile keys there is nothing to clear, and no second lookup.
            Expiry::Never if self.databases[database].volatile == 0 => {}
            Expiry::Never => _ = self.set_expiry(database, key, None),
            Expiry::At(at) => _ = self.set_expiry(database, key, Some(at)),
        }
    }

    /// Removes a key; whether there was one.
    pub fn remove(&mut self, database: usize, key: &[u8]) -> bool {
        self.remove_if_expired(database, key);
        self.remove_now(database, key)
    }

    /// `None` without the key, else when it expires, if ever.
    pub fn expiry(&mut self, database: usize, key: &[u8]) -> Option<Option<i64>> {
        self.find(database, key).map(|entry| entry.expires_at)
    }

    /// Sets or clears when an existing key expires; whether there is such a key.
    pub fn set_expiry(&mut self, database: usize, key: &[u8], at: Option<i64>) -> bool {
        self.writes += 1;
        let version = self.writes;
        let Some(entry) = self.find(database, key) else { return false };
        entry.version = version;
        let before = std::mem::replace(&mut entry.expires_at, at);
        let volatile = &mut self.databases[database].volatile;
        *volatile = *volatile + usize::from(at.is_some()) - usize::from(before.is_some());
        // Its deadline is queued already if it expired then before.
        if let Some(at) = at.filter(|_| at != before) {
            self.deadlines.push(Reverse(Deadline { at, database, key: key.into() }));
            self.drop_stale_deadlines();
        }
        true
    }

    /// A number that changes whenever the key is written; 0 without the key.
    pub fn version(&mut self, database: usize, key: &[u8]) -> u64 {
        self.find(database, key).map_or(0, |entry| entry.version)
    }

    /// How many keys a database has and how many of them will expire.
    pub fn len(&self, database: usize) -> (usize, usize) {
        (self.databases[database].entries.len(), self.databases[database].volatile)
    }

    /// The keys that have not expired, with their values.
    pub fn iter(&self, database: usize) -> impl Iterator<Item = (&[u8], &Value)> {
        let now = unix_millis();
        let alive = move |entry: &Entry| entry.expires_at.is_none_or(|at| at > now);
        let entries = self.databases[database].entries.iter();
        entries.filter(move |(_, entry)| alive(entry)).map(|(key, entry)| (&**key, &entry.value))
    }

    pub fn clear(&mut self, database: usize) {
        self.databases[database] = Database::default();
    }

    pub fn clear_all(&mut self) {
        self.databases = Default::default();
        self.deadlines = BinaryHeap::new();
    }

    /// Keys removed because their time had come.
    pub fn expired(&self) -> u64 {
        self.expired
    }

    pub fn reset_expired(&mut self) {
        self.expired = 0;
    }

    /// Whether any key is waiting to expire.
    pub fn has_deadlines(&self) -> bool {
        !self.deadlines.is_empty()
    }

    /// Removes keys whose time has come, a bounded number of them.
    pub fn sweep(&mut self) {
        let now = unix_millis();
        for _ in 0..SWEEP_BATCH {
            match self.deadlines.peek() {
                Some(Reverse(deadline)) if deadline.at <= now => {}
                _ => return,
            }
            let Some(Reverse(deadline)) = self.deadlines.pop() else { return };
            self.remove_if_expired(deadline.database, &deadline.key);
        }
    }

    fn find(&mut self, database: usize, key: &[u8]) -> Option<&mut Entry> {
        self.remove_if_expired(database, key);
        self.databases[database].entries.get_mut(key)
    }

    fn remove_if_expired(&mut self, database: usize, key: &[u8]) {
        let volatile = &self.databases[database];
        if volatile.volatile == 0 {
            return;
        }
        let expires_at = volatile.entries.get(key).and_then(|entry| entry.expires_at);
        if expires_at.is_some_and(|at| at <= unix_millis()) {
            self.remove_now(database, key);
            self.expired += 1;
        }
    }

    fn remove_now(&mut self, database: usize, key: &[u8]) -> bool {
        let database = &mut self.databases[database];
        let Some(entry) = database.entries.remove(key) else { return false };
        database.volatile -= usize::from(entry.expires_at.is_some());
        true
    }

    /// A key that is given a new expiry again and again leaves a deadline each time.
    fn drop_stale_deadlines(&mut self) {
        let in_use: usize = self.databases.iter().map(|database| database.volatile).sum();
        if self.deadlines.len() <= 2 * in_use + STALE_DEADLINES {
            return;
        }
        let mut deadlines = std::mem::take(&mut self.deadlines).into_vec();
        deadlines.retain(|Reverse(deadline)| {
            let entry = self.databases[deadline.database].entries.get(&deadline.key);
            entry.is_some_and(|entry| entry.expires_at == Some(deadline.at))
        });
        deadlines.sort_unstable();
        deadlines.dedup();
        self.deadlines = deadlines.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_key_is_gone_for_every_reader() {
        let mut keys = Keyspace::new();
        keys.set_string(0, b"old", b"1", Expiry::At(1));
        assert!(keys.iter(0).next().is_none());
        assert!(keys.get(0, b"old").is_none());
        assert_eq!((keys.len(0), keys.expired()), ((0, 0), 1));
    }

    #[test]
    fn a_sweep_removes_what_nobody_asks_for() {
        let mut keys = Keyspace::new();
        keys.set_string(3, b"old", b"1", Expiry::At(1));
        keys.set_string(3, b"kept", b"1", Expiry::At(1));
        keys.set_string(3, b"kept", b"1", Expiry::Never);
        keys.sweep();
        assert_eq!(keys.len(3), (1, 0));
        assert!(!keys.has_deadlines());
    }

    #[test]
    fn deadlines_do_not_pile_up() {
        let mut keys = Keyspace::new();
        let far = unix_millis() + 1_000_000;
        for i in 0..20_000 {
            keys.set_string(0, b"key", b"1", Expiry::At(far + i));
            keys.set_string(0, b"key", b"1", Expiry::At(far));
        }
        assert!(keys.deadlines.len() <= STALE_DEADLINES + 4);
        assert_eq!(keys.len(0), (1, 1));
    }

    #[test]
    fn every_write_changes_the_version() {
        let mut keys = Keyspace::new();
        let mut seen = vec![keys.version(0, b"key")];
        keys.set_string(0, b"key", b"1", Expiry::Keep);
        seen.push(keys.version(0, b"key"));
        keys.set_expiry(0, b"key", Some(i64::MAX));
        seen.push(keys.version(0, b"key"));
        keys.remove(0, b"key");
        keys.set_string(0, b"key", b"1", Expiry::Keep);
        seen.push(keys.version(0, b"key"));
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }
}
