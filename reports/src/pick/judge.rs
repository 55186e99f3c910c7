//! A stack held against a need: at which of its steps it is asked, and what comes of that.

use stackload::threshold;

use super::{
    answer::{At, Candidate, Cost, Group},
    evidence::{Evidence, Load, Step},
    finding::{Finding, Missing, Point, Reading, Standing},
    measure::Asked,
    need::{Condition, Limit, Need, Quantity},
};
use crate::{
    capacity::{Capacity, Ended, Search, SetBy},
    card,
    dir::Run,
    row::Mode,
    run::StackMeta,
    table::one_line,
};

/// A step this far above the rate that is needed is still at that rate. What is missed further above may be kept at the
/// rate itself.
const AT_RATE: f64 = 1.01;

/// What all stacks are held against.
pub(super) struct Judge<'r> {
    pub run: &'r Run,
    pub searches: Option<&'r Capacity>,
    pub need: &'r Need,
    /// What is asked of them.
    pub mode: Mode,
}

/// What a search says of the need by its bounds.
enum Bounds<'r> {
    /// Nothing: its objective is another, or the rate lies between them.
    Silent,
    /// The objective, which is all the latency that is needed, was met up to this rate.
    MetUpTo(f64),
    /// It was missed below the rate, and that is the stack's doing.
    MissedFrom(&'r Search, f64),
    /// The server did not do its work.
    Failed(String),
}

impl<'r> Judge<'r> {
    /// Holds a stack against the need, at the nearest step at or above its rate that tells.
    pub fn candidate(&self, evidence: &Evidence<'r>) -> Candidate {
        let bounds = evidence.search.map_or(Bounds::Silent, |search| self.bounds(search));
        match &bounds {
            Bounds::MissedFrom(search, upper) => return self.without_step(evidence, self.too_much(search, *upper)),
            Bounds::Failed(why) => {
                let note = format!("failed: {why}");
                let failed = Finding { condition: None, standing: Standing::Missed, reading: None, note };
                return self.without_step(evidence, Some(failed));
            }
            Bounds::Silent | Bounds::MetUpTo(_) => {}
        }
        let most = if let Bounds::MetUpTo(rate) = bounds { rate } else { f64::INFINITY };
        let steps = self.order(&evidence.steps, most);
        let mut candidates: Vec<Candidate> = steps.iter().map(|step| self.at(evidence, step)).collect();
        forget_lucky(&mut candidates);
        if let Some(telling) = candidates.iter().position(|candidate| candidate.group() != Group::Untold) {
            return candidates.swap_remove(telling);
        }
        let is_open = |step: &Step| step.load != Load::Closed;
        let was_tried = steps.iter().any(|step| is_open(step)) || !evidence.steps.iter().any(is_open);
        match was_tried {
            true if !candidates.is_empty() => candidates.swap_remove(0),
            true => self.without_step(evidence, None),
            false => self.below(evidence),
        }
    }

    /// The steps that can tell, the one to be asked first first. Where a rate is needed: of those at or above it the nearest
    /// that was offered to all stacks, so that they are compared at equal rates, then the others from the nearest on, then
    /// what it does as fast as answers come. Where none is needed: that first, then the lowest rate.
    fn order<'s>(&self, steps: &'s [Step<'r>], most: f64) -> Vec<&'s Step<'r>> {
        let limit = self.need.limit_of(Quantity::Rate);
        let is_enough = |rate: f64| limit.is_none_or(|limit| limit.holds(rate)) && rate <= most;
        let (closed, open): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| step.load == Load::Closed);
        let mut open: Vec<(f64, &Step)> =
            open.into_iter().filter_map(|step| Some((step.load.offered()?, step))).collect();
        open.retain(|(rate, _)| is_enough(*rate));
        open.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some(common) = open.iter().position(|(_, step)| matches!(step.load, Load::Common(_))) {
            open[..=common].rotate_right(1);
        }
        let open = open.into_iter().map(|(_, step)| step);
        if limit.is_some() { open.chain(closed).collect() } else { closed.into_iter().chain(open).collect() }
    }

    /// What comes of asking at a step.
    fn at(&self, evidence: &Evidence, step: &Step<'r>) -> Candidate {
        let asked = self.asked(step);
        let unsound = asked.unsound();
        let is_sound = unsound.is_none();
        let limits = self.need.limits().filter(|_| is_sound).map(|limit| asked.finding(limit));
        let findings = unsound.into_iter().chain(limits).map(|finding| self.weighed(finding, step));
        let cell = &step.cell;
        let at = At {
            step: step.title.clone(),
            offered_per_sec: step.load.offered(),
            verdict: cell.verdict,
            trials: cell.trials,
        };
        let cost = Cost {
            cpu_us: cell.server_us,
            cores: cell.server_us.and_then(|cpu| self.need.cores(cpu.median)),
            rss_bytes: cell.rss_bytes,
            threads: asked.threads(),
            ..self.cost_of_card(evidence)
        };
        let findings = findings.chain(self.words(evidence)).collect();
        Candidate { stack: evidence.stack.clone(), at: Some(at), findings, cost }
    }

    fn asked<'s>(&self, step: &'s Step<'r>) -> Asked<'s, 'r> {
        Asked { step, run: self.run, allows_errors: self.need.limit_of(Quantity::Errors).is_some() }
    }

    /// What is missed at a higher rate than the one that is needed may be kept at that one: but for what was carried, what
    /// a request costs (less, the more there are) and what no rate changes.
    fn weighed(&self, finding: Finding, step: &Step) -> Finding {
        let Some(needed) = self.need.rate() else { return finding };
        let is_near = step.load.offered().is_some_and(|rate| rate <= needed * AT_RATE);
        let holds_anywhere = finding.limit().is_some_and(|limit| {
            matches!(limit.quantity, Quantity::Rate | Quantity::Cpu | Quantity::Idle | Quantity::ColdStart)
        });
        if finding.standing != Standing::Missed || is_near || holds_anywhere {
            return finding;
        }
        let lower = finding.limit().map(|_| format!(", but may be lower at {}", Quantity::Rate.show(needed)));
        let note = finding.words() + &lower.unwrap_or_default();
        Finding { standing: Standing::Unknown(Missing::Rate), note, ..finding }
    }

    /// A stack that was offered nothing at the rate or above. What it did not carry of less, or reached with its CPUs full,
    /// tells nevertheless.
    fn below(&self, evidence: &Evidence<'r>) -> Candidate {
        let rate = self.need.limit_of(Quantity::Rate);
        let told = |step: &Step<'r>| {
            let finding = self.asked(step).finding(rate?);
            let limits_it = matches!(finding.standing, Standing::Missed | Standing::Straddling);
            // A rate that was carried limits nothing.
            let is_carried = step.load != Load::Closed && step.cell.is_carried == Some(true);
            (limits_it && !is_carried).then_some(finding)
        };
        let found: Vec<Finding> = evidence.steps.iter().filter_map(told).collect();
        let value = |finding: &Finding| finding.reading.map_or(0.0, |reading| reading.value.value);
        let most = found.into_iter().max_by(|a, b| value(a).total_cmp(&value(b)));
        let carried = evidence.steps.iter().filter(|step| step.cell.is_carried == Some(true));
        let offered = carried.filter_map(|step| step.load.offered()).reduce(f64::max);
        let finding = most.or_else(|| {
            let note = match offered {
                Some(most) => format!("it carried {}, the most that it was tried with", Quantity::Rate.show(most)),
                None => "the rate was not tried".to_owned(),
            };
            Some(unknown(rate?, note))
        });
        self.without_step(evidence, finding)
    }

    /// A stack of which no step tells, with what is known of it all the same.
    fn without_step(&self, evidence: &Evidence, finding: Option<Finding>) -> Candidate {
        let untried = || Finding {
            condition: None,
            standing: Standing::Unknown(Missing::Rate),
            reading: None,
            note: "none of its trials is at the rate".to_owned(),
        };
        let findings = [finding.unwrap_or_else(untried)].into_iter().chain(self.words(evidence)).collect();
        Candidate { stack: evidence.stack.clone(), at: None, findings, cost: self.cost_of_card(evidence) }
    }

    fn described(&self, evidence: &Evidence) -> Option<&'r StackMeta> {
        self.run.meta.stacks.iter().find(|stack| stack.name == evidence.stack)
    }

    /// What the card says to the conditions of words.
    fn words(&self, evidence: &Evidence) -> Vec<Finding> {
        let stack = self.described(evidence);
        let finding = |condition: &Condition| {
            let Condition::Words(words) = condition else { return None };
            let (standing, note) = match stack.and_then(|stack| words.told(stack, self.mode)) {
                Some(told) if told.is_wanted => (Standing::Met, told.words),
                Some(told) => (Standing::Missed, told.words),
                None => {
                    let note = format!("its card does not tell {}", words.fact.name());
                    (Standing::Unknown(Missing::Card), note)
                }
            };
            Some(Finding { condition: Some(condition.clone()), standing, reading: None, note })
        };
        self.need.conditions.iter().filter_map(finding).collect()
    }

    fn cost_of_card(&self, evidence: &Evidence) -> Cost {
        let Some(stack) = self.described(evidence) else { return Cost::default() };
        let (how, panel) = (card::how(stack, self.mode), stack.panel.clone());
        Cost { how, panel, upstream: card::upstream(stack), ..Cost::default() }
    }

    /// What the bounds of a search say. They speak for the need where its latency follows from the objective, and against
    /// it where the objective follows from its latency.
    fn bounds(&self, search: &'r Search) -> Bounds<'r> {
        if search.ended == Ended::Failed {
            return Bounds::Failed(one_line(search.error.as_deref().unwrap_or_default()));
        }
        let parsed = |list: &str| threshold::parse_objective("", list).ok();
        let objective = self.searches.and_then(|searches| parsed(&searches.objective));
        let (Some(objective), Some(rate)) = (objective, self.need.limit_of(Quantity::Rate)) else {
            return Bounds::Silent;
        };
        let needed = self.need.objective().and_then(|list| parsed(&list)).unwrap_or_default();
        let lower = search.lower_per_sec.filter(|lower| rate.holds(*lower));
        let is_own = search.upper_set_by == Some(SetBy::Stack);
        let upper = search.upper_per_sec.filter(|upper| is_own && rate.limit >= *upper);
        match (lower, upper) {
            (Some(lower), _) if threshold::implies(&objective, &needed) => Bounds::MetUpTo(lower),
            (_, Some(upper)) if threshold::implies(&needed, &objective) => Bounds::MissedFrom(search, upper),
            _ => Bounds::Silent,
        }
    }

    /// That a stack's upper bound lies below the rate.
    fn too_much(&self, search: &Search, upper: f64) -> Option<Finding> {
        let rate = self.need.limit_of(Quantity::Rate)?;
        let objective = self.searches.map_or("", |searches| searches.objective.as_str());
        let missed = format!("(at {} it misses {objective})", Quantity::Rate.show(upper));
        let reading = search.lower_per_sec.map(|lower| {
            let ends = (Point::exactly(lower), Point::exactly(upper));
            Reading { value: ends.0, ends, trials: search.trials_at(lower).count() }
        });
        let condition = Some(Condition::Limit(rate.clone()));
        Some(Finding { condition, standing: Standing::Missed, reading, note: missed })
    }
}

/// Above a rate that was tried and not found good, a higher one that was is luck: it says nothing of the rates below.
fn forget_lucky(candidates: &mut Vec<Candidate>) {
    let rate = |candidate: &Candidate| candidate.at.as_ref().and_then(|at| at.offered_per_sec);
    let missed = candidates.iter().filter(|candidate| candidate.missing() == Some(Missing::Rate)).filter_map(rate);
    let Some(lowest) = missed.reduce(f64::min) else { return };
    candidates.retain(|candidate| rate(candidate).is_none_or(|rate| rate <= lowest));
}

fn unknown(limit: &Limit, note: String) -> Finding {
    let condition = Some(Condition::Limit(limit.clone()));
    Finding { condition, standing: Standing::Unknown(Missing::Rate), reading: None, note }
}
