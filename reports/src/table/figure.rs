//! Figures as tables show them.

use crate::{
    latency::Percentile,
    number::{self, NONE},
    places::Comparisons,
    summary::{Merged, Spread},
};

/// A figure as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The median, or a dash.
    pub median: String,
    /// In brackets, where there were several trials and it is shown: the interval of the median, or, from fewer trials
    /// than make one, the range from the smallest to the largest. Of a percentile: on how many of the trials it rests.
    pub range: Option<String>,
}

impl Figure {
    pub(crate) fn with_range(spread: Option<Spread>, show: fn(f64) -> String) -> Self {
        let range = spread.filter(|spread| spread.trials > 1);
        let ends = |spread: Spread| spread.interval.map_or((spread.min, spread.max), |i| (i.low, i.high));
        let range = range.map(ends).map(|(low, high)| format!("[{}–{}]", show(low), show(high)));
        Self { range, ..Self::median(spread, show) }
    }

    pub(crate) fn median(spread: Option<Spread>, show: fn(f64) -> String) -> Self {
        Self { median: spread.map_or_else(|| NONE.to_owned(), |spread| show(spread.median)), range: None }
    }

    /// In brackets: how many of the trials' distributions it is of, if that is not all of them.
    pub(crate) fn percentile(percentile: Option<Percentile>, merged: Merged) -> Self {
        let Some(percentile) = percentile else { return Self::none() };
        let bound = if percentile.is_lower_bound { "≥ " } else { "" };
        let is_partial = merged.read < merged.answered;
        Self {
            median: format!("{bound}{}", number::duration_us(percentile.us)),
            range: is_partial.then(|| format!("({} of {})", merged.read, merged.answered)),
        }
    }

    /// A cell's ratio to the best of its table; that one's own is 1.
    pub(super) fn times_best(comparisons: &Comparisons, index: usize) -> Self {
        match comparisons.times_best(index) {
            Some(times) => {
                let (low, high) = times.interval;
                let range = format!("[{}–{}]", number::ratio(low), number::ratio(high));
                Self { median: number::ratio(times.ratio), range: Some(range) }
            }
            None if comparisons.best() == Some(index) => Self { median: "1".to_owned(), range: None },
            None => Self::none(),
        }
    }

    pub(crate) fn none() -> Self {
        Self { median: NONE.to_owned(), range: None }
    }

    /// The median and, where there is one, the range.
    pub fn words(&self) -> String {
        match &self.range {
            Some(range) => format!("{} {range}", self.median),
            None => self.median.clone(),
        }
    }
}
