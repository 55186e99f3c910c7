//! The commands that would tell what a run cannot.

use std::path::Path;

use super::{answer::Candidate, evidence::Question, finding::Missing, need::Need};
use crate::dir::Run;

/// Enough trials for an interval of the median.
const TRIALS: usize = crate::stats::TRIALS_MIN;
/// The rates that `stackbench capacity` tries if nothing else is said, per second: what `--start` must lie between.
const SEARCHED: (f64, f64) = (10.0, 1e6);
/// What a search demands where the need has no latency: a rate is missed as well when it is not carried.
const NO_ERRORS: &str = "errors<0.1%";
/// Options of every verb that measures which change what is measured: what is measured again is measured with the same.
const KEPT_OPTIONS: [&str; 6] = ["--stacks-dir", "--connections", "--redis", "--workers", "--pool", "--placement"];

/// How to find out what a run does not tell of some stacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// Which.
    pub stacks: Vec<String>,
    /// What the command does, as in "to find out, …".
    pub why: &'static str,
    /// As a shell takes it.
    pub command: String,
}

/// The remedies for the stacks of which a run cannot tell; each stack is in one of them.
pub(super) fn remedies(
    run: &Run,
    question: &Question,
    need: &Need,
    untold: &[Candidate],
    is_search: bool,
) -> Vec<Remedy> {
    let of = |missing: Missing| {
        let lack = |candidate: &&Candidate| candidate.missing() == Some(missing);
        let stacks: Vec<String> = untold.iter().filter(lack).map(|candidate| candidate.stack.clone()).collect();
        (!stacks.is_empty()).then(|| remedy(run, question, need, missing, stacks, is_search))
    };
    [Missing::Rate, Missing::Again, Missing::Card].into_iter().filter_map(of).collect()
}

fn remedy(
    run: &Run,
    question: &Question,
    need: &Need,
    missing: Missing,
    stacks: Vec<String>,
    is_search: bool,
) -> Remedy {
    let scenario = scenario(run, &question.scenario);
    let chosen = format!("--stacks {}", stacks.join(","));
    let kept = kept(&run.meta.command);
    let search = || {
        let objective = need.objective().unwrap_or_else(|| NO_ERRORS.to_owned());
        let start = need.rate().map(f64::ceil).filter(|rate| (SEARCHED.0..=SEARCHED.1).contains(rate));
        let start = start.map(|rate| format!(" --start {rate}")).unwrap_or_default();
        format!("stackbench capacity {scenario} --objective '{objective}'{start} {chosen}{kept}")
    };
    let again = || format!("stackbench run {scenario} {chosen} --trials {TRIALS}{kept}");
    let (why, command) = match missing {
        Missing::Rate => ("try the rate itself, and ask the directory of that search", search()),
        Missing::Again if is_search => ("search again on a quieter machine, and ask that directory", search()),
        Missing::Again => ("measure it again, several times, and ask that run", again()),
        Missing::Card => {
            let measure = if is_search { search() } else { again() };
            let why = "look up the libraries, and measure again with the cards there are then";
            (why, format!("cargo xtask ownership --no-build && {measure}"))
        }
    };
    Remedy { stacks, why, command }
}

/// A scenario as the run's command line has it: by its name or by the path of its file.
fn scenario<'r>(run: &'r Run, name: &'r str) -> &'r str {
    let is_file = |word: &&String| {
        let path = Path::new(word.as_str());
        path.extension().is_some_and(|extension| extension == "toml")
            && path.file_stem().is_some_and(|stem| stem == name)
    };
    run.meta.command.iter().find(is_file).map_or(name, String::as_str)
}

/// The options of a command line that change what is measured, each after a blank.
fn kept(command: &[String]) -> String {
    let mut kept = String::new();
    for (index, word) in command.iter().enumerate() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), command.get(index + 1).map(String::as_str)),
        };
        if let Some(value) = value.filter(|_| KEPT_OPTIONS.contains(&name)) {
            kept.push_str(&format!(" {name} {value}"));
        }
    }
    kept
}
