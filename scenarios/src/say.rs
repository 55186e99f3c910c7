//! Printing that survives a reader who has gone: `stackbench … | head` must not end a run.

/// `println!`, but whoever closes the pipe only stops listening.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => {{
        use std::io::Write as _;
        // Nobody is left to be told.
        let _ = writeln!(std::io::stdout(), $($argument)*);
    }};
}
