//! Each verdict from evidence that calls for it and for no other.

use std::collections::BTreeMap;

use stackload::result::{
    ArrivalKind, Censored, ClientVerdict, Connections, Histograms, LatencySummary, LoadModel, LoadShape, ProcessUsage,
    SCHEMA, ScheduleAccount, TurnSummary,
};

use super::*;
use crate::placement::Cpus;

/// Ten seconds at 1000 answers a second, the server's CPU 1 saturated, CPU 0 half busy, all of it accounted for.
pub(crate) fn healthy() -> LoadResult {
    let second = Second { requests: 1000, bytes: 0, errors: 0, latency: String::new() };
    LoadResult {
        schema: SCHEMA.to_owned(),
        version: String::new(),
        command: Vec::new(),
        url: String::new(),
        load: LoadShape {
            model: LoadModel::Closed,
            threads: 1,
            connections: 20,
            depth: 1,
            duration_s: 10.0,
            warmup_s: 1.0,
            spins: false,
            spread_s: 0.0,
            timeout_s: 30.0,
        },
        window_started_unix_us: 0,
        window_s: 10.0,
        requests: 10_000,
        requests_total: 11_000,
        in_flight_at_end: 20,
        bytes: 0,
        statuses: BTreeMap::from([(200, 10_000)]),
        errors: BTreeMap::new(),
        latency_us: LatencySummary { count: 10_000, min: 20_100, p50: 20_500, ..LatencySummary::default() },
        latency_corrected_us: None,
        schedule: None,
        histograms: Histograms { raw: String::new(), corrected: None },
        censored: Censored {
            count: 20,
            unsent: 0,
            age_min_us: 1,
            age_median_us: 2,
            age_max_us: 9_500_000,
            ages: String::new(),
        },
        connections: Connections {
            answers: vec![500; 20],
            never_answered: 0,
            starved: 0,
            answers_min: 500,
            answers_median: 500,
            answers_max: 500,
            jain: 1.0,
            opened: 20,
        },
        occupancy: 1.0,
        per_second: vec![second; 10],
        per_interval: None,
        event_loop_turn_us: TurnSummary::default(),
        client: ProcessUsage { cpu_s: 3.0, ..ProcessUsage::default() },
        watched: BTreeMap::new(),
        others_cpu_s: 0.1,
        cpus: vec![cpu(0, 500), cpu(1, 1000)],
        verdict: ClientVerdict { kind: ClientVerdictKind::Ok, reason: String::new() },
    }
}

/// A CPU that was busy for so many of a thousand ticks (ten seconds).
fn cpu(cpu: u32, busy: u64) -> CpuTicks {
    CpuTicks { cpu, user: busy / 2, system: busy - busy / 2, irq: 0, idle: 1000 - busy, steal: 0 }
}

fn two_cores() -> Cpus {
    Cpus { server: vec![1], store: vec![0], client: vec![0], allowed: vec![0, 1] }
}

/// What the tests vary beside the client's result.
struct Case {
    cpus: Cpus,
    least_ms: u64,
    late_us_p99: f64,
    delay_ceiling: Option<f64>,
    null_ceiling: Option<f64>,
    store_cpu_s: Option<f64>,
    helpers_cpu_s: Option<f64>,
    server_cpu_s: f64,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            cpus: two_cores(),
            least_ms: 0,
            late_us_p99: 0.0,
            delay_ceiling: None,
            null_ceiling: None,
            store_cpu_s: Some(2.0),
            helpers_cpu_s: None,
            server_cpu_s: 10.0,
        }
    }
}

fn verdict(result: &LoadResult, case: &Case) -> Judgement {
    judge(&Evidence {
        result,
        cpus: &case.cpus,
        least: Duration::from_millis(case.least_ms),
        delays: &[DelayReport { mean_us: case.least_ms as f64 * 1e3, late_us_p99: case.late_us_p99 }],
        delay_ceiling: case.delay_ceiling,
        null_ceiling: case.null_ceiling,
        store_cpu_s: case.store_cpu_s,
        helpers_cpu_s: case.helpers_cpu_s,
        server_cpu_s: case.server_cpu_s,
    })
}

/// A server that was idle for half of the time.
fn half_idle() -> (LoadResult, Case) {
    let result = LoadResult { cpus: vec![cpu(0, 500), cpu(1, 500)], ..healthy() };
    (result, Case { server_cpu_s: 5.0, ..Case::default() })
}

#[test]
fn a_saturated_server_is_ok_without_a_reason() {
    assert_eq!(verdict(&healthy(), &Case::default()), (Verdict::Ok, String::new()));
}

#[test]
fn errors_are_named_by_kind_but_an_expected_status_is_none() {
    let errors = BTreeMap::from([(ErrorKind::Status, 11_000), (ErrorKind::Eof, 3)]);
    let (kind, reason) = verdict(&LoadResult { errors, ..healthy() }, &Case::default());
    assert_eq!((kind, reason.as_str()), (Verdict::Errors, "3 × eof in 11000 answers"));
    let errors = BTreeMap::from([(ErrorKind::Status, 11_000)]);
    assert_eq!(verdict(&LoadResult { errors, ..healthy() }, &Case::default()).0, Verdict::Ok);
}

#[test]
fn starvation_tells_how_many_and_how_long() {
    let mut result = healthy();
    result.verdict.kind = ClientVerdictKind::Starved;
    result.connections.answers[4..].fill(0);
    result.connections.never_answered = 16;
    let (kind, reason) = verdict(&result, &Case::default());
    assert_eq!(kind, Verdict::Starved);
    assert_eq!(reason, "serves 4 of 20 connections and starves 16; the oldest request waited 9.5 s");
}

#[test]
fn an_answer_before_the_store_s_is_impossible() {
    let case = Case { least_ms: 21, ..Case::default() };
    let (kind, reason) = verdict(&healthy(), &case);
    assert_eq!(kind, Verdict::Impossible);
    assert!(reason.contains("20100 µs") && reason.contains("21000 µs"), "{reason}");
}

#[test]
fn a_store_is_late_only_by_more_than_two_milliseconds_and_a_twentieth() {
    let late = |least_ms, late_us_p99| verdict(&healthy(), &Case { least_ms, late_us_p99, ..Case::default() }).0;
    assert_eq!(late(20, 2_500.0), Verdict::StoreLate);
    assert_eq!(late(20, 1_500.0), Verdict::Ok, "less than 2 ms");
    assert_eq!(late(0, 2_500.0), Verdict::Ok, "on no delay of its own");
    let mut slow = healthy();
    slow.latency_us.min = 200_000;
    let case = Case { least_ms: 200, late_us_p99: 2_500.0, ..Case::default() };
    assert_eq!(verdict(&slow, &case).0, Verdict::Ok, "less than a twentieth of 200 ms");
}

#[test]
fn time_stolen_from_any_party_is_noise_and_no_work_of_its_own() {
    for (robbed, who) in [(0, "client and store"), (1, "the server")] {
        let mut stolen = healthy();
        let CpuTicks { system, steal, .. } = &mut stolen.cpus[robbed];
        (*system, *steal) = (*system - 60, 60);
        let (kind, reason) = verdict(&stolen, &Case::default());
        assert_eq!(kind, Verdict::Noisy);
        assert!(reason.contains("6 %") && reason.contains(who), "{reason}");
    }
    // 4 % stolen is within bounds, and of what was left the server used all.
    let mut stolen = healthy();
    stolen.cpus[1] = CpuTicks { steal: 40, ..cpu(1, 960) };
    stolen.cpus[1].idle = 0;
    assert_eq!(verdict(&stolen, &Case { server_cpu_s: 9.6, ..Case::default() }).0, Verdict::Ok);
}

#[test]
fn other_programs_are_noise_and_so_are_they_and_the_hypervisor_together() {
    let (kind, reason) = verdict(&LoadResult { others_cpu_s: 2.0, ..healthy() }, &Case::default());
    assert_eq!(kind, Verdict::Noisy);
    assert!(reason.contains("10 %"), "{reason}");
    let mut both = LoadResult { others_cpu_s: 0.8, ..healthy() };
    assert_eq!(verdict(&both, &Case::default()).0, Verdict::Ok, "4 %");
    both.cpus[0].steal = 40;
    let (kind, reason) = verdict(&both, &Case::default());
    assert_eq!(kind, Verdict::Noisy, "with 2 % stolen");
    assert!(reason.contains("hypervisor took 2 %"), "{reason}");
    let elsewhere = Case { store_cpu_s: None, ..Case::default() };
    let foreign = LoadResult { others_cpu_s: 2.0, ..healthy() };
    assert_eq!(verdict(&foreign, &elsewhere).0, Verdict::Ok, "the store is an other");
}

#[test]
fn a_cpu_that_was_busy_for_nobody_known_was_shared_with_somebody() {
    let (kind, reason) = verdict(&healthy(), &Case { server_cpu_s: 8.0, ..Case::default() });
    assert_eq!(kind, Verdict::Noisy);
    assert!(reason.starts_with("20 % of the time of the CPUs of the server"), "{reason}");
    assert_eq!(verdict(&healthy(), &Case { server_cpu_s: 9.0, ..Case::default() }).0, Verdict::Ok, "ticks are coarse");
}

#[test]
fn noise_is_named_before_the_lateness_that_it_causes() {
    let (mut result, case) = (healthy(), Case { least_ms: 20, late_us_p99: 3_000.0, ..Case::default() });
    assert_eq!(verdict(&result, &case).0, Verdict::StoreLate);
    result.others_cpu_s = 4.0;
    assert_eq!(verdict(&result, &case).0, Verdict::Noisy);
}

#[test]
fn time_stolen_from_a_cpu_this_run_may_not_use_is_no_noise() {
    let mut result = healthy();
    result.cpus.push(CpuTicks { cpu: 2, user: 0, system: 0, irq: 0, idle: 0, steal: 1000 });
    assert_eq!(verdict(&result, &Case::default()).0, Verdict::Ok);
}

#[test]
fn a_window_whose_ends_differ_is_unsteady_and_so_is_one_that_began_with_nothing() {
    let mut result = healthy();
    result.per_second[0].requests = 800;
    assert_eq!(verdict(&result, &Case::default()).0, Verdict::Unsteady);
    result.per_second[..3].iter_mut().for_each(|second| second.requests = 0);
    assert_eq!(verdict(&result, &Case::default()).0, Verdict::Unsteady);
}

#[test]
fn where_something_goes_wrong_on_purpose_a_refusal_is_no_error_and_an_unsteady_window_no_fault() {
    let mut result = healthy();
    result.per_second[0].requests = 800;
    result.errors.insert(ErrorKind::UnexpectedStatus, 200);
    let faulty = Case { helpers_cpu_s: Some(0.0), ..Case::default() };
    assert_eq!(verdict(&result, &Case::default()).0, Verdict::Errors);
    assert_eq!(verdict(&result, &faulty).0, Verdict::Ok);
    result.errors.insert(ErrorKind::Eof, 1);
    assert_eq!(verdict(&result, &faulty).0, Verdict::Errors, "a lost request is one");
}

#[test]
fn those_who_play_a_fault_are_no_other_programs() {
    let mut result = healthy();
    result.others_cpu_s = 3.0;
    assert_eq!(verdict(&result, &Case::default()).0, Verdict::Noisy);
    assert_eq!(verdict(&result, &Case { helpers_cpu_s: Some(2.9), ..Case::default() }).0, Verdict::Ok);
}

#[test]
fn of_a_window_of_two_seconds_the_first_and_the_last_are_compared_and_one_second_says_nothing() {
    let mut result = LoadResult { window_s: 2.0, ..healthy() };
    result.cpus = [(0, 100), (1, 200)].map(|(n, busy)| CpuTicks { idle: 200 - busy, ..cpu(n, busy) }).to_vec();
    result.per_second.truncate(2);
    result.client.cpu_s = 0.5;
    let case = Case { server_cpu_s: 2.0, store_cpu_s: Some(0.5), ..Case::default() };
    result.others_cpu_s = 0.0;
    assert_eq!(verdict(&result, &case).0, Verdict::Ok);
    result.per_second[1].requests = 900;
    let (kind, reason) = verdict(&result, &case);
    assert_eq!(kind, Verdict::Unsteady);
    assert!(reason.starts_with("1000/s in the first second"), "{reason}");
    result.per_second.truncate(1);
    assert_eq!(verdict(&result, &case).0, Verdict::Ok);
}

#[test]
fn a_rate_near_the_delay_s_ceiling_is_latency_bound() {
    let (result, case) = half_idle();
    let case = Case { least_ms: 20, delay_ceiling: Some(1_020.0), ..case };
    let (kind, reason) = verdict(&result, &case);
    assert_eq!((kind, reason.as_str()), (Verdict::LatencyBound, "98.0 % of the ceiling that the store's delay sets"));
    let far = Case { delay_ceiling: Some(1_100.0), ..case };
    assert_eq!(verdict(&result, &far).0, Verdict::Idle);
}

/// The same answers in an open loop with so many requests due in ten seconds, sent so late.
fn offered(result: LoadResult, due: u64, lag_us_p99: u64) -> LoadResult {
    let rate = due as f64 / 10.0;
    let lag_us = TurnSummary { count: due, p50: 5, p99: lag_us_p99, max: lag_us_p99 };
    let arrival = ArrivalKind::Poisson;
    let schedule = ScheduleAccount { rate_from: rate, rate_to: rate, ramp_s: 0.0, arrival, seed: 0, due: None, lag_us };
    LoadResult { schedule: Some(schedule), ..result }
}

#[test]
fn an_offered_rate_that_was_carried_needs_no_busy_server() {
    let (result, case) = half_idle();
    assert_eq!(verdict(&offered(result, 10_050, 80), &case), (Verdict::Ok, String::new()));
}

#[test]
fn a_rate_that_was_not_carried_is_told_with_what_was_and_who_was_full() {
    let (kind, reason) = verdict(&offered(healthy(), 20_000, 80), &Case::default());
    assert_eq!((kind, reason.as_str()), (Verdict::Ok, "offered 2000/s, carried 1000/s"));
    let (result, idle) = half_idle();
    let (kind, reason) = verdict(&offered(result, 20_000, 80), &idle);
    assert_eq!(kind, Verdict::Idle);
    assert!(reason.starts_with("offered 2000/s, carried 1000/s; the server's CPUs were 50 % busy"), "{reason}");
}

#[test]
fn a_client_that_sends_late_does_not_offer_what_it_says() {
    let (kind, reason) = verdict(&offered(healthy(), 10_000, 1_500), &Case::default());
    assert_eq!(kind, Verdict::ClientLimited);
    assert!(reason.contains("1.5 ms (p99) later"), "{reason}");
}

#[test]
fn only_a_delay_makes_a_rate_latency_bound_and_the_null_server_s_must_be_reached_whole() {
    let (result, case) = half_idle();
    let with =
        |null_ceiling| Case { least_ms: 20, delay_ceiling: Some(1_200.0), null_ceiling, cpus: two_cores(), ..case };
    assert_eq!(verdict(&result, &with(Some(1_020.0))).0, Verdict::Idle, "98 % of null is near nothing");
    assert_eq!(verdict(&result, &with(Some(1_005.0))).0, Verdict::Ok, "nobody could have done more");
}

#[test]
fn on_shared_cpus_the_peer_that_used_most_is_named() {
    let (mut result, case) = half_idle();
    result.cpus[0] = cpu(0, 950);
    let named = |client_s, store_s| {
        let mut result = result.clone();
        result.client.cpu_s = client_s;
        verdict(&result, &Case { store_cpu_s: Some(store_s), cpus: two_cores(), ..case }).0
    };
    assert_eq!(named(8.0, 1.5), Verdict::PeerLimitedClient);
    assert_eq!(named(1.5, 8.0), Verdict::PeerLimitedStore);
    assert_eq!(named(4.5, 5.0), Verdict::PeerLimitedBoth);
}

#[test]
fn on_cpus_of_their_own_each_peer_answers_for_itself() {
    let cpus = Cpus { server: vec![3], store: vec![1], client: vec![2], allowed: vec![0, 1, 2, 3] };
    let named = |store, client| {
        let mut result = LoadResult { cpus: vec![cpu(0, 0), cpu(1, store), cpu(2, client), cpu(3, 500)], ..healthy() };
        result.client.cpu_s = seconds(client);
        let (cpus, store_cpu_s) = (cpus.clone(), Some(seconds(store)));
        verdict(&result, &Case { cpus, server_cpu_s: 5.0, store_cpu_s, ..Case::default() }).0
    };
    assert_eq!(named(950, 100), Verdict::PeerLimitedStore);
    assert_eq!(named(100, 950), Verdict::PeerLimitedClient);
    assert_eq!(named(950, 950), Verdict::PeerLimitedBoth);
    assert_eq!(named(500, 500), Verdict::Idle);
}

#[test]
fn a_busy_machine_is_not_the_server_s_merit_when_nobody_is_bound() {
    let cpus = Cpus { server: vec![], store: vec![], client: vec![], allowed: vec![0, 1] };
    let mut result = LoadResult { cpus: vec![cpu(0, 1000), cpu(1, 1000)], ..healthy() };
    result.client.cpu_s = 9.0;
    let case = Case { cpus, store_cpu_s: Some(1.0), server_cpu_s: 10.0, ..Case::default() };
    assert_eq!(verdict(&result, &case).0, Verdict::PeerLimitedClient);
}

#[test]
fn a_late_client_is_named_when_nobody_else_is() {
    let (mut result, case) = half_idle();
    result.verdict = ClientVerdict { kind: ClientVerdictKind::ClientLimited, reason: "its loop was late".to_owned() };
    assert_eq!(verdict(&result, &case), (Verdict::ClientLimited, "its loop was late".to_owned()));
}

#[test]
fn a_server_that_shares_its_cpus_has_filled_them_only_with_its_own_time() {
    let shares =
        |server_cpu_s| Case { cpus: Cpus { server: vec![1, 0], ..two_cores() }, server_cpu_s, ..Case::default() };
    let full = LoadResult { cpus: vec![cpu(0, 1000), cpu(1, 1000)], ..healthy() };
    // Both CPUs are full, and client and store have five of their twenty seconds.
    let (kind, reason) = verdict(&full, &shares(15.0));
    assert_eq!(kind, Verdict::PeerLimitedBoth, "{reason}");
    let (kind, reason) = verdict(&full, &Case { store_cpu_s: None, ..shares(19.5) });
    assert_eq!((kind, reason.as_str()), (Verdict::Ok, ""));
}
