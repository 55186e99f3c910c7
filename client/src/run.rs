//! A run: threads, edges of the window, signals.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use thiserror::Error;

use crate::cli::Options;
use crate::clock::{now_ns, timespec, unix_us};
use crate::engine::hooks::{HookError, Hooks};
use crate::engine::{Edges, EventLoop, LoopError, LoopOutcome, Plan, Role};
use crate::live::Live;
use crate::others::Census;
use crate::outcome::{self, Outcome, Window};
use crate::process::{Scope, Tree};
use crate::procfs;
use crate::result::{CpuTicks, ProcessUsage, TreeUsage};
use crate::units::NS_PER_S;

/// Descriptors beside the connections: standard streams, one poller a thread, files of /proc being read, libraries.
const SPARE_DESCRIPTORS: u64 = 64;

/// The slow readings of process trees begin this long before the window opens, or at half the warm-up if that is
/// shorter.
const PREPARE_NS: u64 = 200_000_000;

/// Why a run could not start. The texts are wrk's where wrk has one.
#[derive(Debug, Error)]
pub enum RunError {
    /// The name has no address.
    #[error("unable to resolve {0}:{1} {2}")]
    Resolve(String, String, String),
    /// No address accepts a connection.
    #[error("unable to connect to {0}:{1} {2}")]
    Connect(String, String, String),
    /// `--watch-tree` names a process that is not there.
    #[error("stackload: --watch-tree {0}={1}: {2}")]
    Watch(String, u32, io::Error),
    /// The limit of open files is too low.
    #[error(
        "stackload: {0} connections need {1} file descriptors, but the hard limit is {2}: \
         raise it (ulimit -Hn) or lower -c"
    )]
    Descriptors(u32, u64, u64),
    /// The kernel refused a thread.
    #[error("unable to create thread {0}: {1}")]
    Thread(u32, io::Error),
    /// The kernel refused something else.
    #[error("stackload: {0}: {1}")]
    Kernel(&'static str, io::Error),
    /// A hook failed.
    #[error(transparent)]
    Hook(#[from] HookError),
}

impl From<LoopError> for RunError {
    fn from(error: LoopError) -> Self {
        match error {
            LoopError::Kernel(error) => Self::Kernel("waiting for events", error),
            LoopError::Hook(error) => Self::Hook(error),
        }
    }
}

/// What a shell reports for a process that SIGTERM ended.
pub const EXIT_TERMINATED: i32 = 128 + 15;

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In its own time, or by SIGINT, which wrk treats alike.
    Regular,
    /// By SIGTERM.
    Terminated,
}

/// Raises the soft limit of open files as far as `connections` need it.
pub fn raise_descriptor_limit(connections: u32, threads: u32) -> Result<(), RunError> {
    let needed = u64::from(connections) + u64::from(threads) + SPARE_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let highest = limit.maximum.unwrap_or(u64::MAX);
    if highest < needed {
        return Err(RunError::Descriptors(connections, needed, highest));
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised)
        .map_err(|error| RunError::Kernel("raising the limit of open files", error.into()))
}

/// Signals, as something to wait for.
#[derive(Debug)]
pub struct Signals {
    pipe: UnixStream,
    writer: Arc<UnixStream>,
    terminated: Arc<AtomicBool>,
}

impl Signals {
    /// From now on SIGINT and SIGTERM end the run instead of the process.
    pub fn catch() -> Result<Self, RunError> {
        let install = || -> io::Result<Self> {
            let terminated = Arc::new(AtomicBool::new(false));
            // The second one ends the process: a script may never come back. Registered first, so that it sees what the
            // first one has left.
            signal_hook::flag::register_conditional_shutdown(SIGTERM, EXIT_TERMINATED, Arc::clone(&terminated))?;
            signal_hook::flag::register(SIGTERM, Arc::clone(&terminated))?;
            let (pipe, writer) = UnixStream::pair()?;
            signal_hook::low_level::pipe::register(SIGTERM, writer.try_clone()?)?;
            signal_hook::low_level::pipe::register(SIGINT, writer.try_clone()?)?;
            Ok(Self { pipe, writer: Arc::new(writer), terminated })
        };
        install().map_err(|error| RunError::Kernel("catching signals", error))
    }

    /// Signals stay what they are; only an alarm ends a sleep.
    pub fn none() -> Result<Self, RunError> {
        let (pipe, writer) = UnixStream::pair().map_err(|error| RunError::Kernel("creating a pipe", error))?;
        Ok(Self { pipe, writer: Arc::new(writer), terminated: Arc::default() })
    }

    /// What a thread holds while it works: if that ends in an error or a panic, the main thread's sleep ends too.
    fn alarm(&self) -> Alarm {
        Alarm { writer: Arc::clone(&self.writer), is_armed: true }
    }

    /// Sleeps until an instant; true if a signal or an alarm came before it.
    fn sleep_until(&mut self, due_ns: u64) -> bool {
        loop {
            let now = now_ns();
            if now >= due_ns {
                return false;
            }
            let mut descriptors = [PollFd::new(&self.pipe, PollFlags::IN)];
            if let Ok(1..) = poll(&mut descriptors, Some(&timespec(due_ns - now))) {
                // Each signal cuts one sleep short; the caller does not sleep again after the first.
                let _ = self.pipe.read(&mut [0; 1]);
                return true;
            }
        }
    }

    fn ending(&self) -> Ending {
        if self.terminated.load(Ordering::Relaxed) { Ending::Terminated } else { Ending::Regular }
    }
}

/// Wakes the main thread when it is dropped, unless it was disarmed.
#[derive(Debug)]
struct Alarm {
    writer: Arc<UnixStream>,
    is_armed: bool,
}

impl Alarm {
    fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if self.is_armed {
            ring(&self.writer);
        }
    }
}

/// Ends the main thread's sleep.
fn ring(mut writer: &UnixStream) {
    // It can fail only if the pipe is full of other reasons to wake.
    let _ = writer.write(&[0]);
}

/// What was read as the window opened.
struct Opening {
    at_ns: u64,
    unix_us: u64,
    cpus: Vec<CpuTicks>,
}

/// The processes whose cost is read at the edges.
struct Accounts {
    client: Tree,
    watched: Vec<(String, Tree)>,
    everybody: Census,
}

impl Accounts {
    fn prepare(watch: &[(String, u32)]) -> Result<Self, RunError> {
        let own = std::process::id();
        let client = Tree::find(own, Scope::Alone).map_err(|error| RunError::Kernel("reading /proc", error))?;
        let find = |(name, pid): &(String, u32)| match Tree::find(*pid, Scope::WithDescendants) {
            Ok(tree) => Ok((name.clone(), tree)),
            Err(error) => Err(RunError::Watch(name.clone(), *pid, error)),
        };
        let watched = watch.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Self { client, watched, everybody: Census::take() })
    }

    /// Opens the window: clocks first, then the edge, then what counts in ticks of 10 ms anyway.
    fn open(&mut self, edges: &Edges) -> Opening {
        self.trees().for_each(Tree::read_clocks_at_open);
        let at_ns = now_ns();
        edges.open(at_ns);
        let unix_us = unix_us();
        let cpus = procfs::cpus();
        self.trees().for_each(Tree::read_ticks_at_open);
        Opening { at_ns, unix_us, cpus }
    }

    /// What the client and each watched tree used. Slow: call it after the window has closed.
    fn usage(&self) -> (ProcessUsage, BTreeMap<String, TreeUsage>) {
        let watched = self.watched.iter().map(|(name, tree)| (name.clone(), tree.usage())).collect();
        (self.client.usage().total, watched)
    }

    /// Adds what they hold now. Slowest of all, hence after everything whose size depends on when it is read.
    fn add_pss(&self, client: &mut ProcessUsage, watched: &mut BTreeMap<String, TreeUsage>) {
        client.pss_bytes = self.client.pss_bytes();
        for (name, tree) in &self.watched {
            watched.entry(name.clone()).and_modify(|usage| usage.total.pss_bytes = tree.pss_bytes());
        }
    }

    /// CPU seconds of everybody else in the window. Slow: call it after the window has closed.
    fn others_cpu_s(&self, window_ns: u64) -> f64 {
        let ours = self.watched.iter().flat_map(|(_, tree)| tree.pids()).chain([std::process::id()]).collect();
        Census::others_cpu_s(&self.everybody, &Census::take(), &ours, window_ns)
    }

    fn trees(&mut self) -> impl Iterator<Item = &mut Tree> {
        self.watched.iter_mut().map(|(_, tree)| tree).chain([&mut self.client])
    }
}

/// Threads under way, and how to end them.
struct Crew {
    edges: Arc<Edges>,
    wake: Arc<OwnedFd>,
    /// Held while processes are read: the client's threads and connections stay until it is free.
    gate: Arc<Mutex<()>>,
    threads: Vec<JoinHandle<Result<LoopOutcome, LoopError>>>,
}

impl Crew {
    fn start(
        plan: &Arc<Plan>,
        roles: Vec<Role>,
        edges: Edges,
        start_ns: u64,
        signals: &Signals,
    ) -> Result<Self, RunError> {
        let kernel = |error: rustix::io::Errno| RunError::Kernel("creating an event descriptor", error.into());
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(kernel)?);
        let mut crew = Self { edges: Arc::new(edges), wake, gate: Arc::default(), threads: Vec::new() };
        let working = Arc::new(AtomicU32::new(plan.threads));
        for (number, role) in (0..plan.threads).zip(roles) {
            let (working, writer) = (Arc::clone(&working), Arc::clone(&signals.writer));
            let (plan, edges, wake) = (Arc::clone(plan), Arc::clone(&crew.edges), Arc::clone(&crew.wake));
            let (gate, alarm) = (Arc::clone(&crew.gate), signals.alarm());
            let body = move || {
                // Connection starts and back-offs are due to the microsecond; the default slack is 50 of them.
                let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
                let event_loop = EventLoop::new(&plan, &edges, role, number, start_ns, wake.as_fd())?;
                // The last loop that has nothing left to do ends the run.
                let spent = || {
                    if working.fetch_sub(1, Ordering::AcqRel) == 1 {
                        ring(&writer);
                    }
                };
                let (outcome, open) = event_loop.run(start_ns, spent)?;
                alarm.disarm();
                drop(gate.lock());
                drop(open);
                Ok(outcome)
            };
            match thread::Builder::new().name(format!("loop-{number}")).spawn(body) {
                Ok(thread) => crew.threads.push(thread),
                Err(error) => {
                    crew.edges.close(0);
                    return Err(RunError::Thread(number, error));
                }
            }
        }
        Ok(crew)
    }

    /// Closes the window and wakes the loops that have nothing to do.
    fn close(&self, close_ns: u64) {
        self.edges.close(close_ns);
        // The counter cannot overflow from a single 1, and a loop only needs to see it readable.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn join(self) -> Result<Vec<LoopOutcome>, RunError> {
        let join = |thread: JoinHandle<Result<LoopOutcome, LoopError>>| match thread.join() {
            Ok(outcome) => outcome.map_err(RunError::from),
            Err(panic) => std::panic::resume_unwind(panic),
        };
        self.threads.into_iter().map(join).collect()
    }
}

/// The window opens so long before the open loop's first request is due: waking up takes its time.
const EARLY_NS: u64 = 2_000_000;

/// How long after the end of a second it is shown: the loops have handed it over by then, which they do every 100 ms.
const SHOWN_AFTER_NS: u64 = 200_000_000;

/// Sleeps until the window is over, or a signal; shows each second to whoever looks on.
fn watch(live: Option<&Live>, signals: &mut Signals, open_ns: u64, duration_ns: u64) {
    let end_ns = open_ns + duration_ns;
    if let Some(live) = live {
        for number in 0..duration_ns / NS_PER_S {
            let shown_ns = open_ns + (number + 1) * NS_PER_S + SHOWN_AFTER_NS;
            if shown_ns >= end_ns {
                break;
            }
            if signals.sleep_until(shown_ns) {
                return live.clear();
            }
            live.show(number as usize);
        }
        signals.sleep_until(end_ns);
        return live.clear();
    }
    signals.sleep_until(end_ns);
}

/// What a run brought home.
#[derive(Debug)]
pub struct Finished {
    /// Its account.
    pub outcome: Outcome,
    /// How it came to its end.
    pub ending: Ending,
    /// The hooks of the loops, in their order.
    pub hooks: Vec<Option<Box<dyn Hooks>>>,
}

/// Runs the load: warm-up, window, end. There is a role for each thread; `started` is called when all of them run.
pub fn run(
    plan: &Arc<Plan>,
    roles: Vec<Role>,
    options: &Options,
    signals: &mut Signals,
    started: impl FnOnce(),
) -> Result<Finished, RunError> {
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let mut accounts = Accounts::prepare(&options.watch)?;
    let edges = Edges::new();
    let mut opening = None;
    let start_ns = now_ns();
    let before_ns = options.warmup_ns + plan.lead_ns().saturating_sub(EARLY_NS);
    if before_ns == 0 {
        // The window opens before the first connection does.
        opening = Some(accounts.open(&edges));
    }
    let crew = Crew::start(plan, roles, edges, start_ns, signals)?;
    started();
    let mut interrupted = false;
    let opening = match opening {
        Some(opening) => opening,
        None => {
            let due_ns = start_ns + before_ns;
            interrupted = signals.sleep_until(due_ns - PREPARE_NS.min(before_ns / 2));
            accounts = Accounts::prepare(&options.watch).unwrap_or(accounts);
            interrupted = interrupted || signals.sleep_until(due_ns);
            accounts.open(&crew.edges)
        }
    };
    if !interrupted {
        watch(plan.live.as_ref(), signals, opening.at_ns, options.duration_ns);
    }
    let gate = Arc::clone(&crew.gate);
    let guard = gate.lock();
    accounts.trees().for_each(Tree::read_clocks_at_close);
    let close_ns = now_ns();
    crew.close(close_ns);
    let cpus = procfs::cpus_between(&opening.cpus, &procfs::cpus());
    let (mut client, mut watched) = accounts.usage();
    let others_cpu_s = accounts.others_cpu_s(close_ns.saturating_sub(opening.at_ns));
    accounts.add_pss(&mut client, &mut watched);
    drop(guard);
    let loops = crew.join()?;
    let (open_ns, opened_unix_us) = (opening.at_ns, opening.unix_us);
    let window = Window { open_ns, close_ns, opened_unix_us, client, watched, others_cpu_s, cpus };
    let outcome = Outcome::new(&loops, window, plan.timeout_ns);
    Ok(Finished { outcome, ending: signals.ending(), hooks: outcome::hooks(loops) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_fails_ends_the_sleep_of_the_main_thread() {
        let mut signals = Signals::catch().unwrap();
        signals.alarm().disarm();
        assert!(!signals.sleep_until(now_ns() + 1_000_000));
        let alarm = signals.alarm();
        let failing = thread::spawn(move || {
            let _alarm = alarm;
            std::panic::resume_unwind(Box::new("as an event loop might"));
        });
        let begin_ns = now_ns();
        assert!(signals.sleep_until(begin_ns + 3600 * NS_PER_S));
        assert!(failing.join().is_err());
    }
}
