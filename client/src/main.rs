//! The load client. The whole story: parse, probe, run, report.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use stackload::cli::{self, Options, Refusal, USAGE, VERSION_LINE};
use stackload::engine::Plan;
use stackload::http::request;
use stackload::report::{self, WrkFigures};
use stackload::result_file::{self, ResultFile};
use stackload::run::{self, Ending, RunError, Signals};
use stackload::verdict;

/// What a shell reports for a process that SIGTERM ended.
const EXIT_TERMINATED: u8 = 128 + 15;
/// wrk's exit code when a thread cannot be created.
const EXIT_NO_THREAD: u8 = 2;

fn main() -> ExitCode {
    let options = match cli::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(refusal) => return refuse(refusal),
    };
    options.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    match load(&options) {
        Ok(Ending::Regular) => ExitCode::SUCCESS,
        Ok(Ending::Terminated) => ExitCode::from(EXIT_TERMINATED),
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

fn load(options: &Options) -> Result<Ending> {
    if options.version {
        print(&format!("{VERSION_LINE}\n"));
    }
    let file = options.json.as_deref().map(ResultFile::create).transpose()?;
    run::raise_descriptor_limit(options.connections, options.threads)?;
    let mut signals = Signals::catch()?;
    let plan = Arc::new(Plan {
        address: run::find_server(&options.url, options.timeout_ns)?,
        request: request::get(&options.url, &options.headers),
        connections: options.connections,
        threads: options.threads,
        timeout_ns: options.timeout_ns,
        spread_ns: options.spread_ns,
        expect_status: options.expect_status,
        expect_body: options.expect_body.clone(),
    });
    let (outcome, ending) = run::run(&plan, options, &mut signals, || print(&report::heading(options)))?;
    let raw = outcome.latencies.distribution(u64::MAX);
    let in_time = outcome.latencies.distribution(options.timeout_ns / 1000);
    let verdict = verdict::judge(&outcome, &raw, options.expect_status.is_some());
    print(&WrkFigures::of(&outcome, &in_time, options.latency).text());
    print(&report::footer(&outcome, &verdict));
    if let Some(file) = file {
        let command = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        file.write(&result_file::assemble(options, command, &outcome, &raw, verdict))?;
    }
    Ok(ending)
}

/// Prints at once. A reader that has gone away is no reason to lose the result file.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
