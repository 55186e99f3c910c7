//! What a run writes down.

use stackbench_reports::{
    RunDir,
    row::{Row, Verdict},
};

use crate::harness::{Bench, root};

fn is_consistent(row: &Row) {
    let what = format!("{} {:?}", row.stack, row.mode);
    assert_eq!(row.error, None, "{what}");
    assert_ne!(row.verdict, Verdict::Failed, "{what}");
    assert!(row.requests > 0 && row.requests_total >= row.requests, "{what}");
    assert!(row.occupancy > 0.5 && row.occupancy <= 1.0, "{what}: {}", row.occupancy);
    assert!(row.server.cpu_us_per_request > 0.0 && row.server.threads > 0 && row.server.rss_peak_bytes > 0, "{what}");
    assert!(row.client.cpu_us_per_request > 0.0 && row.store.cpu_us_per_request > 0.0, "{what}");
    assert!(row.cold_start_ms.is_some_and(|ms| ms > 0.0), "{what}: {:?}", row.cold_start_ms);
    for cost in [&row.server, &row.store, &row.client] {
        assert!(cost.pss_bytes.is_some_and(|pss| pss > 0 && pss <= cost.rss_peak_bytes), "{what}: {cost:?}");
    }
    assert!(row.server_sha256.as_ref().is_some_and(|hash| hash.len() == 64), "{what}");
    let commands = row.store_commands["set"];
    let most = row.requests_total + row.in_flight_at_end;
    assert!(
        (row.requests_total..=most).contains(&commands),
        "{what}: {commands} not in {}..={most}",
        row.requests_total
    );
}

#[test]
fn every_cell_is_a_row_whose_counts_agree_with_the_store_s() {
    let bench = Bench::new();
    let ran = bench.run(&bench.scenario("set = \"20ms\"", 50), &["--stacks", "tokio,thread-pool"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert_eq!(ran.rows.len(), 4, "two stacks in two modes");
    for row in &ran.rows {
        is_consistent(row);
        assert_eq!(row.store_name, "embedded");
        assert!(row.latency_us.min >= 20_000, "nothing answers before the store: {}", row.latency_us.min);
        assert!(row.ceiling_per_sec.is_some_and(|ceiling| row.requests_per_sec < 1.05 * ceiling));
        for file in [&row.raw, &row.wrk] {
            assert!(ran.out.join(file.as_ref().unwrap()).is_file());
        }
    }
}

#[test]
fn an_idle_connection_is_weighed_once_for_each_stack() {
    let bench = Bench::new();
    let ran = bench.run(&bench.scenario("", 200), &["--stacks", "tokio,thread-per-connection"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let weighed = |stack: &str| -> Vec<f64> {
        let rows = ran.rows.iter().filter(|row| row.stack == stack);
        rows.filter_map(|row| row.idle_connection_bytes).collect()
    };
    let (tokio, threads) = (weighed("tokio"), weighed("thread-per-connection"));
    assert_eq!((tokio.len(), threads.len()), (1, 1), "of two trials each");
    // A thread has a stack of at least a few pages, a task has none.
    assert!(threads[0] > tokio[0] && threads[0] > 8192.0, "{threads:?} {tokio:?}");
    let report = std::fs::read_to_string(ran.out.join("report.md")).unwrap();
    assert!(report.contains("### What a stack holds"), "{report}");
}

#[test]
fn the_store_is_asked_without_http_before_the_first_trial_and_no_trial_counts_that() {
    let bench = Bench::new();
    let ran = bench.run(&bench.scenario("set = \"200ms\"", 50), &["--stacks", "tokio"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    ran.rows.iter().for_each(is_consistent);
    let run = RunDir::load(&ran.out).unwrap();
    let ceiling = run.meta.scenarios[0].store_ceiling["set"];
    // With the delay on, 50 commands in flight and 16 connections would come to less.
    assert!(ceiling.multiplexed_per_sec > 50.0 / 0.2, "{ceiling:?}\n{}", ran.stdout());
    assert!(ceiling.plain_per_sec > 16.0 / 0.2, "{ceiling:?}");
    assert!(ran.stdout().contains("Store alone, asked by the same clients"), "{}", ran.stdout());
}

#[test]
fn a_run_tells_of_the_machine_what_decides_its_figures() {
    let bench = Bench::new();
    let ran = bench.run(&bench.scenario("", 10), &["--stacks", "null"]);
    let machine = RunDir::load(&ran.out).unwrap().meta.machine;
    assert_eq!(machine.sysctls["net.core.somaxconn"], Some(machine.somaxconn.to_string()));
    assert!(machine.time_wait_before.is_some() && machine.ulimits["nofile"].hard.is_some());
    assert_eq!(machine.cpu_accounting.len(), 2);
}

#[test]
fn a_spawned_redis_server_is_a_store_like_the_embedded_one() {
    let bench = Bench::new();
    let ran = bench.run(&bench.scenario("", 50), &["--stacks", "tokio,null", "--redis", "spawn"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let (null, tokio): (Vec<&Row>, Vec<&Row>) = ran.rows.iter().partition(|row| row.stack == "null");
    assert_eq!((null.len(), tokio.len()), (2, 2));
    for row in tokio {
        is_consistent(row);
        assert!(row.store_name.starts_with("redis "), "{}", row.store_name);
        // The null server ran before it; a trial of it that was disturbed is no ceiling.
        let null = null.iter().find(|null| null.mode == row.mode).unwrap();
        let is_disturbed = matches!(null.verdict, Verdict::Noisy | Verdict::Unsteady);
        assert_eq!(row.ceiling_per_sec.is_none(), is_disturbed, "{:?}", null.verdict);
    }
}

#[test]
fn a_run_can_be_read_back_and_its_report_made_again() {
    let bench = Bench::new();
    let ran = bench.run(&bench.scenario("", 10), &["--stacks", "tokio", "--seed", "7"]);
    let run = RunDir::load(&ran.out).unwrap();
    assert_eq!((run.meta.seed, ran.rows.len(), run.meta.plan.trials), (7, 2, 2));
    assert_eq!(run.rows, ran.written);
    assert!(run.meta.ended.is_some() && run.meta.versions["tokio"].contains("hyper"));
    assert!(run.meta.binaries.keys().any(|path| path.ends_with("/stack-tokio")), "{:?}", run.meta.binaries);
    assert_eq!(run.meta.allocator, "mimalloc");
    let report = std::fs::read_to_string(ran.out.join("report.md")).unwrap();
    assert!(report.contains("tokio") && ran.stdout().contains("tokio"));
    let again = crate::harness::stackbench().arg("report").arg(&ran.out).args(["--format", "md"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stdout), report);
}

#[test]
fn the_plan_comes_before_the_first_trial_and_tells_the_seed_and_the_time() {
    let bench = Bench::new();
    let ran = bench.run(&bench.scenario("", 10), &["--stacks", "tokio", "--seed", "7"]);
    let stdout = ran.stdout();
    for word in ["seed       7", "expected   2 trials, about", "2 cells × 1 blocks"] {
        assert!(stdout.contains(word), "{word} is not in\n{stdout}");
    }
}

#[test]
fn list_names_every_stack_and_scenario() {
    let output = crate::harness::stackbench().arg("list").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in ["thread-pool", "tokio", "null", "cache", "cache-nodelay"] {
        assert!(text.contains(&format!("  {name} ")), "{name} is not in\n{text}");
    }
    assert!(!text.contains("trap"), "traps are found only with --stacks-dir");
}

#[test]
fn a_stack_is_one_folder() {
    let tree = tempfile::tempdir().unwrap();
    let copy = tree.path().join("my-pool");
    std::fs::create_dir(&copy).unwrap();
    let original = std::fs::read_to_string(root().join("servers/thread-pool/stack.toml")).unwrap();
    std::fs::write(copy.join("stack.toml"), original.replace("\"thread-pool\"", "\"my-pool\"")).unwrap();
    let bench = Bench::new();
    let dir = tree.path().display().to_string();
    let ran = bench.run(&bench.scenario("", 10), &["--stacks", "my-pool", "--stacks-dir", &dir]);
    assert_eq!((ran.code(), ran.rows.len()), (0, 2), "{}", ran.stderr());
    ran.rows.iter().for_each(is_consistent);
}
