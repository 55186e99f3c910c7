//! The guard: a process of ours that outlives the harness by a moment, to end whatever the harness has left running.
//!
//! A harness killed by `kill -9` cannot clean up. So it starts this guard first and keeps the write end of a pipe to it. The
//! kernel closes that end when the harness dies, however it dies; the guard then kills
//! - every process group it was told of (`+PGID` when a child starts, `-PGID` when it has been stopped), and
//! - every process whose environment carries this run's token: those that made a session of their own, or that were
//!   started in the instant before they could be announced.

use std::{
    collections::BTreeSet,
    env,
    io::{self, BufRead, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::strays;

/// The verb that makes this program the guard.
pub const VERB: &str = "guard";
/// The environment variable that marks a run's processes.
pub const TOKEN: &str = "STACKBENCH_RUN_TOKEN";
/// The environment variable that marks one child of a run and its descendants.
pub const CHILD: &str = "STACKBENCH_CHILD_TOKEN";

/// The harness's side: dropping it ends the guard in peace, if all groups were taken back.
#[derive(Debug, Clone)]
pub struct Guard {
    inner: Arc<Mutex<Inner>>,
    token: String,
}

#[derive(Debug)]
struct Inner {
    pipe: Option<ChildStdin>,
    child: Child,
    /// The process groups that are running.
    groups: BTreeSet<u32>,
}

impl Guard {
    /// Starts the guard process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start() -> Result<Self> {
        let token = format!("{}-{:x}", std::process::id(), rand::random::<u64>());
        let mut child = Command::new(env::current_exe().context("where is this program?")?)
            .args([VERB, &token])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the guard process")?;
        let pipe = child.stdin.take();
        Ok(Self { inner: Arc::new(Mutex::new(Inner { pipe, child, groups: BTreeSet::new() })), token })
    }

    /// The mark that children must carry in [`TOKEN`].
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A mark for one child, which it must carry in [`CHILD`]; no other has it.
    pub fn child_token(&self) -> String {
        static CHILDREN: AtomicU64 = AtomicU64::new(0);
        format!("{}.{}", self.token, CHILDREN.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts a child that leads a process group of its own, and says that this now exists.
    ///
    /// # Errors
    /// As `spawn`.
    pub fn launch(&self, spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
        // Held meanwhile, so that nobody takes it for a stray that has not been announced yet.
        let mut inner = self.lock();
        let child = spawn()?;
        inner.groups.insert(child.id());
        inner.tell('+', child.id());
        Ok(child)
    }

    /// Says that a process group is gone.
    pub fn release(&self, group: u32) {
        let mut inner = self.lock();
        inner.groups.remove(&group);
        inner.tell('-', group);
    }

    /// Ends the harness's children that nobody has started and that are younger than `since_ticks`; says who they were.
    pub fn end_adopted(&self, since_ticks: u64) -> Vec<String> {
        let inner = self.lock();
        let mut groups = inner.groups.clone();
        groups.insert(inner.child.id());
        strays::end_adopted(since_ticks, &groups, (TOKEN, &self.token))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tell(&mut self, sign: char, group: u32) {
        if let Some(pipe) = self.pipe.as_mut() {
            // A guard that is gone is told nothing; the run goes on without its protection.
            let _ = writeln!(pipe, "{sign}{group}");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.child.wait();
    }
}

/// The guard's whole life: listen until the pipe closes, then end what is left.
pub fn main(token: &str) {
    // Ctrl-C goes to the harness, which stops its children itself and then closes the pipe.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        let _ = signal_hook::flag::register(signal, Arc::default());
    }
    let mut groups: Vec<i32> = Vec::new();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        match line.split_at_checked(1) {
            Some(("+", group)) => groups.extend(group.parse::<i32>()),
            Some(("-", group)) => groups.retain(|g| Ok(*g) != group.parse::<i32>()),
            _ => {}
        }
    }
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    strays::end(TOKEN, token);
}
