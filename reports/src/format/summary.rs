//! A run as CSV: a line for each cell, second names of A/A pairs included. What a cell does not have is empty.

use super::{
    columns::{COLUMNS, Column, OF_TABLES, Of, csv_number},
    csv_lines,
};
use crate::{
    dir::Run,
    standing::{Standing, groups},
    summary::Spread,
};

/// What follows the name of a figure: nothing for its median, then its range, then the interval of the median.
const SPREAD: [&str; 5] = ["", "_min", "_max", "_low", "_high"];

/// Draws a run; of one without rows, the names of the columns.
pub fn draw(run: &Run) -> String {
    let groups = groups(run);
    let cells = groups.iter().flat_map(|group| &group.cells);
    csv_lines(columns().flat_map(names), cells.map(|cell| columns().flat_map(|column| fields(column, cell)).collect()))
}

fn columns() -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().chain(OF_TABLES)
}

fn names(column: &Column) -> Vec<String> {
    match column.of {
        Of::Fact(_) => vec![column.name.to_owned()],
        Of::Figure(_) => SPREAD.iter().map(|suffix| format!("{}{suffix}", column.name)).collect(),
    }
}

fn fields(column: &Column, cell: &Standing) -> Vec<String> {
    match column.of {
        Of::Fact(fact) => vec![fact(cell).csv()],
        Of::Figure(figure) => spread(figure(cell)).to_vec(),
    }
}

/// The fields of [`SPREAD`].
fn spread(spread: Option<Spread>) -> [String; 5] {
    let Some(Spread { median, min, max, interval, .. }) = spread else { return Default::default() };
    let ends = [interval.map(|interval| interval.low), interval.map(|interval| interval.high)];
    [Some(median), Some(min), Some(max), ends[0], ends[1]].map(|number| number.map(csv_number).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        format::csv_fields,
        row::{Row, Verdict},
        sample,
    };

    fn drawn(rows: Vec<Row>) -> String {
        draw(&Run { meta: sample::meta(), rows, latencies: BTreeMap::new(), warnings: Vec::new() })
    }

    /// Trials of `tokio` at these rates.
    fn trials(rates: &[f64]) -> Vec<Row> {
        let row = |(trial, rate): (u32, &f64)| Row { trial, requests_per_sec: *rate, ..sample::row("tokio") };
        (1..).zip(rates).map(row).collect()
    }

    const RATE: [&str; 6] = [
        "requests_per_sec",
        "requests_per_sec_min",
        "requests_per_sec_max",
        "requests_per_sec_low",
        "requests_per_sec_high",
        "trials",
    ];

    #[test]
    fn a_figure_has_its_median_and_range_and_from_six_trials_on_an_interval() {
        let few = drawn(trials(&[10.0, 30.0, 20.0]));
        assert_eq!(csv_fields(&few, &RATE), ["20.0|10.0|30.0|||3"]);
        let enough = drawn(trials(&[10.0, 20.0, 30.0, 40.0, 50.0, 60.0]));
        assert_eq!(csv_fields(&enough, &RATE), ["35.0|10.0|60.0|10.0|60.0|6"]);
    }

    #[test]
    fn every_line_has_every_column() {
        let mut failed = Row { verdict: Verdict::Failed, ..sample::row("broken, \"really\"") };
        failed.error = Some("exited,\n  with \"status\" 2".to_owned());
        let text = drawn(vec![failed, sample::row("tokio"), Row { twin: Some(2), ..sample::row("tokio") }]);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let width = reader.headers().unwrap().len();
        assert!(reader.records().all(|record| record.unwrap().len() == width));
        assert_eq!(
            csv_fields(&text, &["stack", "twin", "requests_per_sec", "verdict", "reason"]),
            ["broken, \"really\"|||failed|exited, with \"status\" 2", "tokio||10000.0|ok|", "tokio|2|10000.0|ok|"]
        );
    }

    #[test]
    fn errors_are_summed_over_trials_and_repeated_trials_are_counted_apart() {
        let errors = |count: u64| BTreeMap::from([("timeout".to_owned(), count), ("read".to_owned(), 0)]);
        let row = |trial, count| Row { trial, errors: errors(count), ..sample::row("tokio") };
        let noisy = Row { repeated: true, verdict: Verdict::Noisy, ..row(1, 100) };
        let text = drawn(vec![noisy, row(1, 3), row(2, 4)]);
        assert_eq!(csv_fields(&text, &["errors", "errors_by_kind", "trials", "repeated"]), ["7|timeout=7|2|1"]);
    }

    #[test]
    fn what_tables_say_of_a_cell_is_said() {
        let floor = |us: f64, twin| {
            let mut row = Row { twin, ..sample::row("tokio") };
            row.server.cpu_us_per_request = us;
            (1..=3).map(|trial| Row { trial, ..row.clone() }).collect::<Vec<_>>()
        };
        let text = drawn([floor(30.0, None), floor(33.0, Some(2))].concat());
        let columns = ["ordered_by", "place_deployed", "place_controlled", "panel", "how"];
        assert_eq!(
            csv_fields(&text, &columns),
            ["server_cpu_us_per_request|1||deployed|native", "server_cpu_us_per_request|||deployed|native"]
        );
        let floors = csv_fields(&text, &["noise_floor"]);
        assert!((floors[0].parse::<f64>().unwrap() - 0.1).abs() < 1e-12, "{floors:?}");
    }

    #[test]
    fn a_run_without_rows_has_the_names_of_the_columns() {
        let text = drawn(Vec::new());
        assert!(text.starts_with("scenario,stack,twin,role,") && text.lines().count() == 1, "{text}");
    }
}
