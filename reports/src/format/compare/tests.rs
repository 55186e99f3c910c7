//! Golden texts of comparisons. The figures are invented.

use super::*;
use crate::{
    capacity::{
        Capacity,
        tests::{capacity, search},
    },
    compare::{Comparison, Machines, Options, Regression, searches::ComparedSearches},
    dir::Run,
    format::tests::assert_expected,
    row::{Role, Row, Verdict},
    sample,
};

/// Eight blocks, or three: a stack as it was, one that became dearer, one that failed, one that cannot be told, the ceiling, and
/// one that only this run has.
fn run(blocks: u32, alone: &str, dear: f64, fails: Verdict) -> Run {
    let mut rows = Vec::new();
    for trial in 1..=blocks {
        let sway = 1.0 + 0.004 * f64::from((trial * 7) % 5);
        let row = |stack: &str, us: f64| {
            let mut row = Row { trial, requests_per_sec: 10_000.0 / sway, ..sample::row(stack) };
            row.server.cpu_us_per_request = us * sway;
            row.yardstick_ms = Some([0.1 * dear, 0.1 * dear]);
            row
        };
        let twin = Row { twin: Some(2), ..row("may", 20.2) };
        let broken = Row {
            verdict: fails,
            error: Some("exited with <status> 2 | no file".to_owned()),
            ..row("async-std", 40.0)
        };
        let noisy = Row { verdict: Verdict::Noisy, ..row("smol", 25.0) };
        let ceiling = Row { role: Role::Ceiling, ceiling_per_sec: None, ..row("null", 8.0) };
        rows.extend([row("may", 20.0), twin, row("tokio", dear), broken, noisy, ceiling, row(alone, 30.0)]);
    }
    let mut meta = sample::meta();
    meta.started = format!("2026-11-21T10:{dear}:00Z");
    meta.git.revision = Some(format!("{alone:a<16}"));
    Run { meta, rows, latencies: Default::default(), warnings: Vec::new() }
}

/// The sheet of two runs, with a gate at 10 %.
fn sheet(blocks: u32) -> Sheet {
    let (a, b) = (run(blocks, "compio", 30.0, Verdict::Ok), run(blocks, "axum", 39.0, Verdict::Failed));
    let options = Options { quantities: Vec::new(), machines: Machines::Same };
    let comparison = Comparison::of(&a, &b, &options).unwrap();
    let regressions = comparison.regressions(0.1);
    let heads = Heads { names: ["reports/before", "reports/<after>"], metas: [&a.meta, &b.meta] };
    Sheet::of(&comparison, heads, Some(Gate { threshold: 0.1, regressions: &regressions }))
}

fn sheet_of_searches() -> Sheet {
    let stack = Some(crate::capacity::SetBy::Stack);
    let around =
        |stack_name: &str, lower: f64, upper: f64| search(stack_name, (lower, upper), &[(lower, None), (upper, stack)]);
    let found = |tokio: (f64, f64)| -> (Capacity, Run) {
        let searches = vec![around("may", 40_000.0, 41_771.0), around("tokio", tokio.0, tokio.1)];
        let rows = searches.iter().map(|search| sample::row(&search.stack)).collect();
        let run = Run { meta: sample::meta(), rows, latencies: Default::default(), warnings: Vec::new() };
        (capacity(searches), run)
    };
    let (before, after) = (found((20_000.0, 20_886.0)), found((15_000.0, 15_600.0)));
    let runs = [&before.1, &after.1];
    let compared = ComparedSearches::of(runs, [&before.0, &after.0], Machines::Same).unwrap();
    let regressions: Vec<Regression> = compared.regressions(0.05);
    let heads = Heads { names: ["before", "after"], metas: runs.map(|run| &run.meta) };
    Sheet::of_searches(&compared, heads, Some(Gate { threshold: 0.05, regressions: &regressions }))
}

#[test]
fn two_runs_of_eight_blocks_are_drawn_with_intervals() {
    assert_expected(&Format::Terminal.draw(&sheet(8)), "compare.txt");
    assert_expected(&Format::Markdown.draw(&sheet(8)), "compare.md");
}

#[test]
fn two_runs_of_three_blocks_are_drawn_with_ranges() {
    assert_expected(&Format::Terminal.draw(&sheet(3)), "compare-3.txt");
}

#[test]
fn two_searches_are_drawn_with_their_bounds() {
    assert_expected(&Format::Terminal.draw(&sheet_of_searches()), "compare-capacity.txt");
    assert_expected(&Format::Markdown.draw(&sheet_of_searches()), "compare-capacity.md");
}

#[test]
fn the_page_says_what_the_text_says_and_no_name_becomes_markup() {
    for (sheet, verdict) in [(sheet(8), "dearer"), (sheet_of_searches(), "carries less")] {
        let page = Format::Html.draw(&sheet);
        assert!(page.contains(&format!("<td class=\"worse\">{verdict}</td>")), "{page}");
        for line in sheet.sections.iter().flat_map(|section| &section.lines).chain(&sheet.reading).chain(&sheet.facts) {
            let first = line.split(['<', '>', '&', '"', '\'']).next().unwrap();
            assert!(page.contains(first), "`{first}` is not in the page");
        }
        let rows: usize = sheet.sections.iter().flat_map(|section| &section.grids).map(|grid| grid.rows.len()).sum();
        assert_eq!(page.matches("<th scope=\"row\">").count(), rows);
    }
    let page = Format::Html.draw(&sheet(8));
    assert!(page.contains("reports/&#60;after&#62;") && page.contains("&#60;status&#62;"), "{page}");
    assert!(!page.contains("<after>") && !page.contains("<status>") && !page.contains("<script"));
}

#[test]
fn a_terminal_of_120_columns_is_wide_enough() {
    let mut sheet = sheet(8);
    for row in sheet.sections.iter_mut().flat_map(|section| &mut section.grids).flat_map(|grid| &mut grid.rows) {
        if let [stack, a, b, ratio, verdict] = row.cells.as_mut_slice() {
            // As long as the longest names and figures there are.
            *stack = "thread-per-connection".to_owned();
            (*a, *b) = ("197,123 [195,000–198,000]".to_owned(), "197,123 [195,000–198,000]".to_owned());
            *ratio = "1.304 [1.251–1.360]".to_owned();
            *verdict = "not comparable [1]".to_owned();
        }
    }
    for line in Format::Terminal.draw(&sheet).lines() {
        assert!(line.chars().count() <= 120, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn formats_are_found_by_name() {
    assert_eq!([Format::named("md"), Format::named("html")], [Some(Format::Markdown), Some(Format::Html)]);
    assert_eq!(Format::named("pdf"), None);
}
