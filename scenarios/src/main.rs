//! `stackbench`: runs every stack through the same scenarios and tabulates what it found.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use stackbench::{
    capacity::{self, CapacityArgs},
    check::{self, CheckArgs},
    compare::{self, CompareArgs, Outcome},
    doctor::{self, DoctorArgs},
    guard,
    interrupt::{EXIT_INTERRUPTED, Interrupted},
    list::{self, ListArgs},
    pick::{self, PickArgs},
    run::{self, Ended, RunArgs},
    say,
};
use stackbench_reports::{RunDir, format, repeat::Repeat, splice};

/// Some row failed, some search did not converge, some stack does not conform, the machine is not fit for a long run, or
/// no stack is known to meet a need.
const EXIT_FAILED: u8 = 1;
/// The command line, a file or the machine is not fit for what was asked. Rows measured before that shows are kept.
const EXIT_USAGE: u8 = 2;
/// A stack became worse than `compare --threshold` allows.
const EXIT_REGRESSED: u8 = 3;
/// A signal ended the run; what was measured is kept.
const INTERRUPTED: u8 = EXIT_INTERRUPTED as u8;

/// Runs every stack through the same scenarios and tabulates what it found
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measure stacks under scenarios
    Run(RunArgs),
    /// Search for the highest rate that each stack carries within an objective
    Capacity(CapacityArgs),
    /// Verify every stack against the contract
    Check(CheckArgs),
    /// List stacks and scenarios
    List(ListArgs),
    /// Say what about this machine will spoil figures, and how to mend it
    Doctor(DoctorArgs),
    /// Make the reports of a run again, from its files
    Report {
        /// A run directory
        dir: PathBuf,
        /// Print one format instead: text, md, html, csv, json, wrk, curves or seconds (CSV), or builds (of a run of
        /// bench-build)
        #[arg(long)]
        format: Option<String>,
        /// Put the headline table into this file instead, between its lines `<!-- table -->` and `<!-- /table -->`
        #[arg(long, value_name = "FILE", conflicts_with = "format")]
        splice: Option<PathBuf>,
    },
    /// Which stacks of a run meet a need, by how much, at what cost, and what the others lack
    Pick(PickArgs),
    /// Hold two runs of the same on one machine against each other: do they say the same?
    Repeat {
        /// The run directory of the first
        first: PathBuf,
        /// The run directory of the second
        second: PathBuf,
    },
    /// Hold a run against a baseline, cell by cell: what became faster, slower, or is within noise
    Compare(CompareArgs),
    /// End what a killed harness left running (started by the harness itself)
    #[command(name = guard::VERB, hide = true)]
    Guard { token: String },
}

fn main() -> ExitCode {
    let code = match Cli::parse().verb {
        Verb::Run(args) => run::run(&args).map(code_of),
        Verb::Capacity(args) => capacity::capacity(&args).map(code_of),
        Verb::Check(args) => check::check(&args).map(|good| if good { 0 } else { EXIT_FAILED }),
        Verb::List(args) => list::list(&args).map(|()| 0),
        Verb::Doctor(args) => doctor::doctor(&args).map(|good| if good { 0 } else { EXIT_FAILED }),
        Verb::Report { dir, format, splice } => report(&dir, format.as_deref(), splice.as_deref()).map(|()| 0),
        Verb::Pick(args) => pick::pick(&args).map(|good| if good { 0 } else { EXIT_FAILED }),
        Verb::Repeat { first, second } => repeat(&first, &second).map(|()| 0),
        Verb::Compare(args) => compare::compare(&args).map(|outcome| match outcome {
            Outcome::Fine => 0,
            Outcome::Regressed => EXIT_REGRESSED,
        }),
        Verb::Guard { token } => {
            guard::main(&token);
            Ok(0)
        }
    };
    ExitCode::from(code.unwrap_or_else(|error| {
        if error.is::<Interrupted>() {
            return INTERRUPTED;
        }
        eprintln!("stackbench: {error:#}");
        EXIT_USAGE
    }))
}

fn code_of(ended: Ended) -> u8 {
    match ended {
        Ended::Whole => 0,
        Ended::WithFailures => EXIT_FAILED,
        Ended::Interrupted => INTERRUPTED,
    }
}

fn report(dir: &Path, format: Option<&str>, file: Option<&Path>) -> Result<()> {
    let warnings = match (format, file) {
        (Some(name), _) => {
            let drawn = stackbench_reports::draw_named(dir, name)?;
            say!("{}", drawn.text.trim_end_matches('\n'));
            drawn.warnings
        }
        (None, Some(file)) => {
            let warnings = splice::splice(dir, file)?;
            say!("put the table of {} into {}", dir.display(), file.display());
            warnings
        }
        (None, None) => {
            let run = stackbench_reports::render(dir)?;
            say!("made the reports of {} again", dir.display());
            run.warnings
        }
    };
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(())
}

/// Of what could not be read.
fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
}

fn repeat(first: &Path, second: &Path) -> Result<()> {
    for dir in [first, second] {
        let is_search = stackbench_reports::capacity::load(dir)?.is_some();
        ensure!(!is_search, "{}: this is a search for capacity; compare the bounds of its table", dir.display());
    }
    let runs = [RunDir::load_rows(first)?, RunDir::load_rows(second)?];
    runs.iter().for_each(|run| warn(&run.warnings));
    let repeat = Repeat::of(&runs[0], &runs[1])?;
    for (which, dir, run) in [("first ", first, &runs[0]), ("second", second, &runs[1])] {
        say!("{which} run: {}, started {}", dir.display(), run.meta.started);
    }
    say!("\n{}", format::repeat::draw(&repeat).trim_end_matches('\n'));
    Ok(())
}
