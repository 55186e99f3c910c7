//! Rows read back, and what they say is missing.

use super::*;

/// A row of the first block, as a run writes it.
fn row(stack: &str) -> Row {
    let cost = r#"{"cpu_us_per_request": 1.0, "cpu_s": 1.0, "cpu_user_s": 1.0, "cpu_sys_s": 0.0, "rss_peak_bytes": 1,
        "threads": 1, "context_switches_per_request": 1.0}"#;
    let text = format!(
        r#"{{"scenario": "cache", "stack": "{stack}", "twin": null, "role": "stack", "request": "cache_hit",
        "mode": "async", "step": null, "trial": 1, "placement": "free", "store_name": "embedded", "verdict": "ok",
        "reason": "", "error": null, "requests": 1, "requests_total": 1, "in_flight_at_end": 0, "requests_per_sec": 1.0,
        "ceiling_per_sec": null, "ceiling_source": null, "occupancy": 1.0, "errors": {{}},
        "latency_us": {{"min": 1, "mean": 1.0, "p50": 1, "p90": 1, "p99": 1, "p999": 1, "max": 1}},
        "server": {cost}, "store": {cost}, "client": {cost}, "box_us_per_request": 1.0, "store_commands": {{}},
        "never_answered": 0, "workers": 1, "pool": 1, "connections": 1, "window_s": 1.0,
        "started": "2026-11-21T10:00:00Z", "cpus": {{}}, "commands": {{}}, "server_sha256": null, "raw": null,
        "wrk": null}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn slot(stack: &str) -> Slot {
    Slot::of(&row(stack))
}

fn repeated(stack: &str) -> Row {
    Row { repeated: true, verdict: Verdict::Noisy, ..row(stack) }
}

/// A run directory with these rows, and this after them.
fn folder(rows: &[Row], tail: &str) -> tempfile::TempDir {
    let lines: String = rows.iter().map(|row| serde_json::to_string(row).unwrap() + "\n").collect();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(ROWS_FILE), lines + tail).unwrap();
    dir
}

fn kept(rows: &[Row]) -> Result<Kept> {
    let all = HashSet::from([slot("tokio"), slot("may")]);
    Kept::new(&RowsFile::read(folder(rows, "").path())?, &all)
}

#[test]
fn a_trial_is_missing_until_it_has_a_row_that_is_not_to_be_repeated() {
    let kept = kept(&[repeated("tokio"), row("may")]).unwrap();
    assert_eq!((kept.state(&slot("tokio")), kept.state(&slot("may"))), (State::ToRepeat, State::Done));
    assert_eq!((kept.state(&slot("smol")), kept.done()), (State::Missing, 1));
    let scenario = row("tokio").scenario;
    assert_eq!((kept.repeated(&scenario, 1), kept.repeated(&scenario, 2)), (1, 0));
}

#[test]
fn a_trial_that_was_repeated_is_done_and_counts_once() {
    let kept = kept(&[repeated("tokio"), row("tokio")]).unwrap();
    assert_eq!((kept.state(&slot("tokio")), kept.done()), (State::Done, 1));
}

#[test]
fn a_second_row_and_one_of_another_run_are_refused_with_their_line() {
    for (rows, what) in [
        (vec![row("tokio"), row("tokio")], "a second row"),
        (vec![row("may"), row("stranger")], "no trial `"),
        (vec![row("tokio"), repeated("tokio")], "a second row"),
    ] {
        let error = kept(&rows).unwrap_err().to_string();
        assert!(error.contains("rows.jsonl:2: ") && error.contains(what), "{error}");
    }
}

#[test]
fn a_row_that_was_cut_off_is_set_apart_and_a_damaged_line_refused_with_its_place() {
    let rows = [row("tokio"), row("may")];
    let dir = folder(&rows, "{\"scenario\": \"ca");
    let file = RowsFile::read(dir.path()).unwrap();
    assert_eq!((file.made(), file.cut_off_bytes), (2, 16));
    let bytes = fs::read(dir.path().join(ROWS_FILE)).unwrap();
    assert_eq!(bytes[usize::try_from(file.whole_bytes).unwrap() - 1], b'\n');
    let error = RowsFile::read(folder(&rows, "{\"scenario\": \"ca\n").path()).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:3: this is no row") && !error.contains("line 1"), "{error}");
}

#[test]
fn what_the_null_server_reached_is_known_again_and_its_repetition_counts() {
    let null = |requests_per_sec, repeated| Row { role: Role::Ceiling, requests_per_sec, repeated, ..row("null") };
    let rows = [null(100.0, true), null(200.0, false)];
    let kept = Kept::new(&RowsFile::read(folder(&rows, "").path()).unwrap(), &HashSet::from([slot("null")])).unwrap();
    let row = row("null");
    let rates = kept.null_rates(&row.scenario, row.trial);
    assert_eq!(rates.get(row.step, &row.request, row.mode), Some(200.0));
    assert_eq!(kept.null_rates(&row.scenario, 2).get(row.step, &row.request, row.mode), None);
}

#[test]
fn what_a_stack_reached_is_known_by_its_names_and_a_failed_trial_reached_nothing() {
    let rows = [
        Row { requests_per_sec: 100.0, ..row("tokio") },
        Row { requests_per_sec: 90.0, twin: Some(2), ..row("tokio") },
        Row { requests_per_sec: 0.0, verdict: Verdict::Failed, ..row("may") },
    ];
    let mut reached = Reached::default();
    rows.iter().for_each(|row| reached.learn(row));
    let of = |stack, twin| reached.get(stack, twin, None, "cache_hit", Mode::Async);
    assert_eq!([of("tokio", None), of("tokio", Some(2)), of("may", None)], [Some(100.0), Some(90.0), None]);
}

#[test]
fn a_null_server_that_was_disturbed_is_no_ceiling() {
    let ceiling = |verdict| {
        let mut rates = NullRates::default();
        let row = Row { role: Role::Ceiling, verdict, ..row("null") };
        rates.learn(&row);
        rates.get(row.step, &row.request, row.mode)
    };
    assert_eq!([Verdict::Ok, Verdict::PeerLimitedClient].map(ceiling), [Some(1.0); 2]);
    assert_eq!([Verdict::Noisy, Verdict::Unsteady, Verdict::Starved, Verdict::Failed].map(ceiling), [None; 4]);
}

#[test]
fn idle_connections_that_were_weighed_in_a_row_that_counts_are_known() {
    let weighed = |repeated, bytes| {
        let row = Row { repeated, idle_connection_bytes: bytes, connections: 2000, ..row("tokio") };
        let kept = kept(&[row]).unwrap();
        kept.weighed().map(|(stack, connections)| (stack.to_owned(), connections)).collect::<Vec<_>>()
    };
    assert_eq!(weighed(false, Some(8.0)), [("tokio".to_owned(), 2000)]);
    assert!(weighed(true, Some(8.0)).is_empty() && weighed(false, None).is_empty());
}
