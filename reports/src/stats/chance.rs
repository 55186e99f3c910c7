//! What chance alone does, for readers who have to weigh what they see.

use statrs::distribution::{Binomial, DiscreteCDF as _};

use super::CONFIDENCE;

/// Probability that the ranges of two stacks which do not differ have no value in common, of m and of n trials:
/// 2·m!·n!/(m + n)!. Every order of the m + n values is as likely as any other, and in two of the ways to deal them out one
/// stack has all the smaller ones.
pub fn ranges_apart(one: usize, other: usize) -> f64 {
    2.0 * (1..=one).map(|nth| nth as f64 / (other + nth) as f64).product::<f64>()
}

/// How many of so many independent intervals, each covering with [`CONFIDENCE`], hold the truth: the least and the most of
/// the central 95 % range of the binomial distribution.
pub fn holding(intervals: usize) -> (u64, u64) {
    let hold = Binomial::new(CONFIDENCE, intervals as u64).expect("a confidence is a probability");
    let outside = (1.0 - CONFIDENCE) / 2.0;
    (hold.inverse_cdf(outside), hold.inverse_cdf(1.0 - outside))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn ranges_are_apart_by_chance_in_a_third_of_all_cases_with_two_trials_and_in_a_tenth_with_three() {
        let known = [(1, 1.0), (2, 1.0 / 3.0), (3, 0.1), (4, 1.0 / 35.0), (5, 1.0 / 126.0)];
        for (trials, expected) in known {
            let found = ranges_apart(trials, trials);
            assert!((found - expected).abs() < 1e-12, "{trials} trials: {found}");
        }
        // Of the nine values the two may be the smallest or the largest: 2 of 36 ways.
        for (one, other) in [(2, 7), (7, 2)] {
            assert!((ranges_apart(one, other) - 2.0 / 36.0).abs() < 1e-12);
        }
    }

    #[test]
    fn as_many_ranges_are_apart_as_the_formula_says() {
        const EXPERIMENTS: u32 = 20_000;
        let mut random = StdRng::seed_from_u64(4);
        let mut apart = 0;
        for _ in 0..EXPERIMENTS {
            let mut range = || {
                let draws: [f64; 3] = random.random();
                (draws.iter().copied().fold(1.0, f64::min), draws.iter().copied().fold(0.0, f64::max))
            };
            let (one, other) = (range(), range());
            apart += u32::from(one.1 < other.0 || other.1 < one.0);
        }
        let share = f64::from(apart) / f64::from(EXPERIMENTS);
        // Four standard errors of one in ten.
        assert!((share - 0.1).abs() < 0.0085, "{share}");
    }

    #[test]
    fn of_few_intervals_some_may_miss_and_of_many_some_should() {
        // Cumulated from C(n, i)·0.95ⁱ·0.05ⁿ⁻ⁱ.
        assert_eq!([1, 8, 20, 100].map(holding), [(0, 1), (6, 8), (17, 20), (90, 99)]);
    }
}
