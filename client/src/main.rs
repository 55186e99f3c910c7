//! The load client. The whole story: parse, probe, load the script, run, report.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use stackload::censored::Observed;
use stackload::cli::{self, Options, Refusal, USAGE, VERSION_LINE};
use stackload::find::{self, Ended};
use stackload::live::Live;
use stackload::load;
use stackload::output::Outputs;
use stackload::report::{self, WrkFigures};
use stackload::result::LoadResult;
use stackload::result_file;
use stackload::run::{self, Ending, Finished, RunError, Signals};
use stackload::script::Script;
use stackload::search::Found;
use stackload::selftest;
use stackload::threshold::Threshold;
use stackload::verdict;

/// wrk's exit code when a thread cannot be created.
const EXIT_NO_THREAD: u8 = 2;
/// A condition of `--fail-if` holds, or `--find-rate` has found no rate.
const EXIT_THRESHOLD: u8 = 3;
/// What a shell reports for a program that SIGINT ended.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == "selftest") {
        return selftest::main(std::env::args_os().skip(2).map(|word| word.to_string_lossy().into_owned()));
    }
    let options = match cli::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(refusal) => return refuse(refusal),
    };
    options.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    match measure(&options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            let no_thread = matches!(error.downcast_ref(), Some(RunError::Thread(..)));
            if no_thread { ExitCode::from(EXIT_NO_THREAD) } else { ExitCode::FAILURE }
        }
    }
}

fn refuse(refusal: Refusal) -> ExitCode {
    match refusal {
        Refusal::Message(message) => eprintln!("{message}"),
        Refusal::Usage { message, version } => {
            message.iter().for_each(|message| eprintln!("{message}"));
            let version = if version { format!("{VERSION_LINE}\n") } else { String::new() };
            print(&format!("{version}{USAGE}\n"));
        }
    }
    ExitCode::FAILURE
}

fn measure(options: &Options) -> Result<ExitCode> {
    if options.version {
        print(&format!("{VERSION_LINE}\n"));
    }
    let outputs = Outputs::create(options)?;
    run::raise_descriptor_limit(options.connections, options.threads)?;
    let mut signals = Signals::catch()?;
    if let Some(objective) = &options.find_rate {
        return find_rate(options, objective, &mut signals);
    }
    let script =
        options.script.as_deref().map(|path| Script::load(path, &options.url, &options.headers)).transpose()?;
    let (mut plan, roles) = load::prepare(options, script.as_ref())?;
    plan.live = Live::for_terminal();
    let plan = Arc::new(plan);
    let started = || {
        flush(script.as_ref());
        print(&report::heading(options));
    };
    let Finished { outcome, ending, hooks } = run::run(&plan, roles, options, &mut signals, started)?;
    flush(script.as_ref());
    let raw = outcome.latencies.distribution(u64::MAX);
    let verdict = verdict::judge(&outcome, &raw, options);
    let printed = report::latencies(&outcome, &plan, options);
    let figures = WrkFigures::of(&outcome, &printed, options);
    print(&figures.text());
    let command = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let result = result_file::assemble(options, &plan, command, &outcome, &raw, verdict);
    // Before `done`, which may fail, or end the program.
    outputs.write(&result)?;
    if let Some(script) = &script {
        script.done(&figures.summary(), printed.clone(), outcome.rates.clone())?;
        script.flush()?;
    }
    // `done` may still look into the threads' states.
    drop(hooks);
    print(&report::footer(&outcome, &plan, options, &result.verdict));
    let is_failure = report_thresholds(options, &result)?;
    Ok(match ending {
        Ending::Terminated => ExitCode::from(run::EXIT_TERMINATED as u8),
        Ending::Regular if is_failure => ExitCode::from(EXIT_THRESHOLD),
        Ending::Regular => ExitCode::SUCCESS,
    })
}

/// Searches for the highest rate, a line for each trial. A search without both bounds has not found what was asked for.
fn find_rate(options: &Options, objective: &[Threshold], signals: &mut Signals) -> Result<ExitCode> {
    print(&format!("Searching for the highest rate @ {}\n", options.url_text));
    let told = |number: u32, trial: &find::Trial| {
        let why = trial.missed.as_ref().map_or_else(|| "met".to_owned(), |why| format!("missed: {why}"));
        print(&format!("  {number:>2}  {:>10.2}/s  {why}\n", trial.rate));
    };
    match find::find(options, objective, signals, told)? {
        Ended::Found(found) => {
            print(&format!("Highest rate: {found}\n"));
            let is_found = matches!(found, Found::Between { .. });
            Ok(if is_found { ExitCode::SUCCESS } else { ExitCode::from(EXIT_THRESHOLD) })
        }
        Ended::Interrupted => {
            print("Interrupted: the trial under way does not count\n");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}

/// Says which conditions of `--fail-if` hold; whether one does.
fn report_thresholds(options: &Options, result: &LoadResult) -> Result<bool> {
    if options.thresholds.is_empty() {
        return Ok(false);
    }
    let observed = Observed::of(result)?;
    let broken: Vec<String> =
        options.thresholds.iter().filter_map(|threshold| threshold.broken(result, &observed)).collect();
    broken.iter().for_each(|broken| print(&format!("Failed: {broken}\n")));
    Ok(!broken.is_empty())
}

/// Puts what scripts have printed before what follows. A reader that has gone away is no reason to stop.
fn flush(script: Option<&Script>) {
    let _ = script.map(Script::flush);
}

/// Prints at once. A reader that has gone away is no reason to lose the result file.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
