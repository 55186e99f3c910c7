//! What makes a run a failure, `--fail-if 'p99>50ms,errors>0.1%'`, and what an objective demands.

use std::collections::BTreeMap;

use crate::censored::Observed;
use crate::extended::Extended;
use crate::result::{ErrorKind, LoadResult};
use crate::units::{format_time_us, parse_count, parse_percent, parse_time_ns};

mod comparison;
mod objective;

pub use comparison::{Comparison, leave_nothing, split};
pub use objective::{implies, parse_objective};

/// A condition that must not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// As it was given.
    text: String,
    metric: Metric,
    comparison: Comparison,
    limit: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    /// A percentile of latency, in microseconds.
    Percentile(f64),
    /// The mean latency, in microseconds.
    Mean,
    /// The longest latency, in microseconds.
    Max,
    /// Answers per second.
    Rate,
    /// Errors of all kinds.
    Errors,
    /// Errors for each hundred requests that were answered or failed.
    ErrorsPercent,
    /// Requests without an answer at the end.
    Unanswered,
}

/// Reads a list of conditions that must not hold, separated by commas; an error is the whole message.
pub fn parse(list: &str) -> Result<Vec<Threshold>, String> {
    list.split(',').map(|text| parse_one(text.trim()).ok_or_else(|| refusal("--fail-if", text.trim()))).collect()
}

fn refusal(flag: &str, text: &str) -> String {
    format!(
        "{flag} '{text}': expected a figure (p50, p99.9, mean, max, rate, errors, unanswered), one of > \
         >= < <= and a limit, as p99>50ms, rate<1k or errors>0.1%"
    )
}

fn parse_one(text: &str) -> Option<Threshold> {
    let (name, comparison, limit) = split(text)?;
    let time_us = || Some(parse_time_ns(limit)? as f64 / 1000.0);
    let count = || Some(parse_count(limit)? as f64);
    let (metric, limit) = match name {
        "mean" => (Metric::Mean, time_us()?),
        "max" => (Metric::Max, time_us()?),
        "rate" => (Metric::Rate, count()?),
        "unanswered" => (Metric::Unanswered, count()?),
        "errors" if limit.ends_with('%') => (Metric::ErrorsPercent, parse_percent(limit)?),
        "errors" => (Metric::Errors, count()?),
        name => (Metric::Percentile(percentile(name)?), time_us()?),
    };
    Some(Threshold { text: text.to_owned(), metric, comparison, limit })
}

/// The percentile of a name: `p50`, `p99.9`, and `p999` as files call it.
pub fn percentile(name: &str) -> Option<f64> {
    match name.strip_prefix('p')? {
        "999" => Some(99.9),
        number => number.parse().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0),
    }
}

/// Errors for each hundred requests that were answered or failed, of errors by kind and the requests that were answered.
pub fn error_percent(errors: &BTreeMap<ErrorKind, u64>, answered: u64) -> f64 {
    use ErrorKind::{Connect, ConnectRefused, ConnectTimeout, Eof, Protocol, Read, Tls, Write};
    // What is answered came to an end, also where it is an error of its own.
    let failed = [Connect, ConnectRefused, ConnectTimeout, Eof, Protocol, Read, Tls, Write];
    let failed: u64 = failed.iter().filter_map(|kind| errors.get(kind)).sum();
    let all: u64 = errors.values().sum();
    100.0 * (all as f64 / (answered + failed).max(1) as f64).min(1.0)
}

impl Threshold {
    /// Whether it is about errors.
    pub fn is_of_errors(&self) -> bool {
        matches!(self.metric, Metric::Errors | Metric::ErrorsPercent)
    }

    /// The shortest single pause of server, client or machine that breaks a limit of latency in an open loop's window of
    /// so many seconds, however quick all else is; in seconds, and `None` where the limit is not one of latency.
    ///
    /// What falls due in a pause of length S waits for the rest of it, evenly spread up to S. So a share (S − L) / T of the
    /// window's requests waits longer than L, and the mean is S² / 2T.
    pub fn breaking_pause_s(&self, window_s: f64) -> Option<f64> {
        let limit_s = self.limit / 1e6;
        match self.metric {
            Metric::Percentile(percent) => Some(limit_s + (1.0 - percent / 100.0) * window_s),
            Metric::Max => Some(limit_s),
            Metric::Mean => Some((2.0 * limit_s * window_s).sqrt()),
            Metric::Rate | Metric::Errors | Metric::ErrorsPercent | Metric::Unanswered => None,
        }
    }

    /// If it holds of a result: what was measured. Latencies are those from the intended instants in the open loop; one
    /// that is only known to be at least so much, or not at all, cannot be shown to lie below a limit.
    pub fn broken(&self, result: &LoadResult, observed: &Observed) -> Option<String> {
        let latency = result.latency_corrected_us.unwrap_or(result.latency_us);
        let errors = result.errors.values().sum::<u64>() as f64;
        let (value, is_lower_bound) = match self.metric {
            Metric::Percentile(percent) => match observed.quantile(percent / 100.0) {
                Some(found) => (found.us, found.is_lower_bound),
                None => return Some(self.unknown()),
            },
            Metric::Mean | Metric::Max if latency.count == 0 => return Some(self.unknown()),
            Metric::Mean => (latency.mean, false),
            Metric::Max => (latency.max as f64, false),
            Metric::Rate => (result.requests as f64 / result.window_s, false),
            Metric::Errors => (errors, false),
            Metric::ErrorsPercent => (error_percent(&result.errors, result.requests_total), false),
            Metric::Unanswered => (result.censored.count as f64, false),
        };
        let demands_less = self.comparison.opposite().sets_upper_limit();
        let is_broken = self.comparison.holds(value, self.limit) || (is_lower_bound && demands_less);
        is_broken.then(|| {
            let at_least = if is_lower_bound { "at least " } else { "" };
            format!("{}: it is {at_least}{}", self.text, self.shown(value))
        })
    }

    fn unknown(&self) -> String {
        format!("{}: nothing was answered", self.text)
    }

    fn shown(&self, value: f64) -> String {
        match self.metric {
            Metric::Percentile(_) | Metric::Mean | Metric::Max => {
                format_time_us(Extended::from(value as u64)).trim_end().to_owned()
            }
            Metric::ErrorsPercent => format!("{value:.3}%"),
            Metric::Rate => format!("{value:.2}"),
            Metric::Errors | Metric::Unanswered => format!("{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_a_figure_a_comparison_and_a_limit() {
        let parsed = parse("p999 > 50ms, rate<=1k,errors>=0.5%").unwrap();
        let seen: Vec<_> = parsed.iter().map(|one| (one.metric, one.comparison, one.limit)).collect();
        assert_eq!(
            seen,
            [
                (Metric::Percentile(99.9), Comparison::Above, 50_000.0),
                (Metric::Rate, Comparison::AtMost, 1000.0),
                (Metric::ErrorsPercent, Comparison::AtLeast, 0.5),
            ]
        );
    }

    #[test]
    fn a_pause_breaks_a_percentile_once_it_delays_more_than_the_rest_by_more_than_the_limit() {
        let pause = |list: &str, window_s| parse(list).unwrap()[0].breaking_pause_s(window_s);
        let at_due = |due_ms: f64, pause_ms: f64| (pause_ms - due_ms).max(0.0);
        for window_s in [2.0, 10.0] {
            let shortest_ms = 1000.0 * pause("p99>20ms", window_s).unwrap();
            let late = |pause_ms: f64| {
                let all = (0..(window_s * 10_000.0) as u64).map(|tenth| at_due(tenth as f64 / 10.0, pause_ms));
                all.filter(|latency| *latency > 20.0).count() as f64 / (window_s * 10_000.0)
            };
            assert!(late(shortest_ms - 1.0) < 0.01 && late(shortest_ms + 1.0) > 0.01, "{shortest_ms} ms");
        }
        assert_eq!(pause("max>20ms", 2.0), Some(0.02));
        assert_eq!(pause("mean>1ms", 2.0).map(|s| (s * 1000.0).round()), Some(63.0));
        assert_eq!(pause("errors>1", 2.0), None);
    }

    #[test]
    fn what_is_no_condition_is_named() {
        for text in
            ["", "p99", "p99=5ms", "p0>1s", "p101>1s", "q9>1s", "mean>fast", "rate>5ms", "errors>x%", "errors>nan%"]
        {
            assert!(parse(text).unwrap_err().contains(&format!("--fail-if '{text}'")), "{text}");
        }
    }
}
