//! The contract, over both stores.

use crate::harness::{stackbench, traps};

/// Twelve times what a check takes on a quiet machine: tests run beside each other.
const BUDGET: &str = "120s";

fn every_stack_conforms_over(store: &str) {
    let output = stackbench().args(["check", "--redis", store, "--budget", BUDGET]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for stack in ["thread-pool", "tokio", "null"] {
        assert!(text.contains(&format!("{stack}: ok: ")), "{text}");
    }
}

#[test]
fn every_stack_conforms_over_the_embedded_store() {
    every_stack_conforms_over("embedded");
}

#[test]
fn every_stack_conforms_over_debian_s_redis_server() {
    every_stack_conforms_over("spawn");
}

#[test]
fn a_stack_that_does_not_conform_is_named_with_the_case_and_exit_1() {
    let dir = traps();
    let options = ["check", "--stacks", "no-store", "--stacks-dir", &dir, "--budget", BUDGET];
    let output = stackbench().args(options).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("no-store: FAILED") && text.contains("store"), "{text}");
}

#[test]
fn a_deviation_that_names_no_case_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(crate::harness::root().join("servers/null/stack.toml")).unwrap();
    let text = text.replace("name = \"null\"", "name = \"odd\"\ndeviations = [\"teapot\"]");
    std::fs::write(dir.path().join("stack.toml"), text).unwrap();
    let output = stackbench().args(["check", "--stacks", "odd", "--stacks-dir"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`teapot`"));
}
