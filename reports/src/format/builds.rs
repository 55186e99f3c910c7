//! The same stacks in several builds, side by side: what a run of `bench-build` is about. Each of its stacks is named
//! `STACK_ALLOCATOR_LTO`; other stacks are left out.

use std::collections::BTreeMap;

use crate::{
    dir::Run,
    noise,
    number::{self, NONE},
    row::{Mode, Placement, Row},
    summary::{Cell, Question, Spread},
    table::{Headline, is_ranked},
};

/// Stands between the parts of a name. No stack has it in its own.
const SEPARATOR: char = '_';

/// What a request costs in one build.
#[derive(Debug, Clone, Copy)]
struct Cost {
    us: Spread,
    /// Whether the verdict lets it be compared. Otherwise it is shown in brackets and counts nowhere.
    is_sound: bool,
}

/// The builds of one stack under one question, by build.
type Builds<'r> = BTreeMap<&'r str, Cost>;
/// Rows by stack and build.
type Trials<'r> = BTreeMap<&'r str, BTreeMap<&'r str, Vec<&'r Row>>>;
/// What is asked, in words, and the stacks in their builds.
type Asked<'r> = (String, BTreeMap<&'r str, Builds<'r>>);

/// Draws a run.
pub fn draw(run: &Run) -> String {
    let asked = asked(run);
    let mut builds: Vec<&str> =
        asked.iter().flat_map(|(_, stacks)| stacks.values().flat_map(BTreeMap::keys)).copied().collect();
    builds.sort_unstable();
    builds.dedup();
    if builds.is_empty() {
        return "There are no builds to compare: no stack of this run is named STACK_ALLOCATOR_LTO.\n".to_owned();
    }
    let mut text = String::new();
    for (title, stacks) in &asked {
        text.push_str(&format!("{title}: server CPU µs per request\n\n{}\n", table(stacks, &builds)));
    }
    if asked.iter().flat_map(|(_, stacks)| stacks.values()).flat_map(BTreeMap::values).any(|cost| !cost.is_sound) {
        text.push_str(
            "In brackets: the verdict of a trial forbids to compare the figure; it counts for nothing below.\n\n",
        );
    }
    text.push_str(&format!("{}\n{}", means(&asked, &builds), changes(&asked, &builds)));
    text
}

fn asked(run: &Run) -> Vec<Asked<'_>> {
    let mut trials: BTreeMap<(&str, Question, bool), Trials> = BTreeMap::new();
    for row in noise::ordinary(&run.rows) {
        let Some((stack, build)) = row.stack.split_once(SEPARATOR) else { continue };
        let key = (row.scenario.as_str(), Question::of(row), row.placement == Placement::Free);
        trials.entry(key).or_default().entry(stack).or_default().entry(build).or_default().push(row);
    }
    let cost = |rows: &Vec<&Row>| {
        let cell = Cell::of(rows, &BTreeMap::new())?;
        Some(Cost { us: cell.server_us?, is_sound: is_ranked(&cell, Headline::CpuPerRequest) })
    };
    let of_stack = |builds: BTreeMap<_, Vec<&Row>>| -> Builds<'_> {
        builds.into_iter().filter_map(|(build, rows)| Some((build, cost(&rows)?))).collect()
    };
    trials
        .into_iter()
        .map(|((scenario, question, is_free), stacks)| {
            let mode = if question.mode == Mode::Sync { "sync" } else { "async" };
            let placement = if is_free { "free" } else { "pinned" };
            let title = format!("{scenario}, {}, {mode}, {placement}", question.request);
            (title, stacks.into_iter().map(|(stack, builds)| (stack, of_stack(builds))).collect())
        })
        .collect()
}

/// `mimalloc_thin` in words.
fn words(build: &str) -> String {
    build.replace(SEPARATOR, ", ")
}

fn table(stacks: &BTreeMap<&str, Builds>, builds: &[&str]) -> String {
    let header = [String::from("stack")].into_iter().chain(builds.iter().map(|build| words(build)));
    let mut lines: Vec<Vec<String>> = vec![header.collect()];
    for (stack, of_stack) in stacks {
        let cells = builds.iter().map(|build| of_stack.get(build).map_or_else(|| NONE.to_owned(), figure));
        lines.push([(*stack).to_owned()].into_iter().chain(cells).collect());
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..=builds.len()).map(width).collect();
    let drawn = |line: &[String]| {
        let cells = line.iter().zip(&widths).enumerate().map(|(index, (cell, width))| match index {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(
            |(index, width)| {
                if index == 0 { format!(":{}", "-".repeat(width - 1)) } else { format!("{}:", "-".repeat(width - 1)) }
            },
        )
        .collect();
    let body: String = lines[1..].iter().map(|line| drawn(line)).collect();
    drawn(&lines[0]) + &drawn(&rule) + &body
}

fn figure(cost: &Cost) -> String {
    let show = number::cpu_us;
    let us = cost.us;
    let figure = match us.trials {
        1 => show(us.median),
        _ => format!("{} [{}–{}]", show(us.median), show(us.min), show(us.max)),
    };
    if cost.is_sound { figure } else { format!("({figure})") }
}

/// A cost that counts.
fn sound(of_stack: &Builds, build: &str) -> Option<Spread> {
    of_stack.get(build).filter(|cost| cost.is_sound).map(|cost| cost.us)
}

/// What each build costs beside the cheapest of them, as the geometric mean over all stacks and questions for which all
/// builds have a sound figure.
fn means(asked: &[Asked], builds: &[&str]) -> String {
    let logs = |build: &str| -> Option<f64> {
        let is_complete = |of: &&Builds| builds.iter().all(|build| sound(of, build).is_some());
        let complete = asked.iter().flat_map(|(_, stacks)| stacks.values()).filter(is_complete);
        let values: Vec<f64> = complete.filter_map(|of| Some(sound(of, build)?.median.ln())).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let means: Vec<(&str, f64)> = builds.iter().filter_map(|build| Some((*build, logs(build)?))).collect();
    let least = means.iter().map(|(_, mean)| *mean).fold(f64::INFINITY, f64::min);
    let shown =
        means.iter().map(|(build, mean)| format!("{} +{:.1} %", words(build), 100.0 * ((mean - least).exp() - 1.0)));
    let shown: Vec<String> = shown.collect();
    match shown.as_slice() {
        [] => "No stack has a sound figure in every build, so there is no mean.\n".to_owned(),
        _ => format!("Mean cost over all cells, above the cheapest build: {}.\n", shown.join("; ")),
    }
}

/// Pairs of stacks that stand one way round in one build and the other way round in another, their ranges apart both
/// times.
fn changes(asked: &[Asked], builds: &[&str]) -> String {
    let mut found: Vec<String> = Vec::new();
    for (title, stacks) in asked {
        let names: Vec<&str> = stacks.keys().copied().collect();
        for (index, a) in names.iter().enumerate() {
            for b in &names[index + 1..] {
                let before = |first: &str, second: &str| {
                    let apart = |build: &&&str| matches!((sound(&stacks[first], build), sound(&stacks[second], build)), (Some(x), Some(y)) if x.max < y.min);
                    builds.iter().find(apart).map(|build| words(build))
                };
                if let (Some(one), Some(other)) = (before(a, b), before(b, a)) {
                    found.push(format!("{title}: {a} is cheaper than {b} with {one}, and dearer with {other}"));
                }
            }
        }
    }
    match found.as_slice() {
        [] => "No two stacks change their order from one build to another (ranges apart both times).\n".to_owned(),
        _ => format!("Orders that change from one build to another:\n- {}\n", found.join("\n- ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{row::Verdict, sample};

    fn run(costs: &[(&str, f64)]) -> Run {
        let mut rows = Vec::new();
        for trial in 1..=2 {
            for (stack, us) in costs {
                let mut row = Row { trial, ..sample::row(stack) };
                row.server.cpu_us_per_request = us + f64::from(trial) / 10.0;
                rows.push(row);
            }
        }
        Run { meta: sample::meta(), rows, latencies: BTreeMap::new(), warnings: Vec::new() }
    }

    #[test]
    fn builds_stand_side_by_side_with_their_mean_cost() {
        let text = draw(&run(&[("tokio_mimalloc_thin", 10.0), ("tokio_system_thin", 11.0), ("null", 3.0)]));
        assert!(text.contains("| stack |   mimalloc, thin |     system, thin |"), "{text}");
        assert!(text.contains("| tokio | 10.1 [10.1–10.2] | 11.1 [11.1–11.2] |"), "{text}");
        assert!(text.contains("mimalloc, thin +0.0 %; system, thin +9.9 %"), "{text}");
        assert!(text.contains("No two stacks change their order"), "{text}");
        assert!(!text.contains("null"), "{text}");
    }

    #[test]
    fn an_order_that_changes_is_named() {
        let costs = [("a_m_thin", 10.0), ("b_m_thin", 11.0), ("a_s_thin", 12.0), ("b_s_thin", 11.0)];
        let text = draw(&run(&costs));
        assert!(text.contains("a is cheaper than b with m, thin, and dearer with s, thin"), "{text}");
    }

    #[test]
    fn a_difference_within_the_ranges_is_no_order() {
        let costs = [("a_m_thin", 10.0), ("b_m_thin", 10.05), ("a_s_thin", 10.05), ("b_s_thin", 10.0)];
        assert!(draw(&run(&costs)).contains("No two stacks change their order"));
    }

    #[test]
    fn a_figure_with_a_bad_verdict_is_bracketed_and_counts_nowhere() {
        let costs = [("a_m_thin", 10.0), ("b_m_thin", 11.0), ("a_s_thin", 12.0), ("b_s_thin", 11.0)];
        let mut run = run(&costs);
        let spoilt = run.rows.iter_mut().find(|row| row.stack == "a_s_thin").unwrap();
        spoilt.verdict = Verdict::Errors;
        let text = draw(&run);
        assert!(text.contains("(12.1 [12.1–12.2])") && text.contains("In brackets: "), "{text}");
        assert!(text.contains("No two stacks change their order"), "{text}");
        // Of b alone, which costs the same in both.
        assert!(text.contains("m, thin +0.0 %; s, thin +0.0 %"), "{text}");
        run.rows.retain(|row| row.stack.starts_with('a'));
        assert!(draw(&run).contains("there is no mean"));
    }

    #[test]
    fn a_run_of_no_builds_says_so() {
        assert!(draw(&run(&[("tokio", 10.0)])).contains("no builds to compare"));
    }
}
