//! Latencies in memory: exact counts per microsecond, so that every figure of the report is exact.
//!
//! Memory grows with what was seen, not with the timeout: microseconds up to about four seconds are counted in pages
//! that are allocated when first touched, later ones, of which a run can have only few, in an ordered map.

use std::collections::BTreeMap;

use crate::extended::Extended;
use crate::result::LatencySummary;

/// Counters in a page: 32 KiB of them, so that a run at one speed touches one or two.
const PAGE_BINS: usize = 4096;

/// Pages: 4.2 seconds in all, 32 MiB if every one were touched.
const PAGES: usize = 1024;

/// Values from here on are counted in the map.
const PAGED_END_US: u64 = (PAGE_BINS * PAGES) as u64;

type Page = Box<[u64; PAGE_BINS]>;

/// How often each latency occurred.
#[derive(Debug, Clone)]
pub struct Latencies {
    pages: Vec<Option<Page>>,
    late: BTreeMap<u64, u64>,
}

impl Latencies {
    /// Nothing recorded.
    pub fn new() -> Self {
        Self { pages: vec![None; PAGES], late: BTreeMap::new() }
    }

    /// Counts one latency, in microseconds.
    #[inline]
    pub fn record(&mut self, value_us: u64) {
        self.add(value_us, 1);
    }

    #[inline]
    fn add(&mut self, value_us: u64, count: u64) {
        if value_us < PAGED_END_US {
            let index = value_us as usize;
            let page = self.pages[index / PAGE_BINS].get_or_insert_with(|| Box::new([0; PAGE_BINS]));
            page[index % PAGE_BINS] += count;
        } else {
            *self.late.entry(value_us).or_insert(0) += count;
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (value, count) in other.iter() {
            self.add(value, count);
        }
    }

    /// Latencies and how often they occurred, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        let paged = self.pages.iter().enumerate().filter_map(|(number, page)| Some((number, page.as_ref()?)));
        paged
            .flat_map(|(number, page)| {
                let first = (number * PAGE_BINS) as u64;
                page.iter().enumerate().map(move |(bin, count)| (first + bin as u64, *count))
            })
            .filter(|(_, count)| *count > 0)
            .chain(self.late.iter().map(|(value, count)| (*value, *count)))
    }

    /// The distribution, of latencies up to `limit_us`.
    pub fn distribution(&self, limit_us: u64) -> Distribution {
        Distribution::new(self.iter().take_while(|(value, _)| *value <= limit_us).collect())
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

/// A finished set of whole numbers, with the figures that wrk prints of it, computed as wrk does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Values and their counts, ascending.
    counts: Vec<(u64, u64)>,
    total: u64,
}

impl Distribution {
    /// From values and their counts, ascending.
    pub fn new(counts: Vec<(u64, u64)>) -> Self {
        let total = counts.iter().map(|(_, count)| count).sum();
        Self { counts, total }
    }

    /// From single values in any order.
    pub fn of_samples(samples: impl IntoIterator<Item = u64>) -> Self {
        let mut counts = BTreeMap::new();
        for sample in samples {
            *counts.entry(sample).or_insert(0) += 1;
        }
        Self::new(counts.into_iter().collect())
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The smallest value, 0 if there is none.
    pub fn min(&self) -> u64 {
        self.counts.first().map_or(0, |(value, _)| *value)
    }

    /// The largest value, 0 if there is none.
    pub fn max(&self) -> u64 {
        self.counts.last().map_or(0, |(value, _)| *value)
    }

    /// The mean.
    pub fn mean(&self) -> Extended {
        Extended::from(self.sum()).divided_by(Extended::from(self.total))
    }

    /// The sample standard deviation, 0 of fewer than two values.
    pub fn stdev(&self) -> Extended {
        if self.total < 2 {
            return Extended::ZERO;
        }
        // n·Σv² − (Σv)², exact in integers: no cancellation, whatever the spread.
        let squares: u128 =
            self.counts.iter().map(|(value, count)| u128::from(*value).pow(2) * u128::from(*count)).sum();
        let n = u128::from(self.total);
        let numerator = match n.checked_mul(squares) {
            Some(product) => Extended::from(product - self.sum().pow(2)),
            // Beyond 128 bits (a billion answers of an hour each) the deviation about the rounded mean is near enough.
            None => return self.stdev_about_mean(),
        };
        numerator.divided_by(Extended::from(n * (n - 1))).sqrt()
    }

    fn stdev_about_mean(&self) -> Extended {
        let mean = (self.sum() / u128::from(self.total)) as u64;
        let squares: u128 =
            self.counts.iter().map(|(value, count)| u128::from(value.abs_diff(mean)).pow(2) * u128::from(*count)).sum();
        Extended::from(squares).divided_by(Extended::from(self.total - 1)).sqrt()
    }

    /// Percentage of values within one standard deviation of the mean, both ends included; `None` of nothing.
    pub fn within_stdev_percent(&self) -> Option<Extended> {
        if self.total == 0 {
            return None;
        }
        let (mean, reach) = (self.mean().to_f64(), self.stdev().to_f64());
        let (low, high) = (mean - reach, mean + reach);
        let inside: u64 = self
            .counts
            .iter()
            .filter(|(value, _)| (low..=high).contains(&(*value as f64)))
            .map(|(_, count)| count)
            .sum();
        Some(Extended::from(inside).divided_by(Extended::from(self.total)).times(Extended::from(100u64)))
    }

    /// The value at a percentile, by wrk's rank: `p/100·n + 0.5`, rounded half away from zero. Unlike wrk, 100 is the
    /// maximum.
    pub fn percentile(&self, percent: f64) -> u64 {
        let rank = (percent / 100.0 * self.total as f64 + 0.5).round() as u64;
        let mut seen = 0;
        for (value, count) in &self.counts {
            seen += count;
            if seen >= rank {
                return *value;
            }
        }
        self.max()
    }

    /// With the values that wrk adds (its "coordinated omission correction"): for each from twice the `expected`
    /// distance of two requests of a connection on, those that requests in between would have had, `value − expected`,
    /// `value − 2·expected` and so on while that is above `expected`.
    pub fn corrected_as_wrk(&self, expected: u64) -> Self {
        let mut all = Latencies::new();
        for (value, count) in &self.counts {
            all.add(*value, *count);
            if expected == 0 || *value < 2 * expected {
                continue;
            }
            let mut missed = value - expected;
            while missed > expected {
                all.add(missed, *count);
                missed -= expected;
            }
        }
        all.distribution(u64::MAX)
    }

    /// The figures of the result file.
    pub fn summary(&self) -> LatencySummary {
        LatencySummary {
            count: self.total,
            min: self.min(),
            mean: self.mean().to_f64(),
            stdev: self.stdev().to_f64(),
            p50: self.percentile(50.0),
            p75: self.percentile(75.0),
            p90: self.percentile(90.0),
            p99: self.percentile(99.0),
            p999: self.percentile(99.9),
            max: self.max(),
        }
    }

    /// Values and their counts, ascending.
    pub fn counts(&self) -> &[(u64, u64)] {
        &self.counts
    }

    fn sum(&self) -> u128 {
        self.counts.iter().map(|(value, count)| u128::from(*value) * u128::from(*count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(values: &[u64]) -> Latencies {
        let mut latencies = Latencies::new();
        values.iter().for_each(|value| latencies.record(*value));
        latencies
    }

    #[test]
    fn every_value_is_kept_exactly_and_in_order() {
        let values = [0, 1, 4095, 4096, PAGED_END_US - 1, PAGED_END_US, 7_200_000_000];
        let latencies = recorded(&values);
        assert!(latencies.iter().eq(values.iter().map(|value| (*value, 1))));
        assert_eq!(latencies.distribution(u64::MAX).max(), 7_200_000_000);
    }

    #[test]
    fn merging_adds_counts() {
        let mut all = recorded(&[5, 9_000_000]);
        all.merge(&recorded(&[5, 6]));
        assert!(all.iter().eq([(5, 2), (6, 1), (9_000_000, 1)]));
    }

    #[test]
    fn a_limit_leaves_later_values_out() {
        let distribution = recorded(&[10, 20, 30]).distribution(20);
        assert_eq!((distribution.count(), distribution.max()), (2, 20));
    }

    #[test]
    fn moments_are_those_of_the_sample() {
        let distribution = Distribution::of_samples([2, 4, 4, 4, 5, 5, 7, 9]);
        assert_eq!(distribution.mean().to_f64(), 5.0);
        assert!((distribution.stdev().to_f64() - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(distribution.within_stdev_percent().unwrap().to_f64(), 75.0);
    }

    #[test]
    fn nothing_and_one_value_have_no_spread() {
        let nothing = Distribution::default();
        assert_eq!((nothing.mean(), nothing.stdev(), nothing.max()), (Extended::ZERO, Extended::ZERO, 0));
        assert_eq!(nothing.within_stdev_percent(), None);
        assert_eq!(Distribution::of_samples([7]).stdev(), Extended::ZERO);
    }

    #[test]
    fn huge_values_do_not_overflow() {
        let hour_us = 3_600_000_000;
        let distribution = Distribution::new(vec![(hour_us, 1 << 40), (2 * hour_us, 1 << 40)]);
        assert!((distribution.stdev().to_f64() / (hour_us as f64 / 2.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn wrks_correction_adds_what_a_stall_kept_from_being_sent() {
        // Observed of wrk: four stalls of 2.50 s among 278 requests, 87101 µs apart, become 386 values.
        let answered = Distribution::new(vec![(50_000, 274), (2_500_161, 4)]);
        let corrected = answered.corrected_as_wrk(87_101);
        assert_eq!(corrected.count(), 386);
        assert_eq!(corrected.counts()[1], (148_434, 4));
        assert_eq!(answered.corrected_as_wrk(2_000_000), answered);
        assert_eq!(answered.corrected_as_wrk(0), answered);
    }

    #[test]
    fn percentiles_use_wrks_rank() {
        let distribution = Distribution::of_samples(1..=100);
        // Rank 50.5 rounds to 51.
        assert_eq!(distribution.percentile(50.0), 51);
        assert_eq!(distribution.percentile(99.0), 100);
        assert_eq!(distribution.percentile(100.0), 100);
        assert_eq!(Distribution::of_samples([3]).percentile(50.0), 3);
    }
}
