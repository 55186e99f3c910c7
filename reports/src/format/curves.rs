//! The curves of a run as CSV: a line for each stack at each step of every scenario that has steps.
//!
//! Figures are those of the tables, medians over trials and percentiles of merged histograms. What a cell does not have is
//! empty.

use super::{
    columns::{COLUMNS, Of, csv_number},
    csv_lines,
};
use crate::{
    dir::Run,
    standing::{Standing, groups},
};

/// Draws the curves of a run; empty where no scenario has steps.
pub fn draw(run: &Run) -> String {
    let groups = groups(run);
    let cells = groups.iter().flat_map(|group| &group.cells);
    let points: Vec<Vec<String>> = cells.filter(|cell| cell.named.key.step.is_some()).map(point).collect();
    if points.is_empty() {
        return String::new();
    }
    csv_lines(COLUMNS.iter().filter_map(|column| column.in_curves), points)
}

/// The fields of a line: of what has a range, the median alone.
fn point(cell: &Standing) -> Vec<String> {
    let columns = COLUMNS.iter().filter(|column| column.in_curves.is_some());
    let field = |of: &Of| match of {
        Of::Fact(fact) => fact(cell).csv(),
        Of::Figure(figure) => figure(cell).map(|spread| csv_number(spread.median)).unwrap_or_default(),
    };
    columns.map(|column| field(&column.of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::csv_fields as columns,
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

    /// Scripts that read it go by these names, and some by their order.
    #[test]
    fn its_columns_are_those_it_always_had() {
        let text = draw(&run(vec![offered(0, 5000.0, true)]));
        assert_eq!(
            text.lines().next().unwrap(),
            "scenario,stack,twin,role,request,mode,placement,store,step,step_title,connections,workers,pool,\
             offered_per_sec,due_per_sec,achieved_per_sec,carried,latency_from,p50_us,p90_us,p99_us,p999_us,lower_bounds,\
             lag_p99_us,client_cores,server_cpu_us_per_request,store_cpu_us_per_request,client_cpu_us_per_request,\
             rss_peak_bytes,idle_connection_bytes,ceiling_per_sec,verdict,trials"
        );
    }

    #[test]
    fn a_run_without_steps_has_no_curves() {
        assert_eq!(draw(&run(vec![sample::row("tokio")])), "");
    }
}
