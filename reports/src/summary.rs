//! Trials to cells: what all trials of one stack under one request say together.

use std::collections::BTreeMap;

use crate::{
    latency::{Observed, Percentile},
    row::{Cost, Mode, Role, Row, Verdict},
    stats::{self, Blocks, Interval},
};

mod fault;

pub use fault::{FaultSummary, Recovery};

/// The percentiles of a cell, as shares.
const SHARES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
/// Microseconds of a second.
const US_PER_S: f64 = 1e6;

/// Median and range of a figure over trials, and the interval of the median where there are enough of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Median; of an even number of trials, the mean of the middle two.
    pub median: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Interval of the median; none for fewer than [`stats::TRIALS_MIN`] trials.
    pub interval: Option<Interval>,
    /// Trials it rests on.
    pub trials: usize,
}

impl Spread {
    /// `None` when there are no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: stats::median(&sorted)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
            interval: Interval::of_median(&sorted),
            trials: sorted.len(),
        })
    }

    /// Whether two ranges have a value in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// Which request of a scenario, in which mode, at which step: what one table is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Request's name.
    pub request: String,
    /// Mode.
    pub mode: Mode,
    /// Step of the load.
    pub step: Option<u32>,
}

impl Question {
    /// What a row answers.
    pub fn of(row: &Row) -> Self {
        Self { request: row.request.clone(), mode: row.mode, step: row.step }
    }
}

/// On how many distributions percentiles rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Trials whose distribution could be read.
    pub read: usize,
    /// Trials with answers.
    pub answered: usize,
}

/// All trials of one stack under one question. Figures rest on the trials that did not fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Stack's name.
    pub stack: String,
    /// What the stack is in the suite.
    pub role: Role,
    /// Answers per second.
    pub rate: Option<Spread>,
    /// The same by block.
    pub rate_by_block: Blocks,
    /// Share of the ceiling.
    pub ceiling_share: Option<Spread>,
    /// Whose distributions the percentiles are of.
    pub merged: Merged,
    /// Whether requests were due at instants of their own, which latencies are counted from.
    pub is_open: bool,
    /// What was offered, per second; none in a closed loop, as all that is said of what was offered.
    pub offered: Option<Spread>,
    /// What the window had to send, per second: what fell due in it, and what was due before and still waited.
    pub due: Option<Spread>,
    /// The rate of answers over what was offered.
    pub carried_share: Option<Spread>,
    /// Whether every trial carried its rate; none where none of them tells.
    pub is_carried: Option<bool>,
    /// How much later than it could the client sent (99th percentile), in microseconds.
    pub lag_us: Option<Spread>,
    /// CPU time of the load client over that of one core.
    pub client_cores: Option<Spread>,
    /// What the fault in the windows did; none where there was none.
    pub fault: Option<FaultSummary>,
    /// Median latency; none where no trial has its distribution. Where a rate was not carried, a queue grew as long as the
    /// window lasted, and every percentile is a lower bound.
    pub p50: Option<Percentile>,
    /// 90th percentile.
    pub p90: Option<Percentile>,
    /// 99th percentile.
    pub p99: Option<Percentile>,
    /// 99.9th percentile.
    pub p999: Option<Percentile>,
    /// Server's CPU time per answer, in microseconds.
    pub server_us: Option<Spread>,
    /// The same by block.
    pub server_us_by_block: Blocks,
    /// Answers per second of the server's CPU time.
    pub per_cpu_second: Option<Spread>,
    /// CPU time per answer of the store; none if the harness did not start it.
    pub store_us: Option<Spread>,
    /// The same of the client.
    pub client_us: Option<Spread>,
    /// Busy time of the machine per answer that none of the three explains, in microseconds; none if the store's part is
    /// not known. Sampled by ticks, so that it may come out below 0.
    pub unexplained_us: Option<Spread>,
    /// Server's peak resident set, in bytes.
    pub rss_bytes: Option<Spread>,
    /// Server's context switches per answer.
    pub switches: Option<Spread>,
    /// Connections of the load.
    pub connections: u32,
    /// Resident memory of the server that each of so many idle connections takes, in bytes.
    pub idle_connection_bytes: Option<Spread>,
    /// Ceiling per second and where it comes from, of the first trial that has one.
    pub ceiling: Option<(f64, String)>,
    /// What the cell's figures may be used for: see [`decisive`].
    pub verdict: Verdict,
    /// Trials with that verdict.
    pub verdict_trials: usize,
    /// The verdicts of the others with how many have each, the worst first.
    pub other_verdicts: Vec<(Verdict, usize)>,
    /// All trials, failed ones included.
    pub trials: usize,
    /// Noisy trials that were measured again, and that nothing else here rests on.
    pub repeated: usize,
    /// Why, of the first trial with that verdict; empty if there is nothing to say.
    pub reason: String,
}

impl Cell {
    /// Sums up the trials of one cell, with the client's distributions by [`Row::raw`]; `None` if there are no trials,
    /// or none but those that were to be measured again. What its idle connections take is none of its trials' alone: see
    /// [`Cell::weighed_by`].
    pub fn of(all: &[&Row], latencies: &BTreeMap<String, Observed>) -> Option<Self> {
        let rows: Vec<&Row> = all.iter().copied().filter(|row| !row.repeated).collect();
        let decisive = decisive(&rows)?;
        let good: Vec<&Row> = rows.iter().copied().filter(|row| row.verdict != Verdict::Failed).collect();
        let spread = |figure: fn(&Row) -> Option<f64>| Spread::of(good.iter().filter_map(|row| figure(row)));
        let by_block = |figure: fn(&Row) -> Option<f64>| {
            good.iter().filter_map(|row| Some((row.trial, figure(row)?))).collect::<Blocks>()
        };
        let answered: Vec<&Row> = good.iter().copied().filter(|row| row.requests > 0).collect();
        let of_row = |row: &&Row| latencies.get(row.raw.as_ref()?);
        let read: Vec<&Observed> = answered.iter().filter_map(of_row).collect();
        let observed = Observed::merged(read.iter().copied());
        let is_carried = all_of(good.iter().filter_map(|row| row.offered?.is_carried));
        let exact = observed.as_ref().map_or_else(|| vec![None; SHARES.len()], |observed| observed.quantiles(&SHARES));
        let bounded = |exact: &Option<Percentile>| {
            exact.map(|exact| Percentile { is_lower_bound: exact.is_lower_bound || is_carried == Some(false), ..exact })
        };
        let percentiles: Vec<Option<Percentile>> = exact.iter().map(bounded).collect();
        let server_us: fn(&Row) -> Option<f64> = |row| cost(row, &row.server);
        Some(Self {
            stack: decisive.stack.clone(),
            role: decisive.role,
            rate: spread(|row| Some(row.requests_per_sec)),
            rate_by_block: by_block(|row| Some(row.requests_per_sec)),
            ceiling_share: spread(|row| Some(row.requests_per_sec / row.ceiling_per_sec.filter(|most| *most > 0.0)?)),
            merged: Merged { read: read.len(), answered: answered.len() },
            is_open: good.iter().any(|row| row.offered.is_some()),
            offered: spread(|row| Some(row.offered?.per_sec)),
            due: spread(|row| per_second(row, row.offered?.due as f64)),
            carried_share: spread(|row| Some(row.requests_per_sec / row.offered?.per_sec)),
            is_carried,
            lag_us: spread(|row| Some(row.offered?.lag_us_p99 as f64)),
            client_cores: spread(|row| per_second(row, row.client.cpu_s)),
            fault: FaultSummary::of(&good),
            p50: percentiles[0],
            p90: percentiles[1],
            p99: percentiles[2],
            p999: percentiles[3],
            server_us: spread(server_us),
            server_us_by_block: by_block(server_us),
            per_cpu_second: spread(|row| cost(row, &row.server).filter(|us| *us > 0.0).map(|us| US_PER_S / us)),
            store_us: spread(|row| cost(row, &row.store)),
            client_us: spread(|row| cost(row, &row.client)),
            unexplained_us: spread(unexplained),
            rss_bytes: spread(|row| Some(row.server.rss_peak_bytes as f64).filter(|bytes| *bytes > 0.0)),
            switches: spread(|row| per_answer(row, row.server.context_switches_per_request)),
            connections: decisive.connections,
            idle_connection_bytes: None,
            ceiling: good.iter().find_map(|row| Some((row.ceiling_per_sec?, row.ceiling_source.clone()?))),
            verdict: decisive.verdict,
            verdict_trials: rows.iter().filter(|row| row.verdict == decisive.verdict).count(),
            other_verdicts: others(&rows, decisive.verdict),
            trials: rows.len(),
            repeated: all.len() - rows.len(),
            reason: decisive.error.clone().unwrap_or_else(|| decisive.reason.clone()),
        })
    }

    /// The same with what its idle connections take, by the rows of the whole run.
    pub fn weighed_by(self, run: &[Row]) -> Self {
        Self { idle_connection_bytes: idle_connection_bytes(run, &self.stack, self.connections), ..self }
    }
}

/// What each of so many idle connections takes of a stack's memory, in bytes. They are weighed once in a run for each
/// stack and number of them, so the row that tells may be of another cell, or of another scenario.
pub fn idle_connection_bytes(run: &[Row], stack: &str, connections: u32) -> Option<Spread> {
    let is_alike = |row: &&Row| row.stack == stack && row.connections == connections && !row.repeated;
    Spread::of(run.iter().filter(is_alike).filter_map(|row| row.idle_connection_bytes))
}

/// Whether all are true; none for none.
fn all_of(values: impl Iterator<Item = bool>) -> Option<bool> {
    values.reduce(|a, b| a && b)
}

fn per_second(row: &Row, value: f64) -> Option<f64> {
    (row.window_s > 0.0).then(|| value / row.window_s)
}

/// What is per answer is nothing where there were no answers.
fn per_answer(row: &Row, value: f64) -> Option<f64> {
    (row.requests > 0).then_some(value)
}

/// A process the harness did not start has cost it knows nothing of, not a cost of zero.
fn cost(row: &Row, cost: &Cost) -> Option<f64> {
    if cost.cpu_s > 0.0 { per_answer(row, cost.cpu_us_per_request) } else { None }
}

/// The harness records the command line of a store that it started, and of no other.
fn unexplained(row: &Row) -> Option<f64> {
    let is_ours = row.commands.get("store").is_none_or(|command| !command.is_empty());
    let explained = [&row.server, &row.store, &row.client].map(|cost| cost.cpu_us_per_request).iter().sum::<f64>();
    per_answer(row, row.box_us_per_request - explained).filter(|_| is_ours)
}

/// The trial whose verdict is the cell's. What a stack did wrong once it may do again: of such trials the worst decides.
/// What only keeps a figure from a rank (somebody else's pace, an unsteady or a noisy machine) is judged as the figures
/// are, by the median trial: one disturbed trial of eight moves neither. Of two in the middle it is the worse one.
fn decisive<'r>(rows: &[&'r Row]) -> Option<&'r Row> {
    let mut by_severity = rows.to_vec();
    // Stable: of equal trials the first.
    by_severity.sort_by_key(|row| severity(row.verdict));
    let worst = severity(by_severity.last()?.verdict);
    if worst >= severity(Verdict::Starved) {
        return by_severity.into_iter().find(|row| severity(row.verdict) == worst);
    }
    let median = severity(by_severity[by_severity.len() / 2].verdict);
    by_severity.into_iter().find(|row| severity(row.verdict) == median)
}

/// How many trials have each other verdict, the worst first.
fn others(rows: &[&Row], but: Verdict) -> Vec<(Verdict, usize)> {
    let mut counts: Vec<(Verdict, usize)> = Vec::new();
    for verdict in rows.iter().map(|row| row.verdict).filter(|verdict| *verdict != but) {
        match counts.iter_mut().find(|(counted, _)| *counted == verdict) {
            Some((_, count)) => *count += 1,
            None => counts.push((verdict, 1)),
        }
    }
    counts.sort_by_key(|(verdict, _)| std::cmp::Reverse(severity(*verdict)));
    counts
}

/// How much a verdict takes from a trial's figures.
fn severity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Ok => 0,
        Verdict::LatencyBound => 1,
        Verdict::PeerLimitedClient | Verdict::PeerLimitedStore => 2,
        Verdict::PeerLimitedBoth => 3,
        Verdict::Idle => 4,
        Verdict::ClientLimited => 5,
        Verdict::StoreLate => 6,
        Verdict::Unsteady => 7,
        Verdict::Noisy => 8,
        Verdict::Starved => 9,
        Verdict::Errors => 10,
        Verdict::Impossible => 11,
        Verdict::Failed => 12,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_spread_is_median_and_range() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max, spread.trials), (2.0, 1.0, 3.0, 3));
        assert_eq!(Spread::of([1.0, 4.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_spread_has_an_interval_from_six_trials_on() {
        let spread = |trials: u32| Spread::of((1..=trials).map(f64::from)).unwrap();
        assert_eq!(spread(5).interval, None);
        let ends = |trials| spread(trials).interval.map(|interval| (interval.low, interval.high));
        assert_eq!((ends(6), ends(8), ends(9)), (Some((1.0, 6.0)), Some((1.0, 8.0)), Some((2.0, 8.0))));
    }

    #[test]
    fn a_trial_that_was_measured_again_is_counted_and_changes_no_figure() {
        let good = sample::row("tokio");
        let mut noisy = Row { repeated: true, verdict: Verdict::Noisy, requests_per_sec: 1.0, ..good.clone() };
        noisy.server.cpu_us_per_request = 99.0;
        let without = Cell::of(&[&good], &BTreeMap::new()).unwrap();
        let with = Cell::of(&[&noisy, &good], &BTreeMap::new()).unwrap();
        assert_eq!(with, Cell { repeated: 1, ..without });
        assert_eq!(Cell::of(&[&noisy], &BTreeMap::new()), None);
    }

    /// Three trials whose latencies are these, in microseconds; of a trial without one there is no distribution.
    fn cell_of_latencies(latencies: [Option<Observed>; 3]) -> Cell {
        let raw = |trial: u32| format!("raw/{trial}.json");
        let rows = [1, 2, 3].map(|trial| Row { trial, raw: Some(raw(trial)), ..sample::row("tokio") });
        let read = (1..).zip(latencies).filter_map(|(trial, latencies)| Some((raw(trial), latencies?))).collect();
        Cell::of(&rows.iter().collect::<Vec<_>>(), &read).unwrap()
    }

    #[test]
    fn percentiles_are_those_of_the_merged_trials_and_no_average() {
        let of = |us| Some(sample::latencies(&[(us, 100)], &[]));
        let cell = cell_of_latencies([of(10), of(20), of(900)]);
        assert_eq!(cell.merged, Merged { read: 3, answered: 3 });
        assert_eq!((cell.p50.unwrap().us, cell.p99.unwrap().us), (20.0, 900.0));
    }

    #[test]
    fn a_trial_without_its_distribution_is_missing_from_the_percentiles_and_the_others_are_not() {
        let of = |us| Some(sample::latencies(&[(us, 100)], &[]));
        let cell = cell_of_latencies([of(10), None, of(20)]);
        assert_eq!(cell.merged, Merged { read: 2, answered: 3 });
        assert_eq!((cell.p50.unwrap().us, cell.p99.unwrap().us), (10.0, 20.0));
        let none = cell_of_latencies([None, None, None]);
        assert_eq!((none.p50, none.p99, none.merged.read), (None, None, 0));
    }

    #[test]
    fn a_rank_among_requests_without_an_answer_stays_a_lower_bound_when_merged() {
        let starved = sample::latencies(&[(100, 50)], &[(1000, 50)]);
        let cell = cell_of_latencies([Some(starved), Some(sample::latencies(&[(100, 100)], &[])), None]);
        assert_eq!(cell.p50, Some(Percentile { us: 100.0, is_lower_bound: false }));
        assert_eq!(cell.p99, Some(Percentile { us: 1000.0, is_lower_bound: true }));
    }

    #[test]
    fn requests_per_cpu_second_are_the_reciprocal_of_the_cost() {
        let mut dear = sample::row("tokio");
        dear.server.cpu_us_per_request = 40.0;
        assert_eq!(Cell::of(&[&dear], &BTreeMap::new()).unwrap().per_cpu_second, Spread::of([25_000.0]));
        dear.server = Cost::default();
        assert_eq!(Cell::of(&[&dear], &BTreeMap::new()).unwrap().per_cpu_second, None);
    }

    #[test]
    fn what_a_stack_did_wrong_in_one_trial_is_the_cells_verdict() {
        let good = sample::row("tokio");
        let late = Row { verdict: Verdict::PeerLimitedBoth, reason: "late".to_owned(), ..good.clone() };
        let bad = Row { verdict: Verdict::Starved, reason: "16 served".to_owned(), ..good.clone() };
        let cell = Cell::of(&[&good, &bad, &late], &BTreeMap::new()).unwrap();
        assert_eq!((cell.verdict, cell.verdict_trials, cell.trials), (Verdict::Starved, 1, 3));
        assert_eq!(cell.reason, "16 served");
        assert_eq!(cell.other_verdicts, [(Verdict::PeerLimitedBoth, 1), (Verdict::Ok, 1)]);
    }

    #[test]
    fn what_only_disturbs_is_the_cells_verdict_where_it_is_the_median_trials() {
        let of = |verdicts: &[Verdict]| {
            let rows: Vec<Row> = verdicts.iter().map(|&verdict| Row { verdict, ..sample::row("tokio") }).collect();
            Cell::of(&rows.iter().collect::<Vec<_>>(), &BTreeMap::new()).unwrap().verdict
        };
        let (ok, noisy, unsteady) = (Verdict::Ok, Verdict::Noisy, Verdict::Unsteady);
        assert_eq!(of(&[ok, noisy, ok]), ok);
        assert_eq!(of(&[ok, noisy]), noisy, "of two the worse");
        assert_eq!(of(&[noisy, ok, unsteady]), unsteady);
        assert_eq!(of(&[ok, ok, ok, ok, noisy, unsteady, unsteady]), ok);
        assert_eq!(of(&[noisy]), noisy);
    }

    #[test]
    fn a_failed_trial_gives_a_reason_and_no_figure() {
        let good = sample::row("tokio");
        let failed = Row {
            verdict: Verdict::Failed,
            error: Some("did not start".to_owned()),
            requests: 0,
            requests_per_sec: 0.0,
            ..good.clone()
        };
        let cell = Cell::of(&[&failed], &BTreeMap::new()).unwrap();
        assert_eq!((cell.rate, cell.server_us, cell.rss_bytes), (None, None, None));
        assert_eq!(cell.reason, "did not start");
        let mixed = Cell::of(&[&good, &failed], &BTreeMap::new()).unwrap();
        assert_eq!(mixed.rate, Spread::of([10_000.0]));
        assert_eq!(mixed.verdict, Verdict::Failed);
    }

    #[test]
    fn a_store_that_was_not_started_has_no_cost_and_hides_what_else_is_unexplained() {
        let command = BTreeMap::from([("store".to_owned(), Vec::new())]);
        let row = Row { store: Cost::default(), commands: command, ..sample::row("tokio") };
        let cell = Cell::of(&[&row], &BTreeMap::new()).unwrap();
        assert_eq!((cell.store_us, cell.unexplained_us), (None, None));
    }

    #[test]
    fn what_server_store_and_client_leave_of_the_machine_s_busy_time_is_unexplained() {
        let cell = Cell::of(&[&sample::row("tokio")], &BTreeMap::new()).unwrap();
        // 43 of the machine, 30 of the server, 5 of the store, 7 of the client.
        assert_eq!(cell.unexplained_us, Spread::of([1.0]));
    }
}
