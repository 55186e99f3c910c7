//! Running `stackbench` and reading what it wrote.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use stackbench_reports::row::Row;
use tempfile::TempDir;

/// Longer than any state takes to come about on a busy machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder for one test's runs and scenario files.
pub struct Bench {
    dir: TempDir,
}

/// What a run left.
pub struct Ran {
    pub output: Output,
    /// The rows that count: tests run beside each other, so now and then a trial is noisy and repeated.
    pub rows: Vec<Row>,
    /// All rows, in the order in which they were written.
    pub written: Vec<Row>,
    pub out: PathBuf,
}

impl Bench {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A scenario of one request in both modes, over in a second and a half.
    pub fn scenario(&self, delays: &str, connections: u32) -> String {
        self.scenario_file(&format!(
            r#"
            name = "short"
            title = "A short scenario"
            source = "a test"
            analysis = "none"
            [store]
            delays = {{ {delays} }}
            [load]
            model = "closed"
            connections = {connections}
            duration = "500ms"
            timeout = "30s"
            [server]
            pool = 16
            [run]
            trials = 1
            [[request]]
            name = "cache_set"
            method = "GET"
            path = "/myapp/{{mode}}/cache_set"
            modes = ["sync", "async"]
            status = 200
            body = '{{"status": "ok"}}'
            store = {{ set = 1 }}
            "#
        ))
    }

    pub fn scenario_file(&self, text: &str) -> String {
        let path = self.path("short.toml");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// The command, not yet started; its run directory is `out`. Nothing is bound to CPUs, because tests run in parallel.
    pub fn command(&self, scenario: &str, more: &[&str]) -> Command {
        self.placed("free", scenario, more)
    }

    /// The same, with CPUs for each party: for tests that have the machine to themselves.
    pub fn pinned(&self, scenario: &str, more: &[&str]) -> Command {
        self.placed("pinned", scenario, more)
    }

    fn placed(&self, placement: &str, scenario: &str, more: &[&str]) -> Command {
        let mut command = stackbench();
        command.args(["run", scenario, "--placement", placement, "--out"]).arg(self.path("out")).args(more);
        command
    }

    pub fn run(&self, scenario: &str, more: &[&str]) -> Ran {
        let output = self.command(scenario, more).output().unwrap();
        self.ran(output)
    }

    pub fn ran(&self, output: Output) -> Ran {
        let out = self.path("out");
        let text = fs::read_to_string(out.join("rows.jsonl")).unwrap_or_default();
        let written: Vec<Row> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let rows = written.iter().filter(|row| !row.repeated).cloned().collect();
        Ran { output, rows, written, out }
    }
}

impl Ran {
    pub fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

pub fn stackbench() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackbench"));
    command.current_dir(root());
    command
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The folder of the workspace's release programs: that of `stackbench` itself when the tests are built for release.
pub fn programs() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir));
    target.join("release")
}

/// The folder of the deliberately bad servers.
pub fn traps() -> String {
    root().join("scenarios/tests/stacks").display().to_string()
}

/// Asks until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never came about: {what}");
        thread::yield_now();
    }
}

/// Every process that a run has started so far.
pub fn descendants(of: u32) -> HashSet<u32> {
    let mut found = HashSet::from([of]);
    loop {
        let before = found.len();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if parent(pid).is_some_and(|parent| found.contains(&parent)) {
                found.insert(pid);
            }
        }
        if found.len() == before {
            found.remove(&of);
            return found;
        }
    }
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.1.parse().ok()
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(String, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
}

/// Whether a process still runs; a zombie nobody has waited for does not.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// Whether some descendant runs this program.
pub fn runs(pids: &HashSet<u32>, program: &str) -> bool {
    find(pids, program).is_some()
}

/// A descendant that runs this program.
pub fn find(pids: &HashSet<u32>, program: &str) -> Option<u32> {
    pids.iter().find(|pid| words_of(**pid).first().is_some_and(|name| name.ends_with(program))).copied()
}

/// The command line of a process; empty once it has ended.
pub fn words_of(pid: u32) -> Vec<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split_terminator('\0').map(str::to_owned).collect()
}

pub fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Does something where children inherit two CPUs and no more, so that a placement is the same on every machine. The two
/// are as far apart as can be, and so of different cores where there are two.
pub fn on_two_cpus<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let bound = || {
        let allowed = sched_getaffinity(None).unwrap();
        let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let mut two = CpuSet::new();
        [cpus[0], cpus[cpus.len() - 1]].into_iter().for_each(|cpu| two.set(cpu));
        sched_setaffinity(None, &two).unwrap();
        act()
    };
    thread::scope(|scope| scope.spawn(bound).join().unwrap())
}

pub fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub fn finish(child: Child) -> Output {
    child.wait_with_output().unwrap()
}
