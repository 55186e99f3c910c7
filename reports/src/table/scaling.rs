//! What more workers, with a CPU for each, give: the rate at each step over that at the step of fewest.

use crate::{
    number,
    row::Role,
    run::{ScenarioMeta, StepMeta},
    stats::Blocks,
    summary::{Cell, Question},
};

use super::{Headline, is_ranked, measure::in_brackets};

/// The steps that those of a curve over workers are held against.
pub struct Scaling {
    /// For each point of the curve, the point with the fewest workers that differs from it in nothing else.
    bases: Vec<usize>,
    /// The fewest workers.
    workers: u32,
}

impl Scaling {
    /// `None` where the points do not differ in their workers.
    pub fn over(points: &[&Question], meta: Option<&ScenarioMeta>) -> Option<Self> {
        let steps: Vec<&StepMeta> =
            points.iter().map(|point| meta?.steps.get(point.step? as usize)).collect::<Option<_>>()?;
        let workers = |index: &usize| steps[*index].workers;
        let base = |step: &StepMeta| (0..steps.len()).filter(|index| alike(steps[*index], step)).min_by_key(workers);
        let bases: Vec<usize> = steps.iter().map(|step| base(step)).collect::<Option<_>>()?;
        let differs = bases.iter().enumerate().any(|(index, base)| index != *base);
        let workers = steps.iter().filter_map(|step| step.workers).min().filter(|_| differs)?;
        Some(Self { bases, workers })
    }

    /// `1 worker`.
    pub fn fewest_in_words(&self) -> String {
        format!("{} {}", self.workers, if self.workers == 1 { "worker" } else { "workers" })
    }

    /// The rate of a stack at a point over that at its base: the geometric mean of the ratios within blocks. In brackets,
    /// if one of the two rates is not the stack's own.
    pub fn shown(&self, columns: &[&[&Cell]], point: usize, stack: &str) -> Option<String> {
        let cell = |column: usize| columns[column].iter().find(|cell| cell.stack == stack);
        let (own, base) = (cell(point)?, cell(self.bases[point])?);
        let times = number::ratio(mean_ratio(&own.rate_by_block, &base.rate_by_block)?);
        let is_sound = |cell: &Cell| cell.role != Role::Stack || is_ranked(cell, Headline::Rate);
        Some(if is_sound(own) && is_sound(base) { times } else { in_brackets(&times) })
    }
}

/// Whether two steps differ in nothing but their workers.
fn alike(a: &StepMeta, b: &StepMeta) -> bool {
    let settings = |step: &StepMeta| StepMeta { title: String::new(), workers: None, ..step.clone() };
    settings(a) == settings(b)
}

fn mean_ratio(a: &Blocks, b: &Blocks) -> Option<f64> {
    let logs: Vec<f64> = a.iter().filter_map(|(block, a)| Some((a / b.get(block)?).ln())).collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    mean.is_finite().then(|| mean.exp())
}
