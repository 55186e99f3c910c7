//! What a fault did to the requests of the load: a pure function of the client's result and of when the fault was.

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use stackbench_reports::row::{Beside, FaultEffect};
use stackload::{censored::decode, result::LoadResult};

use super::Played;
use crate::verdict;

/// A p99 counts as back when it is within this much of what it was before the fault, …
const BACK_WITHIN: f64 = 0.10;
/// … over so long. A tenth of a second holds too few answers for a percentile.
const OVER_S: f64 = 1.0;
/// The status of an answer that says the store is not there.
const UNAVAILABLE: u16 = 503;

/// Works it out.
///
/// # Errors
/// When the result has no intervals, or a histogram of them cannot be read.
pub fn effect(result: &LoadResult, played: &Played, expected_status: u16) -> Result<FaultEffect> {
    let series = result.per_interval.as_ref().context("the client's result has no intervals")?;
    let intervals = series.intervals.iter().map(|interval| decode(&interval.latency)).collect::<Result<Vec<_>>>()?;
    let timeline = Timeline { interval_s: series.interval_s, intervals };
    let in_window_s = |unix_us: u64| (unix_us as f64 - result.window_started_unix_us as f64) / 1e6;
    let (from_s, to_s) = (in_window_s(played.from_unix_us), in_window_s(played.to_unix_us));
    let before = timeline.p99(0.0, from_s);
    let recovered_s = before.and_then(|before| timeline.back_at(before, from_s, to_s)).map(|at| at - to_s);
    let until_s = recovered_s.map_or(result.window_s, |recovered_s| to_s + recovered_s);
    Ok(FaultEffect {
        from_s,
        to_s,
        lost: lost(result),
        unavailable: status_count(result, |status| status == UNAVAILABLE),
        unexpected: status_count(result, |status| status != UNAVAILABLE && status != expected_status),
        p99_us_before: before,
        p99_us_during: timeline.p99(from_s, until_s),
        recovered_s,
        watched_s: result.window_s - to_s,
        beside: played.beside.as_ref().and_then(beside),
    })
}

/// Requests that were sent and never answered, as far as that is certain: their connection broke, or they timed out.
fn lost(result: &LoadResult) -> u64 {
    verdict::unanswered_counts(result).map(|(_, n)| n).sum()
}

fn status_count(result: &LoadResult, is_one: impl Fn(u16) -> bool) -> u64 {
    result.statuses.iter().filter(|(status, _)| is_one(**status)).map(|(_, n)| n).sum()
}

/// What a second client saw.
fn beside(result: &LoadResult) -> Option<Beside> {
    Some(Beside {
        offered_per_sec: result.schedule?.rate_from,
        requests_per_sec: result.requests as f64 / result.window_s,
        unavailable: status_count(result, |status| status == UNAVAILABLE),
        lost: lost(result),
        p99_us: result.latency_corrected_us?.p99,
        lag_us_p99: result.schedule?.lag_us.p99,
    })
}

/// The latencies of a window, part by part.
struct Timeline {
    interval_s: f64,
    intervals: Vec<Histogram<u64>>,
}

impl Timeline {
    /// The p99 of the answers that came in whole intervals between two instants of the window, in microseconds; none
    /// without answers.
    fn p99(&self, from_s: f64, to_s: f64) -> Option<u64> {
        let index = |at_s: f64| ((at_s / self.interval_s).max(0.0) as usize).min(self.intervals.len());
        // The interval in which a fault begins belongs to the fault, and so does the one in which it ends.
        self.p99_of(index(from_s), index(to_s))
    }

    fn p99_of(&self, from: usize, to: usize) -> Option<u64> {
        let (first, others) = self.intervals.get(from..to)?.split_first()?;
        let mut all = first.clone();
        for other in others {
            all.add(other).ok()?;
        }
        (!all.is_empty()).then(|| all.value_at_quantile(0.99))
    }

    /// The first instant after `to_s` from which on the p99 of a second is what it was before the fault: within a tenth
    /// of it, or within what seconds before the fault differed by among themselves.
    fn back_at(&self, before_us: u64, from_s: f64, to_s: f64) -> Option<f64> {
        let over = (OVER_S / self.interval_s).round() as usize;
        let calm = (from_s / self.interval_s) as usize;
        let highest = (0..(calm + 1).saturating_sub(over)).filter_map(|from| self.p99_of(from, from + over)).max();
        let most_us = (before_us as f64 * (1.0 + BACK_WITHIN)).max(highest.unwrap_or_default() as f64);
        let first = (to_s / self.interval_s).ceil() as usize;
        let is_back = |from: &usize| self.p99_of(*from, from + over).is_some_and(|p99_us| p99_us as f64 <= most_us);
        let at_s = (first..self.intervals.len()).find(is_back)? as f64 * self.interval_s;
        Some(at_s.max(to_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tenths of a second, each with a hundred answers of so many microseconds.
    fn timeline(tenths: impl IntoIterator<Item = u64>) -> Timeline {
        let of = |us| {
            let mut histogram = Histogram::new(3).unwrap();
            histogram.record_n(us, 100).unwrap();
            histogram
        };
        Timeline { interval_s: 0.1, intervals: tenths.into_iter().map(of).collect() }
    }

    /// Two seconds of this, then so many tenths of that, and three seconds of what follows.
    fn disturbed(before: u64, during: u64, tenths: usize, after: u64) -> Timeline {
        let calm = std::iter::repeat_n(before, 20);
        timeline(calm.chain(std::iter::repeat_n(during, tenths)).chain(std::iter::repeat_n(after, 30)))
    }

    #[test]
    fn a_p99_is_back_when_a_second_has_it_again() {
        // The fault ends after half a second; what it had held up takes another half.
        let at = disturbed(1_000, 50_000, 10, 1_050).back_at(1_000, 2.0, 2.5).unwrap();
        assert!((at - 3.0).abs() < 1e-9, "{at}");
        // Within the tenth that is allowed it never left.
        assert_eq!(disturbed(1_000, 1_000, 10, 1_050).back_at(1_000, 2.0, 2.55), Some(2.6));
    }

    #[test]
    fn what_stays_slower_has_not_recovered() {
        assert_eq!(disturbed(1_000, 50_000, 10, 1_300).back_at(1_000, 2.0, 3.0), None);
    }

    #[test]
    fn seconds_that_differed_before_may_differ_after() {
        let restless = (0..20).map(|tenth| if tenth == 5 { 1_500 } else { 1_000 });
        let after = std::iter::repeat_n(50_000, 5).chain(std::iter::repeat_n(1_400, 30));
        let at = timeline(restless.chain(after)).back_at(1_000, 2.0, 2.3).unwrap();
        assert!((at - 2.5).abs() < 1e-9, "{at}");
    }

    #[test]
    fn only_whole_intervals_count_and_none_is_no_percentile() {
        let timeline = timeline([1_000, 9_000]);
        assert_eq!(timeline.p99(0.0, 0.19), timeline.p99_of(0, 1));
        assert_eq!((timeline.p99(0.05, 0.05), timeline.p99(0.3, 0.9)), (None, None));
    }
}
