//! Progress: a bar with the current cell and the time left on a terminal, plain lines elsewhere. Always on stderr, so that
//! stdout holds the plan and the table and nothing else.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use stackbench_reports::{
    row::{Row, Verdict},
    table::verdict_word,
};

use crate::plan::in_words;

/// Progress through a known number of trials, and those of them that are repeated.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    done: usize,
    total: usize,
    began: Instant,
    planned: Duration,
}

impl Progress {
    /// Begins.
    pub fn start(total: usize, planned: Duration) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}");
            bar.set_style(style.expect("the template is well-formed").progress_chars("█▌ "));
            bar
        });
        Self { bar, done: 0, total, began: Instant::now(), planned }
    }

    /// A trial begins.
    pub fn begin(&mut self, label: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{label}  {} left", in_words(self.left())));
        }
    }

    /// A trial has ended.
    pub fn end(&mut self, label: &str, row: &Row) {
        let left = self.total.saturating_sub(self.done + 1) + usize::from(row.repeated);
        self.advance(&format!("{label}: {}", summary(row)), left);
    }

    /// A trial has ended, with a line of its own; so many are left as far as is known.
    pub fn advance(&mut self, line: &str, left: usize) {
        self.done += 1;
        self.total = self.done + left;
        let line = format!("{:>3}/{} {line}", self.done, self.total);
        match &self.bar {
            Some(bar) => {
                bar.println(line);
                bar.set_length(self.total as u64);
                bar.set_position(self.done as u64);
            }
            None => eprintln!("{line} ({} left)", in_words(self.left())),
        }
    }

    /// The bar goes, the lines stay.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// By the plan at first, by experience later.
    fn left(&self) -> Duration {
        let undone = self.total.saturating_sub(self.done);
        if self.done == 0 { self.planned } else { self.began.elapsed() / self.done as u32 * undone as u32 }
    }
}

fn summary(row: &Row) -> String {
    let verdict = verdict_word(row.verdict);
    match (row.verdict, &row.error) {
        (Verdict::Failed, error) => format!("failed: {}", error.as_deref().unwrap_or_default()),
        _ => {
            let (rate, cost) = (row.requests_per_sec, row.server.cpu_us_per_request);
            let reason = if row.reason.is_empty() { String::new() } else { format!(": {}", row.reason) };
            let again = if row.repeated { " (will be measured again)" } else { "" };
            format!("{rate:.0}/s, {cost:.1} µs CPU per request, {verdict}{reason}{again}")
        }
    }
}
