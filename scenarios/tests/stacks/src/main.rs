//! Deliberately bad servers, so that the suite can show that it notices.
//!
//! Each is the same plain server, a thread for every connection, that does one thing wrong. `README.md` lists them with
//! what must name them.
//!
//! # Layout
//! - [`trap`]: which traps there are, and what each does to a request
//! - [`serve`]: accepting, and one connection's life
//! - [`store`]: a pool of store connections, waited for or not
//! - [`batch`]: requests that wait for each other
//! - [`burden`]: what a request is to cost client and store
//! - [`stall`]: a store that is stopped now and then

mod batch;
mod burden;
mod serve;
mod stall;
mod store;
mod trap;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use rustix::net;
use stack_contract::{Args, Shutdown, keys, limits, listener};

use serve::Server;
use stall::Stall;
use trap::Trap;

/// Exit code of what keeps a server from starting, as the contract has it.
const EXIT_USAGE: u8 = 2;
/// A line of [`Trap::Chatter`], and the time between two: eight megabytes a second, which fill any pipe at once and a
/// limited log within the shortest trial.
const CHATTER_BYTES: usize = 8 * 1024;
const CHATTER_INTERVAL: Duration = Duration::from_millis(1);
/// How long the child of [`Trap::Forks`] and [`Trap::LeaksPort`] sleeps: longer than any test, and not for ever should a test fail.
const CHILD_LIFETIME_S: &str = "300";

/// A deliberately bad server
#[derive(Debug, Parser)]
#[command(name = "stack-traps", version)]
struct TrapArgs {
    /// What it does wrong
    #[arg(long, value_name = "NAME")]
    trap: Trap,

    #[command(flatten)]
    common: Args,
}

fn main() -> ExitCode {
    let args = TrapArgs::parse();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stack-traps: {error:#}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn start(args: &TrapArgs) -> Result<()> {
    if args.trap == Trap::NoStart {
        eprintln!("stack-traps: this trap never starts");
        std::process::exit(1);
    }
    // Every connection takes one descriptor, and the pool as many again.
    let descriptors = u64::from(args.common.max_connections) + u64::from(args.common.pool) + limits::SPARE_DESCRIPTORS;
    limits::raise_nofile(descriptors).context("for --max-connections and --pool")?;
    keys::prepare();
    let shutdown = Shutdown::on_signals().context("cannot catch signals")?;
    let server = Arc::new(Server::new(args.trap, args.common.redis()?, args.common.pool as usize)?);
    let listener = match args.trap {
        Trap::SharesPort => bind_shared(args.common.listen)?,
        _ => listener::bind(args.common.listen)?,
    };
    match args.trap {
        Trap::Forks => fork(&listener, Group::Parents)?,
        Trap::LeaksPort => fork(&listener, Group::Own)?,
        Trap::Chatter => drop(thread::spawn(chatter)),
        Trap::Babbles => babble(),
        _ => {}
    }
    let stall = (args.trap == Trap::StallsStore).then(|| Stall::begin(args.common.redis()?)).transpose()?;
    let served = serve::run(&server, listener, &shutdown);
    stall.iter().for_each(Stall::end);
    served
}

/// Which process group a child is in.
#[derive(PartialEq, Eq)]
enum Group {
    Parents,
    Own,
}

/// Starts a child that holds the listening socket as its standard input and outlives its parent.
fn fork(listener: &TcpListener, group: Group) -> Result<()> {
    let held = std::os::fd::OwnedFd::from(listener.try_clone()?);
    let mut command = Command::new("sleep");
    command.arg(CHILD_LIFETIME_S).stdin(Stdio::from(held)).stdout(Stdio::null());
    if group == Group::Own {
        command.process_group(0).stderr(Stdio::null());
    }
    command.spawn().context("cannot start `sleep`")?;
    Ok(())
}

/// Listens where another process may listen already, if that allows it too.
fn bind_shared(address: SocketAddr) -> Result<TcpListener> {
    let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None)?;
    net::sockopt::set_socket_reuseport(&socket, true)?;
    net::bind(&socket, &address).with_context(|| format!("cannot share {address}"))?;
    net::listen(&socket, limits::BACKLOG)?;
    Ok(socket.into())
}

/// Fills standard output, and with it a log that knows no bounds, for ever.
fn babble() {
    while write!(std::io::stdout(), "babble ").is_ok() {}
}

fn chatter() {
    let line = "chatter ".repeat(CHATTER_BYTES / "chatter ".len());
    // A closed pipe ends the chatter, not the server.
    while writeln!(std::io::stderr(), "{line}").is_ok() {
        thread::sleep(CHATTER_INTERVAL);
    }
}
