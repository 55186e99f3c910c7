//! Percentiles where requests were left without an answer; over several runs they come from the merged histograms,
//! never from averaged percentiles.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use crate::result::LoadResult;

/// What one or more runs say about latency, in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Latencies of the answers of the window.
    answered: Histogram<u64>,
    /// Ages of the requests that had no answer when the client stopped. Their latencies would have been longer.
    unanswered: Histogram<u64>,
    /// How many of them were due and never sent.
    unsent: u64,
}

/// A percentile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentile {
    /// Its value, in microseconds.
    pub us: f64,
    /// Whether it is exact, or only known to be at least that.
    pub is_lower_bound: bool,
}

impl Observed {
    /// Of answers that took so long, and of requests without an answer that were so old, so many of which were never
    /// sent.
    pub fn new(answered: Histogram<u64>, unanswered: Histogram<u64>, unsent: u64) -> Self {
        Self { answered, unanswered, unsent }
    }

    /// The distributions of a result file: from the intended instants in the open loop, raw in the closed one.
    ///
    /// # Errors
    /// When a histogram is none.
    pub fn of(result: &LoadResult) -> Result<Self> {
        let answered = match &result.histograms.corrected {
            Some(corrected) => decode(corrected).context("histograms.corrected")?,
            None => decode(&result.histograms.raw).context("histograms.raw")?,
        };
        let unanswered = decode(&result.censored.ages).context("censored.ages")?;
        Ok(Self { answered: fitted(&answered), unanswered: fitted(&unanswered), unsent: result.censored.unsent })
    }

    /// How many requests it is of, answered or not.
    pub fn requests(&self) -> u64 {
        self.answered.len() + self.unanswered.len()
    }

    /// All runs in one; `None` for none.
    pub fn merged<'a>(runs: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut runs = runs.into_iter();
        let mut all = runs.next()?.clone();
        all.answered.auto(true);
        all.unanswered.auto(true);
        for run in runs {
            merge(&mut all.answered, &run.answered);
            merge(&mut all.unanswered, &run.unanswered);
            all.unsent += run.unsent;
        }
        Some(all)
    }

    /// The smallest latency that a share `q` of the requests did not exceed. A request without an answer counts as
    /// longer than any value below its age and is left out above it: what it would have taken is not known. Those that
    /// were never sent are not left out, however young: they stood behind all others, in a queue that may have been
    /// growing. Where so many are without an answer that the rank falls among them, the value is a lower bound; there
    /// they count by their ages.
    pub fn quantile(&self, q: f64) -> Option<Percentile> {
        self.quantiles(&[q]).pop()?
    }

    /// The same for several shares, in one walk over the values.
    ///
    /// # Panics
    /// When the shares do not ascend.
    pub fn quantiles(&self, ascending: &[f64]) -> Vec<Option<Percentile>> {
        assert!(ascending.is_sorted(), "shares have to ascend: {ascending:?}");
        let mut found = Vec::with_capacity(ascending.len());
        let mut younger = 0;
        let mut ages = self.unanswered.iter_recorded().peekable();
        let mut answered = 0;
        let in_flight = self.unanswered.len() - self.unsent;
        for value in self.answered.iter_recorded() {
            answered += value.count_at_value();
            while let Some(age) = ages.next_if(|age| age.value_iterated_to() <= value.value_iterated_to()) {
                younger += age.count_at_value();
            }
            let longer = self.unsent + in_flight.min(self.unanswered.len() - younger);
            let all = (self.answered.len() + longer) as f64;
            while ascending.get(found.len()).is_some_and(|q| answered as f64 >= q * all) {
                found.push(Some(Percentile { us: value.value_iterated_to() as f64, is_lower_bound: false }));
            }
        }
        let rest = &ascending[found.len()..];
        found.extend(self.lower_bounds(rest));
        found
    }

    /// Where the rank falls among requests without an answer.
    fn lower_bounds(&self, shares: &[f64]) -> Vec<Option<Percentile>> {
        if shares.is_empty() {
            return Vec::new();
        }
        let mut all = self.answered.clone();
        all.auto(true);
        merge(&mut all, &self.unanswered);
        // No answer took that long.
        let at_least = |q: &f64| all.value_at_quantile(*q).max(self.answered.max()) as f64;
        let bound = |q| (!all.is_empty()).then(|| Percentile { us: at_least(q), is_lower_bound: true });
        shares.iter().map(bound).collect()
    }
}

/// A histogram of a result file.
///
/// # Errors
/// When it is none.
pub fn decode(text: &str) -> Result<Histogram<u64>> {
    let bytes = STANDARD.decode(text)?;
    let mut histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice())?;
    // Runs of different length have different ranges; merging them must not fail for that.
    histogram.auto(true);
    Ok(histogram)
}

/// The same values without the room for greater ones: the client has room for a day, and a report holds thousands of
/// distributions at once.
fn fitted(histogram: &Histogram<u64>) -> Histogram<u64> {
    /// The least that a histogram may be made for.
    const HIGH_MIN: u64 = 2;
    let high = histogram.max().max(HIGH_MIN);
    let mut fitted = Histogram::new_with_bounds(1, high, histogram.sigfig()).expect("its bounds are in order");
    fitted.auto(true);
    merge(&mut fitted, histogram);
    fitted
}

fn merge(into: &mut Histogram<u64>, other: &Histogram<u64>) {
    into.add(other).expect("a histogram that resizes itself takes every value of another");
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Serializer as _, V2Serializer};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn latencies(answered: &[(u64, u64)], unanswered: &[(u64, u64)]) -> Observed {
        let histogram = |values: &[(u64, u64)]| {
            let mut histogram = Histogram::<u64>::new(3).unwrap();
            for (value, count) in values {
                histogram.record_n(*value, *count).unwrap();
            }
            histogram
        };
        Observed::new(histogram(answered), histogram(unanswered), 0)
    }

    fn exactly(us: f64) -> Option<Percentile> {
        Some(Percentile { us, is_lower_bound: false })
    }

    #[test]
    fn a_histogram_is_decoded_as_the_client_writes_it() {
        let mut written = Histogram::<u64>::new(3).unwrap();
        written.record_n(1234, 5).unwrap();
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&written, &mut bytes).unwrap();
        let read = decode(&STANDARD.encode(&bytes)).unwrap();
        assert_eq!((read.len(), read.value_at_quantile(0.5)), (5, 1234));
        assert!(decode("not base64!").is_err() && decode("AAAA").is_err());
    }

    #[test]
    fn a_distribution_that_takes_less_room_says_the_same() {
        let mut roomy = Histogram::<u64>::new_with_bounds(1, 86_400_000_000, 3).unwrap();
        (1..2_000).for_each(|n| roomy.record(n * n).unwrap());
        let fitted = fitted(&roomy);
        assert!(fitted.distinct_values() < roomy.distinct_values());
        let of = |histogram: Histogram<u64>| Observed::new(histogram, Histogram::new(3).unwrap(), 0);
        let shares = [0.0, 0.25, 0.5, 0.99, 0.9999, 1.0];
        assert_eq!(of(fitted.clone()).quantiles(&shares), of(roomy).quantiles(&shares));
        let longer = latencies(&[(3_600_000_000, 1)], &[]);
        let merged = Observed::merged([&of(fitted), &longer]).unwrap();
        assert!(merged.quantile(1.0).unwrap().us >= 3_599_000_000.0, "what is longer finds room");
    }

    #[test]
    fn percentiles_of_merged_runs_are_not_averages() {
        let (fast, slow) = (latencies(&[(10, 990)], &[]), latencies(&[(1000, 10)], &[]));
        let all = Observed::merged([&fast, &slow]).unwrap();
        assert_eq!(all.quantile(0.99), exactly(10.0));
        assert_eq!(all.quantile(0.999), exactly(1000.0));
        assert_eq!(Observed::merged([]), None);
    }

    #[test]
    fn requests_in_flight_that_are_younger_than_the_percentile_do_not_move_it() {
        assert_eq!(latencies(&[(200, 1000)], &[(50, 100)]).quantile(0.99), exactly(200.0));
    }

    #[test]
    fn a_few_old_requests_in_flight_push_a_percentile_up() {
        let alone = latencies(&[(100, 98), (200, 2)], &[]);
        assert_eq!(alone.quantile(0.97), exactly(100.0));
        assert_eq!(latencies(&[(100, 98), (200, 2)], &[(150, 2)]).quantile(0.97), exactly(200.0));
    }

    #[test]
    fn requests_that_were_never_sent_count_as_longer_than_all_others() {
        let at_least = |us| Some(Percentile { us, is_lower_bound: true });
        let mut overloaded = latencies(&[(100, 500), (1000, 100)], &[(50, 300), (900, 100)]);
        overloaded.unsent = 400;
        assert_eq!(overloaded.quantile(0.5), exactly(100.0));
        assert_eq!(overloaded.quantile(0.9), at_least(1000.0));
        // Beside them there are some that were sent long ago.
        let mut hung = latencies(&[(100, 9000)], &[(10, 500), (2000, 500)]);
        hung.unsent = 500;
        assert_eq!(hung.quantile(0.9), exactly(100.0));
        assert_eq!(hung.quantile(0.97), at_least(2000.0));
    }

    #[test]
    fn a_rank_among_the_unanswered_gives_a_lower_bound() {
        let starved = latencies(&[(100, 900)], &[(1000, 100)]);
        assert_eq!(starved.quantile(0.5), exactly(100.0));
        assert_eq!(starved.quantile(0.99), Some(Percentile { us: 1000.0, is_lower_bound: true }));
        assert_eq!(latencies(&[], &[]).quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn several_percentiles_at_once_are_each_alone(
            answered in vec((1..5000_u64, 1..50_u64), 0..20),
            unanswered in vec((1..5000_u64, 1..20_u64), 0..10),
            unsent in 0..20_u64,
            mut shares in vec(0.0..=1.0_f64, 0..8),
        ) {
            let mut observed = latencies(&answered, &unanswered);
            observed.unsent = unsent.min(observed.unanswered.len());
            shares.sort_by(f64::total_cmp);
            let alone: Vec<_> = shares.iter().map(|q| observed.quantile(*q)).collect();
            prop_assert_eq!(observed.quantiles(&shares), alone);
        }
    }
}
