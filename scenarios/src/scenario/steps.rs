//! Steps: the same scenario under several settings, each a point of a curve.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::{Delay, Fault, Rate, Scenario};
use crate::units::show_duration;

/// More steps than this nobody waits for, and no table shows.
const STEPS_MAX: usize = 64;

/// What changes from step to step. Every combination of the lists' entries is a step; the first list changes slowest.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Steps {
    /// Instead of `[store] delays`.
    pub delays: Vec<BTreeMap<String, Delay>>,
    /// Instead of `[load] connections`.
    pub connections: Vec<u32>,
    /// Instead of `[server] pool`.
    pub pool: Vec<u32>,
    /// Instead of `[server] workers`; and a server has as many CPUs as workers.
    pub workers: Vec<u32>,
    /// Instead of `[load] rate`.
    pub rate: Vec<Rate>,
    /// What goes wrong in the window.
    pub fault: Vec<Fault>,
    /// Of `workers`, what this machine has too few CPUs for.
    #[serde(skip)]
    pub workers_left_out: Vec<u32>,
}

/// A scenario at one of its steps.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number from 0; none for a scenario without steps.
    pub number: Option<u32>,
    /// What is set here, in words: `GET after 20ms, pool 64`; empty for a scenario without steps.
    pub title: String,
    /// The scenario with the step's settings in place.
    pub scenario: Scenario,
}

impl Steps {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers().iter().all(|values| *values == 0)
    }

    /// How long each list is.
    fn numbers(&self) -> [usize; 6] {
        let Self { delays, connections, pool, workers, rate, fault, .. } = self;
        [delays.len(), connections.len(), pool.len(), workers.len(), rate.len(), fault.len()]
    }

    /// Leaves out what asks for more workers than there are CPUs.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn fit(&mut self, cpus: usize) -> Result<()> {
        let (fitting, left_out): (Vec<u32>, Vec<u32>) =
            self.workers.iter().partition(|workers| usize::try_from(**workers).is_ok_and(|workers| workers <= cpus));
        ensure!(
            left_out.is_empty() || !fitting.is_empty(),
            "steps.workers: {} or more, and this machine has {cpus} CPUs; add a step of fewer, or give one number with \
             --workers",
            left_out.iter().min().copied().unwrap_or_default()
        );
        (self.workers, self.workers_left_out) = (fitting, left_out);
        Ok(())
    }

    pub(super) fn validate(&self) -> Result<()> {
        let n = self.numbers().into_iter().map(|values| values.max(1)).fold(1, usize::saturating_mul);
        ensure!(n <= STEPS_MAX, "steps: {n} combinations; at most {STEPS_MAX} are possible");
        ensure_distinct("delays", &self.delays)?;
        ensure_distinct("connections", &self.connections)?;
        ensure_distinct("pool", &self.pool)?;
        ensure_distinct("workers", &self.workers)?;
        ensure_distinct("rate", &self.rate)?;
        ensure_distinct("fault", &self.fault)
    }
}

impl Scenario {
    /// The scenario at each of its steps, in order; once, as it is, if it has none.
    pub fn at_steps(&self) -> Vec<Step> {
        let mut steps = vec![Step { number: None, title: String::new(), scenario: self.clone() }];
        steps = each(steps, &self.steps.delays, |scenario, delays| {
            scenario.store.delays.clone_from(delays);
            delays_in_words(delays)
        });
        steps = each(steps, &self.steps.connections, |scenario, connections| {
            scenario.load.connections = *connections;
            counted(*connections, "connection")
        });
        steps = each(steps, &self.steps.pool, |scenario, pool| {
            scenario.server.pool = *pool;
            format!("pool {pool}")
        });
        steps = each(steps, &self.steps.workers, |scenario, workers| {
            (scenario.server.workers, scenario.server.cpus) = (Some(*workers), Some(*workers));
            counted(*workers, "worker")
        });
        steps = each(steps, &self.steps.rate, |scenario, rate| {
            scenario.load.rate = Some(*rate);
            rate.to_string()
        });
        steps = each(steps, &self.steps.fault, |scenario, fault| {
            fault.set(scenario);
            fault.title()
        });
        if !self.steps.is_empty() {
            for (number, step) in (0..).zip(&mut steps) {
                step.number = Some(number);
            }
        }
        steps
    }
}

/// Two steps of the same settings would be two columns that nobody could tell apart.
fn ensure_distinct<T: PartialEq>(key: &str, values: &[T]) -> Result<()> {
    let again = (1..values.len()).find(|index| values[..*index].contains(&values[*index]));
    ensure!(again.is_none(), "steps.{key}: entry {} stands there before; leave it out", again.unwrap_or_default() + 1);
    Ok(())
}

/// Every step so far with every value of a list; as they are, if the list is empty.
fn each<T>(steps: Vec<Step>, values: &[T], set: impl Fn(&mut Scenario, &T) -> String) -> Vec<Step> {
    if values.is_empty() {
        return steps;
    }
    let at = |step: &Step, value: &T| {
        let mut step = step.clone();
        let words = set(&mut step.scenario, value);
        let comma = if step.title.is_empty() { "" } else { ", " };
        step.title = format!("{}{comma}{words}", step.title);
        step
    };
    steps.iter().flat_map(|step| values.iter().map(move |value| at(step, value))).collect()
}

/// `1 worker`, `2 workers`.
fn counted(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn delays_in_words(delays: &BTreeMap<String, Delay>) -> String {
    if delays.is_empty() {
        return "no added delay".to_owned();
    }
    let words = delays.iter().map(|(name, delay)| format!("{} after {}", name.to_uppercase(), show_duration(delay.0)));
    words.collect::<Vec<_>>().join(", ")
}
