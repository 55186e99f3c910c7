//! Tests of what scenarios with steps show: scaling, rates that were offered, and connections.

use super::*;
use crate::{
    row::{Latency, Offered, Row},
    run::StepMeta,
    sample,
};

/// A step, as the others of its scenario but for what it sets.
fn step(title: &str, connections: u32, workers: Option<u32>) -> StepMeta {
    StepMeta { connections, workers, ..sample::step(title) }
}

fn run(steps: Vec<StepMeta>, rows: Vec<Row>) -> Run {
    let mut meta = sample::meta();
    meta.scenarios[0].steps = steps;
    let with_raw = |row: &Row| row.raw.clone().map(|raw| (raw, sample::latencies(&[(200, 98), (900, 2)], &[])));
    let latencies = rows.iter().filter_map(with_raw).collect();
    Run { meta, rows, latencies, warnings: Vec::new() }
}

/// Each line of an overview: the stack and its figures.
fn shown(run: &Run, title: &str) -> Vec<String> {
    let overviews = &sections(run)[0].panels[0].overviews;
    let titles: Vec<&str> = overviews.iter().map(|overview| overview.title.as_str()).collect();
    let overview = overviews.iter().find(|overview| overview.title == format!("cache_set, async: {title}"));
    let overview = overview.unwrap_or_else(|| panic!("no `{title}` among {titles:?}"));
    overview.lines.iter().map(|line| format!("{}: {}", line.name, line.cells.join(" | "))).collect()
}

/// Trials at a step with these rates.
fn rates(stack: &str, number: u32, rates: &[f64]) -> Vec<Row> {
    let row =
        |(trial, rate): (u32, &f64)| Row { step: Some(number), trial, requests_per_sec: *rate, ..sample::row(stack) };
    (1..).zip(rates).map(row).collect()
}

fn workers(numbers: &[u32]) -> Vec<StepMeta> {
    numbers.iter().map(|workers| step(&format!("{workers} workers"), 2000, Some(*workers))).collect()
}

#[test]
fn scaling_is_the_mean_ratio_within_blocks_to_the_fewest_workers() {
    // The machine was twice as fast in the second block.
    let rows = [rates("tokio", 0, &[100.0, 200.0]), rates("tokio", 1, &[180.0, 360.0])].concat();
    assert_eq!(shown(&run(workers(&[1, 2]), rows), "times its rate with 1 worker"), ["tokio: 1.00 | 1.80"]);
}

#[test]
fn a_ratio_of_a_rate_that_somebody_else_set_is_in_brackets() {
    let limited = |row: Row| Row { verdict: Verdict::PeerLimitedBoth, ..row };
    let beyond: Vec<Row> = rates("tokio", 1, &[120.0]).into_iter().map(limited).collect();
    let run = run(workers(&[1, 2]), [rates("tokio", 0, &[100.0]), beyond].concat());
    assert_eq!(shown(&run, "times its rate with 1 worker"), ["tokio: 1.00 | (1.20)"]);
    assert_eq!(shown(&run, "requests per second"), ["tokio: 100 | (120)"]);
    assert_eq!(shown(&run, "server CPU µs per request"), ["tokio: 30.0 | 30.0"], "its cost is its own");
}

#[test]
fn scaling_is_held_against_the_step_that_differs_in_the_workers_alone() {
    let steps = [(10, 2), (10, 4), (20, 2), (20, 4)];
    let steps = steps.map(|(connections, workers)| step("s", connections, Some(workers))).to_vec();
    let rows = (0..).zip([100.0, 150.0, 1000.0, 3000.0]).flat_map(|(number, rate)| rates("tokio", number, &[rate]));
    let run = run(steps, rows.collect());
    assert_eq!(shown(&run, "times its rate with 2 workers"), ["tokio: 1.00 | 1.50 | 1.00 | 3.00"]);
}

#[test]
fn a_curve_of_the_same_workers_everywhere_has_no_scaling() {
    let rows = [rates("tokio", 0, &[100.0]), rates("tokio", 1, &[180.0])].concat();
    let steps = vec![step("a", 10, None), step("b", 20, None)];
    let sections = sections(&run(steps, rows));
    let titles = sections[0].panels[0].overviews.iter().map(|overview| overview.title.clone());
    assert!(!titles.collect::<String>().contains("times its rate"));
}

#[test]
fn steps_that_the_machine_has_too_few_cpus_for_are_named_in_the_heading() {
    let mut run = run(workers(&[1, 2]), [rates("tokio", 0, &[1.0]), rates("tokio", 1, &[1.0])].concat());
    let facts = |run: &Run| sections(run)[0].facts.join("\n");
    assert!(!facts(&run).contains("Left out"));
    run.meta.scenarios[0].workers_left_out = vec![4, 8];
    let sentence = "Left out: steps of 4, 8 workers; each is to have a CPU, and this machine has 2.";
    assert!(facts(&run).contains(sentence), "{}", facts(&run));
}

/// A row that was offered 20,000 a second for four seconds and answered so many of them.
fn offered(stack: &str, number: u32, answered: u64) -> Row {
    let offered = Offered {
        per_sec: 20_000.0,
        due: 80_000,
        unsent: 80_000 - answered,
        is_carried: Some(answered >= 79_200),
        latency_us: Latency::default(),
        lag_us_p50: 10,
        lag_us_p99: 80,
    };
    let mut row = Row {
        step: Some(number),
        requests: answered,
        requests_per_sec: answered as f64 / 4.0,
        offered: Some(offered),
        raw: Some(format!("raw/{stack}-{number}.json")),
        ceiling_per_sec: Some(800.0),
        ..sample::row(stack)
    };
    row.client.cpu_s = 1.0;
    row
}

/// A closed loop for the maximum, and a rate that one stack carries and the other does not.
fn open() -> Run {
    let maximum = |stack| Row { step: Some(0), ..sample::row(stack) };
    let rows = vec![maximum("a"), maximum("b"), offered("a", 1, 80_000), offered("b", 1, 62_400)];
    run(vec![step("as fast as answers come", 10, None), step("20000/s", 10, None)], rows)
}

#[test]
fn what_was_carried_is_a_share_of_what_was_offered_whatever_else_is_a_ceiling() {
    assert_eq!(shown(&open(), "% carried of what was offered"), ["a: – | 100.0", "b: – | 78.0"]);
}

#[test]
fn a_rate_that_was_not_carried_is_named_with_what_was_and_its_percentiles_are_lower_bounds() {
    let run = open();
    assert_eq!(shown(&run, "p99 latency from the due instants"), ["a: – | 900 µs", "b: – | ≥ 900 µs"]);
    let panel = &sections(&run)[0].panels[0];
    assert_eq!(panel.not_carried, ["cache_set, async: 20000/s: b 15,600 of 20,000/s"]);
    assert_eq!(panel.tables[1].lines[1].p99.median, "≥ 900 µs");
}

#[test]
fn the_load_client_s_lag_and_its_share_of_a_core_stand_beside_what_it_offered() {
    let run = open();
    assert_eq!(shown(&run, "schedule lag of the load client, p99")[0], "a: – | 80.0 µs");
    assert_eq!(shown(&run, "load client's share of a core, %")[0], "a: 7.0 | 25.0");
    let tables = &sections(&run)[0].panels[0].tables;
    assert_eq!(
        tables.iter().map(|table| table.schedule.as_str()).collect::<Vec<_>>(),
        ["", "Offered 20,000/s; the load client sent at most 80.0 µs (p99) late and used 25.0 % of a core."]
    );
}

#[test]
fn a_table_of_an_open_loop_stays_one_when_a_stack_failed() {
    let failed = Row { verdict: Verdict::Failed, offered: None, ..offered("b", 0, 0) };
    let sections = sections(&run(vec![step("20000/s", 10, None)], vec![offered("a", 0, 80_000), failed]));
    assert!(sections[0].panels[0].tables[0].is_open);
}

#[test]
fn the_memory_of_an_idle_connection_is_that_of_each_number_of_them() {
    let at = |number: u32, connections: u32, bytes: Option<f64>| Row {
        step: Some(number),
        connections,
        idle_connection_bytes: bytes,
        ..sample::row("tokio")
    };
    let mut rows = vec![at(0, 8, Some(8192.0)), at(1, 512, Some(2048.0)), at(0, 8, None)];
    rows[2].trial = 2;
    let run = run(vec![step("8 connections", 8, None), step("512 connections", 512, None)], rows);
    assert_eq!(shown(&run, "memory per idle connection"), ["tokio: 8.00 KiB | 2.00 KiB"]);
    let holdings = &sections(&run)[0].holdings;
    assert_eq!(holdings[0].idle_connection.words(), "2.00 KiB", "with the most, where steps differ");
}
