//! What one event loop counts.
//!
//! Each loop has a tally of its own; nothing is shared while requests are under way. Tallies are merged after the run.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::latency::Latencies;
use crate::result::ErrorKind;
use crate::units::NS_PER_S;

/// Significant decimal digits of the histograms on disk.
pub const HDR_DIGITS: u8 = 3;

/// Largest value of a histogram on disk, in microseconds: a day. Larger ones are recorded as this.
const HDR_MAX_US: u64 = 24 * 3600 * 1_000_000;

/// wrk's interval of the Req/Sec samples, in milliseconds.
pub const RATE_SAMPLE_MS: u64 = 100;

/// A last interval shorter than this belongs to the one before it.
const SLIVER_NS: u64 = 10_000_000;

/// Status codes are three digits.
const STATUSES: usize = 1000;

/// A histogram as the result file holds them.
pub fn hdr() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HDR_MAX_US, HDR_DIGITS).expect("constant bounds are valid")
}

/// Counts per kind of error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorCounts(BTreeMap<ErrorKind, u64>);

impl ErrorCounts {
    /// Counts one.
    pub fn add(&mut self, kind: ErrorKind) {
        *self.0.entry(kind).or_insert(0) += 1;
    }

    /// How many of one kind.
    pub fn of(&self, kind: ErrorKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// How many of these kinds.
    pub fn of_any(&self, kinds: &[ErrorKind]) -> u64 {
        kinds.iter().map(|kind| self.of(*kind)).sum()
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(*kind).or_insert(0) += count;
        }
    }

    /// Kinds that occurred, with their counts.
    pub fn as_map(&self) -> &BTreeMap<ErrorKind, u64> {
        &self.0
    }
}

/// One finished interval of the window, a second unless asked for otherwise: counters, and the latencies as (value, count).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntervalTally {
    /// Answers.
    pub requests: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Errors.
    pub errors: u64,
    /// Latencies, one per bucket of the histogram, in microseconds: from the intended instants in the open loop.
    pub latency: Vec<(u64, u64)>,
}

impl IntervalTally {
    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.latency.extend_from_slice(&other.latency);
    }
}

/// Everything one event loop counts.
#[derive(Debug)]
pub struct Tally {
    /// Answers in warm-up and window.
    pub requests_total: u64,
    /// Answers in the window.
    pub requests: u64,
    /// Bytes read in the window.
    pub bytes: u64,
    /// Answers of the window by status.
    pub statuses: Box<[u64; STATUSES]>,
    /// Errors of warm-up and window.
    pub errors_total: ErrorCounts,
    /// Errors of the window.
    pub errors: ErrorCounts,
    /// Raw latencies of the window.
    pub latencies: Latencies,
    /// In the open loop, those from the intended instants.
    pub corrected: Option<Latencies>,
    /// How late the open loop was itself, in microseconds.
    pub lags: Histogram<u64>,
    /// Requests that fell due in the window.
    pub due: u64,
    /// Ages of requests that were due and never sent, in microseconds.
    pub unsent_ages: Histogram<u64>,
    /// Connection-time of the window spent waiting for answers, in nanoseconds.
    pub waiting_ns: u64,
    /// Connections opened.
    pub opened: u64,
    /// wrk's Req/Sec samples.
    pub rate_samples: Vec<u64>,
    /// Turns of the loop in the window, in microseconds.
    pub turns: Histogram<u64>,
    /// Finished intervals of the window.
    pub intervals: Vec<IntervalTally>,
    /// CPU time of the loop's thread in the window, in nanoseconds.
    pub cpu_ns: u64,
    interval_ns: u64,
    current: IntervalTally,
    current_latency: Histogram<u64>,
    rate_requests: u64,
    rate_since_ns: u64,
    opened_ns: Option<u64>,
}

impl Tally {
    /// Nothing counted. While requests run, only a page of latencies not touched before, a status or error of a new
    /// kind and the end of an interval allocate.
    pub fn new() -> Self {
        Self {
            requests_total: 0,
            requests: 0,
            bytes: 0,
            statuses: Box::new([0; STATUSES]),
            errors_total: ErrorCounts::default(),
            errors: ErrorCounts::default(),
            latencies: Latencies::new(),
            corrected: None,
            lags: hdr(),
            due: 0,
            unsent_ages: hdr(),
            waiting_ns: 0,
            opened: 0,
            rate_samples: Vec::with_capacity(1024),
            turns: hdr(),
            intervals: Vec::with_capacity(64),
            cpu_ns: 0,
            interval_ns: NS_PER_S,
            current: IntervalTally::default(),
            current_latency: hdr(),
            rate_requests: 0,
            rate_since_ns: 0,
            opened_ns: None,
        }
    }

    /// Nothing counted, in the open loop.
    pub fn open_loop() -> Self {
        Self { corrected: Some(Latencies::new()), ..Self::new() }
    }

    /// Counts by intervals of this length.
    pub fn by_intervals_of(self, interval_ns: u64) -> Self {
        Self { interval_ns, ..self }
    }

    /// How many of the intervals are a second.
    pub fn intervals_per_s(&self) -> usize {
        (NS_PER_S / self.interval_ns) as usize
    }

    /// The window has opened at this instant; everything from it on counts.
    pub fn open_window(&mut self, open_ns: u64) {
        self.opened_ns = Some(open_ns);
        self.rate_since_ns = open_ns;
    }

    /// Counts an answer outside the window.
    pub fn warmup_answer(&mut self) {
        self.requests_total += 1;
    }

    /// Counts an answer of the window that was complete at `stop_ns`.
    #[inline]
    pub fn answer(&mut self, stop_ns: u64, status: u16) {
        self.turn_intervals(stop_ns);
        self.requests_total += 1;
        self.requests += 1;
        self.rate_requests += 1;
        self.statuses[usize::from(status) % STATUSES] += 1;
        self.current.requests += 1;
    }

    /// Takes the time of a batch whose last answer was complete in the window, at `stop_ns`: it was due, and its first
    /// byte written, at the other two instants, which are the same in the closed loop.
    #[inline]
    pub fn batch(&mut self, due_ns: u64, start_ns: u64, stop_ns: u64) {
        self.latencies.record((stop_ns - start_ns) / 1000);
        let corrected_us = (stop_ns - due_ns.min(start_ns)) / 1000;
        if let Some(corrected) = &mut self.corrected {
            corrected.record(corrected_us);
        }
        self.current_latency.saturating_record(corrected_us);
        self.waiting_ns += stop_ns - start_ns.max(self.opened_ns.unwrap_or(0));
    }

    /// Takes that the open loop sent, at `now_ns`, what was due at `due_ns`, and how much later than it could.
    #[inline]
    pub fn sent(&mut self, due_ns: u64, lag_ns: u64, now_ns: u64) {
        if self.opened_ns.is_some_and(|opened_ns| now_ns >= opened_ns) {
            self.lags.saturating_record(lag_ns / 1000);
        }
        self.fell_due(due_ns);
    }

    /// Counts a request that was due at one instant and had not been sent at the end.
    pub fn unsent(&mut self, due_ns: u64, end_ns: u64) {
        self.unsent_ages.saturating_record((end_ns - due_ns) / 1000);
        self.fell_due(due_ns);
    }

    /// What had been due before the window is a queue that it began with.
    fn fell_due(&mut self, due_ns: u64) {
        self.due += u64::from(self.opened_ns.is_some_and(|opened_ns| due_ns >= opened_ns));
    }

    /// Counts bytes read at `now_ns`, if the window is open.
    #[inline]
    pub fn read(&mut self, bytes: u64, now_ns: u64) {
        if self.opened_ns.is_some() {
            self.turn_intervals(now_ns);
            self.bytes += bytes;
            self.current.bytes += bytes;
        }
    }

    /// Counts an error, and to the window if it is open.
    pub fn error(&mut self, kind: ErrorKind, now_ns: u64) {
        self.errors_total.add(kind);
        if self.opened_ns.is_some() {
            self.turn_intervals(now_ns);
            self.errors.add(kind);
            self.current.errors += 1;
        }
    }

    /// Counts one turn of the loop, if the window is open.
    pub fn turn(&mut self, length_ns: u64) {
        if self.opened_ns.is_some() {
            self.turns.saturating_record(length_ns / 1000);
        }
    }

    /// Takes a Req/Sec sample if one is due, as wrk does: only intervals with an answer are recorded, others grow
    /// longer.
    pub fn sample_rate(&mut self, now_ns: u64) {
        let elapsed_ms = now_ns.saturating_sub(self.rate_since_ns) / 1_000_000;
        if self.opened_ns.is_none() || elapsed_ms < RATE_SAMPLE_MS || self.rate_requests == 0 {
            return;
        }
        self.rate_samples.push(self.rate_requests * 1000 / elapsed_ms);
        self.rate_requests = 0;
        self.rate_since_ns = now_ns;
    }

    /// The window has closed.
    pub fn close_window(&mut self, close_ns: u64) {
        self.sample_rate(close_ns);
        if self.opened_ns.is_some() {
            // The instant of closing is the last of the window, not the first of another interval.
            self.turn_intervals(close_ns.saturating_sub(1));
            self.finish_interval();
            self.fold_sliver(close_ns);
        }
    }

    /// A window ends some microseconds after the interval that it should end with: that is no interval of its own.
    fn fold_sliver(&mut self, close_ns: u64) {
        let tail_ns = close_ns.saturating_sub(self.opened_ns.unwrap_or(close_ns)) % self.interval_ns;
        if self.intervals.len() < 2 || tail_ns == 0 || tail_ns >= SLIVER_NS {
            return;
        }
        if let (Some(sliver), Some(last)) = (self.intervals.pop(), self.intervals.last_mut()) {
            last.merge(&sliver);
        }
    }

    /// Finishes intervals up to the one that holds `now_ns`.
    #[inline]
    pub fn turn_intervals(&mut self, now_ns: u64) {
        let since_ns = now_ns.saturating_sub(self.opened_ns.unwrap_or(now_ns));
        while since_ns >= (self.intervals.len() as u64 + 1) * self.interval_ns {
            self.finish_interval();
        }
    }

    /// Packs the current interval: a full histogram of each would be 200 KiB.
    fn finish_interval(&mut self) {
        let mut finished = std::mem::take(&mut self.current);
        if finished.requests > 0 {
            let recorded = self.current_latency.iter_recorded();
            finished.latency =
                recorded.map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect();
            self.current_latency.reset();
        }
        self.intervals.push(finished);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn answers_before_the_window_count_only_in_the_total() {
        let mut tally = Tally::new();
        tally.warmup_answer();
        tally.read(10, 5);
        tally.open_window(100);
        tally.read(20, 150);
        tally.answer(2_100, 200);
        tally.batch(90, 90, 2_100);
        assert_eq!((tally.requests_total, tally.requests, tally.bytes), (2, 1, 20));
        // The part before the window is not waiting time of the window, but it is latency.
        assert_eq!(tally.waiting_ns, 2_000);
        assert!(tally.latencies.iter().eq([(2, 1)]));
    }

    #[test]
    fn rates_are_sampled_as_wrk_samples_them() {
        let mut tally = Tally::new();
        tally.open_window(0);
        for _ in 0..7 {
            tally.answer(MS, 200);
        }
        tally.sample_rate(99 * MS);
        assert!(tally.rate_samples.is_empty());
        tally.sample_rate(101 * MS);
        // No answers: the interval grows to 200 ms.
        tally.sample_rate(201 * MS);
        tally.answer(250 * MS, 200);
        tally.sample_rate(301 * MS);
        assert_eq!(tally.rate_samples, [69, 5]);
    }

    #[test]
    fn seconds_without_answers_are_there_too() {
        let mut tally = Tally::new();
        tally.open_window(0);
        tally.answer(MS, 200);
        tally.answer(2 * NS_PER_S + MS, 200);
        tally.error(ErrorKind::Eof, 2 * NS_PER_S + MS);
        tally.close_window(3 * NS_PER_S + MS);
        let requests: Vec<_> = tally.intervals.iter().map(|second| (second.requests, second.errors)).collect();
        assert_eq!(requests, [(1, 0), (0, 0), (1, 1)]);
    }

    #[test]
    fn shorter_intervals_are_counted_apart() {
        let mut tally = Tally::new().by_intervals_of(100 * MS);
        tally.open_window(0);
        tally.answer(50 * MS, 200);
        tally.answer(250 * MS, 200);
        tally.close_window(301 * MS);
        let requests: Vec<_> = tally.intervals.iter().map(|interval| interval.requests).collect();
        assert_eq!((requests, tally.intervals_per_s()), (vec![1, 0, 1], 10));
    }

    #[test]
    fn what_was_due_before_the_window_is_not_due_in_it_though_it_is_sent_there_or_never() {
        let mut tally = Tally::open_loop();
        tally.sent(5, 0, 10);
        tally.open_window(100);
        tally.sent(90, 20_000, 110);
        tally.sent(105, 5_000, 110);
        tally.unsent(95, 200);
        tally.unsent(150, 200);
        assert_eq!((tally.due, tally.lags.len(), tally.unsent_ages.len()), (2, 2, 2));
    }
}
