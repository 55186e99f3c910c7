//! What a store's outage does to a server under load: requests may fail while it lasts, connections may not, and the
//! server recovers by itself.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::probe::{Operation, Probe, expect_error, expect_ok, get};
use super::stores::{POLL, RECOVERY, expect_recovery, patient};
use super::{Case, StoreControl, store};
use crate::wire::Connection;

/// How long the store holds back its answers: well below the 5 s after which a server gives up.
const PAUSE: Duration = Duration::from_secs(2);
/// Requests of each route while the store is paused: with both operations of a mode twice the usual pool of 16.
const PAUSED_EACH: usize = 16;
/// Clients that break off while their request is at the paused store: half the usual pool, so that none waits for a thread.
const RESETS: usize = 8;
/// Clients while the store is lost: twice the usual pool.
const CLIENTS: usize = 32;
/// A client has noticed what happened when it got so many answers of the kind since.
const NOTICED: usize = 10;

pub(super) const CASES: &[Case] = &[
    store(
        "a_store_that_pauses_fails_no_request",
        "the store holds back its answers for 2 s: all are waited for, half-closed clients and resets among them",
        pauses,
    ),
    store(
        "a_store_lost_under_load_fails_only_requests",
        "32 clients ask while the store ends and comes back: each answer is 200, 404 or 503, no connection is lost",
        lost_under_load,
    ),
];

fn cache_paths(probe: &Probe) -> Vec<String> {
    Operation::ALL.into_iter().flat_map(|operation| probe.paths(operation)).collect()
}

fn pauses(probe: &Probe, store: &mut dyn StoreControl) -> Result<()> {
    let paths = cache_paths(probe);
    let mut waiting = Vec::new();
    for path in paths.iter().flat_map(|path| [path; PAUSED_EACH]) {
        waiting.push((patient(probe)?, path));
    }
    let mut breaking = probe.connect_many(RESETS)?;
    store.pause(PAUSE)?;
    for (connection, path) in breaking.iter_mut().zip(paths.iter().cycle()) {
        connection.send(get(path))?;
    }
    // So that the resets find them at the store.
    probe.wait_until_read(breaking.iter())?;
    breaking.into_iter().try_for_each(Connection::reset)?;
    for (index, (connection, path)) in waiting.iter_mut().enumerate() {
        connection.send(get(path))?;
        if index % 2 == 1 {
            connection.close_sending()?;
        }
    }
    for (connection, path) in &mut waiting {
        connection.answer().and_then(|answer| expect_ok(&answer)).with_context(|| format!("{path} after the pause"))?;
    }
    let mut connection = patient(probe)?;
    paths.iter().try_for_each(|path| expect_recovery(&mut connection, path, &[200]))
}

/// What one client got.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    refused: AtomicUsize,
}

/// The clients of a server that loses its store.
struct Load<'a> {
    probe: &'a Probe,
    seen: [Seen; CLIENTS],
    over: AtomicBool,
}

fn lost_under_load(probe: &Probe, store: &mut dyn StoreControl) -> Result<()> {
    let load = Load { probe, seen: Default::default(), over: AtomicBool::new(false) };
    let load = &load;
    thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || load.ask(number))).collect();
        let disturbed = load.disturb(store);
        load.over.store(true, Ordering::Relaxed);
        // What a client saw explains what the store's side did not see.
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))?;
        disturbed
    })?;
    store.load_keys()?;
    let mut connection = patient(probe)?;
    cache_paths(probe).iter().try_for_each(|path| expect_recovery(&mut connection, path, &[200]))
}

impl Load<'_> {
    /// Ends the store and brings it back, each when the clients have noticed what was before.
    fn disturb(&self, store: &mut dyn StoreControl) -> Result<()> {
        self.wait_for("answers", |seen| &seen.answered)?;
        store.stop()?;
        let noticed = self.wait_for("503 while the store is down", |seen| &seen.refused);
        // Whatever was seen, the next case needs the store.
        store.restart()?;
        noticed?;
        self.wait_for("answers with the store back", |seen| &seen.answered)
    }

    /// Waits until every client got some more of these.
    fn wait_for(&self, what: &str, count: impl Fn(&Seen) -> &AtomicUsize) -> Result<()> {
        let now = || self.seen.iter().map(|seen| count(seen).load(Ordering::Relaxed));
        let enough: Vec<usize> = now().map(|count| count + NOTICED).collect();
        let deadline = Instant::now() + RECOVERY;
        while now().zip(&enough).any(|(now, enough)| now < *enough) {
            ensure!(!self.over.load(Ordering::Relaxed), "a client was lost");
            ensure!(Instant::now() < deadline, "under load, a client gets too few {what} within {RECOVERY:?}");
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// One client: the next request when the last is answered, on one connection, until it is over.
    fn ask(&self, number: usize) -> Result<()> {
        let asked = self.ask_until_over(number);
        if asked.is_err() {
            self.over.store(true, Ordering::Relaxed);
        }
        asked.with_context(|| format!("client {number}, while the store is lost and found"))
    }

    fn ask_until_over(&self, number: usize) -> Result<()> {
        let paths = cache_paths(self.probe);
        let Seen { answered, refused } = &self.seen[number];
        let mut connection = patient(self.probe)?;
        for path in paths.iter().cycle().skip(number) {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let context = || format!("GET {path}");
            connection.send(get(path)).with_context(context)?;
            let answer = connection.answer().with_context(context)?;
            let count = match answer.status {
                // The store comes back without its keys.
                404 => expect_error(&answer, 404).map(|()| answered),
                503 => expect_error(&answer, 503).map(|()| refused),
                _ => expect_ok(&answer).map(|()| answered),
            };
            count.with_context(context)?.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
