//! Faults, played while the load of a trial runs.
//!
//! # Layout
//! - this file: what is done to store and server, and when
//! - [`effect`]: what that did to the requests of the load
//! - `slow_readers`: clients that hardly read

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use stackload::{procfs, result::LoadResult};

use crate::{
    conformance::StoreControl,
    process::Process,
    scenario::{Fault, What},
    server::Server,
    store::Store,
    trial::{Bench, Trial},
};

pub mod effect;
mod slow_readers;

use slow_readers::SlowReaders;

/// Where a fault is played.
pub struct Scene<'s, 'a> {
    /// The trial.
    pub trial: &'s Trial<'s>,
    /// What all trials share.
    pub bench: &'s Bench<'s>,
    /// The store.
    pub store: &'s mut Store<'a>,
    /// The server.
    pub server: &'s Server,
    /// The client under whose load it happens.
    pub client: &'s Process,
}

/// A fault that was played.
#[derive(Debug)]
pub struct Played {
    /// When it began, by the wall clock, in microseconds since the Unix epoch, …
    pub from_unix_us: u64,
    /// … and when all was as before.
    pub to_unix_us: u64,
    /// What a second client saw of it, if there was one.
    pub beside: Option<LoadResult>,
    /// CPU seconds that went into playing it.
    pub helpers_cpu_s: f64,
}

/// Plays a fault: waits until its time has come, does it, and undoes it.
///
/// # Errors
/// When the client ends before, the store does not do as it is told, or a signal comes.
pub fn play(fault: &Fault, mut scene: Scene) -> Result<Played> {
    scene.wait(fault.at.0)?;
    let lasting = fault.lasting.0;
    let from_unix_us = unix_us();
    let mut played = Played { from_unix_us, to_unix_us: from_unix_us, beside: None, helpers_cpu_s: 0.0 };
    match fault.what {
        What::Maximum | What::Nothing => {}
        What::StorePaused => {
            scene.store.pause(lasting)?;
            scene.wait(lasting)?;
        }
        What::StoreKilled => {
            scene.store.kill()?;
            scene.wait(lasting)?;
            scene.store.restart()?;
            scene.store.load_keys()?;
        }
        What::StoreConnectionsKilled => scene.store.kill_connections()?,
        What::StoreSlower(by) => {
            let delays = ["get", "set"].map(|command| (command.to_owned(), by));
            scene.store.set_delays(&delays.into())?;
            scene.wait(lasting)?;
            scene.store.set_delays(&scene.trial.scenario.store.delays)?;
        }
        What::StoreErrors(share) => {
            scene.store.set_errors(Some(share))?;
            scene.wait(lasting)?;
            scene.store.set_errors(None)?;
        }
        What::Overload(_) | What::HeldHandlers(_) => {
            let result = scene.trial.load_beside(fault.what, lasting, scene.bench, scene.server)?;
            // Connecting was no part of it.
            played.from_unix_us = result.window_started_unix_us;
            played.to_unix_us = played.from_unix_us + (result.window_s * 1e6) as u64;
            played.helpers_cpu_s = result.client.cpu_s;
            played.beside = Some(result);
            return Ok(played);
        }
        What::SlowReaders(clients) => {
            let before_ns = procfs::cpu_clock_ns(std::process::id())?;
            let readers = SlowReaders::start(scene.server.addr, clients)?;
            scene.wait(lasting)?;
            readers.stop()?;
            let used_ns = procfs::cpu_clock_ns(std::process::id())?.saturating_sub(before_ns);
            played.helpers_cpu_s = used_ns as f64 / 1e9;
        }
    }
    played.to_unix_us = unix_us();
    Ok(played)
}

impl Scene<'_, '_> {
    /// Lets time pass under load.
    fn wait(&mut self, time: Duration) -> Result<()> {
        ensure!(!self.client.exits_within(self.bench.interrupt, time)?, "the load client ended meanwhile");
        Ok(())
    }
}

/// Now, as the client tells when its window opened.
fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
