//! From what the loops and clocks brought home to the one account of a run.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};

use crate::engine::hooks::Hooks;
use crate::engine::{ConnectionOutcome, LoopOutcome};
use crate::latency::{Distribution, Latencies};
use crate::result::{Censored, Connections, CpuTicks, ProcessUsage, Second, Series, TreeUsage, TurnSummary};
use crate::tally::{ErrorCounts, IntervalTally, hdr};

/// A connection that was answered before counts as starved only beyond this many times the median latency: at
/// saturation every request waits long, and the slowest of a short window are in flight for more than half of it
/// without any unfairness.
const STARVED_MEDIANS: u64 = 10;

/// The measured window, and what was read at its edges.
#[derive(Debug, Clone)]
pub struct Window {
    /// When it opened.
    pub open_ns: u64,
    /// When it closed.
    pub close_ns: u64,
    /// Wall-clock time of the opening.
    pub opened_unix_us: u64,
    /// The client's own cost.
    pub client: ProcessUsage,
    /// Cost of the watched trees.
    pub watched: BTreeMap<String, TreeUsage>,
    /// CPU seconds of all other processes.
    pub others_cpu_s: f64,
    /// What the CPUs did.
    pub cpus: Vec<CpuTicks>,
}

impl Window {
    /// Its length.
    pub fn length_ns(&self) -> u64 {
        self.close_ns - self.open_ns
    }
}

/// All loops' counters, added up.
#[derive(Debug)]
pub struct Outcome {
    /// The window.
    pub window: Window,
    /// Answers in the window.
    pub requests: u64,
    /// Answers in warm-up and window.
    pub requests_total: u64,
    /// Bytes read in the window.
    pub bytes: u64,
    /// Answers of the window by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Errors of the window.
    pub errors: ErrorCounts,
    /// Errors of warm-up and window.
    pub errors_total: ErrorCounts,
    /// Raw latencies of the window.
    pub latencies: Latencies,
    /// In the open loop, those from the intended instants.
    pub corrected: Option<Latencies>,
    /// How late the open loop was itself, in microseconds.
    pub lags: Histogram<u64>,
    /// In the open loop, requests that fell due in the window.
    pub due: u64,
    /// Ages of requests that were due before the end and never sent, in microseconds.
    pub unsent_ages: Histogram<u64>,
    /// wrk's Req/Sec samples of all loops.
    pub rates: Distribution,
    /// Who was served how often.
    pub connections: Connections,
    /// Those among the starved connections that were still being established at the end.
    pub starved_connecting: u64,
    /// Requests sent and not answered at the end.
    pub in_flight: u64,
    /// Ages of the batches that these belong to, ascending, in microseconds: since they were due.
    pub ages_us: Vec<u64>,
    /// Share of connection-time spent waiting for an answer.
    pub occupancy: f64,
    /// One entry a second.
    pub per_second: Vec<Second>,
    /// The same in shorter intervals, if that was asked for.
    pub per_interval: Option<Series>,
    /// Turns of the event loops.
    pub turns: TurnSummary,
    /// Share of the window in which the busiest loop's thread used its CPU.
    pub busiest_thread: f64,
}

impl Outcome {
    /// Adds up what the loops counted. `timeout_ns` bounds the wait after which a connection counts as starved.
    pub fn new(loops: &[LoopOutcome], window: Window, timeout_ns: u64) -> Self {
        let mut connections: Vec<ConnectionOutcome> = Vec::new();
        let mut latencies = Latencies::new();
        let mut corrected: Option<Latencies> = None;
        let (mut lags, mut unsent_ages) = (hdr(), hdr());
        let (mut errors, mut errors_total) = (ErrorCounts::default(), ErrorCounts::default());
        let mut statuses = BTreeMap::new();
        let mut all_turns = hdr();
        for each in loops {
            connections.extend_from_slice(&each.connections);
            latencies.merge(&each.tally.latencies);
            if let Some(of_loop) = &each.tally.corrected {
                corrected.get_or_insert_default().merge(of_loop);
            }
            let histograms = [
                (&mut all_turns, &each.tally.turns),
                (&mut lags, &each.tally.lags),
                (&mut unsent_ages, &each.tally.unsent_ages),
            ];
            for (all, of_loop) in histograms {
                all.add(of_loop).expect("all histograms have the same bounds");
            }
            errors.merge(&each.tally.errors);
            errors_total.merge(&each.tally.errors_total);
            for (status, count) in each.tally.statuses.iter().enumerate().filter(|(_, count)| **count > 0) {
                *statuses.entry(status as u16).or_insert(0) += count;
            }
        }
        connections.sort_by_key(|connection| connection.index);
        let sum = |of: fn(&LoopOutcome) -> u64| loops.iter().map(of).sum::<u64>();
        let waiting_ns = sum(|each| each.tally.waiting_ns);
        let busiest_ns = loops.iter().map(|each| each.tally.cpu_ns).max().unwrap_or(0);
        let intervals: Vec<&[IntervalTally]> = loops.iter().map(|each| each.tally.intervals.as_slice()).collect();
        let per_second = loops.first().map_or(1, |each| each.tally.intervals_per_s());
        let patience = Patience::new(&window, timeout_ns, latencies.distribution(u64::MAX).percentile(50.0) * 1000);
        let samples = loops.iter().flat_map(|each| each.tally.rate_samples.iter().copied());
        Self {
            requests: sum(|each| each.tally.requests),
            requests_total: sum(|each| each.tally.requests_total),
            bytes: sum(|each| each.tally.bytes),
            statuses,
            errors,
            errors_total,
            latencies,
            corrected,
            lags,
            due: sum(|each| each.tally.due),
            unsent_ages,
            rates: Distribution::of_samples(samples),
            connections: summarise(&connections, &patience, sum(|each| each.tally.opened)),
            starved_connecting: connections
                .iter()
                .filter(|each| each.connecting_since_ns.is_some() && patience.ends_for(each))
                .count() as u64,
            in_flight: connections.iter().map(|each| u64::from(each.requests_in_flight)).sum(),
            ages_us: ages(&connections, &window),
            occupancy: occupancy(waiting_ns, &connections, &window),
            per_second: merge_intervals(&intervals, per_second),
            per_interval: (per_second > 1)
                .then(|| Series { interval_s: 1.0 / per_second as f64, intervals: merge_intervals(&intervals, 1) }),
            turns: turns(&all_turns),
            busiest_thread: busiest_ns as f64 / window.length_ns().max(1) as f64,
            window,
        }
    }

    /// The ages of all that has no answer.
    pub fn unanswered(&self) -> Histogram<u64> {
        let mut ages = hdr_of(self.ages_us.iter().map(|age| (*age, 1)));
        ages.add(&self.unsent_ages).expect("all histograms have the same bounds");
        ages
    }

    /// What has no answer: requests in flight at the end, and in the open loop those that were due and not sent.
    pub fn censored(&self) -> Censored {
        let ages = self.unanswered();
        // Exact where nothing but connections is to be counted.
        let exact = self.unsent_ages.is_empty();
        Censored {
            count: ages.len(),
            unsent: self.unsent_ages.len(),
            age_min_us: if exact { self.ages_us.first().copied().unwrap_or(0) } else { ages.min() },
            age_median_us: if exact { median(&self.ages_us) } else { ages.value_at_quantile(0.5) },
            age_max_us: if exact { self.ages_us.last().copied().unwrap_or(0) } else { ages.max() },
            ages: encode(&ages),
        }
    }
}

/// The client's own times, as the result file has them.
pub fn turns(times: &Histogram<u64>) -> TurnSummary {
    TurnSummary {
        count: times.len(),
        p50: times.value_at_quantile(0.5),
        p99: times.value_at_quantile(0.99),
        max: times.max(),
    }
}

/// The hooks of all loops, in the order of the loops, once nobody runs them any more.
pub fn hooks(loops: Vec<LoopOutcome>) -> Vec<Option<Box<dyn Hooks>>> {
    loops.into_iter().map(|each| each.hooks).collect()
}

/// How long a connection may wait at the end of a run before it counts as starved.
#[derive(Debug, Clone, Copy)]
struct Patience {
    close_ns: u64,
    /// For one that never had an answer: the timeout, or half the window if that is shorter.
    unanswered_ns: u64,
    /// For one that had.
    answered_ns: u64,
}

impl Patience {
    /// `median_ns` is the median latency of the window, 0 if there were no answers in it.
    fn new(window: &Window, timeout_ns: u64, median_ns: u64) -> Self {
        let unanswered_ns = timeout_ns.min(window.length_ns() / 2);
        let answered_ns = unanswered_ns.max(median_ns.saturating_mul(STARVED_MEDIANS));
        Self { close_ns: window.close_ns, unanswered_ns, answered_ns }
    }

    /// Whether the connection, at the end, had waited too long for an answer or for being established. One that broke
    /// instead of waiting is not meant: that is an error, not starvation.
    fn ends_for(&self, connection: &ConnectionOutcome) -> bool {
        let limit_ns = if connection.ever_answered { self.answered_ns } else { self.unanswered_ns };
        let since_ns = connection.in_flight_since_ns.or(connection.connecting_since_ns);
        since_ns.is_some_and(|since_ns| self.close_ns.saturating_sub(since_ns) > limit_ns)
    }
}

fn summarise(connections: &[ConnectionOutcome], patience: &Patience, opened: u64) -> Connections {
    let answers: Vec<u64> = connections.iter().map(|connection| connection.answers).collect();
    let mut sorted = answers.clone();
    sorted.sort_unstable();
    let sum: f64 = answers.iter().map(|count| *count as f64).sum();
    let squares: f64 = answers.iter().map(|count| (*count as f64).powi(2)).sum();
    Connections {
        never_answered: connections.iter().filter(|connection| !connection.ever_answered).count() as u64,
        starved: connections.iter().filter(|connection| patience.ends_for(connection)).count() as u64,
        answers_min: sorted.first().copied().unwrap_or(0),
        answers_median: median(&sorted),
        answers_max: sorted.last().copied().unwrap_or(0),
        jain: if squares > 0.0 { sum * sum / (answers.len() as f64 * squares) } else { 0.0 },
        opened,
        answers,
    }
}

fn ages(connections: &[ConnectionOutcome], window: &Window) -> Vec<u64> {
    let due = connections.iter().filter_map(|connection| connection.in_flight_due_ns);
    let mut ages: Vec<u64> = due.map(|since_ns| window.close_ns.saturating_sub(since_ns) / 1000).collect();
    ages.sort_unstable();
    ages
}

fn occupancy(waiting_ns: u64, connections: &[ConnectionOutcome], window: &Window) -> f64 {
    let in_flight = connections.iter().filter_map(|connection| connection.in_flight_since_ns);
    let in_flight_ns: u64 =
        in_flight.map(|since_ns| window.close_ns.saturating_sub(since_ns.max(window.open_ns))).sum();
    // A loop learns of the closing a moment after its instant and may count answers until then. Whatever lies beyond
    // the instant was not waited in the window.
    let beyond_ns: u64 = connections.iter().map(|each| each.last_answer_ns.saturating_sub(window.close_ns)).sum();
    let all_ns = connections.len() as f64 * window.length_ns() as f64;
    if all_ns > 0.0 { (waiting_ns.saturating_sub(beyond_ns) + in_flight_ns) as f64 / all_ns } else { 0.0 }
}

fn median(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// The intervals of all loops, so many in one.
fn merge_intervals(loops: &[&[IntervalTally]], together: usize) -> Vec<Second> {
    let length = loops.iter().map(|intervals| intervals.len()).max().unwrap_or(0);
    let mut merged = Vec::with_capacity(length.div_ceil(together));
    for from in (0..length).step_by(together) {
        let parts = || loops.iter().flat_map(|intervals| intervals.iter().skip(from).take(together));
        let histogram = hdr_of(parts().flat_map(|part| part.latency.iter().copied()));
        merged.push(Second {
            requests: parts().map(|part| part.requests).sum(),
            bytes: parts().map(|part| part.bytes).sum(),
            errors: parts().map(|part| part.errors).sum(),
            latency: encode(&histogram),
        });
    }
    merged
}

/// A histogram of values and their counts.
pub fn hdr_of(counts: impl Iterator<Item = (u64, u64)>) -> Histogram<u64> {
    let mut histogram = hdr();
    for (value, count) in counts {
        histogram.saturating_record_n(value, count);
    }
    histogram
}

/// A histogram as the result file holds it.
pub fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).expect("writing into memory cannot fail");
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window {
            open_ns: 1_000,
            close_ns: 11_000,
            opened_unix_us: 0,
            client: ProcessUsage::default(),
            watched: BTreeMap::new(),
            others_cpu_s: 0.0,
            cpus: Vec::new(),
        }
    }

    fn connection(index: u32, answers: u64, in_flight_since_ns: Option<u64>) -> ConnectionOutcome {
        ConnectionOutcome {
            index,
            answers,
            ever_answered: answers > 0,
            last_answer_ns: 0,
            requests_in_flight: u32::from(in_flight_since_ns.is_some()),
            in_flight_since_ns,
            in_flight_due_ns: in_flight_since_ns,
            connecting_since_ns: None,
        }
    }

    /// How many of these are starved after a window of 10 µs, with this timeout and median latency.
    fn starved(connections: &[ConnectionOutcome], timeout_ns: u64, median_ns: u64) -> u64 {
        summarise(connections, &Patience::new(&window(), timeout_ns, median_ns), 3).starved
    }

    #[test]
    fn a_summary_says_who_was_served() {
        let connections = [connection(0, 3, Some(10_900)), connection(1, 0, Some(500)), connection(2, 0, Some(6_500))];
        let summary = summarise(&connections, &Patience::new(&window(), u64::MAX, 0), 3);
        assert_eq!((summary.starved, summary.never_answered, summary.answers_max), (1, 2, 3));
        assert!((summary.jain - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_connection_that_was_answered_and_then_left_waiting_is_starved() {
        let connections = [connection(0, 1, Some(5_000)), connection(1, 500, Some(10_900))];
        assert_eq!(starved(&connections, u64::MAX, 20), 1);
        // The timeout bounds the patience in a long window.
        assert_eq!(starved(&[connection(0, 1, Some(9_000))], 1_000, 20), 1);
    }

    #[test]
    fn at_saturation_a_long_wait_is_no_starvation() {
        let connections = [connection(0, 1, Some(4_000)), connection(1, 2, Some(5_500))];
        assert_eq!(starved(&connections, u64::MAX, 3_000), 0);
        // One that was never answered cannot claim that.
        assert_eq!(starved(&[connection(0, 0, Some(4_000))], u64::MAX, 3_000), 1);
    }

    #[test]
    fn a_connection_that_is_never_established_is_starved() {
        let connecting = ConnectionOutcome { connecting_since_ns: Some(1_500), ..connection(0, 0, None) };
        assert_eq!(starved(&[connecting], u64::MAX, 0), 1);
    }

    #[test]
    fn answers_counted_after_the_closing_do_not_raise_the_occupancy_above_1() {
        let late = ConnectionOutcome { last_answer_ns: 11_300, ..connection(0, 9, Some(11_300)) };
        assert_eq!(occupancy(10_300, &[late], &window()), 1.0);
    }

    #[test]
    fn occupancy_counts_only_what_lies_in_the_window() {
        let connections = [connection(0, 1, Some(500)), connection(1, 0, None)];
        assert_eq!(occupancy(0, &connections, &window()), 0.5);
        assert_eq!(occupancy(10_000, &connections, &window()), 1.0);
    }

    #[test]
    fn histograms_survive_the_file() {
        let text = encode(&hdr_of([(250, 2), (9_000, 1)].into_iter()));
        let bytes = STANDARD.decode(text).unwrap();
        let read: Histogram<u64> =
            hdrhistogram::serialization::Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!((read.len(), read.value_at_quantile(0.5)), (3, 250));
    }

    #[test]
    fn a_second_is_the_sum_of_its_intervals_over_all_loops() {
        let tally = |requests| IntervalTally { requests, ..IntervalTally::default() };
        let (one, other) = ([tally(1), tally(2), tally(4)], [tally(8), tally(16)]);
        let requests = |together| -> Vec<u64> {
            merge_intervals(&[&one, &other], together).iter().map(|merged| merged.requests).collect()
        };
        assert_eq!((requests(1), requests(2)), (vec![9, 18, 4], vec![27, 4]));
    }
}
