//! The curves of a run as CSV: a line for each stack at each step of every scenario that has steps.
//!
//! Figures are those of the tables, medians over trials and percentiles of merged histograms. What a cell does not have is
//! empty.

use serde::Serialize;

use super::csv_of;
use crate::{
    cells::{NamedCell, cells},
    dir::Run,
    latency::Percentile,
    row::{Mode, Placement, Role},
    summary::Spread,
    table::verdict_word,
};

/// Draws the curves of a run; empty where no scenario has steps.
pub fn draw(run: &Run) -> String {
    let cells = cells(run);
    csv_of(cells.iter().filter_map(|cell| point(cell, run)))
}

/// A line.
#[derive(Serialize)]
struct Point<'r> {
    scenario: &'r str,
    stack: &'r str,
    /// 2 for the second name of an A/A pair.
    twin: Option<u8>,
    role: Role,
    request: &'r str,
    mode: Mode,
    placement: Placement,
    store: &'r str,
    step: u32,
    step_title: String,
    connections: u32,
    workers: u32,
    pool: u32,
    offered_per_sec: Option<f64>,
    due_per_sec: Option<f64>,
    achieved_per_sec: Option<f64>,
    carried: Option<bool>,
    /// What the percentiles count from: the instant at which a request was `due`, or was `sent`.
    latency_from: &'static str,
    p50_us: Option<f64>,
    p90_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
    /// Which of them are lower bounds: all, where the rate was not carried; else those whose rank falls among requests that
    /// were never answered.
    lower_bounds: String,
    lag_p99_us: Option<f64>,
    /// CPU time of the load client over that of one core.
    client_cores: Option<f64>,
    server_cpu_us_per_request: Option<f64>,
    store_cpu_us_per_request: Option<f64>,
    client_cpu_us_per_request: Option<f64>,
    rss_peak_bytes: Option<f64>,
    idle_connection_bytes: Option<f64>,
    ceiling_per_sec: Option<f64>,
    verdict: &'static str,
    trials: usize,
}

fn point<'c>(named: &'c NamedCell, run: &Run) -> Option<Point<'c>> {
    let NamedCell { key, rows, cell } = named;
    let step = key.step?;
    let row = *rows.first()?;
    let median = |spread: Option<Spread>| spread.map(|spread| spread.median);
    let percentiles = [("p50", cell.p50), ("p90", cell.p90), ("p99", cell.p99), ("p999", cell.p999)];
    let [p50_us, p90_us, p99_us, p999_us] = percentiles.map(|(_, percentile)| percentile.map(|p| p.us));
    Some(Point {
        scenario: &key.scenario,
        stack: &key.stack,
        twin: key.twin,
        role: key.role,
        request: &key.request,
        mode: key.mode,
        placement: key.placement,
        store: &key.store,
        step,
        step_title: key.step_title(run),
        connections: row.connections,
        workers: row.workers,
        pool: row.pool,
        offered_per_sec: median(cell.offered),
        due_per_sec: median(cell.due),
        achieved_per_sec: median(cell.rate),
        carried: cell.is_carried,
        latency_from: if cell.is_open { "due" } else { "sent" },
        p50_us,
        p90_us,
        p99_us,
        p999_us,
        lower_bounds: lower_bounds(&percentiles),
        lag_p99_us: median(cell.lag_us),
        client_cores: median(cell.client_cores),
        server_cpu_us_per_request: median(cell.server_us),
        store_cpu_us_per_request: median(cell.store_us),
        client_cpu_us_per_request: median(cell.client_us),
        rss_peak_bytes: median(cell.rss_bytes),
        idle_connection_bytes: median(cell.idle_connection_bytes),
        ceiling_per_sec: cell.ceiling.as_ref().map(|(per_sec, _)| *per_sec),
        verdict: verdict_word(cell.verdict),
        trials: cell.trials,
    })
}

/// `p99 p999`.
fn lower_bounds(percentiles: &[(&str, Option<Percentile>)]) -> String {
    let bounds = percentiles.iter().filter(|(_, percentile)| percentile.is_some_and(|p| p.is_lower_bound));
    bounds.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        row::{Latency, Offered, Row},
        sample,
    };

    /// A row of a step that was offered so much.
    fn offered(step: u32, per_sec: f64, is_carried: bool) -> Row {
        let offered = Offered {
            per_sec,
            due: (per_sec * 4.0) as u64,
            unsent: 0,
            is_carried: Some(is_carried),
            latency_us: Latency::default(),
            lag_us_p50: 10,
            lag_us_p99: 80,
        };
        Row {
            step: Some(step),
            offered: Some(offered),
            raw: Some(format!("raw/{step}.json")),
            requests_per_sec: per_sec.min(10_000.0),
            ..sample::row("tokio")
        }
    }

    fn run(rows: Vec<Row>) -> Run {
        let mut meta = sample::meta();
        meta.scenarios[0].steps = ["5000/s", "20000/s"].map(sample::step).to_vec();
        let distribution = || sample::latencies(&[(200, 98), (900, 2)], &[]);
        let latencies = rows.iter().filter_map(|row| Some((row.raw.clone()?, distribution()))).collect();
        Run { meta, rows, latencies, warnings: Vec::new() }
    }

    /// The values of some columns, line by line.
    fn columns(text: &str, names: &[&str]) -> Vec<String> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let headers = reader.headers().unwrap().clone();
        let at = |name: &str| headers.iter().position(|header| header == name).unwrap();
        let line = |record: csv::StringRecord| names.iter().map(|name| &record[at(name)]).collect::<Vec<_>>().join("|");
        reader.records().map(|record| line(record.unwrap())).collect()
    }

    #[test]
    fn every_stack_at_every_step_is_a_line_and_so_is_a_second_name() {
        let twin = Row { twin: Some(2), ..offered(0, 5000.0, true) };
        let unstepped = Row { step: None, ..sample::row("may") };
        let text = draw(&run(vec![offered(1, 20_000.0, true), twin, unstepped, offered(0, 5000.0, true)]));
        assert_eq!(
            columns(&text, &["scenario", "stack", "twin", "step", "step_title", "offered_per_sec", "due_per_sec"]),
            [
                "cache|tokio||0|5000/s|5000.0|5000.0",
                "cache|tokio||1|20000/s|20000.0|20000.0",
                "cache|tokio|2|0|5000/s|5000.0|5000.0",
            ]
        );
    }

    #[test]
    fn percentiles_of_a_rate_that_was_not_carried_are_lower_bounds() {
        let text = draw(&run(vec![offered(0, 5000.0, true), offered(1, 20_000.0, false)]));
        assert_eq!(
            columns(&text, &["carried", "achieved_per_sec", "latency_from", "p50_us", "p99_us", "lower_bounds"]),
            ["true|5000.0|due|200.0|900.0|", "false|10000.0|due|200.0|900.0|p50 p90 p99 p999"]
        );
    }

    #[test]
    fn what_a_closed_loop_does_not_have_is_empty_and_its_latencies_are_those_of_what_was_sent() {
        let closed = Row { step: Some(0), ..sample::row("tokio") };
        let text = draw(&run(vec![closed]));
        assert_eq!(
            columns(&text, &["offered_per_sec", "carried", "lag_p99_us", "latency_from", "idle_connection_bytes"]),
            ["|||sent|2560.0"]
        );
    }

    #[test]
    fn a_run_without_steps_has_no_curves() {
        assert_eq!(draw(&run(vec![sample::row("tokio")])), "");
    }
}
