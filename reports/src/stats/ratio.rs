//! Ratios within blocks. What the machine did during a block, it did to both stacks of a pair; the ratio of the two
//! leaves it out.
//!
//! Logarithms, because a ratio and its reciprocal say the same and must weigh the same.
//!
//! Sources: Student, *The probable error of a mean*, Biometrika 6 (1908); for the difference of two means with spreads
//! of their own, B. L. Welch, *The generalization of "Student's" problem*, Biometrika 34 (1947).

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::{CONFIDENCE, TRIALS_MIN};

/// A figure of one stack by block.
pub type Blocks = BTreeMap<u32, f64>;

/// An estimate of a log-ratio (natural logarithm): 0 where the two figures are the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogRatio {
    /// Mean over blocks.
    pub mean: f64,
    /// Standard error of the mean.
    pub standard_error: f64,
    /// Degrees of freedom of Student's t; not a whole number for a difference of two estimates.
    pub freedom: f64,
}

impl LogRatio {
    /// Of `a` to `b` over the blocks that have both; `None` if those are fewer than [`TRIALS_MIN`]. A figure that is not
    /// above 0 has no logarithm, and its block counts as missing.
    pub fn paired(a: &Blocks, b: &Blocks) -> Option<Self> {
        let log_ratio = |(block, a): (&u32, &f64)| {
            let b = b.get(block)?;
            (*a > 0.0 && *b > 0.0).then(|| (a / b).ln())
        };
        let ratios: Vec<f64> = a.iter().filter_map(log_ratio).collect();
        Self::of_logs(&ratios)
    }

    /// Of one stack in one run to it in another, whose blocks have nothing to do with each other: the difference of the
    /// means of the logarithms, each with a spread of its own (Welch). `None` if either has fewer than [`TRIALS_MIN`]
    /// figures above 0.
    pub fn unpaired(of: &Blocks, to: &Blocks) -> Option<Self> {
        let logs = |blocks: &Blocks| {
            let above_zero = blocks.values().filter(|figure| **figure > 0.0);
            Self::of_logs(&above_zero.map(|figure| figure.ln()).collect::<Vec<f64>>())
        };
        Some(logs(of)?.minus(&logs(to)?))
    }

    /// The mean of so many logarithms; `None` if they are fewer than [`TRIALS_MIN`].
    fn of_logs(logs: &[f64]) -> Option<Self> {
        if logs.len() < TRIALS_MIN {
            return None;
        }
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let freedom = count - 1.0;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / freedom;
        Some(Self { mean, standard_error: (variance / count).sqrt(), freedom })
    }

    /// By how much this one is above another that was estimated independently, by Welch's approximation.
    pub fn minus(&self, other: &Self) -> Self {
        let (own, others) = (self.standard_error.powi(2), other.standard_error.powi(2));
        let variance = own + others;
        let freedom = if variance > 0.0 {
            variance.powi(2) / (own.powi(2) / self.freedom + others.powi(2) / other.freedom)
        } else {
            self.freedom.min(other.freedom)
        };
        Self { mean: self.mean - other.mean, standard_error: variance.sqrt(), freedom }
    }

    /// Both ends of the interval that covers the true log-ratio with [`CONFIDENCE`]: mean ± t·(standard error).
    pub fn interval(&self) -> (f64, f64) {
        self.simultaneous_interval(1)
    }

    /// The same, wide enough that as many such intervals cover their log-ratios all at once with [`CONFIDENCE`]: each may
    /// miss with an equal share of the rest (Bonferroni).
    pub fn simultaneous_interval(&self, intervals: usize) -> (f64, f64) {
        let misses = (1.0 - CONFIDENCE) / intervals as f64;
        let t = self.student().inverse_cdf(1.0 - misses / 2.0);
        (self.mean - t * self.standard_error, self.mean + t * self.standard_error)
    }

    /// Whether that interval holds 0: the ratio may be 1.
    pub fn may_be_zero(&self) -> bool {
        let (low, high) = self.interval();
        low <= 0.0 && 0.0 <= high
    }

    /// Probability of a mean at least as far from 0 if the true log-ratio were 0 (two-sided).
    pub fn p_value(&self) -> f64 {
        match (self.mean, self.standard_error) {
            (0.0, _) => 1.0,
            // Blocks that all say exactly the same leave no doubt.
            (_, 0.0) => 0.0,
            (mean, error) => 2.0 * self.student().sf((mean / error).abs()),
        }
    }

    fn student(&self) -> StudentsT {
        StudentsT::new(0.0, 1.0, self.freedom).expect("an estimate has at least one degree of freedom")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng as _, rngs::StdRng};
    use rand_distr::{Distribution as _, StandardNormal};

    use super::*;

    fn blocks(values: &[f64]) -> Blocks {
        (1..).zip(values.iter().copied()).collect()
    }

    fn scaled(blocks: &Blocks, factor: f64) -> Blocks {
        blocks.iter().map(|(block, value)| (*block, value * factor)).collect()
    }

    #[test]
    fn quantiles_are_those_of_students_table() {
        // 97.5 % by degrees of freedom.
        let known = [(5.0, 2.570_581_8), (7.0, 2.364_624_3), (10.0, 2.228_138_9), (30.0, 2.042_272_5)];
        for (freedom, t) in known {
            let (low, high) = LogRatio { mean: 0.0, standard_error: 1.0, freedom }.interval();
            assert!((high - t).abs() < 1e-6 && (low + t).abs() < 1e-6, "{freedom}: {high}, not {t}");
        }
    }

    #[test]
    fn a_p_value_is_that_of_students_table() {
        // t = 4.032 at 5 degrees of freedom is the table's 99.5 %.
        let p_value = LogRatio { mean: -4.032_143, standard_error: 1.0, freedom: 5.0 }.p_value();
        assert!((p_value - 0.01).abs() < 1e-7, "{p_value}");
    }

    #[test]
    fn students_own_example_comes_out_as_he_has_it() {
        // Hours of sleep gained by ten patients with the one drug and the other: mean difference 1.58, t = 4.0621,
        // p = 0.002833 (R: t.test(extra ~ group, sleep, paired = TRUE)). As exponents, so that the log-ratio is theirs.
        let one: [f64; 10] = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let other: [f64; 10] = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let ratio = LogRatio::paired(&blocks(&other.map(f64::exp)), &blocks(&one.map(f64::exp))).unwrap();
        assert!((ratio.mean - 1.58).abs() < 1e-12);
        assert!((ratio.mean / ratio.standard_error - 4.0621).abs() < 5e-5);
        assert!((ratio.p_value() - 0.002_833).abs() < 5e-7);
        let (low, high) = ratio.interval();
        assert!((low - 0.700_114_2).abs() < 1e-6 && (high - 2.459_885_8).abs() < 1e-6, "{low} {high}");
    }

    #[test]
    fn welchs_degrees_of_freedom_are_his() {
        let own = LogRatio { mean: 1.0, standard_error: 3.0, freedom: 5.0 };
        let other = LogRatio { mean: 0.25, standard_error: 4.0, freedom: 7.0 };
        let difference = own.minus(&other);
        assert_eq!((difference.mean, difference.standard_error), (0.75, 5.0));
        // (9 + 16)² / (81/5 + 256/7)
        assert!((difference.freedom - 11.843_5).abs() < 1e-4, "{}", difference.freedom);
    }

    #[test]
    fn trials_of_two_runs_are_compared_as_welch_has_it() {
        // The same hours of sleep as if of twenty patients: t = 1.8608 at 17.776 degrees of freedom, p = 0.07939, 95 %
        // from −0.2055 to 3.3655 (R: t.test(extra ~ group, sleep)).
        let one: [f64; 10] = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let other: [f64; 10] = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let ratio = LogRatio::unpaired(&blocks(&other.map(f64::exp)), &blocks(&one.map(f64::exp))).unwrap();
        assert!((ratio.mean - 1.58).abs() < 1e-12 && (ratio.freedom - 17.776).abs() < 5e-4, "{ratio:?}");
        assert!((ratio.mean / ratio.standard_error - 1.8608).abs() < 5e-5);
        assert!((ratio.p_value() - 0.079_39).abs() < 5e-6, "{}", ratio.p_value());
        let (low, high) = ratio.interval();
        assert!((low + 0.205_5).abs() < 5e-5 && (high - 3.365_5).abs() < 5e-5, "{low} {high}");
    }

    #[test]
    fn two_runs_of_which_one_has_five_trials_are_not_compared() {
        let (five, six) = (blocks(&[1.0; 5]), blocks(&[1.0; 6]));
        assert_eq!(LogRatio::unpaired(&five, &six), None);
        assert_eq!(LogRatio::unpaired(&six, &five), None);
        assert!(LogRatio::unpaired(&six, &six).is_some());
    }

    #[test]
    fn five_common_blocks_are_not_compared() {
        let a = blocks(&[1.0; 6]);
        let b: Blocks = (2..=9).map(|block| (block, 1.0)).collect();
        assert_eq!(LogRatio::paired(&a, &b), None);
        assert!(LogRatio::paired(&a, &a).is_some());
    }

    #[test]
    fn a_block_without_a_figure_above_zero_counts_as_missing() {
        let mut a = blocks(&[2.0; 7]);
        let b = blocks(&[1.0; 7]);
        a.insert(3, 0.0);
        assert!((LogRatio::paired(&a, &b).unwrap().mean - 2.0_f64.ln()).abs() < 1e-12);
        a.insert(4, 0.0);
        assert_eq!(LogRatio::paired(&a, &b), None);
    }

    #[test]
    fn blocks_that_all_say_the_same_leave_no_doubt() {
        let same = LogRatio::paired(&blocks(&[3.0; 6]), &blocks(&[3.0; 6])).unwrap();
        assert_eq!((same.p_value(), same.may_be_zero()), (1.0, true));
        let twice = LogRatio::paired(&blocks(&[6.0; 6]), &blocks(&[3.0; 6])).unwrap();
        assert!(twice.p_value() < 1e-12 && !twice.may_be_zero());
        assert_eq!(twice.minus(&twice).p_value(), 1.0);
    }

    #[test]
    fn intervals_of_pairs_and_of_their_differences_hold_the_truth_as_often_as_they_say() {
        const EXPERIMENTS: u32 = 10_000;
        let mut random = StdRng::seed_from_u64(2);
        let mut estimate = || {
            // The machine's mood by block is ten times the size of what differs within it.
            let mut stack = |moods: &[f64], log: f64| -> Blocks {
                let noise = |mood: &f64| -> f64 {
                    let own: f64 = StandardNormal.sample(&mut random);
                    (log + mood + 0.01 * own).exp()
                };
                blocks(&moods.iter().map(noise).collect::<Vec<_>>())
            };
            let moods = [0.1, -0.1, 0.2, 0.0, -0.2, 0.1, 0.3, 0.0];
            LogRatio::paired(&stack(&moods, 0.05), &stack(&moods, 0.0)).unwrap()
        };
        let (mut held, mut held_difference) = (0, 0);
        for _ in 0..EXPERIMENTS {
            let (one, other) = (estimate(), estimate());
            let (low, high) = one.interval();
            held += u32::from(low <= 0.05 && 0.05 <= high);
            held_difference += u32::from(one.minus(&other).may_be_zero());
        }
        let share = |held: u32| f64::from(held) / f64::from(EXPERIMENTS);
        // Four standard errors; Welch's approximation may cover a little more than it says.
        assert!((share(held) - 0.95).abs() < 0.009, "{}", share(held));
        assert!((0.941..0.965).contains(&share(held_difference)), "{}", share(held_difference));
    }

    fn figures() -> impl Strategy<Value = (Blocks, Blocks)> {
        let pairs = prop::collection::vec((0.1..1e6_f64, 0.1..1e6_f64), TRIALS_MIN..20);
        pairs.prop_map(|pairs| {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            (blocks(&a), blocks(&b))
        })
    }

    proptest! {
        #[test]
        fn turning_the_pair_round_turns_the_sign((a, b) in figures()) {
            let (one, other) = (LogRatio::paired(&a, &b).unwrap(), LogRatio::paired(&b, &a).unwrap());
            prop_assert!((one.mean + other.mean).abs() < 1e-9);
            prop_assert!((one.p_value() - other.p_value()).abs() < 1e-6);
        }

        #[test]
        fn what_a_block_does_to_both_changes_nothing((a, b) in figures(), factor in 0.5..2.0_f64) {
            let of = |block: &u32| factor.powi(i32::try_from(*block).unwrap());
            let disturbed = |blocks: &Blocks| -> Blocks { blocks.iter().map(|(k, v)| (*k, v * of(k))).collect() };
            let plain = LogRatio::paired(&a, &b).unwrap();
            let moved = LogRatio::paired(&disturbed(&a), &disturbed(&b)).unwrap();
            prop_assert!((plain.mean - moved.mean).abs() < 1e-9);
            prop_assert!((plain.standard_error - moved.standard_error).abs() < 1e-9);
        }

        #[test]
        fn welchs_degrees_of_freedom_lie_between_the_smaller_and_the_sum(
            (own, others) in (1e-6..10.0_f64, 1e-6..10.0_f64),
            (m, n) in (1.0..50.0_f64, 1.0..50.0_f64),
        ) {
            let of = |standard_error, freedom| LogRatio { mean: 0.0, standard_error, freedom };
            let freedom = of(own, m).minus(&of(others, n)).freedom;
            prop_assert!(m.min(n) * (1.0 - 1e-9) <= freedom && freedom <= (m + n) * (1.0 + 1e-9), "{}", freedom);
        }

        #[test]
        fn a_factor_moves_the_interval_and_leaves_its_width((a, b) in figures(), factor in 0.1..10.0_f64) {
            let (low, high) = LogRatio::paired(&a, &b).unwrap().interval();
            let (moved_low, moved_high) = LogRatio::paired(&scaled(&a, factor), &b).unwrap().interval();
            prop_assert!((moved_low - low - factor.ln()).abs() < 1e-6);
            prop_assert!((moved_high - high - factor.ln()).abs() < 1e-6);
        }

        #[test]
        fn one_of_many_intervals_holds_zero_exactly_where_bonferronis_p_value_is_above_five_per_cent(
            (a, b) in figures(),
            many in 1..200_usize,
        ) {
            let ratio = LogRatio::paired(&a, &b).unwrap();
            let p_value = many as f64 * ratio.p_value();
            prop_assume!((p_value - (1.0 - CONFIDENCE)).abs() > 1e-6);
            let (low, high) = ratio.simultaneous_interval(many);
            prop_assert_eq!(low <= 0.0 && 0.0 <= high, p_value > 1.0 - CONFIDENCE);
        }

        #[test]
        fn an_interval_holds_zero_exactly_where_the_p_value_is_above_five_per_cent((a, b) in figures()) {
            let ratio = LogRatio::paired(&a, &b).unwrap();
            // Where the two meet, rounding decides.
            prop_assume!((ratio.p_value() - (1.0 - CONFIDENCE)).abs() > 1e-6);
            prop_assert_eq!(ratio.may_be_zero(), ratio.p_value() > 1.0 - CONFIDENCE);
        }
    }
}
