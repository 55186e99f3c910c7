//! Scenarios with steps, and the settings that programs tell.

use std::fs;

use stackbench_reports::{RunDir, row::Row};

use crate::harness::Bench;

/// The short scenario at two pools over two delays, `/sync` only.
fn stepped(bench: &Bench) -> String {
    let text = fs::read_to_string(bench.scenario("", 40)).unwrap();
    let steps = "[steps]\ndelays = [{ set = \"1ms\" }, { set = \"20ms\" }]\npool = [4, 40]\n[run]";
    bench.scenario_file(&text.replace("[run]", steps).replace("[\"sync\", \"async\"]", "[\"sync\"]"))
}

#[test]
fn every_step_is_a_cell_with_its_own_pool_delay_and_ceiling() {
    let bench = Bench::new();
    let ran = bench.run(&stepped(&bench), &["--stacks", "thread-pool"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let mut rows: Vec<&Row> = ran.rows.iter().collect();
    rows.sort_by_key(|row| row.step);
    let seen: Vec<(Option<u32>, u32)> = rows.iter().map(|row| (row.step, row.pool)).collect();
    assert_eq!(seen, [(Some(0), 4), (Some(1), 40), (Some(2), 4), (Some(3), 40)]);
    for (row, least_us) in rows.iter().zip([1_000, 1_000, 20_000, 20_000]) {
        assert!(row.latency_us.min >= least_us, "step {:?}: {} µs", row.step, row.latency_us.min);
        let source = row.ceiling_source.as_deref().unwrap_or_default();
        let parallel = if row.pool == 4 { "4 blocking connections / " } else { "40 connections / " };
        assert!(source.starts_with(parallel), "step {:?}: {source}", row.step);
        assert!(row.raw.as_ref().is_some_and(|raw| raw.contains(&format!("-step{}-", row.step.unwrap()))));
    }
    let meta = RunDir::load(&ran.out).unwrap().meta;
    let titles: Vec<&str> = meta.scenarios[0].steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(titles[3], "SET after 20ms, pool 40");
    assert!(ran.stdout().contains("% of the ceiling"), "{}", ran.stdout());
}

#[test]
fn a_pool_of_the_command_line_is_no_step_any_more() {
    let bench = Bench::new();
    let ran = bench.run(&stepped(&bench), &["--stacks", "thread-pool", "--pool", "8"]);
    let mut seen: Vec<(Option<u32>, u32)> = ran.rows.iter().map(|row| (row.step, row.pool)).collect();
    seen.sort_unstable();
    assert_eq!(seen, [(Some(0), 8), (Some(1), 8)], "{}", ran.stderr());
}

#[test]
fn the_settings_of_the_store_client_are_the_program_s_own_words() {
    let bench = Bench::new();
    let ran = bench.run(&bench.scenario("", 10), &["--stacks", "thread-pool,null"]);
    let stacks = RunDir::load(&ran.out).unwrap().meta.stacks;
    assert_eq!(stacks[0].settings["store response timeout"], "5000 ms");
    assert!(stacks[0].settings["store reconnect"].contains("25 ms, doubling to 500 ms"));
    assert!(stacks[1].settings.is_empty(), "null has no store: {:?}", stacks[1].settings);
}
