//! wrk's report, to the byte, and below it what wrk hides.

use std::fmt::Write as _;

use crate::cli::Options;
use crate::extended::Extended;
use crate::latency::Distribution;
use crate::outcome::Outcome;
use crate::result::{ClientVerdict, ClientVerdictKind, ErrorKind};
use crate::units::{cell, format_binary, format_duration_ns, format_metric, format_time_us};
use crate::verdict::kind_name;

/// What wrk's report is made of.
#[derive(Debug)]
pub struct WrkFigures<'run> {
    /// Latencies of the answers that came within the timeout.
    pub latency: &'run Distribution,
    /// Req/Sec samples.
    pub rates: &'run Distribution,
    /// Whether the distribution is printed.
    pub with_distribution: bool,
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
    pub fn of(outcome: &'run Outcome, latency: &'run Distribution, with_distribution: bool) -> Self {
        use ErrorKind::{Connect, ConnectRefused, ConnectTimeout, Eof, Protocol, Read, Status, Timeout, Write};
        let errors = &outcome.errors;
        Self {
            latency,
            rates: &outcome.rates,
            with_distribution,
            requests: outcome.requests,
            bytes: outcome.bytes,
            runtime_us: outcome.window.length_ns() / 1000,
            socket_errors: [
                errors.of_any(&[Connect, ConnectRefused, ConnectTimeout]),
                errors.of_any(&[Read, Eof, Protocol]),
                errors.of(Write),
                errors.of(Timeout),
            ],
            bad_statuses: errors.of(Status),
        }
    }

    /// wrk's text from the third line on.
    pub fn text(&self) -> String {
        let mut text = format!("  Thread Stats{:>6}{:>11}{:>8}{:>12}\n", "Avg", "Stdev", "Max", "+/- Stdev");
        text += &row("Latency", self.latency, format_time_us);
        text += &row("Req/Sec", self.rates, format_metric);
        if self.with_distribution {
            text += "  Latency Distribution\n";
            for percent in [50u32, 75, 90, 99] {
                let value = Extended::from(self.latency.percentile(f64::from(percent)));
                text += &format!("{percent:>7}%{}\n", cell(&format_time_us(value), 10));
            }
        }
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

/// What wrk hides, in two or three lines.
pub fn footer(outcome: &Outcome, verdict: &ClientVerdict) -> String {
    let mut text = String::new();
    let in_flight = outcome.ages_us.len();
    let _ = write!(text, "Occupancy: {:.3}, in flight at the end: {in_flight}", outcome.occupancy);
    if let Some(oldest) = outcome.ages_us.last() {
        let _ = write!(text, " (oldest {})", format_time_us(Extended::from(*oldest)));
    }
    let turn = format_time_us(Extended::from(outcome.turns.p99));
    let (unanswered, all) = (outcome.connections.never_answered, outcome.connections.answers.len());
    let _ = writeln!(text, ", never answered: {unanswered} of {all} connections, loop turn p99: {turn}");
    let errors: Vec<String> =
        outcome.errors_total.as_map().iter().map(|(kind, count)| format!("{} {count}", kind_name(*kind))).collect();
    if !errors.is_empty() {
        let _ = writeln!(text, "Errors: {}", errors.join(", "));
    }
    if verdict.kind != ClientVerdictKind::Ok {
        let kind = serde_json::to_value(verdict.kind).unwrap_or_default();
        let _ = writeln!(text, "Verdict: {}: {}", kind.as_str().unwrap_or_default(), verdict.reason);
    }
    text
}
