//! The answer as data: which stacks qualify, by how much, and what the others lack. How it is drawn is the business of
//! [`crate::format::pick`].

use super::{
    finding::{Finding, Missing, Standing},
    need::{Need, Quantity},
    remedy::Remedy,
};
use crate::{
    number,
    row::{Mode, Verdict},
    summary::Spread,
    table::{mode_word, verdict_word},
};

/// What a run says of a need, for one request in one mode of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Scenario's name.
    pub scenario: String,
    /// Request's name.
    pub request: String,
    /// Its mode.
    pub mode: Mode,
    /// What its steps set beside the rate, in words; mostly empty.
    pub setting: String,
    /// `cache-rate: cache_hit, async`.
    pub title: String,
    /// Store, placement and load, a line each.
    pub facts: Vec<String>,
    /// Stacks that meet every condition in the whole of its spread, the one that costs least CPU first.
    pub qualifying: Vec<Candidate>,
    /// Stacks that meet every condition in some trials and miss one in others, likewise.
    pub borderline: Vec<Candidate>,
    /// Stacks that miss some condition for certain, the nearest to qualifying first.
    pub lacking: Vec<Candidate>,
    /// Stacks of which this run cannot tell.
    pub untold: Vec<Candidate>,
    /// How to find out.
    pub remedies: Vec<Remedy>,
}

/// A stack held against the need.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its name.
    pub stack: String,
    /// Where it was asked; none where the run has no place for it.
    pub at: Option<At>,
    /// What was found: whether it did its work at all where it did not, then one for each condition.
    pub findings: Vec<Finding>,
    /// What it costs there.
    pub cost: Cost,
}

/// The step at which a stack was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct At {
    /// What the step sets, in words; empty for a scenario of one step.
    pub step: String,
    /// What was offered there, per second; none where answers came as fast as they would.
    pub offered_per_sec: Option<f64>,
    /// What the figures may be used for.
    pub verdict: Verdict,
    /// Trials they rest on.
    pub trials: usize,
}

/// What a stack costs at the step, whether or not that is limited.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cost {
    /// Server's CPU time per answer, in microseconds.
    pub cpu_us: Option<Spread>,
    /// CPU that the needed rate takes at that cost, in cores; none where no rate is needed.
    pub cores: Option<f64>,
    /// Server's peak resident set, in bytes.
    pub rss_bytes: Option<Spread>,
    /// Server's threads at the end of the window.
    pub threads: Option<Spread>,
    /// `native` or `bridged`; empty where the run does not describe the stack.
    pub how: &'static str,
    /// `deployed`, `controlled` or `both`; likewise.
    pub panel: String,
    /// State of its libraries as its card says it; none where it was not measured.
    pub upstream: Option<String>,
}

impl Answer {
    /// All stacks that were held against the need.
    pub fn candidates(&self) -> usize {
        [&self.qualifying, &self.borderline, &self.lacking, &self.untold].iter().map(|group| group.len()).sum()
    }

    /// The answer in a sentence or two.
    pub fn sentence(&self) -> String {
        let all = self.candidates();
        let stacks = if all == 1 { "stack" } else { "stacks" };
        let of = |at: Option<&At>| {
            let words = [self.request.as_str(), mode_word(self.mode), &self.setting];
            let words = words.into_iter().filter(|word| !word.is_empty()).map(str::to_owned);
            words.chain(at.map(At::load)).collect::<Vec<String>>().join(", ")
        };
        let first = match (self.qualifying.first(), self.lacking.first()) {
            (Some(best), _) => {
                let how_many = self.qualifying.len();
                let verb = if how_many == 1 { "qualifies" } else { "qualify" };
                let which = if how_many == 1 { "it" } else { "the cheapest" };
                let cpu = best.cost.cpu_us.map_or_else(String::new, |cpu| {
                    format!(" at {} of server CPU per request", number::duration_us(cpu.median))
                });
                format!(
                    "{how_many} of {all} {stacks} {verb}; {which} is {}{cpu} ({}).",
                    best.stack,
                    of(best.at.as_ref())
                )
            }
            (None, Some(nearest)) if self.untold.is_empty() && self.borderline.is_empty() => {
                format!("None of {all} {stacks} qualifies; the nearest is {}: {}.", nearest.stack, nearest.lacks())
            }
            (None, _) => format!("Of {all} {stacks} none is known to qualify ({}).", of(None)),
        };
        let borderline = match self.borderline.len() {
            0 => String::new(),
            1 => " 1 qualifies in some trials and misses something in others.".to_owned(),
            many => format!(" {many} qualify in some trials and miss something in others."),
        };
        let untold = match self.untold.len() {
            0 => String::new(),
            many if many == all => " This run cannot tell of any.".to_owned(),
            many => format!(" Of {many} this run cannot tell."),
        };
        let best = self.qualifying.iter().filter_map(|one| one.at.as_ref());
        let is_single = best.map(|at| at.trials).max() == Some(1);
        let caution = if is_single { SINGLE } else { "" };
        format!("{first}{borderline}{untold}{caution}")
    }
}

/// What is to be said of figures without a spread.
const SINGLE: &str = " Figures rest on one trial each, so there is no spread: a small margin may be chance.";

impl At {
    /// `20,000/s offered`.
    pub fn load(&self) -> String {
        match self.offered_per_sec {
            Some(rate) => format!("{}/s offered", number::rate(rate)),
            None => "as fast as answers come".to_owned(),
        }
    }

    /// The verdict in a word where it is not `ok`; empty otherwise.
    pub fn doubt(&self) -> &'static str {
        if self.verdict == Verdict::Ok { "" } else { verdict_word(self.verdict) }
    }
}

/// The groups of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Qualifying,
    Borderline,
    Lacking,
    Untold,
}

impl Candidate {
    pub(super) fn group(&self) -> Group {
        let has = |is: fn(Standing) -> bool| self.findings.iter().any(|finding| is(finding.standing));
        if has(|standing| standing == Standing::Missed) {
            Group::Lacking
        } else if has(|standing| matches!(standing, Standing::Unknown(_))) {
            Group::Untold
        } else if has(|standing| standing == Standing::Straddling) {
            Group::Borderline
        } else {
            Group::Qualifying
        }
    }

    /// What was found of a quantity.
    pub fn finding_of(&self, quantity: Quantity) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.limit().is_some_and(|limit| limit.quantity == quantity))
    }

    /// Everything that it lacks: `p99 35.0 ms, needs < 20 ms (75.0 % over); …`.
    pub fn lacks(&self) -> String {
        self.told(|standing| standing == Standing::Missed)
    }

    /// What it does not keep in every trial.
    pub fn wavers(&self) -> String {
        self.told(|standing| standing == Standing::Straddling)
    }

    /// Why it cannot be told, each reason once.
    pub fn unknown(&self) -> String {
        self.told(|standing| matches!(standing, Standing::Unknown(_)))
    }

    fn told(&self, is: impl Fn(Standing) -> bool) -> String {
        let mut told: Vec<String> = Vec::new();
        for words in self.findings.iter().filter(|finding| is(finding.standing)).map(Finding::words) {
            if !told.contains(&words) {
                told.push(words);
            }
        }
        told.join("; ")
    }

    /// What is missing most.
    pub(super) fn missing(&self) -> Option<Missing> {
        let missing = |finding: &Finding| match finding.standing {
            Standing::Unknown(missing) => Some(missing),
            _ => None,
        };
        self.findings.iter().filter_map(missing).max()
    }

    /// How far it is from qualifying: whether it did not do its work, how many conditions it misses, and by how much of
    /// their limits together. What is no figure counts as a whole limit.
    pub(super) fn distance(&self) -> (bool, usize, f64) {
        let missed: Vec<&Finding> = self.findings.iter().filter(|f| f.standing == Standing::Missed).collect();
        let short = |finding: &&Finding| finding.margin().map_or(1.0, |margin| -margin.value);
        let is_broken = missed.iter().any(|finding| finding.condition.is_none());
        (is_broken, missed.len(), missed.iter().map(short).sum())
    }
}

impl Need {
    /// The cores that a cost per answer comes to at the rate that is needed.
    pub(super) fn cores(&self, cpu_us: f64) -> Option<f64> {
        self.rate().map(|rate| rate * cpu_us / 1e6)
    }
}
