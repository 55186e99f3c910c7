//! Whether a figure of two runs differs: by chance, by the noise of the runs, or by more.

use crate::{
    places::PLACE_TRIALS_MIN,
    stats::{self, Blocks, LogRatio},
    summary::Spread,
};

/// What the trials of both runs say of one figure, before all comparisons are known.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Evidence {
    /// Both have [`stats::TRIALS_MIN`] trials or more.
    Interval(LogRatio),
    /// They have fewer, and there are ranges alone.
    Ranges {
        /// Of the medians, as a log-ratio.
        log_ratio: f64,
        /// Whether the ranges have no value in common.
        are_apart: bool,
    },
    /// One of them has so few that chance takes ranges apart.
    TooFewTrials {
        /// Of the medians, as a log-ratio.
        log_ratio: f64,
    },
    /// Of a rate that was offered: whether most trials carried it, in each run.
    Carried([bool; 2]),
    /// There is nothing to hold against each other.
    None(String),
}

/// The ratio of a figure in the new run to that in the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Of the geometric means over trials where there is an interval, of the medians elsewhere.
    pub times: f64,
    /// Both ends of the 95 % interval; none for fewer than [`stats::TRIALS_MIN`] trials.
    pub interval: Option<(f64, f64)>,
}

impl Ratio {
    /// `1.304 [1.251–1.360]`: a ratio near 1 needs more than two decimals to show that it is not.
    pub fn words(&self) -> String {
        match self.interval {
            Some((low, high)) => format!("{:.3} [{low:.3}–{high:.3}]", self.times),
            None => format!("{:.3}", self.times),
        }
    }
}

/// What a comparison of one figure of one cell comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No difference that chance or the noise of the runs would not make.
    WithinNoise,
    /// The new run is better.
    Better,
    /// The new run is worse.
    Worse,
    /// Fewer than [`PLACE_TRIALS_MIN`] trials in one of the runs: no difference can be told. Why, in words.
    TooFewTrials(String),
    /// Why, in words.
    NotComparable(String),
    /// Of a rate that was offered: whether the baseline carried it, and whether the new run did.
    Carried([bool; 2]),
}

impl Evidence {
    /// From the trials of the baseline and of the new run.
    pub fn of(trials: &[Blocks; 2], spreads: &[Option<Spread>; 2]) -> Self {
        let (Some(a), Some(b)) = (&spreads[0], &spreads[1]) else {
            let missing = if spreads[0].is_none() { "A" } else { "B" };
            return Self::None(format!("{missing} has no such figure"));
        };
        if a.median <= 0.0 || b.median <= 0.0 {
            return Self::None("a figure of 0 has no ratio".to_owned());
        }
        let log_ratio = (b.median / a.median).ln();
        match LogRatio::unpaired(&trials[1], &trials[0]) {
            Some(ratio) => Self::Interval(ratio),
            None if a.trials.min(b.trials) < PLACE_TRIALS_MIN => Self::TooFewTrials { log_ratio },
            None => Self::Ranges { log_ratio, are_apart: !a.overlaps(b) },
        }
    }

    /// That of an interval, for this one comparison alone.
    pub fn p_value(&self) -> Option<f64> {
        if let Self::Interval(ratio) = self { Some(ratio.p_value()) } else { None }
    }

    /// As it is shown.
    pub fn ratio(&self) -> Option<Ratio> {
        match self {
            Self::Interval(ratio) => {
                let (low, high) = ratio.interval();
                Some(Ratio { times: ratio.mean.exp(), interval: Some((low.exp(), high.exp())) })
            }
            Self::Ranges { log_ratio, .. } | Self::TooFewTrials { log_ratio } => {
                Some(Ratio { times: log_ratio.exp(), interval: None })
            }
            Self::Carried(_) | Self::None(_) => None,
        }
    }

    /// Judges it. `p_value` is that of an interval, corrected for all others of the comparison; `floor` is the noise floor as a
    /// log-ratio; of `trials` each run has so many.
    pub fn finding(&self, p_value: f64, floor: f64, prefers_less: bool, trials: [usize; 2]) -> Finding {
        let (log_ratio, is_beyond_chance) = match self {
            Self::Interval(ratio) => (ratio.mean, p_value < stats::SIGNIFICANCE),
            Self::Ranges { log_ratio, are_apart } => (*log_ratio, *are_apart),
            Self::TooFewTrials { .. } => return Finding::TooFewTrials(too_few(trials)),
            Self::Carried(carried) => return Finding::Carried(*carried),
            Self::None(why) => return Finding::NotComparable(why.clone()),
        };
        if !is_beyond_chance || log_ratio.abs() <= floor {
            return Finding::WithinNoise;
        }
        if (log_ratio < 0.0) == prefers_less { Finding::Better } else { Finding::Worse }
    }
}

fn too_few(trials: [usize; 2]) -> String {
    match trials {
        [1, 1] => "one trial each: no difference can be told".to_owned(),
        [a, b] => format!(
            "trials: {a} in A and {b} in B; with fewer than {PLACE_TRIALS_MIN} chance alone takes ranges apart too often, so \
             no difference can be told"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(a: &[f64], b: &[f64]) -> Evidence {
        let blocks = [a, b].map(|values| (1..).zip(values.iter().copied()).collect::<Blocks>());
        let spreads = [a, b].map(|values| Spread::of(values.iter().copied()));
        Evidence::of(&blocks, &spreads)
    }

    /// Of a figure of which less is better, with nobody else to correct for.
    fn finding(a: &[f64], b: &[f64], floor: f64) -> Finding {
        let evidence = evidence(a, b);
        let p_value = evidence.p_value().unwrap_or(1.0);
        evidence.finding(p_value, floor, true, [a.len(), b.len()])
    }

    const SIX: [f64; 6] = [10.0, 10.2, 9.9, 10.1, 10.3, 9.8];

    #[test]
    fn six_trials_that_cost_a_third_more_are_worse_and_the_other_way_round_better() {
        let dearer = SIX.map(|us| us * 1.3);
        assert_eq!(finding(&SIX, &dearer, 0.0), Finding::Worse);
        assert_eq!(finding(&dearer, &SIX, 0.0), Finding::Better);
        let ratio = evidence(&SIX, &dearer).ratio().unwrap();
        let (low, high) = ratio.interval.unwrap();
        assert!((ratio.times - 1.3).abs() < 1e-9 && low < 1.3 && 1.3 < high && low > 1.25, "{ratio:?}");
    }

    #[test]
    fn where_more_is_better_the_words_turn_round() {
        let evidence = evidence(&SIX, &SIX.map(|rate| rate * 1.3));
        assert_eq!(evidence.finding(0.0, 0.0, false, [6, 6]), Finding::Better);
    }

    #[test]
    fn an_interval_that_holds_one_is_within_noise() {
        assert_eq!(finding(&SIX, &SIX.map(|us| us * 1.005), 0.0), Finding::WithinNoise);
    }

    #[test]
    fn what_the_correction_for_many_takes_back_is_within_noise() {
        let evidence = evidence(&SIX, &SIX.map(|us| us * 1.03));
        assert_eq!(evidence.finding(0.04, 0.0, true, [6, 6]), Finding::Worse);
        assert_eq!(evidence.finding(0.06, 0.0, true, [6, 6]), Finding::WithinNoise);
    }

    #[test]
    fn a_difference_below_the_noise_floor_is_none_however_certain() {
        let dearer = SIX.map(|us| us * 1.3);
        assert_eq!(finding(&SIX, &dearer, 1.31_f64.ln()), Finding::WithinNoise);
        assert_eq!(finding(&SIX, &dearer, 1.29_f64.ln()), Finding::Worse);
        assert_eq!(finding(&SIX[..3], &dearer[..3], 1.31_f64.ln()), Finding::WithinNoise);
    }

    #[test]
    fn three_trials_differ_where_their_ranges_are_apart() {
        assert_eq!(finding(&[1.0, 2.0, 3.0], &[3.0, 4.0, 5.0], 0.0), Finding::WithinNoise);
        assert_eq!(finding(&[1.0, 2.0, 3.0], &[3.1, 4.0, 5.0], 0.0), Finding::Worse);
        let ratio = evidence(&[1.0, 2.0, 3.0], &[3.1, 4.0, 5.0]).ratio().unwrap();
        assert_eq!((ratio.times.round(), ratio.interval), (2.0, None));
    }

    #[test]
    fn one_trial_against_one_is_no_difference_and_neither_are_two_against_eight() {
        let Finding::TooFewTrials(why) = finding(&[1.0], &[9.0], 0.0) else { panic!("it is a finding") };
        assert_eq!(why, "one trial each: no difference can be told");
        let Finding::TooFewTrials(why) = finding(&[1.0, 1.1], &[9.0; 8], 0.0) else { panic!("it is a finding") };
        assert!(why.starts_with("trials: 2 in A and 8 in B"), "{why}");
    }

    #[test]
    fn what_one_run_has_no_figure_of_is_not_compared() {
        assert_eq!(finding(&SIX, &[], 0.0), Finding::NotComparable("B has no such figure".to_owned()));
        assert_eq!(finding(&[], &SIX, 0.0), Finding::NotComparable("A has no such figure".to_owned()));
        assert_eq!(finding(&SIX, &[0.0], 0.0), Finding::NotComparable("a figure of 0 has no ratio".to_owned()));
    }
}
