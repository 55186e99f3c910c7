//! Verification before measuring: a stack that does not do the work is not measured.
//!
//! With a store that stalls there must be no answer before the store's; with an empty store a hit must be a miss; with one
//! that refuses, an error; and with a loaded store the answer must be the scenario's, byte for byte. The store's own counters
//! say whether it was asked at all.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use stackbench_reports::row::Mode;

use crate::{
    conformance::StoreControl,
    scenario::Request,
    server::request_bytes,
    wire::{Answer, Connection},
};

/// How long the store is stalled at least to see whether the server waits for it: short enough to be paid before every trial.
const STALL_AT_LEAST: Duration = Duration::from_millis(50);
/// The stall in terms of a request's own time, so that on a busy machine too an early answer comes before its end.
const STALL_PER_REQUEST: u32 = 10;
const STALL_AT_MOST: Duration = Duration::from_secs(2);
/// How long a command that a server sends after its answer may take to show in the store's counters.
const LATE_COMMAND_AT_MOST: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);
/// Above the store response timeout that every stack sets (5 s), so that a server that gives up is seen to do so.
const ANSWER_AT_MOST: Duration = Duration::from_secs(8);
/// The contract's answer when the store has no such key …
const STATUS_MISS: u16 = 404;
/// … and when it refuses.
const STATUS_REFUSED: u16 = 503;

/// One request in one mode against one server.
#[derive(Debug)]
pub struct Verifier<'a> {
    /// Where the server listens.
    pub addr: SocketAddr,
    /// What is asked.
    pub request: &'a Request,
    /// In which mode.
    pub mode: Mode,
}

impl Verifier<'_> {
    /// The checks that need a stalling, an empty and a refusing store. Leaves the store running, empty and allowed.
    ///
    /// # Errors
    /// In one sentence: what the server did instead.
    pub fn before_loading(&self, store: &mut impl StoreControl) -> Result<()> {
        if self.request.store.is_empty() {
            return Ok(());
        }
        // The stall comes first, because what it shows tells most about a server that cheats.
        self.waits_for_the_store(store)?;
        self.demands_the_store(store)?;
        self.reports_a_refusal(store)
    }

    /// The exact answer, over a loaded store; for stacks without a store the only check there is.
    ///
    /// # Errors
    /// In one sentence: what the server answered instead.
    pub fn exact_answer(&self) -> Result<()> {
        let answer = self.ask(Instant::now() + ANSWER_AT_MOST)?;
        let (status, body) = (self.request.status, self.request.body.as_bytes());
        ensure!(answer.status == status, "verification: status {} instead of {status}", answer.status);
        ensure!(
            answer.body == body,
            "verification: the body is `{}` instead of `{}`",
            String::from_utf8_lossy(&answer.body),
            self.request.body
        );
        let kind = answer.header("content-type").context("verification")?;
        ensure!(
            kind.starts_with("application/json"),
            "verification: Content-Type is `{kind}` instead of application/json"
        );
        answer.header("date").context("verification")?;
        Ok(())
    }

    /// A request of an empty store must reach the store; a read must then be a miss.
    fn demands_the_store(&self, store: &mut impl StoreControl) -> Result<()> {
        let before = store.command_counts()?;
        let answer = self.ask(Instant::now() + ANSWER_AT_MOST)?;
        let after = store.command_counts()?;
        for (command, implied) in &self.request.store {
            let seen = count(&after, command) - count(&before, command);
            ensure!(
                seen > 0,
                "answers without touching the store: status {} and no {command} at the store",
                answer.status
            );
            ensure!(seen == *implied, "one answer cost {seen} {command} at the store, not {implied}");
        }
        let reads = self.request.store.contains_key("get");
        ensure!(
            !reads || answer.status == STATUS_MISS,
            "answers {} when the store has no such key, not {STATUS_MISS}",
            answer.status
        );
        Ok(())
    }

    /// A store's error must be the server's 503.
    fn reports_a_refusal(&self, store: &mut impl StoreControl) -> Result<()> {
        let commands: Vec<&str> = self.request.store.keys().map(String::as_str).collect();
        store.deny(&commands).context("cannot make the store refuse commands")?;
        let answer = self.ask(Instant::now() + ANSWER_AT_MOST);
        store.allow_all()?;
        let status = answer?.status;
        ensure!(status == STATUS_REFUSED, "answers {status} when the store answers an error, not {STATUS_REFUSED}");
        Ok(())
    }

    /// While the store stalls there can be no answer.
    fn waits_for_the_store(&self, store: &mut impl StoreControl) -> Result<()> {
        let began = Instant::now();
        self.ask(began + ANSWER_AT_MOST)?;
        let stall = (began.elapsed() * STALL_PER_REQUEST).clamp(STALL_AT_LEAST, STALL_AT_MOST);
        // The store stalls for whole milliseconds: an answer in the fraction after them is no early one.
        let stall = Duration::from_millis(u64::try_from(stall.as_millis())?);

        let before = store.command_counts()?;
        let began = Instant::now();
        store.pause(stall)?;
        self.ask(began + ANSWER_AT_MOST)?;
        let waited = began.elapsed();
        if waited < stall {
            let what = if self.asks_late(store, &before)? {
                "answers before the store does"
            } else {
                "answers without touching the store"
            };
            bail!("{what}: after {:.1} ms, while the store was stalled for {} ms", ms(waited), stall.as_millis());
        }
        Ok(())
    }

    /// Whether a server that has answered already asks the store in the end.
    fn asks_late(&self, store: &mut impl StoreControl, before: &BTreeMap<String, u64>) -> Result<bool> {
        let mut deadline = None;
        loop {
            // Counted only when the stall is over, so the deadline begins after the first count.
            let after = store.command_counts()?;
            if self.request.store.keys().any(|command| count(&after, command) > count(before, command)) {
                return Ok(true);
            }
            if Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + LATE_COMMAND_AT_MOST) {
                return Ok(false);
            }
            thread::sleep(POLL);
        }
    }

    fn ask(&self, deadline: Instant) -> Result<Answer> {
        let headers: Vec<(String, String)> = self.request.headers.clone().into_iter().collect();
        let mut connection = Connection::open(self.addr, deadline).context("verification")?.patience(ANSWER_AT_MOST);
        connection.send(request_bytes(&self.request.method, &self.request.target(self.mode), self.addr, &headers))?;
        connection.answer().context("verification")
    }
}

fn count(counts: &BTreeMap<String, u64>, command: &str) -> u64 {
    counts.get(command).copied().unwrap_or_default()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
