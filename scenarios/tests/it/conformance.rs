//! The contract, over both stores.

use std::path::Path;

use crate::harness::{root, stackbench, traps};

/// Ten times what a check takes on a quiet machine: tests run beside each other.
const BUDGET: &str = "120s";
/// Stacks that are checked at once: most of a check is waiting.
const JOBS: &str = "6";
/// The stacks are dealt to so many tests, so that each ends well before a test that hangs would be ended.
const SHARES: usize = 4;

/// Checks every fourth stack, from this one on, as `stackbench list` finds them.
fn a_share_of_the_stacks_conforms_over(store: &str, share: usize) {
    let stacks = stackbench::stack::discover(&root().join("servers")).unwrap();
    let names: Vec<String> = stacks.into_iter().map(|stack| stack.name).skip(share - 1).step_by(SHARES).collect();
    if names.is_empty() {
        return;
    }
    let options = ["check", "--redis", store, "--budget", BUDGET, "--jobs", JOBS, "--stacks", &names.join(",")];
    let output = stackbench().args(options).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // Names the stacks and the cases.
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for name in names {
        let (passed, missing) = (format!("{name}: ok: "), format!("{name}: not installed"));
        assert!(text.contains(&passed) || text.contains(&missing), "nothing is said of {name}:\n{text}");
    }
}

#[test]
fn every_stack_conforms_over_the_embedded_store_1_of_4() {
    a_share_of_the_stacks_conforms_over("embedded", 1);
}

#[test]
fn every_stack_conforms_over_the_embedded_store_2_of_4() {
    a_share_of_the_stacks_conforms_over("embedded", 2);
}

#[test]
fn every_stack_conforms_over_the_embedded_store_3_of_4() {
    a_share_of_the_stacks_conforms_over("embedded", 3);
}

#[test]
fn every_stack_conforms_over_the_embedded_store_4_of_4() {
    a_share_of_the_stacks_conforms_over("embedded", 4);
}

#[test]
fn every_stack_conforms_over_debian_s_redis_server_1_of_4() {
    a_share_of_the_stacks_conforms_over("spawn", 1);
}

#[test]
fn every_stack_conforms_over_debian_s_redis_server_2_of_4() {
    a_share_of_the_stacks_conforms_over("spawn", 2);
}

#[test]
fn every_stack_conforms_over_debian_s_redis_server_3_of_4() {
    a_share_of_the_stacks_conforms_over("spawn", 3);
}

#[test]
fn every_stack_conforms_over_debian_s_redis_server_4_of_4() {
    a_share_of_the_stacks_conforms_over("spawn", 4);
}

#[test]
fn a_stack_that_does_not_conform_is_named_with_the_case_and_exit_1() {
    let case = "no_answer_precedes_the_stores";
    let dir = traps();
    let options = ["check", "--stacks", "null,no-store", "--cases", case, "--stacks-dir", &dir, "--budget", BUDGET];
    let output = stackbench().args(options).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("no-store: FAILED: 0 passed, 1 failed") && text.contains(case), "{text}");
    // In the order of the names, whichever is done first.
    assert!(text.starts_with("null: ok: "), "{text}");
}

#[test]
fn a_stack_that_does_not_stop_on_sigterm_fails_by_name() {
    let dir = traps();
    let options = ["check", "--stacks", "ignores-sigterm", "--cases", "stops_on_sigterm", "--stacks-dir", &dir];
    let output = stackbench().args(options).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("FAILED   stops_on_sigterm: after SIGTERM: still running"), "{text}");
}

#[test]
fn a_rust_stack_that_cannot_take_port_0_is_given_a_free_one_and_expected_to_refuse_0() {
    let dir = tempfile::tempdir().unwrap();
    // Takes port 0 in truth, so that its deviation is out of date, which is noticed too.
    changed_null(dir.path(), "deviations = [\"takes_port_0\"]");
    let options = ["check", "--stacks", "odd", "--cases", "every_route_answers_ok,takes_port_0", "--stacks-dir"];
    let output = stackbench().args(options).arg(dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("odd: FAILED: 1 passed, 1 failed"), "{text}");
    assert!(text.contains("takes_port_0: listed as a deviation, but passes"), "{text}");
}

#[test]
fn a_soak_reports_what_a_server_holds() {
    let output = stackbench().args(["check", "--soak", "--stacks", "null"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        text.starts_with("null: ok: RSS ") && text.contains("after 200000 requests and 20000 connections"),
        "{text}"
    );
}

#[test]
fn a_deviation_that_names_no_case_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    changed_null(dir.path(), "deviations = [\"teapot\"]");
    let output = stackbench().args(["check", "--stacks", "odd", "--stacks-dir"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`teapot`"));
}

/// The null server as a stack named `odd`, with one more line.
fn changed_null(dir: &Path, line: &str) {
    let text = std::fs::read_to_string(root().join("servers/null/stack.toml")).unwrap();
    let text = text.replace("name = \"null\"", &format!("name = \"odd\"\n{line}"));
    std::fs::write(dir.join("stack.toml"), text).unwrap();
}
