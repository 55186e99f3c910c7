//! Scenarios with steps, and the settings that programs tell.

use std::fs;

use stackbench_reports::{
    RunDir,
    row::{Role, Row},
};

use crate::harness::{Bench, on_two_cpus, root, stackbench};

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

/// The short scenario, `/sync` only, at these steps.
fn at_steps(bench: &Bench, steps: &str) -> String {
    let text = fs::read_to_string(bench.scenario("", 10)).unwrap();
    let steps = format!("[steps]\n{steps}\n[run]");
    bench.scenario_file(&text.replace("[run]", &steps).replace("[\"sync\", \"async\"]", "[\"sync\"]"))
}

#[test]
fn a_server_has_as_many_cpus_as_workers_and_what_the_machine_cannot_give_is_left_out_and_said() {
    let bench = Bench::new();
    let scenario = at_steps(&bench, "workers = [1, 2, 4]");
    let output = on_two_cpus(|| bench.pinned(&scenario, &["--stacks", "tokio"]).output().unwrap());
    let ran = bench.ran(output);
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout(), ran.stderr());
    let mut rows: Vec<&Row> = ran.rows.iter().collect();
    rows.sort_by_key(|row| row.step);
    let seen: Vec<(Option<u32>, u32, usize)> =
        rows.iter().map(|row| (row.step, row.workers, row.cpus["server"].len())).collect();
    assert_eq!(seen, [(Some(0), 1, 1), (Some(1), 2, 2)]);
    assert_eq!(rows[0].cpus["client"], rows[1].cpus["client"], "the client stays where it is");
    assert!(!rows[0].cpus["server"].contains(&rows[0].cpus["client"][0]));
    assert!(rows[1].commands["server"].windows(2).any(|words| words == ["--workers", "2"]), "{:?}", rows[1].commands);
    let sentence = "Left out: steps of 4 workers; each is to have a CPU, and this machine has 2.";
    assert_eq!(ran.stdout().matches(sentence).count(), 2, "in the plan and in the heading: {}", ran.stdout());
    assert!(ran.stdout().contains("times its rate with 1 worker"), "{}", ran.stdout());
}

#[test]
fn workers_of_the_command_line_are_no_step_any_more() {
    let bench = Bench::new();
    let ran = bench.run(&at_steps(&bench, "workers = [1, 2]"), &["--stacks", "null", "--workers", "3"]);
    let seen: Vec<(Option<u32>, u32)> = ran.rows.iter().map(|row| (row.step, row.workers)).collect();
    assert_eq!(seen, [(None, 3)], "{}", ran.stderr());
    assert!(ran.rows[0].cpus["server"].is_empty(), "and it is bound as the placement says");
}

#[test]
fn a_run_over_connections_and_workers_is_resumed_step_by_step() {
    let bench = Bench::new();
    let scenario = at_steps(&bench, "connections = [2, 20]\nworkers = [1]");
    let ran = bench.run(&scenario, &["--stacks", "tokio,null", "--seed", "7"]);
    assert_eq!((ran.code(), ran.rows.len()), (0, 4), "{}", ran.stderr());
    // What a run leaves that is ended after its first trials; the second of them has weighed the idle connections.
    let rows = ran.out.join("rows.jsonl");
    let text = fs::read_to_string(&rows).unwrap();
    let kept: String = text.split_inclusive('\n').filter(|line| line.contains("\"step\":0")).collect();
    fs::write(&rows, &kept).unwrap();
    let output = stackbench().current_dir(root()).args(["run", "--resume"]).arg(&ran.out).output().unwrap();
    let resumed = bench.ran(output);
    assert_eq!(resumed.code(), 0, "{}", resumed.stderr());
    assert!(fs::read_to_string(&rows).unwrap().starts_with(&kept), "what was there stays");
    let mut weighed: Vec<(&str, u32)> = resumed
        .rows
        .iter()
        .filter(|row| row.role == Role::Stack && row.idle_connection_bytes.is_some())
        .map(|row| (row.stack.as_str(), row.connections))
        .collect();
    weighed.sort_unstable();
    assert_eq!(weighed, [("tokio", 2), ("tokio", 20)], "once for each number of connections");
    assert_eq!(resumed.rows.len(), 4);
    let curves = fs::read_to_string(ran.out.join("curves.csv")).unwrap();
    assert_eq!(curves.lines().count(), 5, "a header and a line for each cell: {curves}");
    assert!(resumed.stdout().contains("memory per idle connection"), "{}", resumed.stdout());
}
