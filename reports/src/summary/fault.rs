//! What the trials of a cell say of the fault in their windows.

use super::Spread;
use crate::row::{FaultEffect, Row};

/// What a fault did, over the trials of one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSummary {
    /// 99th percentile before the fault, in microseconds.
    pub p99_before: Option<Spread>,
    /// The same from its beginning until recovery.
    pub p99_during: Option<Spread>,
    /// How long recovery took.
    pub recovery: Recovery,
    /// Requests lost in all trials together: one is one too many.
    pub lost: u64,
    /// Answers that were 503, a trial.
    pub unavailable: Option<Spread>,
    /// Other answers that were not to be expected, a trial.
    pub unexpected: Option<Spread>,
    /// What a second client offered, per second; none where the fault was none.
    pub beside_offered: Option<Spread>,
    /// What was answered of that.
    pub beside_answered: Option<Spread>,
    /// How late that client was itself (99th percentile), in microseconds.
    pub beside_lag: Option<Spread>,
}

/// From the end of a fault until it was as if nothing had been, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Recovery {
    /// So long, in the median of the trials.
    After(f64),
    /// Not within so long, in most of them.
    NotWithin(f64),
}

impl FaultSummary {
    /// Sums up the trials that had a fault; `None` if there were none.
    pub fn of(rows: &[&Row]) -> Option<Self> {
        let effects: Vec<FaultEffect> = rows.iter().filter_map(|row| row.fault).collect();
        let spread = |figure: fn(&FaultEffect) -> Option<f64>| Spread::of(effects.iter().filter_map(figure));
        Some(Self {
            p99_before: spread(|effect| Some(effect.p99_us_before? as f64)),
            p99_during: spread(|effect| Some(effect.p99_us_during? as f64)),
            recovery: Recovery::of(&effects)?,
            lost: effects.iter().map(|effect| effect.lost + effect.beside.map_or(0, |beside| beside.lost)).sum(),
            unavailable: spread(|effect| Some(effect.unavailable as f64)),
            unexpected: spread(|effect| Some(effect.unexpected as f64)),
            beside_offered: spread(|effect| Some(effect.beside?.offered_per_sec)),
            beside_answered: spread(|effect| Some(effect.beside?.requests_per_sec)),
            beside_lag: spread(|effect| Some(effect.beside?.lag_us_p99 as f64)),
        })
    }
}

impl Recovery {
    /// The median, where one that never came is longer than all others; of two in the middle the longer one.
    fn of(effects: &[FaultEffect]) -> Option<Self> {
        let mut ordered: Vec<&FaultEffect> = effects.iter().collect();
        ordered.sort_by(|a, b| {
            let of = |effect: &FaultEffect| effect.recovered_s.unwrap_or(f64::INFINITY);
            of(a).total_cmp(&of(b))
        });
        let median = ordered.get(ordered.len() / 2)?;
        Some(median.recovered_s.map_or(Self::NotWithin(median.watched_s), Self::After))
    }

    /// For ordering: one that never came is the longest.
    pub fn seconds(self) -> f64 {
        match self {
            Self::After(seconds) => seconds,
            Self::NotWithin(_) => f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn row(recovered_s: Option<f64>, lost: u64) -> Row {
        let fault = FaultEffect {
            from_s: 3.0,
            to_s: 5.0,
            lost,
            unavailable: 10,
            unexpected: 0,
            p99_us_before: Some(1_000),
            p99_us_during: None,
            recovered_s,
            watched_s: 5.0,
            beside: None,
        };
        Row { fault: Some(fault), ..sample::row("tokio") }
    }

    #[test]
    fn what_most_trials_never_saw_is_not_within_the_time_that_was_watched() {
        let rows = [row(Some(0.5), 0), row(None, 2), row(None, 1)];
        let summary = FaultSummary::of(&rows.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!((summary.recovery, summary.lost), (Recovery::NotWithin(5.0), 3));
        assert_eq!(summary.p99_before.map(|spread| spread.median), Some(1_000.0));
        assert_eq!((summary.p99_during, summary.beside_offered), (None, None));
    }

    #[test]
    fn one_trial_of_three_that_did_not_recover_leaves_a_median() {
        let rows = [row(None, 0), row(Some(0.5), 0), row(Some(0.2), 0)];
        let summary = FaultSummary::of(&rows.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(summary.recovery, Recovery::After(0.5));
    }

    #[test]
    fn without_a_fault_there_is_nothing_to_say() {
        assert_eq!(FaultSummary::of(&[&sample::row("tokio")]), None);
    }
}
