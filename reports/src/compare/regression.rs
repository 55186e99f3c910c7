//! What keeps a change from being taken: figures that are worse by more than noise and more than a threshold, and what no
//! longer works at all.

use super::{ComparedCell, ComparedQuestion, Comparison, Finding, Line};
use crate::row::Role;

/// One regression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regression {
    /// Scenario, request, mode and step.
    pub question: String,
    /// Stack's name.
    pub stack: String,
    /// What is worse, in words.
    pub what: String,
}

impl Regression {
    /// In one line.
    pub fn words(&self) -> String {
        format!("{}: {} {}", self.question, self.stack, self.what)
    }
}

impl Comparison {
    /// The regressions beyond a share: of each figure whose finding is [`Finding::Worse`], those whose ratio itself is worse
    /// than that. Whatever the threshold, a stack that failed or erred where it did not, or that no longer carries a
    /// rate, is one. Ceilings, floors and traps are no stacks and cannot regress.
    pub fn regressions(&self, threshold: f64) -> Vec<Regression> {
        let of_question = |question: &ComparedQuestion| {
            let stacks = question.cells.iter().filter(|cell| cell.role == Role::Stack);
            stacks.flat_map(|cell| of_cell(question, cell, threshold)).collect::<Vec<_>>()
        };
        self.questions.iter().flat_map(of_question).collect()
    }

    /// Of how many figures of stacks it could be told whether they differ.
    pub fn judged(&self) -> usize {
        let stacks = self.cells().filter(|cell| cell.role == Role::Stack);
        stacks.flat_map(|cell| &cell.lines).filter(|line| line.finding.is_judged()).count()
    }
}

impl Finding {
    /// Whether a ratio was judged.
    pub fn is_judged(&self) -> bool {
        matches!(self, Self::WithinNoise | Self::Better | Self::Worse)
    }
}

fn of_cell(question: &ComparedQuestion, cell: &ComparedCell, threshold: f64) -> Vec<Regression> {
    let regression = |what: String| Regression { question: question.title.clone(), stack: cell.stack.clone(), what };
    let mut found = Vec::new();
    found.extend(cell.broken_words().map(&regression));
    if cell.carried == Some([true, false]) {
        found.extend(cell.carriage_words().map(|words| regression(words.to_owned())));
    }
    let beyond = cell.lines.iter().filter(|line| is_beyond(line, threshold));
    found.extend(beyond.filter_map(|line| Some(regression(line.words()?))));
    found
}

/// Whether a line is worse, and by more than a share: a cost of more than 1 + share times the baseline's, a rate of less than
/// 1 − share times.
fn is_beyond(line: &Line, threshold: f64) -> bool {
    let Some(ratio) = line.ratio.filter(|_| line.finding == Finding::Worse) else { return false };
    if line.quantity.prefers_less() { ratio.times > 1.0 + threshold } else { ratio.times < 1.0 - threshold }
}
