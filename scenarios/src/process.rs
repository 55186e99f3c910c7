//! Children: started in a process group of their own on the CPUs they are given, logged, watched and stopped for certain.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{
        Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper, test_kill_process_group,
        waitpgid,
    },
};
use stackload::procfs;

use crate::{
    guard::{CHILD, Guard, TOKEN},
    interrupt::{Interrupt, Wake, exit_descriptor, timespec, to_pid},
    placement, strays,
};

/// A log keeps this much of what a process prints; the rest is read and dropped, so that a chatty process neither fills
/// the disk nor blocks on a full pipe.
const LOG_BYTES_MAX: u64 = 1024 * 1024;
/// Lines of a log that a reason quotes, …
const LOG_TAIL_LINES: usize = 5;
/// … and characters of each.
const LOG_LINE_CHARS: usize = 300;
/// A first line is an address; more than this of it is not read.
const FIRST_LINE_BYTES_MAX: u64 = 1024;
/// The readers of an ended process's pipes need no longer than this to copy what is left.
const LOG_SETTLES_WITHIN: Duration = Duration::from_millis(500);
/// What the contract grants a server after SIGTERM (5 s), and a little for the kernel to close its sockets.
const STOP_AT_MOST: Duration = Duration::from_secs(6);
/// After SIGKILL a group is gone as soon as the kernel gets to it.
const KILL_AT_MOST: Duration = Duration::from_secs(5);

/// How to start a child.
#[derive(Debug)]
pub struct Start<'a> {
    /// The command line, program first.
    pub command: &'a [String],
    /// Environment variables beside the inherited ones.
    pub env: &'a BTreeMap<String, String>,
    /// Working directory.
    pub cwd: &'a Path,
    /// CPUs it may use; where the harness itself may run, if empty.
    pub cpus: &'a [u32],
    /// Where its stderr (and what follows the first line of its stdout) goes.
    pub log: PathBuf,
}

/// A running child and its process group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    exited: OwnedFd,
    guard: Guard,
    /// When it started, in ticks since boot.
    started_ticks: u64,
    /// Its mark, which its descendants carry too.
    token: String,
    /// Who had left its process group and was found when it had ended.
    strays: Vec<String>,
    log: PathBuf,
    first_line: Receiver<String>,
    readers: Vec<JoinHandle<()>>,
    stopped: bool,
}

impl Process {
    /// Starts a child.
    ///
    /// # Errors
    /// Names the program when it cannot be started.
    pub fn start(start: &Start, guard: &Guard) -> Result<Self> {
        Self::launch(start, None, guard)
    }

    /// Starts a child whose stdout goes to a file of its own, whole.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when the file cannot be written.
    pub fn start_capturing(start: &Start, stdout: &Path, guard: &Guard) -> Result<Self> {
        let file = File::create(stdout).with_context(|| format!("cannot write {}", stdout.display()))?;
        Self::launch(start, Some(file), guard)
    }

    fn launch(start: &Start, capture: Option<File>, guard: &Guard) -> Result<Self> {
        let (program, arguments) = start.command.split_first().context("an empty command line")?;
        let log = File::create(&start.log).with_context(|| format!("cannot write {}", start.log.display()))?;
        let stdout_log = log.try_clone()?;
        let mut command = Command::new(program);
        let token = guard.child_token();
        command
            .args(arguments)
            .envs(start.env)
            .env(TOKEN, guard.token())
            .env(CHILD, &token)
            .current_dir(start.cwd)
            .stdin(Stdio::null())
            .stdout(capture.map_or_else(Stdio::piped, Stdio::from))
            .stderr(Stdio::piped())
            .process_group(0);
        let spawned = guard.launch(|| placement::on_cpus(start.cpus, || command.spawn())?);
        let mut child = spawned.with_context(|| format!("cannot start `{program}`"))?;
        // It is there to be looked at until it is waited for.
        let started_ticks = procfs::process(child.id()).map_or(u64::MAX, |stat| stat.started_ticks);
        let exited = match exit_descriptor(child.id()) {
            Ok(exited) => exited,
            Err(error) => {
                end_group(&mut child, started_ticks, &token, guard);
                return Err(error).with_context(|| format!("cannot watch `{program}`"));
            }
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (tell_first_line, first_line) = mpsc::channel();
        let mut process = Self {
            child,
            exited,
            guard: guard.clone(),
            started_ticks,
            token,
            strays: Vec::new(),
            log: start.log.clone(),
            first_line,
            readers: Vec::new(),
            stopped: false,
        };
        // From here on an error drops the process, which ends it.
        if let Some(stderr) = stderr {
            process.readers.push(thread::Builder::new().spawn(move || drain(stderr, log))?);
        }
        if let Some(stdout) = stdout {
            let read = move || {
                let mut stdout = BufReader::new(stdout);
                let mut line = Vec::new();
                if stdout.by_ref().take(FIRST_LINE_BYTES_MAX).read_until(b'\n', &mut line).is_ok() {
                    let _ = tell_first_line.send(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
                drain(stdout, stdout_log);
            };
            process.readers.push(thread::Builder::new().spawn(read)?);
        }
        Ok(process)
    }

    /// Its process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The mark that it and its descendants carry in [`CHILD`].
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Who had left its process group, outlived it and was ended when it was [stopped](Self::stop): `sleep (pid 42)`.
    pub fn strays(&self) -> &[String] {
        &self.strays
    }

    /// The first line of its stdout, once it is there; cut off where it is too long for an address.
    pub fn first_line(&self) -> Option<String> {
        self.first_line.try_recv().ok()
    }

    /// Its exit status, if it has exited.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for a time, or until it has exited; whether it has.
    ///
    /// # Errors
    /// [`crate::interrupt::Interrupted`].
    pub fn exits_within(&self, interrupt: &Interrupt, at_most: Duration) -> Result<bool> {
        Ok(matches!(interrupt.wait_for_exit(&self.exited, at_most)?, Wake::Exited))
    }

    /// Waits until it has exited.
    ///
    /// # Errors
    /// [`crate::interrupt::Interrupted`], or a sentence when it takes longer than `at_most`.
    pub fn wait(&mut self, interrupt: &Interrupt, at_most: Duration) -> Result<ExitStatus> {
        match interrupt.wait_for_exit(&self.exited, at_most)? {
            Wake::Exited => Ok(self.child.wait()?),
            Wake::TimedOut => Err(anyhow!("still running after {:.1} s", at_most.as_secs_f64())),
        }
    }

    /// Asks it to stop (SIGTERM), waits as long as the contract grants, then ends its whole group. Never blocks for long,
    /// and is not cut short by Ctrl-C: whoever interrupts a run wants nothing left behind.
    ///
    /// Returns how it ended.
    pub fn stop(&mut self) -> Stopped {
        let patient = self.child.try_wait().ok().flatten().map(Stopped::BeforeAsked);
        let ended = patient.unwrap_or_else(|| {
            let _ = kill_process(to_pid(self.pid()), Signal::TERM);
            match wait_uninterrupted(&self.exited, STOP_AT_MOST) {
                true => self.child.wait().map_or(Stopped::Killed, Stopped::AsAsked),
                false => Stopped::Killed,
            }
        });
        self.end();
        ended
    }

    /// The last lines it printed.
    pub fn log_tail(&self) -> String {
        // Of a process that has ended, all it printed is in the pipes: let the readers come to their end. One whose pipe a
        // descendant holds open does not.
        let deadline = Instant::now() + LOG_SETTLES_WITHIN;
        while has_ended(&self.exited) && !self.readers.iter().all(JoinHandle::is_finished) && Instant::now() < deadline
        {
            thread::yield_now();
        }
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().rev().filter(|line| !line.trim().is_empty()).take(LOG_TAIL_LINES);
        let lines: Vec<String> = lines.map(|line| shortened(line, LOG_LINE_CHARS)).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    fn end(&mut self) {
        self.strays = end_group(&mut self.child, self.started_ticks, &self.token, &self.guard);
        // The pipes' other ends are gone with the group, unless a descendant left it with them open: such a reader is
        // left to end by itself.
        for reader in self.readers.drain(..).filter(JoinHandle::is_finished) {
            let _ = reader.join();
        }
        self.stopped = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only an error or Ctrl-C leaves a child to be dropped: nobody waits for its good manners then.
        if !self.stopped {
            self.end();
        }
    }
}

/// Ends a child, its process group and who has left that; says who these were.
fn end_group(child: &mut Child, started_ticks: u64, token: &str, guard: &Guard) -> Vec<String> {
    let group = to_pid(child.id());
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
    // Orphans of the group become our children (see `adopt_orphans`), and stay in it until they are waited for.
    let deadline = Instant::now() + KILL_AT_MOST;
    while test_kill_process_group(group).is_ok() && Instant::now() < deadline {
        if !matches!(waitpgid(group, WaitOptions::NOHANG), Ok(Some(_))) {
            thread::yield_now();
        }
    }
    let mut strays = strays::end(CHILD, token);
    for adopted in guard.end_adopted(started_ticks) {
        // One that was killed for its mark may lose that before it has ended.
        if !strays.contains(&adopted) {
            strays.push(adopted);
        }
    }
    guard.release(child.id());
    strays
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It was gone already.
    BeforeAsked(ExitStatus),
    /// It ended after SIGTERM, within the time the contract grants.
    AsAsked(ExitStatus),
    /// It had to be killed.
    Killed,
}

/// Makes processes that lose their parent children of the harness, so that it can find them and wait for them wherever it
/// runs: not every container has an init that does.
///
/// # Errors
/// When the kernel refuses.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// A text of at most so many characters, which ends in `…` where there were more.
pub fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn has_ended(exited: &OwnedFd) -> bool {
    wait_uninterrupted(exited, Duration::ZERO)
}

fn wait_uninterrupted(exited: &OwnedFd, at_most: Duration) -> bool {
    let deadline = Instant::now() + at_most;
    loop {
        let left = timespec(deadline.saturating_duration_since(Instant::now()));
        match poll(&mut [PollFd::new(exited, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(ready) => return ready > 0,
            Err(_) => return false,
        }
    }
}

fn drain(mut from: impl Read, mut log: File) {
    let mut buffer = [0_u8; 8192];
    let mut kept = 0;
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if kept < LOG_BYTES_MAX {
            kept += n as u64;
            let _ = log.write_all(&buffer[..n]);
            if kept >= LOG_BYTES_MAX {
                let _ = writeln!(log, "\n[the log is cut here; the process printed more]");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(script: &str, folder: &Path, guard: &Guard) -> Process {
        let command = ["sh", "-c", script].map(str::to_owned);
        let log = folder.join("log");
        Process::start(&Start { command: &command, env: &BTreeMap::new(), cwd: folder, cpus: &[], log }, guard).unwrap()
    }

    /// Waits until a child of `parent` that is none of `known` has become `sleep`.
    fn sleeper_of(parent: u32, known: &[u32]) -> u32 {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let children = procfs::processes().into_iter().filter(|stat| stat.parent == parent).map(|stat| stat.pid);
            let is_new = |pid: &u32| !known.contains(pid) && strays::named(pid.cast_signed()).starts_with("sleep ");
            if let Some(pid) = children.into_iter().find(is_new) {
                return pid;
            }
            assert!(Instant::now() < deadline, "the child is there");
            thread::yield_now();
        }
    }

    #[test]
    fn a_stray_without_a_mark_is_ended_with_its_parent_and_what_others_have_is_left() {
        adopt_orphans().unwrap();
        // The guard is the program that runs, which is here the one of the tests: it finds none of that name, and ends.
        let (guard, folder) = (Guard::start().unwrap(), tempfile::tempdir().unwrap());
        let mut other = started("exec sleep 1000", folder.path(), &guard);
        let mut own_command = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut process = started("setsid env -i sleep 1000 & exec sleep 1000", folder.path(), &guard);
        // One with a child that left its group, lost its parent and keeps its mark.
        let mut marked = started("(setsid sleep 1000 &); exec sleep 1000", folder.path(), &guard);
        let stray = sleeper_of(process.pid(), &[]);
        let known = [other.pid(), own_command.id(), process.pid(), marked.pid()];
        let adopted = sleeper_of(std::process::id(), &known);
        process.stop();
        assert_eq!(process.strays(), [format!("sleep (pid {stray})")]);
        assert!(procfs::process(stray).is_err(), "it is waited for");
        assert!(other.exit_status().unwrap().is_none() && own_command.try_wait().unwrap().is_none());
        marked.stop();
        assert_eq!(marked.strays(), [format!("sleep (pid {adopted})")]);
        let _ = own_command.kill();
        let _ = own_command.wait();
        other.stop();
        assert!(other.strays().is_empty());
    }
}
