//! The load of a trial: the client's process, and beside it what goes wrong.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use stackbench_reports::Row;
use stackload::{engine, result::LoadResult};

use super::{Bench, Trial, WATCH_SERVER, WATCH_STORE};
use crate::{
    fault::{self, Played, Scene},
    process::{Process, Start},
    scenario::{HOLDING_CONNECTIONS, What, in_mode},
    server::Server,
    store::Store,
    units::show_duration,
};

/// Beyond its schedule, a client needs this long to connect, drain and write its result.
const CLIENT_SLACK: Duration = Duration::from_secs(20);
/// The parts of a window in which recovery from a fault is looked for.
const INTERVAL: Duration = Duration::from_millis(100);
/// The contract's route that holds its handler.
const HOLD: &str = "/myapp/{mode}/hold";

/// What the load has shown.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The client's result.
    pub result: LoadResult,
    /// What went wrong meanwhile, if that was asked for.
    pub played: Option<Played>,
}

/// A client at work.
struct Client {
    process: Process,
    command: Vec<String>,
    /// Its result file, relative to the run directory, …
    raw: String,
    /// … and its wrk report.
    wrk: String,
}

impl Trial<'_> {
    /// Runs the load client, and the fault of the step with it, and reads its result. What is known of how it was run is
    /// noted in the row, whatever comes of it.
    pub(super) fn load(&self, bench: &Bench, store: &mut Store, server: &Server, row: &mut Row) -> Result<Loaded> {
        let mut words = self.schedule_of_load();
        words.extend(self.accounts(store, server));
        let mut client = self.start_client(bench, "client", &words, self.url(server, &self.request.path))?;
        row.commands.insert("client".to_owned(), client.command.clone());
        row.wrk = Some(client.wrk.clone());
        if !client.process.exits_within(bench.interrupt, self.opens_after())? {
            // The window opens now, but for the milliseconds in which the client came up. How late the store was when two
            // thousand connections came at once is no matter of the window's.
            store.set_delays(&self.scenario.store.delays)?;
        }
        let scene = Scene { trial: self, bench, store, server, client: &client.process };
        let played = self.scenario.fault.filter(|fault| !fault.is_none()).map(|fault| fault::play(&fault, scene));
        let played = played.transpose().context("the fault of this step could not be played")?;
        let load = &self.scenario.load;
        let result = client.finish(bench, load.duration + load.timeout)?;
        row.raw = Some(client.raw);
        Ok(Loaded { result, played })
    }

    /// Runs a second client for as long as the fault lasts, at its rate.
    ///
    /// # Errors
    /// As for the first; and when no rate is known.
    pub(crate) fn load_beside(
        &self,
        what: What,
        lasting: Duration,
        bench: &Bench,
        server: &Server,
    ) -> Result<LoadResult> {
        let rate = self.beside_rate.context("the second client's rate is not known")?;
        let (path, connections) = match what {
            What::HeldHandlers(_) => (HOLD, HOLDING_CONNECTIONS),
            _ => (self.request.path.as_str(), self.scenario.load.connections),
        };
        let words = [vec![format!("-c{connections}"), format!("-d{}", show_duration(lasting))], self.arrivals(rate)];
        let mut client = self.start_client(bench, "beside", &words.concat(), self.url(server, path))?;
        client.finish(bench, lasting + self.scenario.load.timeout)
    }

    fn start_client(&self, bench: &Bench, who: &str, words: &[String], url: String) -> Result<Client> {
        let name = if who == "client" { self.label() } else { format!("{}.{who}", self.label()) };
        let (raw, wrk) = (format!("raw/{name}.json"), format!("raw/{name}.wrk.txt"));
        let load = &self.scenario.load;
        let threads = load.threads.unwrap_or_else(|| bench.cpus.client_threads()).min(load.connections);
        let mut command: Vec<String> = vec![
            bench.bin.join("stackload").display().to_string(),
            format!("-t{threads}"),
            "--latency".into(),
            format!("--timeout={}", show_duration(load.timeout)),
            format!("--json={}", bench.out.join(&raw).display()),
            format!("--expect-status={}", self.request.status),
            format!("--expect-body={}", self.request.body),
        ];
        command.extend_from_slice(words);
        for (name, value) in &self.request.headers {
            command.extend(["-H".to_owned(), format!("{name}: {value}")]);
        }
        command.push(url);
        let (no_env, log) = (BTreeMap::new(), self.log(bench, who));
        let how = Start { command: &command, env: &no_env, cwd: bench.root, cpus: &bench.cpus.client, log };
        let process = Process::start_capturing(&how, &bench.out.join(&wrk), bench.guard)?;
        Ok(Client { process, command, raw, wrk })
    }

    /// When the load's client sends.
    fn schedule_of_load(&self) -> Vec<String> {
        let load = &self.scenario.load;
        let mut words = vec![
            format!("-c{}", load.connections),
            format!("-d{}", show_duration(load.duration)),
            format!("--warmup={}", show_duration(self.scenario.warmup())),
        ];
        if let Ok(Some(rate)) = self.rate {
            words.extend(self.arrivals(rate));
        }
        let delay = self.scenario.delay_of(self.request);
        if !delay.is_zero() {
            words.push(format!("--spread={}", show_duration(delay)));
        }
        if self.scenario.fault.is_some_and(|fault| !fault.is_none()) {
            words.push(format!("--interval={}", show_duration(INTERVAL)));
        }
        words
    }

    /// When the window opens, from the client's start.
    fn opens_after(&self) -> Duration {
        let lead = self.rate.as_ref().is_ok_and(Option::is_some).then(|| engine::lead(self.scenario.load.connections));
        self.scenario.warmup() + lead.unwrap_or_default()
    }

    fn arrivals(&self, rate: f64) -> Vec<String> {
        let arrival = self.scenario.load.arrival.word();
        vec![format!("--rate={rate}"), format!("--arrival={arrival}"), format!("--seed={}", self.arrival_seed)]
    }

    /// Whose cost the load's client reads.
    fn accounts(&self, store: &Store, server: &Server) -> Vec<String> {
        let mut words = vec![format!("--watch-tree={WATCH_SERVER}={}", server.pid())];
        words.extend(store.pid().map(|pid| format!("--watch-tree={WATCH_STORE}={pid}")));
        words
    }

    fn url(&self, server: &Server, path: &str) -> String {
        format!("http://{}{}", server.addr, in_mode(path, self.mode))
    }
}

impl Client {
    /// Waits for its end and reads its result.
    fn finish(&mut self, bench: &Bench, at_most: Duration) -> Result<LoadResult> {
        let status =
            self.process.wait(bench.interrupt, at_most + CLIENT_SLACK).context("the load client did not end")?;
        self.process.stop();
        ensure!(status.success(), "the load client ended with {status}: {}", self.process.log_tail());
        let name = &self.raw;
        let text = fs::read(bench.out.join(name)).with_context(|| format!("the load client left no {name}"))?;
        LoadResult::parse(&text).with_context(|| format!("in {name}"))
    }
}
