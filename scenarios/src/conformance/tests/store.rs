//! A store in memory, with everything the suite does to one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::conformance::StoreControl;

/// The contract's.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// A store that servers and the suite share.
#[derive(Clone, Default)]
pub(super) struct MemoryStore(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    down: bool,
    loaded: bool,
    denied: BTreeSet<String>,
    paused_until: Option<Instant>,
    lengths: BTreeMap<String, usize>,
    counts: BTreeMap<String, u64>,
    /// Increased when connections are closed: those of an older generation are dead.
    generation: u64,
}

/// A server's connection to the store.
pub(super) struct StoreConnection {
    store: MemoryStore,
    generation: u64,
}

/// Why a command has no answer.
pub(super) struct StoreError;

impl MemoryStore {
    pub(super) fn loaded() -> Self {
        let store = Self::default();
        store.state().loaded = true;
        store
    }

    pub(super) fn connect(&self) -> StoreConnection {
        StoreConnection { store: self.clone(), generation: self.state().generation }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }
}

impl StoreConnection {
    /// `GET`: whether the key is there.
    pub(super) fn get(&mut self) -> Result<bool, StoreError> {
        let state = self.command("get")?;
        Ok(state.loaded || !state.lengths.is_empty())
    }

    /// `SET` of a value of this length.
    pub(super) fn set(&mut self, length: usize) -> Result<(), StoreError> {
        self.command("set")?.lengths.insert("cache:7".into(), length);
        Ok(())
    }

    /// Connects again, as a client does after an error.
    pub(super) fn reconnect(&mut self) {
        self.generation = self.store.state().generation;
    }

    fn command(&self, name: &str) -> Result<MutexGuard<'_, State>, StoreError> {
        let deadline = Instant::now() + STORE_TIMEOUT;
        let mut state = self.store.state();
        if state.down || state.generation != self.generation {
            return Err(StoreError);
        }
        *state.counts.entry(name.into()).or_default() += 1;
        while let Some(until) = state.paused_until.filter(|until| *until > Instant::now()) {
            if Instant::now() >= deadline {
                return Err(StoreError);
            }
            let left = until.min(deadline).saturating_duration_since(Instant::now());
            state = self.store.0.changed.wait_timeout(state, left).unwrap().0;
        }
        if state.denied.contains(name) { Err(StoreError) } else { Ok(state) }
    }
}

impl StoreControl for MemoryStore {
    fn deny(&mut self, commands: &[&str]) -> Result<()> {
        self.state().denied.extend(commands.iter().map(ToString::to_string));
        Ok(())
    }

    fn allow_all(&mut self) -> Result<()> {
        self.state().denied.clear();
        Ok(())
    }

    fn pause(&mut self, duration: Duration) -> Result<()> {
        self.state().paused_until = Some(Instant::now() + duration);
        Ok(())
    }

    fn forget_keys(&mut self) -> Result<()> {
        let mut state = self.state();
        state.loaded = false;
        state.lengths.clear();
        Ok(())
    }

    fn load_keys(&mut self) -> Result<()> {
        self.state().loaded = true;
        Ok(())
    }

    fn value_lengths(&mut self) -> Result<BTreeMap<String, usize>> {
        Ok(self.state().lengths.clone())
    }

    fn command_counts(&mut self) -> Result<BTreeMap<String, u64>> {
        Ok(self.state().counts.clone())
    }

    fn kill_connections(&mut self) -> Result<()> {
        self.state().generation += 1;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.state().down = true;
        self.kill_connections()?;
        self.forget_keys()
    }

    fn restart(&mut self) -> Result<()> {
        self.state().down = false;
        Ok(())
    }
}
