//! Which stacks of a run meet a need, by how much, at what cost, and what the others lack.
//!
//! # Layout
//! - [`need`]: what is needed, as it is written; `facts`: the words of cards among it.
//! - [`answer`]: what a run says of it, as data; [`finding`] is what it says of one condition.
//! - `evidence`: what the run holds of each stack; `judge` holds that against the need, at a step that `measure` asks.
//! - [`remedy`]: the command that would tell what the run does not.

use std::cmp::Ordering;

use anyhow::{Result, bail, ensure};

use crate::{
    capacity::Capacity,
    dir::Run,
    heading,
    noise::Noise,
    row::Mode,
    run::StoreKind,
    summary,
    table::{self, Headline},
};

pub mod answer;
mod evidence;
mod facts;
pub mod finding;
mod judge;
mod measure;
pub mod need;
pub mod remedy;

use answer::Group;
pub use answer::{Answer, Candidate};
use evidence::{Question, questions};
use judge::Judge;
pub use need::Need;

/// What of a run is asked; everything where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// A scenario's name.
    pub scenario: Option<String>,
    /// A request's name.
    pub request: Option<String>,
    /// A mode.
    pub mode: Option<Mode>,
}

/// What a run says of a need.
#[derive(Debug, Clone, PartialEq)]
pub struct Pick {
    /// The need.
    pub need: Need,
    /// One for each request and mode.
    pub answers: Vec<Answer>,
    /// How to read it, and what it does not say.
    pub reading: Vec<String>,
}

impl Pick {
    /// Asks a run, or the search for capacity that it is. Unless a scenario is named, those with steps that offer rates are
    /// asked where there are any, and of these the ones that play no faults.
    ///
    /// # Errors
    /// When the run has nothing of what is asked; names the flag and what there is.
    pub fn of(run: &Run, searches: Option<&Capacity>, need: Need, asked: &Asked) -> Result<Self> {
        let mut questions = questions(run, searches);
        ensure!(!questions.is_empty(), "no stack of this run has a trial that a need can be asked of");
        keep(&mut questions, "--scenario", asked.scenario.as_deref(), |question| question.scenario.clone())?;
        keep(&mut questions, "--request", asked.request.as_deref(), |question| question.request.clone())?;
        let mode = asked.mode.map(table::mode_word);
        keep(&mut questions, "--mode", mode, |question| table::mode_word(question.mode).to_owned())?;
        if asked.scenario.is_none() {
            prefer(&mut questions, Question::is_open);
            // What such a scenario does while nothing goes wrong is there to be compared with what it does then.
            let has_faults = |question: &Question| {
                run.rows.iter().any(|row| row.fault.is_some() && row.scenario == question.scenario)
            };
            prefer(&mut questions, |question| !has_faults(question));
        }
        let answers: Vec<Answer> = questions.iter().map(|question| answer(run, searches, &need, question)).collect();
        let reading = reading(run, &need, &questions, &answers);
        Ok(Self { need, answers, reading })
    }

    /// Whether some stack qualifies for every request and mode that was asked.
    pub fn is_answered(&self) -> bool {
        self.answers.iter().all(|answer| !answer.qualifying.is_empty())
    }
}

/// Keeps the questions of a kind, where there are any.
fn prefer<'r>(questions: &mut Vec<Question<'r>>, is_preferred: impl Fn(&Question<'r>) -> bool) {
    if questions.iter().any(&is_preferred) {
        questions.retain(is_preferred);
    }
}

/// Keeps the questions of which something is as it was asked for.
fn keep(
    questions: &mut Vec<Question>,
    flag: &str,
    asked: Option<&str>,
    of: impl Fn(&Question) -> String,
) -> Result<()> {
    let Some(asked) = asked else { return Ok(()) };
    let mut known: Vec<String> = questions.iter().map(&of).collect();
    known.sort();
    known.dedup();
    questions.retain(|question| of(question) == asked);
    if questions.is_empty() {
        bail!("{flag} {asked}: the run has no trials of it that a need can be asked of; it has {}", known.join(", "));
    }
    Ok(())
}

fn answer(run: &Run, searches: Option<&Capacity>, need: &Need, question: &Question) -> Answer {
    let judge = Judge { run, searches, need, mode: question.mode };
    let candidates: Vec<Candidate> = question.stacks.iter().map(|evidence| judge.candidate(evidence)).collect();
    let of_group = |group: Group| -> Vec<Candidate> {
        let mut of_group: Vec<Candidate> = candidates.iter().filter(|one| one.group() == group).cloned().collect();
        of_group.sort_by(|a, b| match group {
            Group::Lacking => nearness(a, b),
            _ => dearness(a).total_cmp(&dearness(b)),
        });
        of_group
    };
    let rows = question.rows();
    let title = summary::Question { request: question.request.clone(), mode: question.mode, step: None };
    let untold = of_group(Group::Untold);
    Answer {
        scenario: question.scenario.clone(),
        request: question.request.clone(),
        mode: question.mode,
        title: format!(
            "{}: {}{}",
            question.scenario,
            table::title(&title, question.meta),
            after_colon(&question.setting)
        ),
        setting: question.setting.clone(),
        facts: match searches {
            None => heading::facts(question.meta, &rows),
            Some(_) => heading::search_facts(question.meta, &rows),
        },
        qualifying: of_group(Group::Qualifying),
        borderline: of_group(Group::Borderline),
        lacking: of_group(Group::Lacking),
        remedies: remedy::remedies(run, question, need, &untold, searches.is_some()),
        untold,
    }
}

fn after_colon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// Orders by how far they are from qualifying, the nearest first.
fn nearness(a: &Candidate, b: &Candidate) -> Ordering {
    let ((a_broken, a_missed, a_short), (b_broken, b_missed, b_short)) = (a.distance(), b.distance());
    (a_broken, a_missed).cmp(&(b_broken, b_missed)).then(a_short.total_cmp(&b_short))
}

/// What a request costs; a stack of which that is not known comes last.
fn dearness(candidate: &Candidate) -> f64 {
    candidate.cost.cpu_us.map_or(f64::INFINITY, |cpu| cpu.median)
}

/// How to read the answers, and what they do not say.
fn reading(run: &Run, need: &Need, questions: &[Question], answers: &[Answer]) -> Vec<String> {
    let shown = || answers.iter().flat_map(|answer| answer.qualifying.iter().chain(&answer.borderline));
    let asked_at =
        |is: &dyn Fn(Option<f64>) -> bool| shown().filter_map(|one| one.at.as_ref()).any(|at| is(at.offered_per_sec));
    let mut lines = vec![SPREAD.to_owned()];
    lines.extend(
        asked_at(&|rate| rate.zip(need.rate()).is_some_and(|(asked, needed)| asked > needed)).then(|| ABOVE.to_owned()),
    );
    lines.extend(asked_at(&|rate| rate.is_none()).then(|| SATURATED.to_owned()));
    lines.push(Noise::of(run, Headline::CpuPerRequest).sentence());
    lines.push(scope(run, questions));
    lines
}

/// What makes a stack qualify.
const SPREAD: &str = "A stack qualifies where all conditions hold at one step, at the rate or the nearest above it, and not in \
                      the median alone but in the whole of the spread: the range over the trials, or from six trials on the \
                      interval of the median. Latencies count from the instants at which requests were due. A margin is in per \
                      cent of the limit. Cores: server CPU per request times the rate that is needed.";

/// What a step does to costs that offers more than is needed.
const ABOVE: &str = "Where a stack was asked above the rate that is needed, a request costs more at the rate itself: the fewer \
                     come, the more each of them costs. `stackbench capacity --start` with the rate tries just that, for all \
                     stacks alike.";

/// What a closed loop does to costs.
const SATURATED: &str = "As fast as answers come, a request costs less than at a rate that leaves the server idle now and then: \
                         ask at a step that offers a rate where the cost there matters.";

/// Where the answer holds.
fn scope(run: &Run, questions: &[Question]) -> String {
    let mut workers: Vec<u32> = questions.iter().flat_map(Question::rows).map(|row| row.workers).collect();
    workers.sort_unstable();
    workers.dedup();
    let workers = match workers.as_slice() {
        [1] => "servers of one worker".to_owned(),
        [one] => format!("servers of {one} workers"),
        _ => "servers of several numbers of workers".to_owned(),
    };
    let store = match run.meta.store.kind {
        StoreKind::Embedded => "the embedded store",
        StoreKind::Spawn | StoreKind::Url => "a store",
    };
    format!(
        "All of this is of one machine, over loopback, of {workers} and {store} beside them, and of handlers that do one \
         store command: on another machine, ask again there."
    )
}

#[cfg(test)]
pub(crate) mod tests;
