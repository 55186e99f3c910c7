//! The suite itself is tried: on a server that meets every demand, and on servers that fail to in one way each.

mod process;
mod reading;
mod server;
mod store;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stackbench_reports::row::Mode;

use super::{CaseResult, Outcome, StoreControl, Target, cases, run, run_only, soak};
use process::Servers;
use server::Fault;
use store::MemoryStore;

/// Far more than the suite needs, for a machine that runs other tests beside this one.
const BUDGET: Duration = Duration::from_secs(120);
const MODES: [Mode; 2] = [Mode::Sync, Mode::Async];
/// Both ends of a crowd are in this process, and other tests' may be too.
const CROWD: usize = 300;

/// A server whose process is out of reach.
fn target<'a>(addr: SocketAddr, modes: &'a [Mode], store: Option<&'a mut dyn StoreControl>) -> Target<'a> {
    Target { addr, modes, pool_bounded: &MODES[..1], server: None, store, budget: BUDGET, crowd: CROWD }
}

/// Tries the named cases on a server with a fault.
fn try_cases(fault: Fault, names: &[&str], deviations: &[&str]) -> Vec<CaseResult> {
    let mut store = MemoryStore::loaded();
    let (mut servers, addr) = Servers::start(fault, &store);
    let mut target = Target { server: Some(&mut servers), ..target(addr, &MODES, Some(&mut store)) };
    let deviations: Vec<String> = deviations.iter().map(ToString::to_string).collect();
    run_only(&mut target, &deviations, &|case| names.contains(&case.name))
}

fn failed(results: &[CaseResult]) -> Vec<String> {
    let failure = |result: &CaseResult| match &result.outcome {
        Outcome::Passed => None,
        other => Some(format!("{}: {other:?}", result.name)),
    };
    results.iter().filter_map(failure).collect()
}

#[test]
fn a_good_server_passes_every_case() {
    let mut store = MemoryStore::loaded();
    let (mut servers, addr) = Servers::start(Fault::Nothing, &store);
    let mut target = Target { server: Some(&mut servers), ..target(addr, &MODES, Some(&mut store)) };
    let results = run(&mut target, &[]);
    for result in &results {
        println!("{}: {:.1?}", result.name, result.elapsed);
    }
    assert_eq!(failed(&results), Vec::<String>::new());
    let names: Vec<_> = results.iter().map(|result| result.name).collect();
    let all: Vec<_> = cases().iter().map(|case| case.name).collect();
    assert_eq!(names, all);
}

#[test]
fn a_server_without_a_store_skips_the_cases_that_need_one() {
    let (mut servers, addr) = Servers::start(Fault::NoStore, &MemoryStore::default());
    let results = run(&mut Target { server: Some(&mut servers), ..target(addr, &MODES[..1], None) }, &[]);
    for (case, result) in cases().iter().zip(&results) {
        let skipped = matches!(result.outcome, Outcome::Skipped(_));
        let needs_store = case.needs_store()
            || ["requests_in_flight_at_sigterm_are_answered", "requests_held_at_sigterm_are_answered"]
                .contains(&case.name);
        assert_eq!(skipped, needs_store, "{}: {:?}", case.name, result.outcome);
    }
}

#[test]
fn case_names_are_unique_and_in_snake_case() {
    let names: BTreeSet<_> = cases().iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases().len());
    let snake =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    assert!(names.iter().all(|name| snake(name)), "{names:?}");
}

#[test]
fn a_listed_deviation_is_expected_to_fail_and_noticed_when_it_passes() {
    let names = ["head_has_no_body", "connections_are_kept_alive"];
    let results = try_cases(Fault::SendsBodyToHead, &names, &names);
    assert!(matches!(results[0].outcome, Outcome::ExpectedDeviation(_)), "{:?}", results[0]);
    assert_eq!(results[1].outcome, Outcome::UnexpectedPass);
}

#[test]
fn a_server_that_does_not_listen_fails_every_case_that_is_not_skipped() {
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let results = run(&mut target(addr, &MODES, None), &[]);
    assert!(results.iter().all(|result| !matches!(result.outcome, Outcome::Passed)), "{results:?}");
}

#[test]
fn what_the_budget_does_not_cover_fails() {
    let (_, addr) = server::start(Fault::Nothing, &MemoryStore::loaded());
    let results = run(&mut Target { budget: Duration::ZERO, ..target(addr, &MODES, None) }, &[]);
    let Outcome::Failed(seen) = &results[0].outcome else { panic!("{:?}", results[0]) };
    assert!(seen.contains("budget"), "{seen}");
}

#[test]
fn a_stack_that_says_it_does_not_stop_is_not_tried_on_how_it_stops() {
    let names = ["stops_on_sigterm", "requests_in_flight_at_sigterm_are_answered"];
    let results = try_cases(Fault::ExitsWith1, &names, &names[..1]);
    assert!(matches!(results[0].outcome, Outcome::ExpectedDeviation(_)), "{:?}", results[0]);
    assert!(matches!(results[1].outcome, Outcome::Skipped(_)), "{:?}", results[1]);
}

#[test]
fn a_soak_asks_all_it_says_and_reads_memory_after_each_part() {
    let store = MemoryStore::loaded();
    let (_, addr) = server::start(Fault::Nothing, &store);
    let held = AtomicU64::new(0);
    // As a server that leaks: more each time it is looked at.
    let rss_bytes = || Ok(held.fetch_add(20 << 20, Ordering::Relaxed));
    let soaked = soak::soak_with(&target(addr, &MODES, None), &rss_bytes, 2_000).unwrap();
    assert_eq!((soaked.at_start, soaked.after.len()), (0, soak::PARTS), "in doubt to the end");
    assert!(soaked.grew());
    let counts = store.clone().command_counts().unwrap();
    assert_eq!(counts["get"] + counts["set"], soak::PARTS as u64 * 2_000 * 4 / 5, "one request in five is for /check");
}

#[test]
fn a_soak_notices_a_wrong_answer() {
    let (_, addr) = server::start(Fault::NoStore, &MemoryStore::default());
    assert!(soak::soak_with(&target(addr, &MODES, None), &|| Ok(1), 500).is_ok());
    let (_, addr) = server::start(Fault::WrongBody, &MemoryStore::loaded());
    assert!(soak::soak_with(&target(addr, &MODES, None), &|| Ok(1), 500).is_err());
}

/// For each fault, a test that the named cases fail.
macro_rules! faults {
    ($($test:ident: $fault:ident => $($case:literal),+;)*) => {$(
        #[test]
        fn $test() {
            let names = [$($case),+];
            let results = try_cases(Fault::$fault, &names, &[]);
            assert_eq!(results.len(), names.len(), "a name is not a case's");
            for result in results {
                println!("{}: {:?} after {:.1?}", result.name, result.outcome, result.elapsed);
                assert!(matches!(result.outcome, Outcome::Failed(_)), "{result:?}");
            }
        }
    )*};
}

faults! {
    a_server_with_other_bytes_is_noticed: WrongBody => "every_route_answers_ok";
    a_server_with_a_bad_status_line_is_noticed: AnswersGarbage => "every_route_answers_ok";
    a_server_with_an_old_date_is_noticed: OldDate => "every_route_answers_ok";
    a_server_that_takes_the_query_for_the_path_is_noticed: MatchesQueries => "query_strings_are_ignored";
    a_server_without_allow_is_noticed: NoAllow => "other_methods_answer_405";
    a_server_that_sends_a_body_to_head_is_noticed: SendsBodyToHead => "head_has_no_body";
    a_server_that_always_closes_is_noticed: ClosesAfterAnswer =>
        "connections_are_kept_alive", "http_1_0_can_keep_alive", "unknown_paths_answer_404";
    a_server_that_ignores_close_is_noticed: IgnoresClose =>
        "connection_close_is_honoured", "nothing_is_answered_after_close";
    a_server_that_ignores_http_1_0_is_noticed: IgnoresHttp10 => "http_1_0_closes";
    a_server_that_answers_backwards_is_noticed: AnswersPipelinedBackwards => "pipelined_requests_keep_their_order";
    a_server_that_takes_a_read_for_a_request_is_noticed: OneReadIsOneRequest =>
        "a_request_may_come_byte_by_byte", "a_request_may_be_split_anywhere";
    a_server_that_leaves_bodies_unread_is_noticed: LeavesBodies =>
        "a_body_is_discarded", "a_chunked_body_is_discarded", "a_body_at_the_limit_is_discarded";
    a_server_that_trusts_two_framings_is_noticed: AcceptsBothFramings => "two_framings_do_not_survive";
    a_server_that_keeps_bad_clients_is_noticed: KeepsBadClients =>
        "garbage_is_refused", "bad_lengths_are_refused", "unknown_transfer_codings_are_refused";
    a_server_without_a_limit_of_headers_is_noticed: AcceptsAnyHeaders => "too_many_headers_are_refused";
    a_server_without_an_end_of_its_buffers_is_noticed: BuffersWithoutLimit => "unread_answers_are_bounded";
    a_server_that_waits_for_clients_that_have_gone_is_noticed: WaitsForTheRest => "a_request_cut_short_is_let_go";
    a_server_that_dies_of_resets_is_noticed: DiesOfResets => "clients_that_reset_are_survived";
    a_server_that_loses_half_closed_clients_is_noticed: LosesHalfClosed =>
        "a_half_closed_client_is_answered", "a_store_that_pauses_fails_no_request";
    a_server_that_closes_when_its_store_is_lost_is_noticed: ClosesAfterStoreError =>
        "a_store_lost_under_load_fails_only_requests";
    a_server_that_does_not_reconnect_under_load_is_noticed: NeverReconnects =>
        "a_store_lost_under_load_fails_only_requests";
    a_server_that_ignores_sigterm_is_noticed: IgnoresSigterm => "stops_on_sigterm";
    a_server_that_ends_with_an_error_is_noticed: ExitsWith1 => "stops_on_sigterm", "sigterm_under_load_drops_no_request";
    a_server_that_leaves_its_port_open_is_noticed: KeepsPort => "stops_on_sigterm";
    a_server_that_drops_requests_when_it_stops_is_noticed: DropsWhatIsInFlight =>
        "requests_in_flight_at_sigterm_are_answered", "requests_held_at_sigterm_are_answered",
        "sigterm_under_load_drops_no_request";
    a_server_that_must_be_told_its_port_is_noticed: NeedsPort => "takes_port_0";
    a_server_that_closes_crowds_is_noticed: ClosesCrowds => "ten_thousand_connections_are_held";
    a_server_that_starts_without_descriptors_is_noticed: StartsAnyway => "too_few_descriptors_are_refused";
    a_server_that_refuses_without_a_reason_is_noticed: RefusesWithoutReason => "too_few_descriptors_are_refused";
    a_server_that_panics_is_noticed: Panics => "nothing_panics";
    a_server_whose_threads_own_connections_is_noticed: OwnsConnections =>
        "slow_readers_hold_up_nobody", "slow_bodies_hold_up_nobody",
        "slow_senders_hold_up_nobody", "idle_connections_hold_up_nobody", "all_of_64_connections_are_served";
    a_server_that_does_not_ask_its_store_is_noticed: NoStore =>
        "a_request_costs_one_command", "an_empty_store_is_missed_and_filled",
        "a_store_error_answers_503", "no_answer_precedes_the_stores", "a_stalled_store_answers_503",
        "a_store_may_go_and_come_back";
    a_server_that_does_not_wait_for_its_store_is_noticed: AnswersEarly =>
        "no_answer_precedes_the_stores", "an_empty_store_is_missed_and_filled", "a_store_error_answers_503";
    a_server_that_asks_its_store_twice_is_noticed: AsksTwice => "a_request_costs_one_command";
    a_server_that_stores_less_is_noticed: ShortValues => "an_empty_store_is_missed_and_filled";
    a_server_that_answers_500_for_its_store_is_noticed: ServerErrorIs500 => "a_store_error_answers_503";
    a_server_that_closes_when_its_store_errs_is_noticed: ClosesAfterStoreError => "a_store_error_answers_503";
    a_server_that_never_replaces_store_connections_is_noticed: NeverReconnects => "lost_store_connections_are_replaced";
    a_server_that_never_finds_its_store_again_is_noticed: NeverReconnects => "a_store_may_go_and_come_back";
    a_server_whose_store_blocks_the_rest_is_noticed: LocksWhileAsking =>
        "no_answer_precedes_the_stores", "holds_hold_up_nobody";
    a_server_that_does_not_hold_is_noticed: AnswersEarly => "a_hold_takes_its_time", "holds_overlap";
    a_server_that_asks_its_store_for_a_hold_is_noticed: AsksTwice => "a_hold_takes_its_time";
    a_server_that_holds_all_in_its_pool_is_noticed: HoldsAllInPool => "holds_overlap";
    a_server_that_holds_all_outside_its_pool_is_noticed: HoldsNoneInPool => "holds_overlap";
}
