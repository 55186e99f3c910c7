//! The order-statistic interval of a median: it assumes nothing of the distribution but that trials are independent.
//!
//! Source: H. A. David and H. N. Nagaraja, *Order Statistics*, 3rd edition (2003), section 7.1.

use statrs::distribution::{Binomial, DiscreteCDF as _};

use super::{CONFIDENCE, TRIALS_MIN};

/// Two of the values, with the probability that they hold the true median between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Probability that such an interval covers the true median: at least [`CONFIDENCE`], and mostly more, since only
    /// values that were seen can be its ends.
    pub coverage: f64,
}

/// Median of sorted values; of an even number, the mean of the middle two. `None` without values.
pub fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}

/// Probability that the `rank`-th smallest and the `rank`-th largest of `trials` values (ranks from 1) hold the true
/// median between them: 1 − 2·P(B ≤ rank − 1), where B is binomial with `trials` draws of probability ½. Of `trials`
/// values that many lie below the median.
pub fn coverage(trials: usize, rank: usize) -> f64 {
    let below = Binomial::new(0.5, trials as u64).expect("one half is a probability");
    match rank {
        0 => 1.0,
        _ => 1.0 - 2.0 * below.cdf(rank as u64 - 1),
    }
}

/// Rank of the narrowest pair of order statistics, as far from one end as from the other, that covers the median with
/// at least [`CONFIDENCE`]; 0 where there is none.
pub fn rank(trials: usize) -> usize {
    (1..=trials / 2).take_while(|rank| coverage(trials, *rank) >= CONFIDENCE).last().unwrap_or(0)
}

impl Interval {
    /// Between the order statistics of [`rank`]; `None` for fewer than [`TRIALS_MIN`] values.
    pub fn of_median(sorted: &[f64]) -> Option<Self> {
        let trials = sorted.len();
        if trials < TRIALS_MIN {
            return None;
        }
        let rank = rank(trials);
        Some(Self { low: sorted[rank - 1], high: sorted[trials - rank], coverage: coverage(trials, rank) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn sorted(mut values: Vec<f64>) -> Vec<f64> {
        values.sort_by(f64::total_cmp);
        values
    }

    #[test]
    fn coverages_are_those_of_the_tables() {
        // Conover, Practical Nonparametric Statistics; exact: 1 − 2·Σ C(n, i)/2ⁿ.
        let known = [
            (5, 1, 0.9375),
            (6, 1, 0.96875),
            (7, 1, 0.984375),
            (8, 1, 0.9921875),
            (8, 2, 0.9296875),
            (9, 2, 0.9609375),
            (10, 2, 0.978515625),
            (20, 6, 0.958610534667968),
        ];
        for (trials, rank, expected) in known {
            let found = coverage(trials, rank);
            assert!((found - expected).abs() < 1e-12, "{trials} trials, rank {rank}: {found}, not {expected}");
        }
    }

    #[test]
    fn fewer_than_six_trials_have_no_rank() {
        let ranks: Vec<usize> = (0..=10).map(rank).collect();
        assert_eq!(ranks, [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2]);
    }

    #[test]
    fn five_trials_have_no_interval_and_six_have_their_range() {
        let values: Vec<f64> = (1..=6).map(f64::from).collect();
        assert_eq!(Interval::of_median(&values[..5]), None);
        let interval = Interval::of_median(&values).unwrap();
        assert_eq!((interval.low, interval.high), (1.0, 6.0));
        assert!((interval.coverage - 0.96875).abs() < 1e-12);
    }

    #[test]
    fn nine_trials_leave_the_outermost_two_out() {
        let values: Vec<f64> = (1..=9).map(f64::from).collect();
        let interval = Interval::of_median(&values).unwrap();
        assert_eq!((interval.low, interval.high), (2.0, 8.0));
    }

    #[test]
    fn as_many_intervals_hold_the_median_as_their_coverage_says() {
        const EXPERIMENTS: u32 = 20_000;
        let mut random = StdRng::seed_from_u64(1);
        for trials in [6, 8, 11] {
            let mut held = 0;
            for _ in 0..EXPERIMENTS {
                // Skewed on purpose; the median of u³ for u in 0..1 is ⅛.
                let draws = sorted((0..trials).map(|_| random.random::<f64>().powi(3)).collect());
                let interval = Interval::of_median(&draws).unwrap();
                held += u32::from(interval.low <= 0.125 && 0.125 <= interval.high);
            }
            let share = f64::from(held) / f64::from(EXPERIMENTS);
            let expected = coverage(trials, rank(trials));
            // Four standard errors of a share of 20,000.
            let error = 4.0 * (expected * (1.0 - expected) / f64::from(EXPERIMENTS)).sqrt();
            assert!((share - expected).abs() < error, "{trials} trials: {share}, not {expected}");
        }
    }

    proptest! {
        #[test]
        fn an_interval_holds_the_median_of_its_values(values in prop::collection::vec(-1e9..1e9_f64, 6..60)) {
            let values = sorted(values);
            let interval = Interval::of_median(&values).unwrap();
            let median = median(&values).unwrap();
            prop_assert!(interval.low <= median && median <= interval.high);
            prop_assert!((CONFIDENCE..1.0).contains(&interval.coverage));
        }

        #[test]
        fn the_next_narrower_interval_would_cover_too_little(trials in 6..200_usize) {
            let values: Vec<f64> = (1..=trials).map(|value| value as f64).collect();
            let interval = Interval::of_median(&values).unwrap();
            let rank = interval.low as usize;
            prop_assert_eq!(interval.high as usize, trials + 1 - rank);
            prop_assert!(coverage(trials, rank) >= CONFIDENCE && coverage(trials, rank + 1) < CONFIDENCE);
        }
    }
}
