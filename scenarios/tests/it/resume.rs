//! A run that was ended before it was complete is finished by `--resume`: exactly the missing trials, or a refusal.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Output},
};

use rustix::process::{Pid, Signal, kill_process};
use stackbench_reports::{
    RunDir, RunMeta,
    row::{Mode, Row},
};

use crate::harness::{Bench, Ran, eventually, finish, root, stackbench, start};

/// One stack in two modes, twice.
const OPTIONS: [&str; 6] = ["--stacks", "tokio", "--trials", "2", "--seed", "7"];
const TRIALS: usize = 4;

/// Which trial a row is of.
type Key = (String, Mode, u32);

fn key(row: &Row) -> Key {
    (row.stack.clone(), row.mode, row.trial)
}

/// The trials of a run in the order in which they were first made, and how often each has a row that counts.
fn trials(rows: &[Row]) -> (Vec<Key>, bool) {
    let mut order: Vec<Key> = Vec::new();
    for row in rows {
        if !order.contains(&key(row)) {
            order.push(key(row));
        }
    }
    let counting: Vec<Key> = rows.iter().filter(|row| !row.repeated).map(key).collect();
    let each_once = counting.len() == counting.iter().collect::<BTreeSet<_>>().len() && counting.len() == order.len();
    (order, each_once)
}

/// Begins a run and waits until it has a row.
fn begun(bench: &Bench) -> Child {
    let child = start(bench.command(&bench.scenario("", 10), &OPTIONS));
    let rows = bench.path("out").join("rows.jsonl");
    eventually("a row", || fs::read_to_string(&rows).ok().filter(|text| text.contains('\n')));
    child
}

fn kill(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

fn resume(bench: &Bench, more: &[&str]) -> Ran {
    bench.ran(resumed(&bench.path("out"), more))
}

fn resumed(out: &Path, more: &[&str]) -> Output {
    // Elsewhere in the workspace than where the run was begun: what it recorded says where its paths start from.
    stackbench().current_dir(root().join("scenarios")).args(["run", "--resume"]).arg(out).args(more).output().unwrap()
}

fn is_whole(ran: &Ran) {
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout(), ran.stderr());
    let (order, each_once) = trials(&ran.written);
    assert!(order.len() == TRIALS && each_once, "{order:?}");
    let meta = RunDir::load_meta(&ran.out).unwrap();
    assert!(meta.ended.is_some() && meta.resumed.len() == 1 && meta.seed == 7);
    for row in &ran.written {
        assert!(ran.out.join(row.raw.as_ref().unwrap()).is_file());
    }
}

#[test]
fn an_interrupted_run_is_finished_with_the_cells_of_an_uninterrupted_one_each_exactly_once() {
    let bench = Bench::new();
    let child = begun(&bench);
    kill(&child, Signal::INT);
    let ran = bench.ran(finish(child));
    assert_eq!(ran.code(), 130, "{}", ran.stderr());
    assert!(ran.rows.len() < TRIALS, "the run was over before the signal came");
    let out = ran.out.canonicalize().unwrap();
    let advice = format!("to finish it: stackbench run --resume {}", out.display());
    assert!(ran.stdout().contains(&advice), "{}", ran.stdout());
    let resumed = resume(&bench, &[]);
    let stdout = resumed.stdout();
    assert!(stdout.contains("of 4 trials are there"), "{stdout}");
    is_whole(&resumed);
    assert_eq!(resumed.written[..ran.written.len()], ran.written, "what was there stays");
    let whole = Bench::new();
    let uninterrupted = whole.run(&whole.scenario("", 10), &OPTIONS);
    assert_eq!(trials(&uninterrupted.written), trials(&resumed.written), "the same cells in the same order");
}

#[test]
fn a_run_whose_harness_was_killed_in_the_middle_of_a_row_is_finished_too() {
    let bench = Bench::new();
    let mut child = begun(&bench);
    kill(&child, Signal::KILL);
    child.wait().unwrap();
    let rows = bench.path("out").join("rows.jsonl");
    let text = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, format!("{text}{{\"scenario\":\"sho")).unwrap();
    let resumed = resume(&bench, &[]);
    assert!(resumed.stdout().contains("cut off in the middle (16 bytes)"), "{}", resumed.stdout());
    is_whole(&resumed);
}

#[test]
fn a_second_run_into_the_same_directory_is_refused_while_the_first_is_under_way() {
    let bench = Bench::new();
    let child = begun(&bench);
    let scenario = bench.scenario("", 10);
    let before = fs::read_to_string(bench.path("out").join("run.json")).unwrap();
    for output in [bench.command(&scenario, &OPTIONS).output().unwrap(), resumed(&bench.path("out"), &[])] {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&bench.path("out").display().to_string()) && stderr.contains("locked"), "{stderr}");
    }
    assert_eq!(fs::read_to_string(bench.path("out").join("run.json")).unwrap(), before);
    kill(&child, Signal::INT);
    assert_eq!(bench.ran(finish(child)).code(), 130);
}

/// A server of its own, so that its program can change, and a run of it that lacks its only trial.
struct Broken {
    bench: Bench,
}

impl Broken {
    fn new() -> Self {
        let bench = Bench::new();
        let bin = Path::new(env!("CARGO_BIN_EXE_stackbench")).parent().unwrap().join("stack-null");
        fs::copy(bin, bench.path("program")).unwrap();
        let text = fs::read_to_string(root().join("servers/null/stack.toml")).unwrap();
        let program = bench.path("program").display().to_string();
        let text = text.replace("\"null\"", "\"odd\"").replace("{bin}/stack-null", &program);
        fs::create_dir(bench.path("stacks")).unwrap();
        fs::write(bench.path("stacks/stack.toml"), text).unwrap();
        let scenario = bench.scenario("", 4);
        let one_mode = fs::read_to_string(&scenario).unwrap().replace("[\"sync\", \"async\"]", "[\"sync\"]");
        let scenario = bench.scenario_file(&one_mode);
        let dir = bench.path("stacks").display().to_string();
        let ran = bench.run(&scenario, &["--stacks", "odd", "--stacks-dir", &dir]);
        assert_eq!((ran.code(), ran.rows.len()), (0, 1), "{}", ran.stderr());
        let broken = Self { bench };
        broken.is_refused(&[], &["complete", "1 trials"]);
        fs::write(broken.file("out/rows.jsonl"), "").unwrap();
        broken
    }

    fn file(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    fn is_refused(&self, more: &[&str], words: &[&str]) {
        let meta = fs::read_to_string(self.file("out/run.json")).unwrap();
        let output = resumed(&self.file("out"), more);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "`{word}` is not in {stderr}");
        }
        assert_eq!(fs::read_to_string(self.file("out/run.json")).unwrap(), meta, "a refused run is left as it was");
    }

    fn change(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.file(name)).unwrap();
        assert!(text.contains(from), "{name} holds no {from}");
        fs::write(self.file(name), text.replace(from, to)).unwrap();
    }
}

#[test]
fn a_run_whose_scenario_or_stack_has_changed_is_not_resumed() {
    let broken = Broken::new();
    broken.change("short.toml", "a test", "another test");
    broken.is_refused(&[], &["short.toml is not what it was"]);
    broken.change("short.toml", "another test", "a test");
    broken.change("stacks/stack.toml", "[[stack]]", "# Changed.\n[[stack]]");
    broken.is_refused(&[], &["stacks/stack.toml is not what it was"]);
    broken.change("stacks/stack.toml", "# Changed.\n", "");
    let ran = resume(&broken.bench, &[]);
    assert_eq!((ran.code(), ran.rows.len()), (0, 1), "with everything put back: {}", ran.stderr());
}

#[test]
fn a_run_that_was_killed_after_its_last_row_is_ended() {
    let broken = Broken::new();
    let ran = resume(&broken.bench, &[]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let ended = RunDir::load_meta(&ran.out).unwrap().ended.unwrap();
    broken.change("out/run.json", &format!("\"ended\": \"{ended}\""), "\"ended\": null");
    let again = resume(&broken.bench, &[]);
    assert_eq!((again.code(), again.rows), (0, ran.rows), "{}", String::from_utf8_lossy(&again.output.stderr));
    assert!(RunDir::load_meta(&ran.out).unwrap().ended.is_some());
}

#[test]
fn a_run_whose_programs_have_changed_is_not_resumed() {
    let broken = Broken::new();
    let program = broken.file("program");
    let mut bytes = fs::read(&program).unwrap();
    bytes.push(0);
    fs::write(&program, bytes).unwrap();
    broken.is_refused(&[], &["the program", "/program is not what it was", "begin a new run"]);
}

#[test]
fn a_run_of_another_machine_or_another_version_is_not_resumed() {
    let broken = Broken::new();
    let meta: RunMeta = RunDir::load_meta(&broken.file("out")).unwrap();
    let kernel = format!("\"kernel\": \"{}\"", meta.machine.kernel);
    broken.change("out/run.json", &kernel, "\"kernel\": \"Hurd 0.9\"");
    broken.is_refused(&[], &["kernel was `Hurd 0.9`"]);
    broken.change("out/run.json", &meta.schema, "stackbench-run/9");
    broken.is_refused(&[], &["run.json", "`stackbench-run/9`"]);
}

#[test]
fn a_damaged_row_that_is_not_the_last_and_another_command_are_refused() {
    let broken = Broken::new();
    broken.is_refused(&["--trials", "9"], &["--resume", "--trials says something else"]);
    fs::write(broken.file("out/rows.jsonl"), "{\"scenario\":\n").unwrap();
    broken.is_refused(&[], &["rows.jsonl:1: this is no row"]);
}

#[test]
fn a_folder_that_holds_no_run_cannot_be_resumed() {
    let bench = Bench::new();
    for path in [bench.path(""), bench.path("nowhere")] {
        let output = resumed(&path, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("--resume"));
    }
}

#[test]
fn a_disk_that_takes_no_more_ends_the_run_with_the_file_s_name_and_what_is_there_is_kept() {
    let bench = Bench::new();
    let child = begun(&bench);
    kill(&child, Signal::INT);
    let before = bench.ran(finish(child)).written;
    let out = bench.path("out");
    let sizes = ["rows.jsonl", "run.json"].map(|name| fs::metadata(out.join(name)).unwrap().len());
    // In blocks of 512 bytes, as POSIX has it: the files there are can be written again, and hardly grow.
    let blocks = sizes.into_iter().max().unwrap().div_ceil(512) + 1;
    let line =
        format!("ulimit -f {blocks} && exec {} run --resume {}", env!("CARGO_BIN_EXE_stackbench"), out.display());
    let output = std::process::Command::new("sh").args(["-c", &line]).current_dir(root()).output().unwrap();
    let full = bench.ran(output);
    assert_eq!(full.code(), 2, "{}", full.stdout());
    for word in ["File too large", &out.display().to_string(), "are kept in", "--resume"] {
        assert!(full.stderr().contains(word), "`{word}` is not in {}", full.stderr());
    }
    assert_eq!(full.written[..before.len()], before, "what was there stays");
    assert!(full.rows.len() < TRIALS, "{}", full.stderr());
    let errors: Vec<&String> = full.rows.iter().filter_map(|row| row.error.as_ref()).collect();
    assert!(errors.is_empty(), "the disk is no stack's fault: {errors:?}");
    let resumed = resume(&bench, &[]);
    assert_eq!(resumed.code(), 0, "{}", resumed.stderr());
    assert_eq!(trials(&resumed.written).0.len(), TRIALS);
    assert!(trials(&resumed.written).1);
}
