//! What is shown on a terminal while load runs: a line that is written over every second.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

use crate::extended::Extended;
use crate::outcome::hdr_of;
use crate::tally::IntervalTally;
use crate::units::format_time_us;

/// Wide enough for every line, so that each covers the one before.
const LINE_CHARACTERS: usize = 78;

/// The seconds that the loops have finished, added up.
#[derive(Debug, Default)]
pub struct Live(Mutex<Vec<IntervalTally>>);

impl Live {
    /// Where somebody looks on: standard output and standard error are terminals.
    pub fn for_terminal() -> Option<Self> {
        (io::stdout().is_terminal() && io::stderr().is_terminal()).then(Self::default)
    }

    /// Adds what one loop counted in second `number` of the window, or in a part of it.
    pub fn add(&self, number: usize, second: &IntervalTally) {
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() <= number {
            seconds.resize_with(number + 1, IntervalTally::default);
        }
        seconds[number].merge(second);
    }

    /// Shows second `number`.
    pub fn show(&self, number: usize) {
        let line = self.line(number);
        // Whoever has closed the terminal does not want it any more.
        let _ = write!(io::stderr(), "\r{line:<LINE_CHARACTERS$}");
    }

    /// Makes room for the report.
    pub fn clear(&self) {
        let _ = write!(io::stderr(), "\r{:LINE_CHARACTERS$}\r", "");
    }

    fn line(&self, number: usize) -> String {
        let seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = IntervalTally::default();
        let second = seconds.get(number).unwrap_or(&nothing);
        let p99 = match second.latency.is_empty() {
            true => "-".to_owned(),
            false => format_time_us(Extended::from(hdr_of(second.latency.iter().copied()).value_at_quantile(0.99))),
        };
        format!("{:>6} s: {} requests/s, p99 {}, {} errors", number + 1, second.requests, p99.trim_end(), second.errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_that_of_all_loops() {
        let live = Live::default();
        live.add(1, &IntervalTally { requests: 3, bytes: 0, errors: 1, latency: vec![(100, 3)] });
        live.add(1, &IntervalTally { requests: 4, bytes: 0, errors: 0, latency: vec![(200, 4)] });
        assert_eq!(live.line(1), "     2 s: 7 requests/s, p99 200.00us, 1 errors");
        assert_eq!(live.line(0), "     1 s: 0 requests/s, p99 -, 0 errors");
    }
}
