//! Waiting for what is bound to happen.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a condition holds; the test fails if it does not within [`PATIENCE`].
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}
