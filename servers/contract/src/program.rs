//! What every server's `main` does: parse, check, listen, run.

use std::{
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    thread,
};

use anyhow::{Context, Result, anyhow};
use clap::{CommandFactory, FromArgMatches, Parser, error::ErrorKind};

use crate::{
    alloc::ALLOCATOR,
    keys,
    limits::{self, DESCRIPTORS_PER_WORKER, SPARE_DESCRIPTORS},
    listener,
    settings::{self, BOTH, Client, Setting},
    shutdown::Shutdown,
};

/// Exit code of a server that breaks while it serves; for threads that cannot return from `run`.
pub const EXIT_BROKEN: u8 = 1;

/// Exit code of everything that keeps a server from starting: bad arguments, a busy port, too few descriptors.
const EXIT_USAGE: u8 = 2;

/// Workers, threads or connections: more than this is a typing error. It also keeps sums of them far from overflowing.
const MOST: i64 = 1_000_000;

static LOCKED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/locked.rs"));

/// A server, as its users see it.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name: `stack-…`.
    pub name: &'static str,
    /// Its own version.
    pub version: &'static str,
    /// The libraries that make it what it is, named in `--version` with the versions it was built with.
    pub libraries: &'static [&'static str],
    /// Whether it can run without a store.
    pub store: NeedsStore,
}

/// Whether a server can run without a store.
#[derive(Debug, Clone, Copy)]
pub enum NeedsStore {
    /// It must be given `--redis`. The store need not be there yet when the server starts.
    Yes,
    /// As `Yes`, but its client cannot be made to keep all the settings that the others share. These it has instead.
    YesExcept(fn() -> Vec<Setting>),
    /// As `Yes`, but both modes have the same client.
    YesOnly(Client),
    /// It answers from memory; `--redis` is ignored.
    No,
}

/// The arguments common to all servers.
#[derive(Debug, Clone, Parser)]
pub struct Args {
    /// Where to listen; port 0 takes a free one, which the first line of output then names
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,

    /// The store, as `redis://[user:password@]HOST:PORT[/DB]`
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,

    /// Threads that serve, and multiplexed store connections [default: the CPUs this process may use]
    #[arg(long, value_name = "N", value_parser = number(), default_value_t = cpus(), hide_default_value = true)]
    pub workers: u32,

    /// Threads that may block on the store, each with a store connection of its own
    #[arg(long, value_name = "N", value_parser = number(), default_value_t = 16)]
    pub pool: u32,

    /// Connections served at once; more wait in the listener's backlog
    #[arg(long, value_name = "N", value_parser = number(), default_value_t = 10_000)]
    pub max_connections: u32,
}

impl Args {
    /// The store's URL. Not for programs whose [`Program::store`] is [`NeedsStore::No`].
    ///
    /// # Errors
    /// When none was given.
    pub fn redis(&self) -> Result<&str> {
        self.redis.as_deref().ok_or_else(|| anyhow!("this server needs a store: give it --redis redis://HOST:PORT"))
    }

    /// Descriptors this server may need at once.
    fn descriptors(&self) -> u64 {
        let workers = DESCRIPTORS_PER_WORKER * u64::from(self.workers);
        u64::from(self.max_connections) + u64::from(self.pool) + workers + SPARE_DESCRIPTORS
    }
}

/// At least one, and no typing error.
fn number() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=MOST)
}

/// CPUs this process may use: its affinity mask and its cgroup's quota.
fn cpus() -> u32 {
    thread::available_parallelism().ok().and_then(|cpus| u32::try_from(cpus.get()).ok()).unwrap_or(1)
}

impl Program {
    /// Parses the arguments, raises the limit of open files, listens and runs. Whatever goes wrong is one message on
    /// standard error, and exit code 2 if the server was not yet announced, else 1; a server that was asked to stop
    /// ends with 0.
    pub fn main(self, run: impl FnOnce(&Args, TcpListener, Shutdown) -> Result<()>) -> ExitCode {
        let args = match self.parse(std::env::args_os()) {
            Ok(args) => args,
            Err(error) => error.exit(),
        };
        match self.start(&args, run) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error:#}", self.name);
                ExitCode::from(if listener::announced() { EXIT_BROKEN } else { EXIT_USAGE })
            }
        }
    }

    fn start(self, args: &Args, run: impl FnOnce(&Args, TcpListener, Shutdown) -> Result<()>) -> Result<()> {
        limits::raise_nofile(args.descriptors()).context("for --max-connections and --pool")?;
        keys::prepare();
        // Before the listener, so that a signal that comes as soon as we are seen is not missed.
        let shutdown = Shutdown::on_signals().context("cannot catch signals")?;
        run(args, listener::bind(args.listen)?, shutdown)
    }

    fn parse<I: IntoIterator<Item = std::ffi::OsString>>(self, words: I) -> Result<Args, clap::Error> {
        // Once in the life of the program, and clap wants a text that lives as long.
        let version: &'static str = self.version_text().leak();
        let mut command = Args::command().name(self.name).version(version);
        let matches = command.try_get_matches_from_mut(words)?;
        let args = Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        if !matches!(self.store, NeedsStore::No)
            && let Err(error) = args.redis()
        {
            return Err(command.error(ErrorKind::MissingRequiredArgument, error));
        }
        Ok(args)
    }

    /// What `--version` prints after the name: `0.1.0 (hyper 1.12.0, tokio 1.54.1; mimalloc)`, and for a server with a
    /// store the settings of its client, a line each.
    fn version_text(self) -> String {
        let libraries: Vec<_> = self.libraries.iter().map(|name| format!("{name} {}", locked_version(name))).collect();
        let libraries = libraries.join(", ");
        let separator = if libraries.is_empty() { "" } else { "; " };
        let settings = match self.store {
            NeedsStore::Yes => format!("\n{}", settings::lines(BOTH, Vec::new())),
            NeedsStore::YesExcept(own) => format!("\n{}", settings::lines(BOTH, own())),
            NeedsStore::YesOnly(client) => format!("\n{}", settings::lines(&[client], Vec::new())),
            NeedsStore::No => String::new(),
        };
        format!("{} ({libraries}{separator}{ALLOCATOR}){settings}", self.version)
    }
}

/// The version of a library in the lock file this program was built from; `?` if it is not there. Where the workspace
/// holds several, all are named, because the lock file does not say which one a program got.
#[must_use]
pub fn locked_version(library: &str) -> String {
    let versions: Vec<_> = LOCKED.iter().filter(|(name, _)| *name == library).map(|(_, version)| *version).collect();
    if versions.is_empty() { "?".to_owned() } else { versions.join(" and ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program =
        Program { name: "stack-test", version: "0.1.0", libraries: &["clap"], store: NeedsStore::Yes };

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        PROGRAM.parse(["stack-test"].iter().chain(words).map(Into::into))
    }

    #[test]
    fn the_version_names_libraries_and_allocator_and_then_the_settings_of_the_store_client() {
        let text = PROGRAM.version_text();
        let mut lines = text.lines();
        let first = lines.next().unwrap();
        assert!(first.starts_with("0.1.0 (clap 4."), "{text}");
        assert!(first.ends_with(&format!("; {ALLOCATOR})")), "{text}");
        assert_eq!(lines.next(), Some("store response timeout: 5000 ms"));
        assert!(lines.all(|line| line.starts_with("store ") && line.contains(": ")), "{text}");
        let memory = Program { store: NeedsStore::No, ..PROGRAM };
        assert_eq!(memory.version_text(), first, "nothing to say of a store it does not have");
        assert_eq!(locked_version("no such crate"), "?");
    }

    #[test]
    fn a_server_that_needs_a_store_refuses_to_start_without_one() {
        let error = parse(&[]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--redis"), "{error}");
        let memory = Program { store: NeedsStore::No, ..PROGRAM };
        assert!(memory.parse(["stack-test".into()]).is_ok());
    }

    #[test]
    fn bad_arguments_are_named_and_end_with_2() {
        for words in [["--pool", "0"], ["--workers", "many"], ["--listen", "nowhere"], ["--speed", "11"]] {
            let error = parse(&[&["--redis", "redis://127.0.0.1"], &words[..]].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(words[0]), "{error}");
        }
    }
}
