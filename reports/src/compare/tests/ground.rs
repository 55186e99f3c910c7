//! Tests of machine and method, and of what changed between two runs.

use super::*;

#[test]
fn another_machine_store_or_placement_is_refused_with_both_values_and_the_flag() {
    type Case = (&'static str, fn(&mut Run));
    let cases: [Case; 8] = [
        ("the machine (processor): Example CPU in A, Other CPU in B", |run| {
            run.meta.machine.cpu_model = "Other CPU".to_owned();
        }),
        ("the machine (CPUs): 2 in A, 8 in B", |run| run.meta.machine.cpus = 8),
        ("the machine (kernel): Linux 6.1 in A, Linux 6.9 in B", |run| {
            run.meta.machine.kernel = "Linux 6.9".to_owned()
        }),
        ("the machine (memory): 24.0 GiB in A, 12.0 GiB in B", |run| run.meta.machine.memory_bytes /= 2),
        ("the machine (host): box in A, other in B", |run| run.meta.machine.host = "other".to_owned()),
        ("the store: embedded in A, redis 7.0.15 in B", |run| run.meta.store.name = "redis 7.0.15".to_owned()),
        ("placement: pinned in A, free in B", |run| run.meta.placement = Placement::Free),
        ("the CPUs of each process: client 0, server 1, store 0 in A, client 0, server 3, store 0 in B", |run| {
            run.rows.iter_mut().for_each(|row| _ = row.cpus.insert("server".to_owned(), vec![3]));
        }),
    ];
    for (expected, change) in cases {
        let text = changed(change).unwrap_err().to_string();
        assert!(text.contains(expected) && text.contains("--across-machines"), "{text}");
    }
}

#[test]
fn across_machines_they_are_compared_and_labelled() {
    let a = run_of(0, 8, &[row("tokio", 30.0)]);
    let elsewhere = Row { store_name: "redis 7.0.15".to_owned(), ..row("tokio", 40.0) };
    let mut b = run_of(1, 8, &[elsewhere]);
    b.meta.machine.cpu_model = "Other CPU".to_owned();
    b.meta.store.name = "redis 7.0.15".to_owned();
    b.meta.scenarios[0].workers = 8;
    let across = Options { quantities: Vec::new(), machines: Machines::Across };
    let comparison = Comparison::of(&a, &b, &across).unwrap();
    let labels: Vec<&str> = comparison.basis.grounds.iter().map(|ground| ground.what.as_str()).collect();
    assert_eq!(labels, ["the machine (processor)", "the store"]);
    assert_eq!(cpu(&comparison, "tokio"), Finding::Worse);
}

#[test]
fn what_changed_is_named_and_refuses_nothing() {
    let hashes =
        |hash: &str| BTreeMap::from(["tokio", "stackload"].map(|name| (format!("bin/{name}"), hash.to_owned())));
    let mut a = run_of(0, 8, &[row("tokio", 30.0)]);
    a.meta.binaries = hashes("1");
    let mut b = run_of(1, 8, &[row("tokio", 30.0)]);
    b.meta.git.revision = Some("fedcba9876543210".to_owned());
    b.meta.binaries = hashes("2");
    b.meta.environment.insert("MALLOC_ARENA_MAX".to_owned(), "1".to_owned());
    b.meta.allocator = "system".to_owned();
    b.meta.lock_sha256 = Some("beef".to_owned());
    let changed = compare(&a, &b).basis.changed;
    let what: Vec<String> = changed.settings.iter().map(Difference::words).collect();
    let expected = [
        "revision: 0123456789ab in A, fedcba987654 in B",
        "Cargo.lock (SHA-256): not known in A, beef in B",
        "allocator: mimalloc in A, system in B",
        "environment variable MALLOC_ARENA_MAX: not set in A, 1 in B",
    ];
    assert_eq!(what, expected);
    assert_eq!((changed.files.programs.len(), changed.instruments), (2, vec!["bin/stackload".to_owned()]));
}

#[test]
fn a_machine_that_was_slower_as_a_whole_is_told_where_it_shows_beyond_the_noise() {
    let at_speed = |nth: u32, ms: f64| run_of(nth, 8, &[Row { yardstick_ms: Some([ms, ms]), ..row("tokio", 30.0) }]);
    let speed = |ms: f64| compare(&at_speed(0, 5.0), &at_speed(1, ms)).basis.speed.unwrap();
    assert_eq!((speed(6.0).times(), speed(6.0).is_notable), (1.2, true));
    assert!(!speed(5.1).is_notable);
    assert_eq!(compare(&run_of(0, 8, &[row("tokio", 30.0)]), &at_speed(1, 5.0)).basis.speed, None);
    let twin = |nth: u32, us: f64| run_of(nth, 8, &[row("tokio", 30.0), Row { twin: Some(2), ..row("tokio", us) }]);
    let mut restless = [twin(0, 37.5), twin(1, 30.0)];
    for (run, ms) in restless.iter_mut().zip([5.0, 6.0]) {
        run.rows.iter_mut().for_each(|row| row.yardstick_ms = Some([ms, ms]));
    }
    assert!(!compare(&restless[0], &restless[1]).basis.speed.unwrap().is_notable, "two names differ by a quarter");
}

#[test]
fn one_run_twice_is_compared_and_called_that() {
    let run = run_of(0, 8, &[row("tokio", 30.0)]);
    let comparison = compare(&run, &run);
    assert_eq!(comparison.basis.one_run.as_deref(), Some("2026-11-21T10:00:00Z"));
    assert_eq!(cpu(&comparison, "tokio"), Finding::WithinNoise);
    assert_eq!(compare(&run, &run_of(1, 8, &[row("tokio", 30.0)])).basis.one_run, None);
}

#[test]
fn what_most_stacks_did_alike_is_told_and_what_one_did_is_not() {
    let field = |times: [f64; 4]| {
        let stacks = ["may", "tokio", "smol", "compio"].into_iter().zip(times);
        stacks.map(|(stack, times)| row(stack, 30.0 * times)).collect::<Vec<_>>()
    };
    let moved = |times: [f64; 4]| compare(&run_of(0, 8, &field([1.0; 4])), &run_of(1, 8, &field(times))).common_move();
    let together = moved([1.2, 1.15, 1.1, 1.3]).unwrap();
    assert!((together.times - 1.175).abs() < 0.02, "{together:?}");
    assert_eq!((together.cells, together.stacks), (4, 4));
    assert!(moved([0.8, 0.8, 0.85, 1.0]).unwrap().times < 0.85);
    assert_eq!(moved([1.3, 1.0, 1.0, 1.0]), None);
    let two = |nth: u32, us: f64| run_of(nth, 8, &[row("may", us), row("tokio", us)]);
    assert_eq!(compare(&two(0, 30.0), &two(1, 39.0)).common_move(), None, "two stacks are no field");
}
