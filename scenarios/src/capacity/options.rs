//! Options of `stackbench capacity`, and what of them makes no sense.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use stackbench_reports::capacity::Settings;
use stackload::{
    cli::RATE_MAX,
    search,
    threshold::{self, Threshold},
    units::parse_count,
};

use crate::{
    plan,
    setup::{SharedArgs, window},
    units::parse_share,
};

/// Where a search begins by default. Every search of every run begins at one rate, so that all try the same ones.
const START_PER_SEC: f64 = 5_000.0;
/// How often each bound is tried.
const CONFIRMATIONS: u32 = 3;
/// Bounds closer together than this would be told apart by chance alone …
const PRECISION_MIN: f64 = 0.005;
/// … and bounds further apart than this say nothing.
const PRECISION_MAX: f64 = 1.0;

/// Options of `stackbench capacity`.
#[derive(Debug, Clone, Args)]
pub struct CapacityArgs {
    /// The scenario whose requests are offered, by name or by the path of a .toml file; its steps are left out
    #[arg(value_name = "SCENARIO", default_value = "cache-rate")]
    pub scenario: String,
    /// What must hold at a rate, for example 'p99<20ms,errors<0.1%'
    #[arg(long, value_name = "LIST")]
    pub objective: String,
    /// The rate every search begins at, per second [default: 5000, or the nearest that --least and --most allow]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub start: Option<f64>,
    /// The lowest rate that is tried
    #[arg(long, value_name = "RATE", value_parser = rate, default_value = "10")]
    pub least: f64,
    /// The highest rate that is tried
    #[arg(long, value_name = "RATE", value_parser = rate, default_value = "1M")]
    pub most: f64,
    /// How near the bounds come to each other
    #[arg(long, value_name = "SHARE", value_parser = precision, default_value = "5%")]
    pub precision: f64,
    /// After so many trials a search is given up
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000), default_value = "48")]
    pub trials_max: u32,
    /// Length of the window of each trial
    #[arg(long, value_name = "T", value_parser = window, default_value = "3s")]
    pub duration: Duration,
    /// What is told to other verbs as well.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// Only to say why it is not there.
    #[arg(long, hide = true, value_name = "DIR", value_parser = not_resumed)]
    resume: Option<String>,
}

impl CapacityArgs {
    /// The conditions of the objective.
    ///
    /// # Errors
    /// When one of them is malformed, or they make no objective together.
    pub fn conditions(&self) -> Result<Vec<Threshold>> {
        threshold::parse_objective("--objective", &self.objective).map_err(|message| anyhow!(message))
    }

    /// How to search.
    ///
    /// # Errors
    /// When the rates contradict each other; names the flags.
    pub fn settings(&self) -> Result<Settings> {
        let (least, most) = (self.least, self.most);
        ensure!(least < most, "--least {least}: it must be below --most {most}");
        if let Some(start) = self.start {
            ensure!(
                (least..=most).contains(&start),
                "--start {start}: it must lie between --least {least} and --most {most}"
            );
        }
        Ok(Settings {
            start_per_sec: self.start.unwrap_or(START_PER_SEC.clamp(least, most)),
            least_per_sec: least,
            most_per_sec: most,
            precision: self.precision,
            confirmations: CONFIRMATIONS,
            trials_max: self.trials_max,
            repeats_max: u32::try_from(plan::repeats_max(self.trials_max as usize))?,
        })
    }
}

/// The same for the search itself.
pub fn of_search(settings: &Settings) -> search::Settings {
    search::Settings {
        start: settings.start_per_sec,
        least: settings.least_per_sec,
        most: settings.most_per_sec,
        precision: settings.precision,
        confirmations: settings.confirmations,
        trials_max: settings.trials_max,
    }
}

fn rate(text: &str) -> Result<f64> {
    let rate = parse_count(text).context("write a whole number of requests per second, as 5000 or 5k")? as f64;
    ensure!(
        rate > 0.0 && rate <= RATE_MAX,
        "a rate must be above 0 and at most {RATE_MAX}, what the load client can send"
    );
    Ok(rate)
}

fn precision(text: &str) -> Result<f64> {
    let share = parse_share(text).map_err(|why| anyhow!(why))?;
    ensure!(
        (PRECISION_MIN..=PRECISION_MAX).contains(&share),
        "it must be between {}% and {}%",
        100.0 * PRECISION_MIN,
        100.0 * PRECISION_MAX
    );
    Ok(share)
}

fn not_resumed(_: &str) -> Result<String> {
    bail!("a search for capacity cannot be resumed; begin it again, with its --seed to offer the same instants")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: CapacityArgs,
    }

    fn parsed(line: &str) -> Result<CapacityArgs, String> {
        let words = ["capacity", "--objective", "p99<20ms"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
    }

    fn settings(line: &str) -> Result<Settings, String> {
        parsed(line)?.settings().map_err(|error| error.to_string())
    }

    #[test]
    fn a_search_begins_at_one_rate_or_as_near_to_it_as_it_may() {
        let start = |line| settings(line).unwrap().start_per_sec;
        assert_eq!([start(""), start("--most 2k"), start("--least 8k"), start("--start 7k")], [5e3, 2e3, 8e3, 7e3]);
    }

    #[test]
    fn rates_that_the_client_cannot_send_or_that_contradict_each_other_are_refused() {
        for (line, told) in [
            ("--start 0", "--start"),
            ("--most 0", "--most"),
            ("--start 2M", "at most 1000000"),
            ("--start=-5", "--start"),
            ("--start fast", "as 5000 or 5k"),
            ("--start 5 --most 100", "--start 5: it must lie between --least 10"),
            ("--start 500 --most 100", "and --most 100"),
            ("--least 100 --most 100", "--least 100: it must be below --most 100"),
        ] {
            let error = settings(line).expect_err(line);
            assert!(error.contains(told), "{line}: {error}");
        }
    }

    #[test]
    fn a_precision_is_a_share_within_reason() {
        let precision = |text: &str| settings(&format!("--precision {text}")).map(|settings| settings.precision);
        assert_eq!((precision("5%"), precision("0.1"), precision("100%")), (Ok(0.05), Ok(0.1), Ok(1.0)));
        for text in ["0", "0%", "5", "101%", "0.1%", "nan", "fine"] {
            assert!(precision(text).unwrap_err().contains("--precision"), "{text}");
        }
    }

    #[test]
    fn a_search_is_not_resumed_and_says_so() {
        assert!(parsed("--resume dir").unwrap_err().contains("cannot be resumed; begin it again"));
    }
}
