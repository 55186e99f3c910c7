//! wrk's report, to the byte, and below it what wrk hides.

use std::fmt::Write as _;

use crate::censored::Observed;
use crate::cli::Options;
use crate::engine::arrivals::Rate;
use crate::engine::{Plan, Schedule};
use crate::extended::Extended;
use crate::latency::Distribution;
use crate::outcome::{Outcome, hdr_of, turns};
use crate::result::{ClientVerdict, ClientVerdictKind, ErrorKind};
use crate::script::Summary;
use crate::spectrum;
use crate::units::{cell, format_binary, format_duration_ns, format_metric, format_time_us};
use crate::verdict::kind_name;

/// What wrk's report is made of.
#[derive(Debug)]
pub struct WrkFigures<'run> {
    /// Latencies of the answers that came within the timeout.
    pub latency: &'run Distribution,
    /// Req/Sec samples.
    pub rates: &'run Distribution,
    /// The percentiles of wrk's distribution, none if it is not printed.
    pub percentiles: Vec<f64>,
    /// wrk2's distributions, if these are.
    pub spectra: String,
    /// Answers.
    pub requests: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Length of the window.
    pub runtime_us: u64,
    /// wrk's four socket errors: connect, read, write, timeout.
    pub socket_errors: [u64; 4],
    /// Answers with a status above 399.
    pub bad_statuses: u64,
}

impl<'run> WrkFigures<'run> {
    /// From a run.
    pub fn of(outcome: &'run Outcome, latency: &'run Distribution, options: &Options) -> Self {
        use ErrorKind::{Connect, ConnectRefused, ConnectTimeout, Eof, Protocol, Read, Status, Timeout, Tls, Write};
        let errors = &outcome.errors;
        let has_spectra = outcome.corrected.is_some();
        Self {
            latency,
            rates: &outcome.rates,
            percentiles: if has_spectra || !options.latency { Vec::new() } else { options.percentiles.clone() },
            spectra: spectra(outcome, options),
            requests: outcome.requests,
            bytes: outcome.bytes,
            runtime_us: outcome.window.length_ns() / 1000,
            socket_errors: [
                errors.of_any(&[Connect, ConnectRefused, ConnectTimeout, Tls]),
                errors.of_any(&[Read, Eof, Protocol]),
                errors.of(Write),
                errors.of(Timeout),
            ],
            bad_statuses: errors.of(Status),
        }
    }

    /// What a script's `done` is told.
    pub fn summary(&self) -> Summary {
        Summary {
            duration_us: self.runtime_us,
            requests: self.requests,
            bytes: self.bytes,
            socket_errors: self.socket_errors,
            bad_statuses: self.bad_statuses,
        }
    }

    /// wrk's text from the third line on.
    pub fn text(&self) -> String {
        let mut text = format!("  Thread Stats{:>6}{:>11}{:>8}{:>12}\n", "Avg", "Stdev", "Max", "+/- Stdev");
        text += &row("Latency", self.latency, format_time_us);
        text += &row("Req/Sec", self.rates, format_metric);
        if !self.percentiles.is_empty() {
            text += "  Latency Distribution\n";
            for percent in &self.percentiles {
                let value = Extended::from(self.latency.percentile(*percent));
                text += &format!("{percent:>7}%{}\n", cell(&format_time_us(value), 10));
            }
        }
        text += &self.spectra;
        let runtime = format_time_us(Extended::from(self.runtime_us));
        text += &format!("  {} requests in {runtime}, {}B read\n", self.requests, binary(self.bytes));
        let [connect, read, write, timeout] = self.socket_errors;
        if connect + read + write + timeout > 0 {
            text += &format!("  Socket errors: connect {connect}, read {read}, write {write}, timeout {timeout}\n");
        }
        if self.bad_statuses > 0 {
            text += &format!("  Non-2xx or 3xx responses: {}\n", self.bad_statuses);
        }
        let runtime_s = Extended::from(self.runtime_us).divided_by(Extended::from(1_000_000u64));
        let per_second = |count: u64| Extended::from(count).divided_by(runtime_s);
        text += &format!("Requests/sec: {:>9}\n", per_second(self.requests).to_fixed(2));
        text += &format!("Transfer/sec: {:>10}B\n", format_binary(per_second(self.bytes)));
        text
    }
}

/// The latencies that wrk's report shows: in the closed loop those of answers that came within the timeout, as wrk has
/// it; in the open loop all of them, from the instants at which their requests were due, as wrk2 has it.
pub fn latencies(outcome: &Outcome, plan: &Plan, options: &Options) -> Distribution {
    if let Some(corrected) = &outcome.corrected {
        return corrected.distribution(u64::MAX);
    }
    let in_time = outcome.latencies.distribution(plan.timeout_ns / 1000);
    if options.wrk_correction { in_time.corrected_as_wrk(expected_us(outcome, plan)) } else { in_time }
}

/// The distance of two batches of a connection, by wrk's rule; 0 where wrk corrects nothing. wrk divides by the number
/// of answers, which in a batch of several is not that of the latencies.
fn expected_us(outcome: &Outcome, plan: &Plan) -> u64 {
    let batches_each = outcome.requests / u64::from(plan.batch.depth()) / u64::from(plan.connections);
    (outcome.window.length_ns() / 1000).checked_div(batches_each).unwrap_or(0)
}

/// wrk2's distributions of a run in the open loop, if they were asked for.
fn spectra(outcome: &Outcome, options: &Options) -> String {
    let Some(corrected) = outcome.corrected.as_ref().filter(|_| options.latency) else { return String::new() };
    let uncorrected = options.uncorrected.then(|| hdr_of(outcome.latencies.iter()));
    spectrum::blocks(&hdr_of(corrected.iter()), uncorrected.as_ref())
}

/// The first two lines, printed when the run starts.
pub fn heading(options: &Options) -> String {
    format!(
        "Running {} test @ {}\n  {} threads and {} connections\n",
        format_duration_ns(options.duration_ns),
        options.url_text,
        options.threads,
        options.connections
    )
}

fn binary(bytes: u64) -> String {
    format_binary(Extended::from(bytes))
}

fn row(name: &str, values: &Distribution, format: fn(Extended) -> String) -> String {
    let cells = [(values.mean(), 8), (values.stdev(), 10), (Extended::from(values.max()), 9)];
    let cells: String = cells.into_iter().map(|(value, width)| cell(&format(value), width)).collect();
    // What printf makes of 0/0 on x86.
    let percent = values.within_stdev_percent().map_or_else(|| "-nan".to_owned(), |percent| percent.to_fixed(2));
    format!("    {name:<10}{cells}{percent:>8}%\n")
}

/// What wrk hides, in a few lines.
pub fn footer(outcome: &Outcome, plan: &Plan, options: &Options, verdict: &ClientVerdict) -> String {
    let mut text = String::new();
    let us = |us: u64| format_time_us(Extended::from(us)).trim_end().to_owned();
    let _ = write!(text, "Occupancy: {:.3}, in flight at the end: {}", outcome.occupancy, outcome.in_flight);
    if let Some(oldest) = outcome.ages_us.last() {
        let _ = write!(text, " (oldest {})", us(*oldest));
    }
    let served = &outcome.connections;
    let (unanswered, all) = (served.never_answered, served.answers.len());
    let _ =
        writeln!(text, ", never answered: {unanswered} of {all} connections, loop turn p99: {}", us(outcome.turns.p99));
    let (least, median, most) = (served.answers_min, served.answers_median, served.answers_max);
    let _ = writeln!(
        text,
        "Answers per connection: {least} to {most}, median {median}, Jain's fairness {:.3}",
        served.jain
    );
    if let Schedule::Open { rate, .. } = plan.schedule {
        let _ = writeln!(text, "{}", schedule_line(rate, outcome));
    }
    if let Some(line) = censored_line(outcome, options) {
        let _ = writeln!(text, "{line}");
    }
    if options.wrk_correction && outcome.corrected.is_none() {
        text += "Latencies above are back-filled as wrk does (--wrk-correction)\n";
    }
    let errors: Vec<String> =
        outcome.errors_total.as_map().iter().map(|(kind, count)| format!("{} {count}", kind_name(*kind))).collect();
    if !errors.is_empty() {
        let _ = writeln!(text, "Errors: {}", errors.join(", "));
    }
    if verdict.kind != ClientVerdictKind::Ok {
        let _ = writeln!(text, "Verdict: {}: {}", kind_name(verdict.kind), verdict.reason);
    }
    text
}

/// What was offered, and how late the client was with it.
fn schedule_line(rate: Rate, outcome: &Outcome) -> String {
    let us = |us: u64| format_time_us(Extended::from(us)).trim_end().to_owned();
    let offered = if rate.from == rate.to { rate.to.to_string() } else { format!("{} to {}", rate.from, rate.to) };
    let (lags, unsent) = (turns(&outcome.lags), outcome.unsent_ages.len());
    let mut line = format!("Offered: {offered}/s, sent late by: p50 {}, p99 {}", us(lags.p50), us(lags.p99));
    if unsent > 0 {
        line += &format!(", due and never sent: {unsent} (oldest {})", us(outcome.unsent_ages.max()));
    }
    line
}

/// The percentiles that are only known to be at least so much, because requests without an answer are among them.
fn censored_line(outcome: &Outcome, options: &Options) -> Option<String> {
    let answered = hdr_of(outcome.corrected.as_ref().unwrap_or(&outcome.latencies).iter());
    let observed = Observed::new(answered, outcome.unanswered(), outcome.unsent_ages.len());
    let bounds = options.percentiles.iter().filter_map(|percent| {
        let found = observed.quantile(percent / 100.0).filter(|found| found.is_lower_bound)?;
        Some(format!("p{percent} \u{2265} {}", format_time_us(Extended::from(found.us as u64)).trim_end()))
    });
    let bounds: Vec<String> = bounds.collect();
    (!bounds.is_empty()).then(|| format!("With the requests that were never answered: {}", bounds.join(", ")))
}
