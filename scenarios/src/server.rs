//! A server under test: started, found ready, stopped.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Signal, kill_process};

use crate::{
    guard::{CHILD, Guard},
    interrupt::{Interrupt, to_pid},
    listeners, placement,
    process::{Process, Start, Stopped, shortened},
    stack::{Placeholders, Stack},
    store::free_port,
    wire::Connection,
};

/// From the start of the process to the first good answer; generous to servers of many processes on a busy machine.
const READY_AT_MOST: Duration = Duration::from_secs(15);
/// The route that does nothing.
pub(crate) const CHECK: &str = "/check";
/// What the first line of a Rust server's stdout says before the address.
const LISTENING_ON: &str = "listening on ";
/// On loopback a port refuses at once if nobody listens, and says nothing if somebody does whose queue is full.
const PORT_AT_MOST: Duration = Duration::from_secs(1);
/// So much of a first line that is none is quoted.
const FIRST_LINE_CHARS: usize = 80;
/// The deviation of a Rust stack that cannot be given port 0, or does not say which port it was given.
pub const TAKES_PORT_0: &str = "takes_port_0";
/// A program that cannot tell its version by then is not asked again.
const VERSION_AT_MOST: Duration = Duration::from_secs(10);

/// A server that ended before it served.
#[derive(Debug, thiserror::Error)]
#[error("the server ended with {status} before {before}: {said}")]
pub struct EndedEarly {
    /// How it ended.
    pub status: ExitStatus,
    before: String,
    /// The last lines it printed.
    pub said: String,
}

/// What starting a server takes.
#[derive(Debug)]
pub struct ServerStart<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// The values of its placeholders; `listen` is chosen here.
    pub placeholders: Placeholders,
    /// CPUs it may use; empty for those of the harness.
    pub cpus: &'a [u32],
    /// Where its log goes.
    pub log: PathBuf,
    /// The guard.
    pub guard: &'a Guard,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

/// A server that answers.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its command line.
    pub command: Vec<String>,
    /// From the start of its process to its first good answer, but for the time in which the harness looked who listens. It
    /// is asked every 2 ms, so much may be too much.
    pub cold_start: Duration,
}

impl Server {
    /// Starts a server and waits until its check route answers 200.
    ///
    /// # Errors
    /// In one sentence: what it did instead, and the last lines of its log.
    pub fn start(start: ServerStart) -> Result<Self> {
        let announces = announces(start.stack);
        let port = if announces { 0 } else { free_port()? };
        let asked = SocketAddr::from(([127, 0, 0, 1], port));
        let placeholders = Placeholders { listen: asked.to_string(), ..start.placeholders };
        let command = placeholders.command(&start.stack.run);
        let began = Instant::now();
        let mut process = Process::start(
            &Start {
                command: &command,
                env: &start.stack.env,
                cwd: &placeholders.root,
                cpus: start.cpus,
                log: start.log,
            },
            start.guard,
        )
        .with_context(|| start.stack.how_to_get())?;
        let addr = if announces { announced(&mut process, start.interrupt)? } else { asked };
        let looking = Instant::now();
        if announces {
            // Before the first request: a stranger might never answer it.
            alone_at(&process, addr)?;
        }
        let looked = looking.elapsed();
        wait_ready(&mut process, addr, start.interrupt)?;
        let cold_start = began.elapsed().saturating_sub(looked);
        alone_at(&process, addr)?;
        Ok(Self { process, addr, command, cold_start })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Why it is no longer there, if it is not.
    pub fn death(&mut self) -> Option<String> {
        let status = self.process.exit_status().ok()??;
        Some(format!("the server ended with {status}: {}", self.process.log_tail()))
    }

    /// Asks it to stop (SIGTERM), and does not wait until it has.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn terminate(&mut self) -> Result<()> {
        if let Some(death) = self.death() {
            bail!("{death}");
        }
        Ok(kill_process(to_pid(self.pid()), Signal::TERM)?)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it takes longer.
    pub fn wait(&mut self, interrupt: &Interrupt, at_most: Duration) -> Result<ExitStatus> {
        self.process.wait(interrupt, at_most)
    }

    /// Stops it as the contract has it, and makes sure that nothing of it is left.
    ///
    /// # Errors
    /// In one sentence: what it did instead of stopping.
    pub fn stop(mut self) -> Result<()> {
        let tail = |process: &Process| process.log_tail();
        match self.process.stop() {
            Stopped::AsAsked(status) if !status.success() => {
                bail!("the server answered SIGTERM with {status} instead of exit code 0: {}", tail(&self.process))
            }
            Stopped::AsAsked(_) => {}
            Stopped::BeforeAsked(status) => bail!("the server ended by itself with {status}: {}", tail(&self.process)),
            Stopped::Killed => bail!("the server ignored SIGTERM and had to be killed"),
        }
        self.nothing_is_left()
    }

    /// Ends it, however it takes that, and makes sure that nothing of it is left.
    ///
    /// # Errors
    /// In one sentence: what is left.
    pub fn end(mut self) -> Result<()> {
        self.process.stop();
        self.nothing_is_left()
    }

    /// No process outside its group, and nobody at its port.
    fn nothing_is_left(&self) -> Result<()> {
        let strays = self.process.strays();
        ensure!(
            strays.is_empty(),
            "the server left processes behind outside its process group, which were killed: {}",
            strays.join(", ")
        );
        let refused = TcpStream::connect_timeout(&self.addr, PORT_AT_MOST).map_err(|error| error.kind());
        ensure!(
            matches!(refused, Err(io::ErrorKind::ConnectionRefused)),
            "something still listens on {} after the server has ended",
            self.addr
        );
        Ok(())
    }
}

/// A Rust server says which port the kernel gave it; others are told one that nobody listens on.
fn announces(stack: &Stack) -> bool {
    stack.language == "rust" && !stack.deviations.iter().any(|name| name == TAKES_PORT_0)
}

/// Makes sure that nobody else answers in the server's name.
fn alone_at(process: &Process, addr: SocketAddr) -> Result<()> {
    let SocketAddr::V4(addr) = addr else { return Ok(()) };
    match listeners::stranger(addr, process.pid(), (CHILD, process.token())) {
        Some(who) => {
            bail!("the server shares {addr} with {who}, which is none of its processes and would answer for it")
        }
        None => Ok(()),
    }
}

fn announced(process: &mut Process, interrupt: &Interrupt) -> Result<SocketAddr> {
    let line = interrupt.poll_until(READY_AT_MOST, || match process.first_line() {
        Some(line) if !line.is_empty() => Ok(Some(line)),
        // Stdout was closed without a line; the exit status follows at once, or the server is mute.
        _ => match process.exit_status()? {
            Some(status) => bail!(EndedEarly { status, before: "it listened".into(), said: process.log_tail() }),
            None => Ok(None),
        },
    })?;
    let line = line
        .with_context(|| format!("the server printed no address within {READY_AT_MOST:?}: {}", process.log_tail()))?;
    let addr = line.strip_prefix(LISTENING_ON).and_then(|addr| addr.parse().ok());
    addr.with_context(|| {
        let line = shortened(&line, FIRST_LINE_CHARS);
        format!("the server's first line is `{line}`, not `{LISTENING_ON}ADDR:PORT`")
    })
}

fn wait_ready(process: &mut Process, addr: SocketAddr, interrupt: &Interrupt) -> Result<()> {
    let mut last = String::from("no answer");
    let deadline = Instant::now() + READY_AT_MOST;
    let ready = interrupt.poll_until(READY_AT_MOST, || {
        if let Some(status) = process.exit_status()? {
            bail!(EndedEarly { status, before: format!("it answered {CHECK}"), said: process.log_tail() });
        }
        match get(addr, CHECK, deadline) {
            Ok(200) => Ok(Some(())),
            Ok(status) => {
                last = format!("status {status}");
                Ok(None)
            }
            Err(error) => {
                last = format!("{error:#}");
                Ok(None)
            }
        }
    })?;
    ready.with_context(|| {
        format!("{CHECK} did not answer 200 within {READY_AT_MOST:?} ({last}): {}", process.log_tail())
    })
}

fn get(addr: SocketAddr, target: &str, deadline: Instant) -> Result<u16> {
    let mut connection = Connection::open(addr, deadline)?;
    connection.send(request_bytes("GET", target, addr, &[]))?;
    Ok(connection.answer()?.status)
}

/// The bytes of a request without a body, with `Host` first as the load client sends it.
pub fn request_bytes(method: &str, target: &str, host: SocketAddr, headers: &[(String, String)]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")
}

/// What a stack says of its version; no version, no measurement.
///
/// # Errors
/// When its version command cannot be run, fails or prints nothing.
pub fn version(
    stack: &Stack,
    placeholders: &Placeholders,
    log: &Path,
    guard: &Guard,
    interrupt: &Interrupt,
) -> Result<String> {
    let command = placeholders.command(&stack.version);
    let how = Start { command: &command, env: &stack.env, cwd: &placeholders.root, cpus: &[], log: log.to_owned() };
    let mut process = Process::start(&how, guard).with_context(|| stack.how_to_get())?;
    let status = process.wait(interrupt, VERSION_AT_MOST)?;
    let line = interrupt.poll_until(VERSION_AT_MOST, || Ok(process.first_line()))?.unwrap_or_default();
    ensure!(status.success(), "`{}` ended with {status}: {}", command.join(" "), process.log_tail());
    ensure!(!line.is_empty(), "`{}` printed no version", command.join(" "));
    Ok(line)
}

/// Runs a short command of this machine and returns what it printed, trimmed; nothing if it failed.
pub fn ask(program: &str, arguments: &[&str], cwd: &Path) -> Option<String> {
    let output =
        placement::on_cpus(&[], || Command::new(program).args(arguments).current_dir(cwd).output()).ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
