//! Tests of order, rank and notes.

use std::collections::BTreeMap;

use super::*;
use crate::{
    row::Row,
    run::{StackMeta, StepMeta, StoreKind},
    sample,
};

/// A row with the figures a rank rests on.
fn row(stack: &str, trial: u32, rate: f64, server_us: f64) -> Row {
    let mut row = Row { trial, requests_per_sec: rate, ..sample::row(stack) };
    row.server.cpu_us_per_request = server_us;
    row
}

fn trials(stack: &str, figures: [(f64, f64); 3]) -> Vec<Row> {
    (1..).zip(figures).map(|(trial, (rate, us))| row(stack, trial, rate, us)).collect()
}

fn run(rows: Vec<Row>) -> Run {
    Run { meta: sample::meta(), rows, latencies: BTreeMap::new(), warnings: Vec::new() }
}

fn only_table(run: &Run) -> Table {
    let mut sections = sections(run);
    assert_eq!((sections.len(), sections[0].panels.len(), sections[0].panels[0].tables.len()), (1, 1, 1));
    sections.remove(0).panels.remove(0).tables.remove(0)
}

fn names(table: &Table) -> Vec<(&str, Option<usize>)> {
    table.lines.iter().map(|line| (line.name.as_str(), line.rank)).collect()
}

#[test]
fn on_two_cores_the_cheapest_request_comes_first() {
    let mut rows = trials("fast", [(9000.0, 50.0), (9100.0, 51.0), (9200.0, 52.0)]);
    rows.extend(trials("cheap", [(8000.0, 30.0), (8100.0, 31.0), (8200.0, 32.0)]));
    let table = only_table(&run(rows));
    assert_eq!(table.headline, Headline::CpuPerRequest);
    assert_eq!(names(&table), [("cheap", Some(1)), ("fast", Some(2))]);
}

#[test]
fn on_many_cores_unpinned_the_fastest_comes_first() {
    let mut rows = trials("cheap", [(8000.0, 30.0), (8100.0, 31.0), (8200.0, 32.0)]);
    rows.extend(trials("fast", [(9000.0, 50.0), (9100.0, 51.0), (9200.0, 52.0)]));
    for row in &mut rows {
        row.placement = Placement::Free;
    }
    let mut run = run(rows);
    run.meta.machine.cpus = 16;
    let table = only_table(&run);
    assert_eq!(table.headline, Headline::Rate);
    assert_eq!(names(&table), [("fast", Some(1)), ("cheap", Some(2))]);
}

#[test]
fn stacks_whose_ranges_overlap_share_a_place() {
    let mut rows = trials("a", [(1.0, 30.0), (1.0, 31.0), (1.0, 32.0)]);
    rows.extend(trials("b", [(1.0, 31.5), (1.0, 33.0), (1.0, 34.0)]));
    rows.extend(trials("c", [(1.0, 33.5), (1.0, 35.0), (1.0, 36.0)]));
    let table = only_table(&run(rows));
    assert_eq!(names(&table), [("a", Some(1)), ("b", Some(1)), ("c", Some(2))], "only a is told apart from c");
}

#[test]
fn a_single_trial_gives_an_order_and_no_place() {
    let table = only_table(&run(vec![row("dear", 1, 1.0, 40.0), row("cheap", 1, 1.0, 30.0)]));
    assert_eq!(names(&table), [("cheap", None), ("dear", None)]);
    assert_eq!(table.lines[0].rate.range, None);
}

#[test]
fn ceilings_and_traps_come_last_and_are_marked() {
    let mut rows = vec![row("null", 1, 50_000.0, 3.0), row("cheat", 1, 40_000.0, 2.0), row("tokio", 1, 1.0, 30.0)];
    rows[0].role = Role::Ceiling;
    rows[1].role = Role::Trap;
    let table = only_table(&run(rows));
    let order: Vec<&str> = table.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(order, ["tokio", "cheat (trap)", "null (ceiling)"]);
}

#[test]
fn a_stack_that_starved_connections_is_behind_the_ranked_ones() {
    let mut rows = trials("unfair", [(9000.0, 10.0), (9000.0, 10.0), (9000.0, 10.0)]);
    rows[1].verdict = Verdict::Starved;
    rows[1].reason = "1984 connections were never answered".to_owned();
    rows.extend(trials("fair", [(9000.0, 30.0), (9000.0, 31.0), (9000.0, 32.0)]));
    let table = only_table(&run(rows));
    assert_eq!(names(&table), [("fair", Some(1)), ("unfair", None)]);
    let unfair = &table.lines[1];
    assert_eq!((unfair.verdict.as_str(), unfair.verdict_share.as_deref()), ("starved", Some("1 of 3, 2 ok")));
    assert_eq!(table.notes[unfair.note.unwrap() - 1].text, "1984 connections were never answered");
}

#[test]
fn a_peer_limited_stack_is_ranked_on_cost_and_not_on_speed() {
    assert!(Headline::CpuPerRequest.ranks(Verdict::PeerLimitedBoth));
    assert!(!Headline::Rate.ranks(Verdict::PeerLimitedBoth));
    assert!(Headline::Rate.ranks(Verdict::LatencyBound));
    for verdict in [Verdict::Failed, Verdict::Errors, Verdict::Impossible, Verdict::Starved, Verdict::Noisy] {
        assert!(!Headline::CpuPerRequest.ranks(verdict), "{verdict:?}");
    }
}

#[test]
fn a_reason_that_two_stacks_share_stands_once() {
    let limited =
        |stack| Row { verdict: Verdict::PeerLimitedBoth, reason: "busy".to_owned(), ..row(stack, 1, 1.0, 30.0) };
    let table = only_table(&run(vec![limited("a"), limited("b")]));
    assert_eq!(table.notes, [Note { stacks: vec!["a".to_owned(), "b".to_owned()], text: "busy".to_owned() }]);
    assert_eq!((table.lines[0].note, table.lines[1].note), (Some(1), Some(1)));
}

#[test]
fn requests_stand_in_the_order_of_the_scenario() {
    let hit = Row { request: "cache_hit".to_owned(), ..sample::row("tokio") };
    let other = Row { request: "unheard_of".to_owned(), ..sample::row("tokio") };
    let sections = sections(&run(vec![other, sample::row("tokio"), hit]));
    let titles: Vec<&str> = sections[0].panels[0].tables.iter().map(|table| table.title.as_str()).collect();
    assert_eq!(titles, ["cache_hit, async", "cache_set, async", "unheard_of, async"]);
}

#[test]
fn one_ceiling_of_all_is_named_once_and_several_with_their_stacks() {
    let alone = only_table(&run(vec![row("a", 1, 1.0, 1.0), row("b", 1, 1.0, 2.0)]));
    assert_eq!(alone.ceilings, "2000 connections / 199.8 ms = 10,010/s");
    let mut rows = vec![row("a", 1, 1.0, 1.0), row("b", 1, 1.0, 2.0)];
    rows[1].ceiling_per_sec = Some(80.0);
    rows[1].ceiling_source = Some("pool 16 / 200 ms".to_owned());
    let table = only_table(&run(rows));
    assert_eq!(table.ceilings, "2000 connections / 199.8 ms = 10,010/s (a); pool 16 / 200 ms = 80.0/s (b)");
}

#[test]
fn ceilings_that_differ_by_the_measured_delay_only_are_one_with_a_range() {
    let mut rows = vec![row("a", 1, 1.0, 1.0), row("b", 1, 1.0, 2.0)];
    rows[1].ceiling_per_sec = Some(9_990.0);
    rows[1].ceiling_source = Some("2000 connections / 200.2 ms".to_owned());
    assert_eq!(only_table(&run(rows)).ceilings, "2000 connections / measured delay = 9,990–10,010/s");
}

#[test]
fn stores_and_placements_are_sections_of_their_own() {
    let redis = Row { store_name: "redis 7.0.15".to_owned(), ..sample::row("tokio") };
    let free = Row { placement: Placement::Free, ..sample::row("tokio") };
    let sections = sections(&run(vec![sample::row("tokio"), redis, free]));
    let facts: Vec<String> = sections.iter().map(|section| section.facts[..2].join(" ")).collect();
    assert_eq!(
        facts,
        [
            "Store: embedded, GET answered after 20ms, SET answered after 200ms. Placement: pinned, server alone on \
             CPU 1; client and store share the other CPU (0).",
            "Store: redis 7.0.15, GET answered after 20ms, SET answered after 200ms. Placement: pinned, server alone \
             on CPU 1; client and store share the other CPU (0).",
            "Store: embedded, GET answered after 20ms, SET answered after 200ms. Placement: free, every process may \
             use every CPU.",
        ]
    );
    assert_eq!(
        sections[0].facts[2],
        "Load: closed loop, 2000 connections, pool 2000, workers 1, window 4 s after 1 s of warm-up, trials 1."
    );
}

/// A run of stacks with a panel each.
fn of_panels(rows: Vec<Row>, panels: &[(&str, &str)]) -> Run {
    let mut run = run(rows);
    let stack = &run.meta.stacks[0];
    run.meta.stacks = panels
        .iter()
        .map(|(name, panel)| StackMeta { name: (*name).to_owned(), panel: (*panel).to_owned(), ..stack.clone() })
        .collect();
    run
}

fn names_by_panel(run: &Run) -> Vec<(Panel, Vec<String>)> {
    let names = |panel: &PanelTables| panel.tables[0].lines.iter().map(|line| line.name.clone()).collect();
    sections(run)[0].panels.iter().map(|panel| (panel.panel, names(panel))).collect()
}

#[test]
fn panels_stand_apart_and_share_their_references() {
    let mut rows = vec![
        row("hyper", 1, 1.0, 30.0),
        row("core", 1, 1.0, 20.0),
        row("may", 1, 1.0, 25.0),
        row("null", 1, 1.0, 3.0),
        row("floor", 1, 1.0, 4.0),
    ];
    (rows[3].role, rows[4].role) = (Role::Ceiling, Role::Floor);
    let panels =
        [("hyper", "deployed"), ("core", "controlled"), ("may", "both"), ("null", "deployed"), ("floor", "controlled")];
    assert_eq!(
        names_by_panel(&of_panels(rows, &panels)),
        [
            (Panel::Deployed, ["may", "hyper", "null (ceiling)", "floor (floor)"].map(str::to_owned).to_vec()),
            (Panel::Controlled, ["core", "may", "null (ceiling)", "floor (floor)"].map(str::to_owned).to_vec()),
        ]
    );
}

#[test]
fn a_rank_counts_the_stacks_of_its_panel_only_and_no_floor() {
    let mut rows = trials("hyper", [(1.0, 30.0), (1.0, 31.0), (1.0, 32.0)]);
    rows.extend(trials("core", [(1.0, 20.0), (1.0, 21.0), (1.0, 22.0)]));
    rows.extend(
        trials("floor", [(1.0, 4.0), (1.0, 4.0), (1.0, 4.0)]).into_iter().map(|r| Row { role: Role::Floor, ..r }),
    );
    let run = of_panels(rows, &[("hyper", "deployed"), ("core", "controlled"), ("floor", "controlled")]);
    let ranks: Vec<Vec<(String, Option<usize>)>> = sections(&run)[0]
        .panels
        .iter()
        .map(|panel| panel.tables[0].lines.iter().map(|line| (line.name.clone(), line.rank)).collect())
        .collect();
    let floor = || ("floor (floor)".to_owned(), None);
    assert_eq!(ranks, [[("hyper".to_owned(), Some(1)), floor()], [("core".to_owned(), Some(1)), floor()]]);
}

#[test]
fn a_run_of_references_alone_has_one_panel() {
    let only = vec![Row { role: Role::Ceiling, ..row("null", 1, 1.0, 3.0) }];
    assert_eq!(names_by_panel(&of_panels(only, &[("null", "deployed")])).len(), 1);
}

#[test]
fn a_table_says_whether_a_stack_is_native_or_bridged() {
    let mut sync = row("tokio", 1, 1.0, 30.0);
    sync.mode = Mode::Sync;
    let run = run(vec![sync, row("tokio", 1, 1.0, 20.0)]);
    let hows: Vec<&str> = sections(&run)[0].panels[0].tables.iter().map(|table| table.lines[0].how).collect();
    assert_eq!(hows, ["native", "bridged"], "async first: it is in the sample's scenario");
}

#[test]
fn an_overview_has_a_column_for_each_question_and_orders_by_the_mean_ratio_to_the_best() {
    let of = |stack: &str, request: &str, us: f64| Row { request: request.to_owned(), ..row(stack, 1, 1.0, us) };
    let mut rows = vec![
        of("a", "cache_hit", 10.0),
        of("a", "cache_set", 40.0),
        of("b", "cache_hit", 20.0),
        of("b", "cache_set", 10.0),
        of("null", "cache_hit", 3.0),
    ];
    rows[2].verdict = Verdict::Starved;
    rows[4].role = Role::Ceiling;
    let overview = &sections(&run(rows))[0].panels[0].overviews[0];
    assert_eq!(overview.columns, ["cache_hit, async", "cache_set, async"]);
    let lines: Vec<String> = overview.lines.iter().map(|l| format!("{} {}", l.name, l.cells.join(" "))).collect();
    assert_eq!(lines, ["b (20.0) 10.0", "a 10.0 40.0", "null (ceiling) 3.00 –"]);
}

#[test]
fn an_overview_of_what_may_not_be_ranked_is_in_the_order_of_its_figures() {
    let noisy = |stack: &str, us: f64| Row { verdict: Verdict::Noisy, ..row(stack, 1, 1.0, us) };
    let set = |row: Row| Row { request: "cache_hit".to_owned(), ..row };
    let rows = vec![noisy("a", 30.0), noisy("b", 20.0), set(noisy("a", 30.0)), set(noisy("b", 20.0))];
    let overview = &sections(&run(rows))[0].panels[0].overviews[0];
    let names: Vec<&str> = overview.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn steps_are_the_columns_of_overviews_with_ceiling_memory_and_switches_beside_the_cost() {
    let step = |number: u32, us: f64| Row { step: Some(number), ..row("a", 1, 9_000.0, us) };
    let mut run = run(vec![step(1, 20.0), step(0, 10.0)]);
    let at = |pool: u32| StepMeta {
        delays: BTreeMap::from([("get".to_owned(), "20ms".to_owned())]),
        pool,
        ..sample::step(&format!("GET after 20ms, pool {pool}"))
    };
    run.meta.scenarios[0].steps = vec![at(16), at(64)];
    let section = &sections(&run)[0];
    assert!(section.is_stepped);
    let titles: Vec<&str> = section.panels[0].tables.iter().map(|table| table.title.as_str()).collect();
    assert_eq!(titles, ["cache_set, async: GET after 20ms, pool 16", "cache_set, async: GET after 20ms, pool 64"]);
    let shown: Vec<(&str, String)> =
        section.panels[0].overviews.iter().map(|o| (o.title.as_str(), o.lines[0].cells.join(" "))).collect();
    assert_eq!(
        shown,
        [
            ("cache_set, async: server CPU µs per request", "10.0 20.0".to_owned()),
            ("cache_set, async: requests per second", "9,000 9,000".to_owned()),
            ("cache_set, async: % of the ceiling", "89.9 89.9".to_owned()),
            ("cache_set, async: peak RSS", "12.0 MiB 12.0 MiB".to_owned()),
            ("cache_set, async: context switches per request", "0.20 0.20".to_owned()),
        ]
    );
    assert_eq!(section.facts[0], "Store: embedded, GET answered after 20ms.");
}

#[test]
fn second_names_are_neither_shown_nor_mixed_in() {
    let mut rows = trials("may", [(1.0, 30.0), (1.0, 30.0), (1.0, 30.0)]);
    let twins = trials("may", [(1.0, 33.0), (1.0, 33.0), (1.0, 33.0)]).into_iter();
    rows.extend(twins.map(|row| Row { twin: Some(2), ..row }));
    let run = run(rows);
    let table = only_table(&run);
    assert_eq!(names(&table), [("may", Some(1))]);
    assert_eq!((table.lines[0].server_us.median.as_str(), table.trials), ("30.0", BTreeSet::from([3])));
    assert_eq!(
        sections(&run)[0].facts.last().unwrap(),
        "A/A: two names of may differ by up to 10.0 %; no smaller difference is counted."
    );
}

#[test]
fn a_difference_smaller_than_that_of_two_names_gives_no_place() {
    let mut rows = trials("a", [(1.0, 30.0), (1.0, 30.1), (1.0, 30.2)]);
    rows.extend(trials("b", [(1.0, 31.0), (1.0, 31.1), (1.0, 31.2)]));
    assert_eq!(names(&only_table(&run(rows.clone()))), [("a", Some(1)), ("b", Some(2))]);
    rows.extend(
        trials("a", [(1.0, 32.0), (1.0, 32.1), (1.0, 32.2)]).into_iter().map(|row| Row { twin: Some(2), ..row }),
    );
    assert_eq!(names(&only_table(&run(rows))), [("a", Some(1)), ("b", Some(1))]);
}

#[test]
fn trials_that_were_measured_again_are_counted_below_the_table() {
    let noisy = |row: Row| Row { repeated: true, verdict: Verdict::Noisy, ..row };
    let mut rows = trials("a", [(1.0, 30.0), (1.0, 30.1), (1.0, 30.2)]);
    assert_eq!(only_table(&run(rows.clone())).repeated, "");
    rows.push(noisy(row("a", 2, 1.0, 99.0)));
    let table = only_table(&run(rows.clone()));
    assert_eq!(table.repeated, "1 noisy trial was measured again; both are kept, and the noisy one is in no figure");
    assert_eq!((table.lines[0].verdict.as_str(), table.lines[0].server_us.median.as_str()), ("ok", "30.1"));
    rows.push(noisy(row("a", 3, 1.0, 99.0)));
    assert!(only_table(&run(rows)).repeated.starts_with("2 noisy trials were measured again; both are kept"));
}

#[test]
fn from_six_trials_on_the_brackets_hold_the_interval_of_the_median() {
    let of = |trials: u32| (1..=trials).map(|trial| row("a", trial, 1.0, 30.0 + f64::from(trial))).collect();
    let brackets = |trials: u32| only_table(&run(of(trials))).lines[0].server_us.range.clone().unwrap();
    assert_eq!(brackets(5), "[31.0–35.0]");
    assert_eq!(brackets(9), "[32.0–38.0]", "the outermost two are left out");
}

fn legend(run: &Run) -> String {
    heading::reading(run, &sections(run)).join(" ")
}

#[test]
fn the_legend_claims_no_cpu_of_a_store_that_was_given_by_its_url() {
    let mut run = run(vec![row("a", 1, 1.0, 30.0)]);
    assert!(legend(&run).contains("of the server, the store or the client"));
    run.meta.store.kind = StoreKind::Url;
    let text = legend(&run);
    assert!(text.contains("of the server or the client") && !text.contains("what these three leave"), "{text}");
}

#[test]
fn the_legend_says_that_no_noise_floor_was_measured_and_why() {
    let mut rows = trials("a", [(1.0, 30.0), (1.0, 30.1), (1.0, 30.2)]);
    assert!(
        legend(&run(rows.clone()))
            .contains("Beware: no noise floor was measured: no stack was measured under two names.")
    );
    rows.extend(rows.clone().into_iter().map(|row| Row { twin: Some(2), ..row }));
    assert!(!legend(&run(rows)).contains("Beware"));
}

#[test]
fn the_legend_gives_the_chance_that_ranges_of_so_few_trials_are_apart() {
    let of = |trials: u32| legend(&run((1..=trials).map(|trial| row("a", trial, 1.0, 30.0)).collect()));
    let three = of(3);
    assert!(three.contains("with a probability of 10.0 % with 3 trials"), "{three}");
    let two = of(2);
    assert!(two.contains("Fewer than 3 trials give no place") && !two.contains("by chance"), "{two}");
}

#[test]
fn the_legend_speaks_of_ranges_or_of_intervals_with_their_coverage_or_of_both() {
    let of = |stack: &str, trials: u32| (1..=trials).map(move |trial| row(stack, trial, 1.0, 30.0)).collect::<Vec<_>>();
    let legend = |rows: Vec<Row>| legend(&run(rows));
    let few = legend(of("a", 5));
    assert!(few.contains("a range, not an interval") && !few.contains("Student"), "{few}");
    let enough = legend(of("a", 8));
    assert!(enough.contains("probability of 99.2 % (8 trials)") && enough.contains("Holm"), "{enough}");
    assert!(!enough.contains("[min–max]"), "{enough}");
    let both = legend([of("a", 8), of("b", 6), of("c", 5)].concat());
    assert!(both.contains("96.9 % (6 trials), 99.2 % (8 trials)") && both.contains("is no interval"), "{both}");
}
