//! `stackbench pick`: which stacks of a run meet a need.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use stackbench_reports::{
    RunDir, capacity,
    format::pick as format,
    pick::{Asked, Need, Pick},
    row::Mode,
};

use crate::say;

/// Options of `stackbench pick`.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct PickArgs {
    /// A run directory, also one of `stackbench capacity`
    pub dir: PathBuf,
    /// What has to hold, all at one step: 'rate>=20000,p99<20ms,cpu<15us,rss<200MB,upstream=active'
    #[arg(long, value_name = "LIST")]
    pub need: String,
    /// Ask of this scenario alone [default: those of the run that offer rates and play no faults; if there are none, all]
    #[arg(long, value_name = "NAME")]
    pub scenario: Option<String>,
    /// Ask of this request alone
    #[arg(long, value_name = "NAME")]
    pub request: Option<String>,
    /// Ask of this mode alone
    #[arg(long, value_enum)]
    pub mode: Option<ModeArg>,
    /// How it is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: FormatArg,
}

/// What the fields are, and what the exit code says.
const AFTER_HELP: &str = "\
Fields of --need, the rate with >= or >, the others with < or <=:
  rate       requests per second that are carried: 20000, 20k
  p50 … p999 latency from the instants at which requests were due: 20ms, 500us
  cpu        server CPU per request: 15us
  rss        peak resident set of the server: 200MB, 200MiB
  idle       memory of the server that an idle connection takes: 4KiB
  errors     share of the requests: 0.1% (without this, none are allowed)
  threads    threads of the server: 8
  coldstart  from the start of the server to its first answer: 50ms
and of a stack's card, with = and one word or several with | between them:
  upstream   active, partly (some library had no release in a year), dormant, discontinued, none
  mode       native, bridged
  panel      deployed, controlled
  model      words of its concurrency model
  http       the library that parses HTTP
  redis      the store client

Exit code: 0 if some stack qualifies for every request and mode that is asked; 1 if none does, or if the run
cannot tell; 2 if the command line or the directory is not fit for it.";

/// [`Mode`] on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// `/sync/…`: the blocking store client
    Sync,
    /// `/async/…`: the asynchronous store client
    Async,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// For a terminal
    Text,
    /// In GitHub's Markdown
    Md,
}

/// The verb. Whether some stack qualifies.
///
/// # Errors
/// When the need makes no sense, the directory is no run, or it has nothing of what is asked.
pub fn pick(args: &PickArgs) -> Result<bool> {
    let need = Need::parse("--need", &args.need).map_err(|message| anyhow!(message))?;
    let (run, searches) = (RunDir::load(&args.dir)?, capacity::load(&args.dir)?);
    let mode = args.mode.map(|mode| match mode {
        ModeArg::Sync => Mode::Sync,
        ModeArg::Async => Mode::Async,
    });
    let asked = Asked { scenario: args.scenario.clone(), request: args.request.clone(), mode };
    let pick = Pick::of(&run, searches.as_ref(), need, &asked)?;
    let text = match args.format {
        FormatArg::Text => format::terminal(&pick, &run),
        FormatArg::Md => format::markdown(&pick, &run),
    };
    say!("{}", text.trim_end_matches('\n'));
    Ok(pick.is_answered())
}
