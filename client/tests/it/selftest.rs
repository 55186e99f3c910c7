//! The self-test: that it finds a client that tells the truth, and can find one that does not.

use ::stackload::selftest::traps::TRAPS;

use crate::stackload::run;

/// Those whose truth is a count: a busy machine does not change it.
const COUNTED: [&str; 5] = ["hang", "reset", "no-length", "interim", "no-body"];

#[test]
fn what_is_counted_agrees_with_the_truth() {
    let done = run(&[&["selftest"], &COUNTED[..]].concat());
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    for name in COUNTED {
        let right = |line: &str| line.starts_with(name) && line.ends_with("  yes");
        assert!(done.stdout.lines().any(right), "{name}: {}", done.stdout);
    }
}

#[test]
fn every_trap_is_listed_with_what_it_does() {
    let listed = run(&["selftest", "--list"]);
    for trap in TRAPS {
        assert!(listed.stdout.contains(trap.name) && listed.stdout.contains(trap.does), "{}", listed.stdout);
    }
}

#[test]
fn a_trap_that_is_not_there_is_named() {
    let refused = run(&["selftest", "freeze", "fire"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.starts_with("stackload selftest: there is no trap 'fire'\n"), "{}", refused.stderr);
}
