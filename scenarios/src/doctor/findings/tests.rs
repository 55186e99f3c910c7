//! Every finding, from made-up facts.

use super::super::facts::{Busy, Leftover, Needs};
use super::*;

/// A machine that a run could not wish for better.
fn good() -> Facts {
    Facts {
        needs: Needs { connections: Some(2_000), descriptors: 4_320 },
        open_files_hard: 20_000,
        somaxconn: Some(4_096),
        syn_backlog: Some(4_096),
        ports: Some(28_232),
        time_wait: Some(34),
        free_bytes: Some(8 << 30),
        cores: 8,
        cpus: 8,
        cpus_without_quota: 8,
        governor: Some("performance".to_owned()),
        boost: Some(false),
        smt: Some(false),
        clock_source: Some("tsc".to_owned()),
        swap_used_bytes: Some(0),
        ..Facts::default()
    }
}

/// The only finding that is not ok.
fn only(facts: Facts) -> Finding {
    let mut found = findings(&facts);
    found.retain(|finding| finding.level != Level::Ok);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].remedy.is_some(), "{found:?}");
    found.remove(0)
}

/// The level of the only finding that is not ok, whose text and remedy hold these words.
#[track_caller]
fn found(facts: Facts, seen: &str, remedy: &str) -> Level {
    let finding = only(facts);
    let text = finding.to_string();
    assert!(finding.seen.contains(seen) && finding.remedy.is_some_and(|r| r.contains(remedy)), "{text}");
    finding.level
}

#[test]
fn a_machine_as_it_should_be_is_told_line_by_line() {
    let all = findings(&good());
    assert!(all.iter().all(|finding| finding.level == Level::Ok && finding.remedy.is_none()), "{all:?}");
    assert_eq!(all.len(), 17);
    assert_eq!(all[0].to_string(), "ok    open files: 20000 are allowed, 4320 are needed");
}

#[test]
fn a_remedy_stands_below_what_was_seen() {
    let finding = only(Facts { swap_used_bytes: Some(3 << 20), ..good() });
    let text = finding.to_string();
    assert!(text.starts_with("note  swap: 3 MiB in use;") && text.ends_with("\n      sudo swapoff -a"), "{text}");
}

#[test]
fn of_what_the_machine_does_not_tell_there_is_no_finding() {
    let mute = Facts {
        somaxconn: None,
        syn_backlog: None,
        ports: None,
        free_bytes: None,
        governor: None,
        boost: None,
        smt: None,
        clock_source: None,
        swap_used_bytes: None,
        ..good()
    };
    assert_eq!(findings(&mute).len(), 17 - 9);
}

#[test]
fn too_few_open_files_keep_a_run_from_starting() {
    let level = found(Facts { open_files_hard: 1_024, ..good() }, "4320 are needed", "--nofile=4320:4320");
    assert_eq!(level, Level::Bad);
}

#[test]
fn a_backlog_below_the_connections_is_bad() {
    let level = found(Facts { somaxconn: Some(128), ..good() }, "128, for 2000", "net.core.somaxconn=2048");
    assert_eq!(level, Level::Bad);
    assert_eq!(findings(&Facts { somaxconn: Some(2_000), ..good() })[1].level, Level::Ok);
}

#[test]
fn few_half_open_connections_are_to_be_known() {
    let level = found(Facts { syn_backlog: Some(512), ..good() }, "512 are remembered", "tcp_max_syn_backlog=2048");
    assert_eq!(level, Level::Note);
}

#[test]
fn ports_must_do_for_the_load_and_better_also_for_what_waits() {
    let with = |ports, time_wait| Facts { ports: Some(ports), time_wait: Some(time_wait), ..good() };
    assert_eq!(found(with(2_500, 0), "2500", "ip_local_port_range"), Level::Bad);
    assert_eq!(found(with(28_232, 27_000), "27000 are in TIME_WAIT", "ip_local_port_range"), Level::Note);
}

#[test]
fn a_program_that_is_not_here_is_named_with_the_command_that_installs_it() {
    let level =
        found(Facts { missing: vec!["redis-server", "wrk"], ..good() }, "no redis-server, wrk", "redis-server wrk");
    assert_eq!(level, Level::Note);
}

#[test]
fn io_uring_that_is_forbidden_costs_the_rows_of_one_stack() {
    let with = |uring| Facts { uring, ..good() };
    assert_eq!(found(with(Uring::OffBySysctl), "compio", "kernel.io_uring_disabled=0"), Level::Note);
    assert_eq!(found(with(Uring::Refused), "sandbox", "seccomp=unconfined"), Level::Note);
}

#[test]
fn a_disk_that_fills_up_loses_rows() {
    let with = |mib: u64| Facts { free_bytes: Some(mib << 20), ..good() };
    assert_eq!(found(with(500), "500 MiB", "--out"), Level::Note);
    assert_eq!(found(with(100), "100 MiB", "--out"), Level::Bad);
}

#[test]
fn what_an_earlier_run_left_is_named_with_its_process() {
    let left = |pid| Leftover { name: "fake-redis".to_owned(), pid, port: 7_000 };
    let facts = Facts { leftovers: vec![left(41), left(42)], ..good() };
    assert_eq!(found(facts, "fake-redis (pid 41, port 7000)", "kill 41 42"), Level::Bad);
}

#[test]
fn on_two_cores_the_peers_share_one_and_on_one_cpu_nobody_is_alone() {
    let with = |cores, cpus| Facts { cores, cpus, cpus_without_quota: cpus, ..good() };
    assert_eq!(found(with(2, 2), "client and store share", "not requests per second"), Level::Note);
    assert_eq!(found(with(1, 1), "CPUs of their own", "--placement free"), Level::Bad);
}

#[test]
fn a_quota_below_the_cpus_stops_whoever_is_over_it() {
    let with = |quota| Facts { quota: Some((quota, "/sys/fs/cgroup/a/cpu.max".into())), ..good() };
    assert_eq!(found(with(1.5), "1.50 CPUs", "tee /sys/fs/cgroup/a/cpu.max"), Level::Bad);
    assert!(findings(&with(8.0)).iter().all(|finding| finding.level == Level::Ok));
}

#[test]
fn a_governor_that_saves_power_is_bad() {
    let facts = Facts { governor: Some("powersave".to_owned()), ..good() };
    assert_eq!(found(facts, "powersave", "echo performance"), Level::Bad);
}

#[test]
fn turbo_and_hardware_threads_are_to_be_known() {
    assert_eq!(found(Facts { boost: Some(true), ..good() }, "turbo: on", "no_turbo"), Level::Note);
    assert_eq!(found(Facts { smt: Some(true), ..good() }, "SMT: on", "smt/control"), Level::Note);
}

#[test]
fn a_clock_that_is_a_system_call_is_bad() {
    let with = |clock: &str| Facts { clock_source: Some(clock.to_owned()), ..good() };
    assert_eq!(found(with("hpet"), "hpet", "current_clocksource"), Level::Bad);
    assert!(findings(&with("kvm-clock")).iter().all(|finding| finding.level == Level::Ok));
}

#[test]
fn other_programs_are_named_and_from_five_per_cent_on_they_are_bad() {
    let busy = |share| Facts {
        others_share: share,
        busiest: vec![Busy { name: "rustc".to_owned(), pid: 99, share }],
        ..good()
    };
    assert_eq!(found(busy(0.4), "rustc (pid 99) 40 %", "kill 99"), Level::Bad);
    assert_eq!(found(busy(0.03), "3.0 %", "kill 99"), Level::Note);
    assert!(findings(&busy(0.004)).iter().all(|finding| finding.level == Level::Ok));
}

#[test]
fn stolen_time_is_judged_as_trials_are() {
    let with = |share| Facts { steal_share: share, ..good() };
    assert_eq!(found(with(0.08), "8.0 %", "vmstat"), Level::Bad);
    assert_eq!(found(with(0.02), "2.0 %", "vmstat"), Level::Note);
}

#[test]
fn of_a_long_list_the_first_are_named() {
    let words = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    assert_eq!(listed(words), "a, b, c and 2 more");
}
