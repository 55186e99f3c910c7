//! A run as a document of wrk reports, in the shape of the published study that the first scenarios are from: a heading for
//! each stack, below it one for each request and mode, and there the report of one trial as it was printed.

use std::{fs, path::Path};

use anyhow::{Result, ensure};

use crate::{
    Drawn,
    cells::{CellKey, rows_by_cell},
    command,
    dir::Run,
    heading,
    row::{Mode, Row, Verdict},
    table::{role_name, verdict_word},
};

/// The line of a report that comes last of those that every version of wrk prints a figure in; a report without it was cut.
const LAST_FIGURE: &str = "Requests/sec:";

/// How to read the document.
const READING: &str = "Each block is the load client's report of one trial in wrk's format, as it was printed: of several trials \
                       the one of the median rate, of two in the middle the slower. Latencies are as measured, without what wrk \
                       adds to them, and where requests fell due at instants of their own they count from these.";

/// A cell's names and its trials.
type Trials<'r> = (CellKey, Vec<&'r Row>);

/// Draws a run; empty if none of its trials names a report. One that cannot be read is named, in the document and among the
/// warnings, and the others are there.
pub fn draw(dir: &Path, run: &Run) -> Drawn {
    if run.rows.iter().all(|row| row.wrk.is_none()) {
        return Drawn::default();
    }
    let mut drawn = Drawn::default();
    let cells: Vec<Trials> = rows_by_cell(run).into_iter().collect();
    let section = |(key, _): &Trials| (key.scenario.clone(), key.placement, key.store.clone());
    for cells in cells.chunk_by(|a, b| section(a) == section(b)) {
        draw_section(&mut drawn, cells, dir, run);
    }
    drawn.text.truncate(drawn.text.trim_end().len());
    drawn.text.push('\n');
    drawn
}

fn draw_section(drawn: &mut Drawn, cells: &[Trials], dir: &Path, run: &Run) {
    let (key, _) = &cells[0];
    let title = key.scenario(run).map_or_else(|| key.scenario.clone(), |meta| format!("{}: {}", meta.name, meta.title));
    drawn.text.push_str(&format!("# {title}\n\n"));
    let rows: Vec<&Row> = cells.iter().flat_map(|(_, rows)| rows.iter().copied()).collect();
    for line in heading::provenance(run).into_iter().chain(heading::facts(key.scenario(run), &rows)) {
        drawn.text.push_str(&format!("- {line}\n"));
    }
    drawn.text.push_str(&format!("\n{READING}\n\n"));
    let mut ordered: Vec<&Trials> = cells.iter().collect();
    ordered.sort_by_cached_key(|(key, _)| position(key, run));
    let mut above: Option<&CellKey> = None;
    for (key, rows) in ordered {
        let is_same_stack = above.is_some_and(|above| (&above.stack, above.twin) == (&key.stack, key.twin));
        if !is_same_stack {
            drawn.text.push_str(&format!("## {}\n\n", name(key)));
        }
        if !is_same_stack || above.is_some_and(|above| above.request != key.request) {
            drawn.text.push_str(&format!("### {}\n\n", key.request));
        }
        drawn.text.push_str(&format!("#### {}\n\n", mode_and_step(key, run)));
        draw_trial(drawn, rows, dir);
        above = Some(key);
    }
}

/// Stacks as the run lists them, what is none of the compared after them; requests as the scenario has them.
fn position(key: &CellKey, run: &Run) -> impl Ord + use<> {
    let stack = run.meta.stacks.iter().position(|stack| stack.name == key.stack).unwrap_or(usize::MAX);
    let requests = key.scenario(run).map_or(&[][..], |meta| &meta.requests);
    let request = requests.iter().position(|request| request.name == key.request).unwrap_or(usize::MAX);
    (key.role, stack, key.stack.clone(), key.twin, request, key.request.clone(), key.mode, key.step)
}

fn name(key: &CellKey) -> String {
    let name = role_name(&key.stack, key.role);
    if key.twin.is_some() { format!("{name}, under its second name") } else { name }
}

fn mode_and_step(key: &CellKey, run: &Run) -> String {
    let mode = match key.mode {
        Mode::Sync => "Sync",
        Mode::Async => "Async",
    };
    if key.step.is_some() { format!("{mode}: {}", key.step_title(run)) } else { mode.to_owned() }
}

fn draw_trial(drawn: &mut Drawn, rows: &[&Row], dir: &Path) {
    let counted: Vec<&Row> = rows.iter().copied().filter(|row| !row.repeated).collect();
    let mut good: Vec<&Row> = counted.iter().copied().filter(|row| row.verdict != Verdict::Failed).collect();
    good.sort_by(|a, b| a.requests_per_sec.total_cmp(&b.requests_per_sec));
    let Some(row) = good.get(good.len().saturating_sub(1) / 2) else {
        let why = if counted.is_empty() { "is to be measured again" } else { "failed" };
        drawn.text.push_str(&format!("No report: every trial {why}.\n\n"));
        return;
    };
    drawn.text.push_str(&format!("{}, `{}`.", which(row, good.len(), counted.len()), verdict_word(row.verdict)));
    let command = row.commands.get("client").map(|command| command::line(command)).unwrap_or_default();
    if !command.is_empty() {
        drawn.text.push_str(&format!("\n\n`{command}`"));
    }
    let Some(path) = &row.wrk else {
        drawn.text.push_str("\n\nIt has no report in wrk's format.\n\n");
        return;
    };
    match read(&dir.join(path)) {
        Ok(report) => drawn.text.push_str(&format!("\n\n```bash\n{}\n```\n\n", report.trim_end())),
        Err(error) => {
            drawn.text.push_str(&format!("\n\nIts report cannot be shown: {path}: {error:#}.\n\n"));
            drawn.warnings.push(format!("{}: {error:#}; it is missing from the wrk reports", dir.join(path).display()));
        }
    }
}

/// `Trial 2 of 3, the median one`.
fn which(row: &Row, good: usize, all: usize) -> String {
    match (good, all) {
        (_, 1) => "The only trial".to_owned(),
        (1, _) => format!("Trial {} of {all}, the only one that did not fail", row.trial),
        (good, all) if good < all => {
            format!("Trial {} of {all}, the median one of the {good} that did not fail", row.trial)
        }
        _ => format!("Trial {} of {all}, the median one", row.trial),
    }
}

fn read(path: &Path) -> Result<String> {
    let report = fs::read_to_string(path)?;
    let is_whole = report.starts_with("Running ") && report.lines().any(|line| line.starts_with(LAST_FIGURE));
    ensure!(is_whole, "this is no whole report of wrk, which begins with `Running` and has a line `{LAST_FIGURE}`");
    Ok(report)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tempfile::TempDir;

    use super::*;
    use crate::{row::Role, sample};

    /// A report at this rate.
    fn report(rate: f64) -> String {
        format!(
            "Running 4s test @ http://127.0.0.1:1/\n  1 threads and 2000 connections\n  Thread Stats   Avg      Stdev     Max   \
             +/- Stdev\n    Latency   200.10ms    0.10ms 203.00ms   99.00%\nRequests/sec:  {rate:.2}\nTransfer/sec:  1.00MB\n"
        )
    }

    /// A run directory of these rows, each of which has a report at its rate.
    fn dir_of(rows: &mut [Row]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (index, row) in rows.iter_mut().enumerate() {
            let name = format!("{index}.wrk.txt");
            fs::write(dir.path().join(&name), report(row.requests_per_sec)).unwrap();
            row.wrk = Some(name);
            row.commands.insert("client".to_owned(), vec!["/bin/stackload".to_owned(), "-c2000".to_owned()]);
        }
        dir
    }

    fn run(rows: Vec<Row>) -> Run {
        Run { meta: sample::meta(), rows, latencies: BTreeMap::new(), warnings: Vec::new() }
    }

    fn trials(stack: &str, rates: &[f64]) -> Vec<Row> {
        let row = |(trial, rate): (u32, &f64)| Row { trial, requests_per_sec: *rate, ..sample::row(stack) };
        (1..).zip(rates).map(row).collect()
    }

    #[test]
    fn the_document_has_the_shape_of_the_study() {
        let hit = Row { request: "cache_hit".to_owned(), ..sample::row("tokio") };
        let sync = Row { mode: Mode::Sync, ..hit.clone() };
        let null = Row { role: Role::Ceiling, ..sample::row("null") };
        let second = Row { twin: Some(2), ..sample::row("tokio") };
        let mut rows = [vec![null, second], trials("tokio", &[10.0, 30.0, 20.0]), vec![hit, sync]].concat();
        let dir = dir_of(&mut rows);
        let drawn = draw(dir.path(), &run(rows));
        assert!(drawn.warnings.is_empty());
        crate::format::tests::assert_expected(&drawn.text, "wrk.md");
        let headings: Vec<&str> = drawn.text.lines().filter(|line| line.starts_with('#')).collect();
        assert_eq!(
            headings,
            [
                "# cache: A cache that takes its time",
                "## tokio",
                "### cache_hit",
                "#### Sync",
                "#### Async",
                "### cache_set",
                "#### Async",
                "## tokio, under its second name",
                "### cache_set",
                "#### Async",
                "## null (ceiling)",
                "### cache_set",
                "#### Async",
            ]
        );
    }

    #[test]
    fn of_several_trials_the_median_one_is_shown_and_of_two_in_the_middle_the_slower() {
        let shown = |rates: &[f64]| {
            let mut rows = trials("tokio", rates);
            let dir = dir_of(&mut rows);
            draw(dir.path(), &run(rows)).text
        };
        let odd = shown(&[10.0, 30.0, 20.0]);
        assert!(odd.contains("Trial 3 of 3, the median one, `ok`.") && odd.contains("Requests/sec:  20.00"), "{odd}");
        let even = shown(&[40.0, 30.0, 10.0, 20.0]);
        assert!(even.contains("Trial 4 of 4, the median one") && even.contains("Requests/sec:  20.00"), "{even}");
        assert!(shown(&[10.0]).contains("The only trial, `ok`."));
    }

    #[test]
    fn trials_that_failed_or_were_measured_again_are_not_shown() {
        let mut rows = trials("tokio", &[10.0, 0.0, 30.0]);
        (rows[1].verdict, rows[1].error) = (Verdict::Failed, Some("gone".to_owned()));
        rows.push(Row { repeated: true, verdict: Verdict::Noisy, ..trials("tokio", &[1.0]).remove(0) });
        rows.push(Row { verdict: Verdict::Failed, ..sample::row("broken") });
        let dir = dir_of(&mut rows);
        let text = draw(dir.path(), &run(rows)).text;
        assert!(text.contains("Trial 1 of 3, the median one of the 2 that did not fail"), "{text}");
        assert!(text.contains("## broken\n\n### cache_set\n\n#### Async\n\nNo report: every trial failed."), "{text}");
    }

    #[test]
    fn reports_that_are_missing_or_damaged_are_named_and_the_others_are_there() {
        let mut rows = [trials("a", &[1.0]), trials("b", &[2.0]), trials("c", &[3.0])].concat();
        let dir = dir_of(&mut rows);
        fs::remove_file(dir.path().join("0.wrk.txt")).unwrap();
        fs::write(dir.path().join("1.wrk.txt"), &report(2.0)[..60]).unwrap();
        let drawn = draw(dir.path(), &run(rows));
        assert_eq!(drawn.warnings.len(), 2);
        assert!(drawn.warnings[0].contains("0.wrk.txt: No such file"), "{:?}", drawn.warnings);
        assert!(drawn.warnings[1].contains("1.wrk.txt: this is no whole report of wrk"), "{:?}", drawn.warnings);
        assert!(drawn.text.contains("Its report cannot be shown: 0.wrk.txt: No such file"), "{}", drawn.text);
        assert!(drawn.text.contains("Requests/sec:  3.00"), "{}", drawn.text);
    }

    #[test]
    fn a_run_without_reports_has_no_document() {
        assert_eq!(draw(Path::new("/nowhere"), &run(vec![sample::row("tokio")])).text, "");
    }
}
