//! `stackbench compare`: two runs, cell by cell.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail, ensure};
use clap::Args;
use stackbench_reports::{
    Capacity, Run, RunDir, capacity,
    compare::{Comparison, Machines, Options, QUANTITIES, Quantity, Regression, searches::ComparedSearches},
    format::compare::{FORMATS, Format, Gate, Heads, Sheet, share},
};

use crate::{say, units::parse_share};

/// Options of `stackbench compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// Run directory of the baseline
    pub a: PathBuf,
    /// Run directory of what is held against it
    pub b: PathBuf,
    /// Exit with 3 if some stack is worse by more than noise and more than this, as 5% or 0.05, or fails or no longer
    /// carries a rate
    #[arg(long, value_name = "SHARE", value_parser = threshold)]
    pub threshold: Option<f64>,
    /// Figures: cpu, rate, p99, rss [default: cpu; rate where it is the server's own; p99 where rates are offered]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = quantity)]
    pub figure: Vec<Quantity>,
    /// Compare all the same where machine, store or placement are not the same, and say so
    #[arg(long)]
    pub across_machines: bool,
    /// How to print it: text, md or html
    #[arg(long, value_name = "NAME", value_parser = format, default_value = "text")]
    pub format: Format,
}

/// Whether the change may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As far as was asked.
    Fine,
    /// Some stack is worse by more than the threshold.
    Regressed,
}

/// The verb.
///
/// # Errors
/// When a directory is no run, the two cannot be compared, or a threshold was given and no figure could be judged.
pub fn compare(args: &CompareArgs) -> Result<Outcome> {
    let dirs = [args.a.as_path(), args.b.as_path()];
    let searches = [capacity::load(dirs[0])?, capacity::load(dirs[1])?];
    let runs = [load(dirs[0], args)?, load(dirs[1], args)?];
    for warning in runs.iter().flat_map(|run| &run.warnings) {
        eprintln!("warning: {warning}");
    }
    let names = dirs.map(|dir| dir.display().to_string());
    let heads = Heads { names: names.each_ref().map(String::as_str), metas: runs.each_ref().map(|run| &run.meta) };
    let runs = runs.each_ref();
    let (regressions, judged) = match searches {
        [None, None] => print_runs(runs, heads, args)?,
        [Some(a), Some(b)] => print_searches(runs, [&a, &b], heads, args)?,
        [a, _] => {
            let (search, run) = if a.is_some() { (dirs[0], dirs[1]) } else { (dirs[1], dirs[0]) };
            bail!(
                "{} is a search for capacity and {} an ordinary run; compare two of a kind",
                search.display(),
                run.display()
            )
        }
    };
    outcome(args.threshold, &regressions, judged)
}

/// Percentiles come from the client's result files, and nothing else does.
fn load(dir: &Path, args: &CompareArgs) -> Result<Run> {
    let needs_percentiles = args.figure.is_empty() || args.figure.contains(&Quantity::P99);
    Ok(if needs_percentiles { RunDir::load(dir)? } else { RunDir::load_rows(dir)? })
}

/// What is beyond the threshold, and how many figures of stacks were judged.
type Found = (Vec<Regression>, usize);

fn print_runs([a, b]: [&Run; 2], heads: Heads, args: &CompareArgs) -> Result<Found> {
    let options = Options { quantities: args.figure.clone(), machines: machines(args) };
    let comparison = Comparison::of(a, b, &options)?;
    let regressions = args.threshold.map(|threshold| comparison.regressions(threshold)).unwrap_or_default();
    let sheet = Sheet::of(&comparison, heads, gate(args, &regressions));
    say!("{}", args.format.draw(&sheet).trim_end_matches('\n'));
    Ok((regressions, comparison.judged()))
}

fn print_searches(runs: [&Run; 2], found: [&Capacity; 2], heads: Heads, args: &CompareArgs) -> Result<Found> {
    ensure!(args.figure.is_empty(), "--figure: of searches for capacity the bounds are compared, and nothing else");
    let compared = ComparedSearches::of(runs, found, machines(args))?;
    let regressions = args.threshold.map(|threshold| compared.regressions(threshold)).unwrap_or_default();
    let sheet = Sheet::of_searches(&compared, heads, gate(args, &regressions));
    say!("{}", args.format.draw(&sheet).trim_end_matches('\n'));
    Ok((regressions, compared.judged()))
}

fn machines(args: &CompareArgs) -> Machines {
    if args.across_machines { Machines::Across } else { Machines::Same }
}

fn gate<'r>(args: &CompareArgs, regressions: &'r [Regression]) -> Option<Gate<'r>> {
    args.threshold.map(|threshold| Gate { threshold, regressions })
}

/// A gate that could not have closed is none: it says so instead of letting everything through.
fn outcome(threshold: Option<f64>, regressions: &[Regression], judged: usize) -> Result<Outcome> {
    let Some(threshold) = threshold else { return Ok(Outcome::Fine) };
    if regressions.is_empty() {
        ensure!(
            judged > 0,
            "--threshold: of no stack could a figure be judged, so nothing is known of regressions; the verdicts say why, \
             and both runs need 3 trials or more"
        );
        return Ok(Outcome::Fine);
    }
    let stacks: BTreeSet<&str> = regressions.iter().map(|regression| regression.stack.as_str()).collect();
    let count = match regressions.len() {
        1 => "1 regression".to_owned(),
        many => format!("{many} regressions"),
    };
    let stacks = stacks.into_iter().collect::<Vec<_>>().join(", ");
    // The output names each; whoever sends that elsewhere still sees which stacks.
    eprintln!("stackbench: {count} beyond --threshold {}: {stacks}", share(threshold));
    Ok(Outcome::Regressed)
}

fn threshold(text: &str) -> Result<f64, String> {
    let share = parse_share(text)?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("it must be between 0% and 100%, as 5% or 0.05".to_owned())
    }
}

fn quantity(name: &str) -> Result<Quantity, String> {
    Quantity::named(name).ok_or_else(|| format!("no figure is named so; there are: {}", names(QUANTITIES)))
}

fn format(name: &str) -> Result<Format, String> {
    Format::named(name).ok_or_else(|| format!("no format is named so; there are: {}", names(FORMATS)))
}

fn names<T>(named: &[(&str, T)]) -> String {
    named.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: CompareArgs,
    }

    fn parsed(line: &str) -> Result<CompareArgs, String> {
        let words = ["compare", "a", "b"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_threshold_is_a_share_in_per_cent_or_as_a_number() {
        for text in ["5%", "0.05"] {
            assert_eq!(parsed(&format!("--threshold {text}")).unwrap().threshold, Some(0.05));
        }
        assert_eq!(parsed("--threshold 0%").unwrap().threshold, Some(0.0));
        assert_eq!(parsed("").unwrap().threshold, None);
        for text in ["5", "-1%", "101%", "nan", "much"] {
            let error = parsed(&format!("--threshold={text}")).unwrap_err();
            assert!(error.contains("--threshold") && error.contains("5% or 0.05"), "{error}");
        }
    }

    #[test]
    fn figures_and_formats_that_are_none_are_refused_with_those_there_are() {
        assert_eq!(parsed("--figure cpu,rss").unwrap().figure, [Quantity::Cpu, Quantity::Rss]);
        let error = parsed("--figure speed").unwrap_err();
        assert!(error.contains("--figure") && error.contains("cpu, rate, p99, rss"), "{error}");
        let error = parsed("--format pdf").unwrap_err();
        assert!(error.contains("--format") && error.contains("text, md, html"), "{error}");
    }

    #[test]
    fn a_threshold_under_which_nothing_could_be_judged_is_an_error_and_no_consent() {
        let regression =
            || Regression { question: "q".to_owned(), stack: "tokio".to_owned(), what: "failed".to_owned() };
        assert_eq!(outcome(None, &[], 0).unwrap(), Outcome::Fine);
        assert_eq!(outcome(Some(0.1), &[], 1).unwrap(), Outcome::Fine);
        assert_eq!(outcome(Some(0.1), &[regression()], 0).unwrap(), Outcome::Regressed);
        let error = outcome(Some(0.1), &[], 0).unwrap_err().to_string();
        assert!(error.starts_with("--threshold: of no stack"), "{error}");
    }
}
