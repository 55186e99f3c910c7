//! The store: started or found, loaded with keys, disturbed on request, and asked what it saw.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::TcpListener,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use redis::{Commands, ConnectionLike};
use rustix::process::{Signal, kill_process};

use crate::{
    conformance::StoreControl,
    guard::Guard,
    interrupt::{Interrupt, to_pid},
    process::{Process, Start},
    scenario::{Delay, Share},
    units::show_duration,
};

mod admin;

use admin::{Admin, LOAD_BATCH};

/// Keys are `cache:0` … `cache:99999`.
const KEYS: u32 = 100_000;
/// Length of every value.
const VALUE_BYTES: usize = 1024;
/// A store that has not answered by then is not coming.
const READY_AT_MOST: Duration = Duration::from_secs(10);
/// A port that was free may be taken between asking for it and using it; so often another is tried.
const PORT_TRIES: u32 = 5;
/// Commands that clients send to set up a connection, and that no request implies.
const HANDSHAKES: [&str; 7] = ["hello", "auth", "client", "select", "ping", "command", "readonly"];
/// Why a store is not stopped.
const NOT_OURS: &str = "this store was not started by us; it cannot be stopped";
/// Commands that only the harness sends while a trial is counted.
const OWN: [&str; 3] = ["info", "config", "acl"];

/// What `--redis` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKind {
    /// fake-redis, built with the workspace.
    Embedded,
    /// A redis-server of this machine, started for the run.
    Spawn,
    /// A store that runs already.
    Url(String),
}

impl FromStr for StoreKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "spawn" => Ok(Self::Spawn),
            url if url.starts_with("redis://") => Ok(Self::Url(url.to_owned())),
            _ => Err("write `embedded`, `spawn` or a URL like redis://127.0.0.1:6379".to_owned()),
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Spawn => "spawn",
            Self::Url(url) => url,
        })
    }
}

/// What starting a store takes.
#[derive(Debug)]
pub struct StoreStart<'a> {
    /// Which one.
    pub kind: &'a StoreKind,
    /// Folder of the workspace's programs.
    pub bin: &'a Path,
    /// CPUs it may use; empty for those of the harness.
    pub cpus: &'a [u32],
    /// Where its log goes.
    pub log: PathBuf,
    /// Its working directory: nothing is written there, but a server wants one.
    pub cwd: &'a Path,
    /// Connections it must be able to hold.
    pub max_connections: u32,
    /// The guard.
    pub guard: &'a Guard,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

/// A store that answers.
#[derive(Debug)]
pub struct Store<'a> {
    start: StoreStart<'a>,
    command: Vec<String>,
    process: Option<Process>,
    url: String,
    admin: Admin,
    name: String,
}

/// What the store measured of its own delays for one command.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DelayReport {
    /// Mean of the delays as they were, in microseconds.
    pub mean_us: f64,
    /// 99th percentile of how much later than due an answer was written, in microseconds.
    pub late_us_p99: f64,
}

impl<'a> Store<'a> {
    /// Starts (or finds) a store and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be started or reached, or, for a URL, holds keys that are not ours.
    pub fn start(start: StoreStart<'a>) -> Result<Self> {
        let (process, command, url, mut admin) = match start.kind {
            StoreKind::Url(url) => {
                let admin = Admin::connect(url).with_context(|| format!("--redis: no store answers at {url}"))?;
                (None, Vec::new(), url.clone(), admin)
            }
            _ => start_process(&start)?,
        };
        let name = admin.store_name().context("cannot ask the store for its version")?;
        if matches!(start.kind, StoreKind::Url(_)) {
            admin.refuse_foreign_keys(&url)?;
        }
        Ok(Self { start, command, process, url, admin, name })
    }

    /// `embedded`, `redis 7.0.15`, …
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where servers find it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its command line; empty if it was running already.
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// Its process id, if we started it.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Starts it again if it has died, so that one bad trial does not spoil the next.
    ///
    /// # Errors
    /// When it cannot be started again.
    pub fn revive(&mut self) -> Result<()> {
        if self.admin.connection.req_command(&redis::cmd("PING")).is_ok() {
            return Ok(());
        }
        if let StoreKind::Url(url) = self.start.kind {
            self.admin = Admin::connect(url)?;
            return Ok(());
        }
        // No server knows it at this point, so it may come back anywhere.
        drop(self.process.take());
        let (process, command, url, admin) = start_process(&self.start)?;
        (self.process, self.command, self.url, self.admin) = (process, command, url, admin);
        Ok(())
    }

    /// Whether our own store process has exited, and its last words.
    pub fn death(&mut self) -> Option<String> {
        let process = self.process.as_mut()?;
        let status = process.exit_status().ok()??;
        Some(format!("the store ended with {status}: {}", process.log_tail()))
    }

    /// The configuration that matters, as the store itself tells it.
    pub fn config(&mut self) -> BTreeMap<String, String> {
        const TOLD: [&str; 6] = ["save", "appendonly", "io-threads", "maxclients", "maxmemory", "delay"];
        let get = |name: &&str| -> Option<(String, String)> {
            let pairs: Vec<String> =
                redis::cmd("CONFIG").arg("GET").arg(*name).query(&mut self.admin.connection).ok()?;
            Some(((*name).to_owned(), pairs.get(1)?.clone()))
        };
        TOLD.iter().filter_map(get).collect()
    }

    /// Sets the delays (embedded store only); an empty map switches them off.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn set_delays(&mut self, delays: &BTreeMap<String, Delay>) -> Result<()> {
        if *self.start.kind != StoreKind::Embedded {
            ensure!(delays.is_empty(), "only the embedded store can delay its answers");
            return Ok(());
        }
        let words: Vec<String> =
            delays.iter().map(|(name, delay)| format!("{name}={}", show_duration(delay.0))).collect();
        self.admin.run(redis::cmd("CONFIG").arg("SET").arg("delay").arg(words.join(" ")))
    }

    /// Lets the embedded store answer this share of `GET` and `SET` with an error, or none of them.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn set_errors(&mut self, share: Option<Share>) -> Result<()> {
        ensure!(*self.start.kind == StoreKind::Embedded, "only the embedded store can answer errors by shares");
        let percent = |share: Share| format!("get={0}% set={0}%", 100.0 * share.0);
        self.admin.run(redis::cmd("CONFIG").arg("SET").arg("errors").arg(share.map(percent).unwrap_or_default()))
    }

    /// Ends its process at once, as a crash would.
    ///
    /// # Errors
    /// When it is not ours.
    pub fn kill(&mut self) -> Result<()> {
        let process = self.process.as_mut().context(NOT_OURS)?;
        Ok(kill_process(to_pid(process.pid()), Signal::KILL)?)
    }

    /// Begins a count of commands.
    ///
    /// # Errors
    /// What the store says.
    pub fn reset_counts(&mut self) -> Result<()> {
        self.admin.run(redis::cmd("CONFIG").arg("RESETSTAT"))
    }

    /// What the store measured of its delays since the last [`reset_counts`](Self::reset_counts), by command.
    ///
    /// # Errors
    /// What the store says.
    pub fn delay_reports(&mut self) -> Result<BTreeMap<String, DelayReport>> {
        let info = self.admin.info("delays")?;
        Ok(info
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("delay_")?.to_owned(), delay_report(&value)?)))
            .collect())
    }

    /// Stops it, if we started it.
    pub fn stop_for_good(mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
    }
}

/// The commands that are work: all but those that the harness and connecting clients send.
pub fn work_counts(counts: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let is_work = |name: &str| {
        let family = name.split('|').next().unwrap_or(name);
        !HANDSHAKES.contains(&family) && !OWN.contains(&family)
    };
    counts.iter().filter(|(name, _)| is_work(name)).map(|(name, n)| (name.clone(), *n)).collect()
}

fn delay_report(value: &str) -> Option<DelayReport> {
    let field = |name: &str| value.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    Some(DelayReport { mean_us: field("mean_us")?, late_us_p99: field("late_us_p99")? })
}

type Started = (Option<Process>, Vec<String>, String, Admin);

fn start_process(start: &StoreStart) -> Result<Started> {
    let mut last_error = None;
    for _ in 0..PORT_TRIES {
        let port = free_port()?;
        let command = store_command(start, port);
        match launch(start, &command, port) {
            Ok((process, admin)) => return Ok((Some(process), command, url_of(port), admin)),
            Err(error) if error.is::<crate::interrupt::Interrupted>() => return Err(error),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.context("no attempt was made")?)
}

fn url_of(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// A port nobody listens on at this moment.
///
/// # Errors
/// When the kernel has none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn store_command(start: &StoreStart, port: u16) -> Vec<String> {
    let max = start.max_connections.to_string();
    let words: Vec<String> = match start.kind {
        StoreKind::Embedded => {
            let program = start.bin.join("fake-redis").display().to_string();
            vec![program, "--listen".into(), format!("127.0.0.1:{port}"), "--max-connections".into(), max]
        }
        // No persistence and one I/O thread: what is measured is the server in front of it.
        _ => ["redis-server", "--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            .into_iter()
            .chain(["--io-threads", "1", "--maxclients", &max, "--tcp-backlog", "4096", "--daemonize", "no"])
            .map(str::to_owned)
            .collect(),
    };
    words
}

fn launch(start: &StoreStart, command: &[String], port: u16) -> Result<(Process, Admin)> {
    let no_env = BTreeMap::new();
    let how = Start { command, env: &no_env, cwd: start.cwd, cpus: start.cpus, log: start.log.clone() };
    set_aside(&start.log)?;
    let mut process = Process::start(&how, start.guard).map_err(|error| match start.kind {
        StoreKind::Spawn => error.context("--redis spawn needs redis-server (Debian: apt-get install redis-server)"),
        _ => error,
    })?;
    let url = url_of(port);
    let admin = start.interrupt.poll_until(READY_AT_MOST, || {
        if let Some(status) = process.exit_status()? {
            bail!("the store ended with {status} before it answered: {}", process.log_tail());
        }
        // Somebody else may have taken the port in the meantime: only our own child will do.
        let ours = |admin: &mut Admin| admin.process_id().is_ok_and(|pid| pid == process.pid());
        Ok(Admin::connect(&url).ok().and_then(|mut admin| ours(&mut admin).then_some(admin)))
    })?;
    let admin =
        admin.with_context(|| format!("the store did not answer within {READY_AT_MOST:?}: {}", process.log_tail()))?;
    Ok((process, admin))
}

/// Keeps the log of a store that was started before: it may say why that one died. `store.log` becomes `store.log.1`.
fn set_aside(log: &Path) -> Result<()> {
    if !log.exists() {
        return Ok(());
    }
    let numbered = |n: u32| PathBuf::from(format!("{}.{n}", log.display()));
    let free = (1..).map(numbered).find(|path| !path.exists()).context("there is a number that is not used")?;
    std::fs::rename(log, &free).with_context(|| format!("cannot keep {}", log.display()))
}

fn key(n: u32) -> String {
    format!("cache:{n}")
}

impl StoreControl for Store<'_> {
    fn deny(&mut self, commands: &[&str]) -> Result<()> {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("default");
        for name in commands {
            command.arg(format!("-{name}"));
        }
        self.admin.run(&command)
    }

    fn allow_all(&mut self) -> Result<()> {
        self.admin.run(redis::cmd("ACL").arg("SETUSER").arg("default").arg("+@all"))
    }

    fn pause(&mut self, duration: Duration) -> Result<()> {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.admin.run(redis::cmd("CLIENT").arg("PAUSE").arg(ms).arg("ALL"))
    }

    fn forget_keys(&mut self) -> Result<()> {
        match self.start.kind {
            StoreKind::Url(_) => self.admin.keys_in_batches(|pipeline, n| {
                pipeline.del(key(n)).ignore();
            }),
            _ => self.admin.run(&redis::cmd("FLUSHALL")),
        }
    }

    fn load_keys(&mut self) -> Result<()> {
        let value = vec![b'x'; VALUE_BYTES];
        self.admin.keys_in_batches(|pipeline, n| {
            pipeline.set(key(n), &value).ignore();
        })
    }

    fn value_lengths(&mut self) -> Result<BTreeMap<String, usize>> {
        let mut lengths = BTreeMap::new();
        for first in (0..KEYS).step_by(LOAD_BATCH as usize) {
            let names: Vec<String> = (first..(first + LOAD_BATCH).min(KEYS)).map(key).collect();
            let values: Vec<Option<Vec<u8>>> = self.admin.connection.mget(&names)?;
            lengths.extend(names.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?.len()))));
        }
        Ok(lengths)
    }

    fn command_counts(&mut self) -> Result<BTreeMap<String, u64>> {
        let stats = self.admin.info("commandstats")?;
        let calls = |value: &str| value.split(',').find_map(|pair| pair.strip_prefix("calls=")?.parse().ok());
        Ok(stats.into_iter().filter_map(|(k, v)| Some((k.strip_prefix("cmdstat_")?.to_owned(), calls(&v)?))).collect())
    }

    fn kill_connections(&mut self) -> Result<()> {
        self.admin.run(redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes"))
    }

    fn stop(&mut self) -> Result<()> {
        self.process.as_mut().context(NOT_OURS)?.stop();
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        let port =
            self.url.rsplit(':').next().and_then(|port| port.parse().ok()).context("the store's URL has a port")?;
        // The old process must be gone before its port and its log are used again.
        if let Some(mut old) = self.process.take() {
            old.stop();
        }
        let (process, admin) = launch(&self.start, &self.command, port)?;
        (self.process, self.admin) = (Some(process), admin);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
