//! Ways to draw a run. Adding one is one file here, and below a line each in the modules, in [`Format`], in [`FORMATS`] and
//! in [`Format::draw`].

use serde::Serialize;

use crate::{capacity::Capacity, dir::Run, page, seconds::Seconds};

mod builds;
mod capacity;
pub mod cards;
mod columns;
pub mod compare;
mod curves;
mod headline;
mod json;
mod markdown;
pub mod pick;
mod published;
pub mod repeat;
mod summary;
mod terminal;

pub use headline::draw as headline;

/// A way to draw a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal of 120 columns.
    Terminal,
    /// GitHub's Markdown.
    Markdown,
    /// Builds of the same stacks side by side.
    Builds,
    /// Every step of every stack as CSV.
    Curves,
    /// Every cell as CSV.
    Csv,
    /// Every cell, with what it was made from, as JSON.
    Json,
    /// Every second of every trial as CSV.
    Seconds,
    /// One page for a browser.
    Html,
}

/// Formats by the names that command lines use.
pub const FORMATS: &[(&str, Format)] = &[
    ("text", Format::Terminal),
    ("md", Format::Markdown),
    ("html", Format::Html),
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("curves", Format::Curves),
    ("seconds", Format::Seconds),
    ("builds", Format::Builds),
];

impl Format {
    /// Draws a run; its seconds are in some formats only.
    pub fn draw(self, run: &Run, seconds: &Seconds) -> String {
        match self {
            Self::Terminal => terminal::draw(run),
            Self::Markdown => markdown::draw(run),
            Self::Builds => builds::draw(run),
            Self::Curves => curves::draw(run),
            Self::Seconds => seconds.csv(&run.rows),
            Self::Html => page::draw(run, seconds),
            Self::Csv => summary::draw(run),
            Self::Json => json::draw(run),
        }
    }

    /// Draws a search for capacity; `None` in a format that is of ordinary runs only.
    pub fn draw_capacity(self, found: &Capacity, run: &Run, seconds: &Seconds) -> Option<String> {
        match self {
            Self::Terminal => Some(capacity::terminal(found, run)),
            Self::Markdown => Some(capacity::markdown(found, run)),
            Self::Seconds => Some(seconds.csv(&run.rows)),
            Self::Html => Some(page::capacity::draw(found, run)),
            Self::Builds | Self::Curves | Self::Csv | Self::Json => None,
        }
    }

    /// The format of a name of [`FORMATS`].
    pub fn named(name: &str) -> Option<Self> {
        FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }
}

/// Lines of CSV below the names of their fields; nothing at all for none.
pub(crate) fn csv_of(lines: impl Iterator<Item = impl Serialize>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.serialize(line).expect("fields are numbers and words, and memory takes all of them");
    }
    String::from_utf8(writer.into_inner().expect("memory takes all of it")).expect("strings are UTF-8")
}

/// Lines of CSV below the names of their columns.
fn csv_lines(names: impl Iterator<Item = impl AsRef<[u8]>>, lines: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(names).expect("memory takes all of it");
    for line in lines {
        writer.write_record(line).expect("each line has a field for each name, and memory takes all of it");
    }
    String::from_utf8(writer.into_inner().expect("memory takes all of it")).expect("strings are UTF-8")
}

/// The fields of some columns of CSV, line by line.
#[cfg(test)]
fn csv_fields(text: &str, names: &[&str]) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let at = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let line = |record: csv::StringRecord| names.iter().map(|name| &record[at(name)]).collect::<Vec<_>>().join("|");
    reader.records().map(|record| line(record.unwrap())).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{collections::BTreeMap, env, fs, path::Path};

    use super::*;
    use crate::{
        capacity::{Ended, Search, SetBy, Trial, tests as capacity_of},
        latency::Observed,
        row::{Role, Row, Verdict},
        sample,
    };

    /// Three trials each of a good stack, a limited one and the ceiling, and one that did not start.
    fn run() -> Run {
        let mut rows = Vec::new();
        for trial in 1..=3 {
            let step = f64::from(trial);
            let mut tokio = Row { trial, requests_per_sec: 9_990.0 + step, ..sample::row("tokio") };
            tokio.verdict = Verdict::LatencyBound;
            tokio.reason = "99.8 % of 2000 connections / 199.8 ms".to_owned();
            let mut threads = Row { trial, requests_per_sec: 9_000.0 + step, ..sample::row("thread-pool") };
            threads.server.cpu_us_per_request = 40.0 + step;
            threads.verdict = Verdict::PeerLimitedBoth;
            threads.reason = "the CPUs of client and store were 97 % busy".to_owned();
            let mut null = Row { trial, requests_per_sec: 123_456.0 + 1000.0 * step, ..sample::row("null") };
            null.role = Role::Ceiling;
            null.ceiling_per_sec = None;
            null.ceiling_source = None;
            let mut broken = Row { trial, verdict: Verdict::Failed, ..sample::row("broken") };
            broken.error = Some("exited with status 2 before it listened:\n  error: no such | flag".to_owned());
            rows.extend([broken, null, threads, tokio]);
        }
        let mut latencies = with_latencies(&mut rows);
        latencies.remove("raw/thread-pool-2.json");
        let warnings = vec!["raw/thread-pool-2.json: No such file or directory".to_owned()];
        Run { meta: sample::meta(), rows, latencies, warnings }
    }

    /// Gives each row a result file, and what stands in it.
    fn with_latencies(rows: &mut [Row]) -> BTreeMap<String, Observed> {
        let of_row = |row: &mut Row| {
            let raw = format!("raw/{}-{}.json", row.stack, row.trial);
            row.raw = Some(raw.clone());
            (raw, sample::latencies(&[(200_100, 98), (201_000, 2)], &[(100_000, 5)]))
        };
        rows.iter_mut().map(of_row).collect()
    }

    /// Eight blocks of three stacks, one of them under two names, on a machine that is in another mood in each block.
    fn run_of_eight() -> Run {
        let mut rows = Vec::new();
        for (trial, mood) in (1..).zip([1.0, 1.3, 0.9, 1.2, 1.1, 1.4, 1.0, 1.25]) {
            let row = |stack: &str, us: f64, twin| {
                let wavers = 1.0 + 0.002 * f64::from((trial * 7 + stack.len() as u32) % 5);
                let mut row = Row { trial, twin, requests_per_sec: 300_000.0 / us, ..sample::row(stack) };
                row.server.cpu_us_per_request = us * mood * wavers;
                row
            };
            let dear = row("thread-pool", 32.0, None);
            let noisy = Row { repeated: true, verdict: Verdict::Noisy, ..row("thread-pool", 90.0, None) };
            rows.extend([row("may", 30.3, None), row("tokio", 30.0, None), row("tokio", 30.6, Some(2)), dear]);
            rows.extend((trial > 6).then_some(noisy));
        }
        let latencies = with_latencies(&mut rows);
        Run { meta: sample::meta(), rows, latencies, warnings: Vec::new() }
    }

    /// Compares with a file of `expected/`; with `UPDATE_EXPECTED=1` in the environment, writes it instead (then look
    /// at it).
    fn assert_drawn(run: &Run, format: Format, name: &str) {
        assert_expected(&format.draw(run, &Seconds::default()), name);
    }

    pub(crate) fn assert_expected(drawn: &str, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/format/expected").join(name);
        if env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&path, drawn).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap();
        assert_eq!(
            drawn, expected,
            "{name} differs; if it should, run again with UPDATE_EXPECTED=1 in the environment"
        );
    }

    #[test]
    fn a_terminal_of_120_columns_is_wide_enough() {
        for mut run in [run(), run_of_eight()] {
            for row in &mut run.rows {
                // As long as the longest name there is: `thread-per-connection`.
                row.stack = format!("{:x<21}", row.stack);
                row.requests_per_sec += 100_000.0;
                row.server.cpu_us_per_request += 1_000.0;
            }
            let text = Format::Terminal.draw(&run, &Seconds::default());
            for line in text.lines() {
                assert!(line.chars().count() <= 120, "{} columns: {line}", line.chars().count());
            }
        }
    }

    #[test]
    fn the_terminal_shows_the_stacks_side_by_side() {
        assert_drawn(&run(), Format::Terminal, "terminal.txt");
    }

    #[test]
    fn markdown_shows_the_stacks_side_by_side() {
        assert_drawn(&run(), Format::Markdown, "markdown.md");
    }

    #[test]
    fn eight_blocks_are_shown_with_intervals_and_paired_places() {
        assert_drawn(&run_of_eight(), Format::Terminal, "terminal-8.txt");
        assert_drawn(&run_of_eight(), Format::Markdown, "markdown-8.md");
    }

    #[test]
    fn summaries_have_every_cell() {
        for (format, name) in [(Format::Csv, "summary.csv"), (Format::Json, "summary.json")] {
            assert_drawn(&run(), format, name);
        }
        assert_drawn(&run_of_eight(), Format::Csv, "summary-8.csv");
    }

    #[test]
    fn the_headline_is_the_first_screen_of_a_readme() {
        assert_expected(&headline(&run_of_eight()).unwrap(), "headline-8.md");
        assert_expected(&headline(&run()).unwrap(), "headline.md");
    }

    /// Four searches: two whose bounds overlap, one that the client bounded, and one that failed.
    fn searched() -> (Capacity, Run) {
        let (stack, client) = (Some(SetBy::Stack), Some(SetBy::Client));
        let around = |stack: &str, lower: f64, upper: f64, by: Option<SetBy>| {
            let trials = [(5_000.0, None), (upper, by), (lower, None), (lower, None), (upper, by)];
            capacity_of::search(stack, (lower, upper), &trials)
        };
        let mut failed = around("broken", 5_000.0, 10_000.0, stack);
        (failed.ended, failed.error) = (Ended::Failed, Some("the server was killed by signal 11".to_owned()));
        let mut disturbed = around("tokio", 20_000.0, 20_886.0, stack);
        disturbed.trials[1].noisy = true;
        let searches = vec![
            failed,
            around("thread-pool", 20_000.0, 20_886.0, stack),
            disturbed,
            around("may", 40_000.0, 41_771.0, client),
        ];
        let row = |search: &Search, trial: &Trial| Row { trial: trial.number, ..sample::row(&search.stack) };
        let mut rows: Vec<Row> =
            searches.iter().flat_map(|search| search.trials.iter().map(move |trial| row(search, trial))).collect();
        let latencies = with_latencies(&mut rows);
        let mut meta = sample::meta();
        meta.plan.trials = 0;
        (capacity_of::capacity(searches), Run { meta, rows, latencies, warnings: Vec::new() })
    }

    #[test]
    fn searches_for_capacity_are_drawn_with_their_bounds() {
        let (found, run) = searched();
        for (format, name) in [(Format::Terminal, "capacity.txt"), (Format::Markdown, "capacity.md")] {
            assert_expected(&format.draw_capacity(&found, &run, &Seconds::default()).unwrap(), name);
        }
        for format in [Format::Builds, Format::Curves, Format::Csv, Format::Json] {
            assert_eq!(format.draw_capacity(&found, &run, &Seconds::default()), None);
        }
    }

    #[test]
    fn a_run_without_rows_says_so() {
        let run = Run { rows: Vec::new(), ..run() };
        for format in [Format::Terminal, Format::Markdown, Format::Builds] {
            assert!(format.draw(&run, &Seconds::default()).contains("There are no "));
        }
    }

    #[test]
    fn formats_are_found_by_name() {
        assert_eq!(Format::named("md"), Some(Format::Markdown));
        assert_eq!(Format::named("pdf"), None);
    }
}
