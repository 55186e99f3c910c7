//! What a stack holds whatever is asked of it: memory, threads, and the time it takes to be there.

use super::{Figure, role_name};
use crate::{
    number,
    row::{Role, Row, Verdict},
    summary::{Spread, idle_connection_bytes},
};

/// One stack.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// Stack's name, marked if it is not one of the compared.
    pub name: String,
    /// From the start of the process to its first answer.
    pub cold_start: Figure,
    /// Threads of all its processes at the end of the window.
    pub threads: Figure,
    /// Proportional set size right after the window.
    pub pss: Figure,
    /// Resident memory of each idle connection.
    pub idle_connection: Figure,
}

/// What each stack of a section holds: the compared ones first, by name. Empty where no row tells, as in runs that are
/// older than these figures.
///
/// An idle connection is weighed with as many others as the load has connections; with the most, where steps differ.
pub fn holdings(rows: &[&Row], run: &[Row]) -> Vec<Holding> {
    let good: Vec<&Row> = rows.iter().copied().filter(|row| row.verdict != Verdict::Failed && !row.repeated).collect();
    if good.iter().all(|row| row.cold_start_ms.is_none() && row.server.pss_bytes.is_none()) {
        return Vec::new();
    }
    let mut stacks: Vec<(bool, &str, Role)> =
        good.iter().map(|row| (row.role != Role::Stack, row.stack.as_str(), row.role)).collect();
    stacks.sort_unstable();
    stacks.dedup();
    stacks.iter().map(|(_, stack, role)| holding(stack, *role, &good, run)).collect()
}

fn holding(stack: &str, role: Role, rows: &[&Row], run: &[Row]) -> Holding {
    let of_stack: Vec<&Row> = rows.iter().copied().filter(|row| row.stack == stack).collect();
    let spread = |figure: fn(&Row) -> Option<f64>| Spread::of(of_stack.iter().filter_map(|row| figure(row)));
    let connections = of_stack.iter().map(|row| row.connections).max().unwrap_or_default();
    Holding {
        name: role_name(stack, role),
        cold_start: figure(spread(|row| row.cold_start_ms.map(|ms| ms * 1e3)), number::duration_us),
        threads: figure(spread(|row| Some(row.server.threads as f64)), number::count),
        pss: figure(spread(|row| row.server.pss_bytes.map(|bytes| bytes as f64)), number::bytes),
        idle_connection: figure(idle_connection_bytes(run, stack, connections), number::bytes),
    }
}

/// Trials that all show the same need no range.
fn figure(spread: Option<Spread>, show: fn(f64) -> String) -> Figure {
    let is_one = spread.is_some_and(|spread| show(spread.min) == show(spread.max));
    if is_one { Figure::median(spread, show) } else { Figure::with_range(spread, show) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{number::NONE, sample};

    fn held(rows: &[Row], run: &[Row]) -> Vec<Holding> {
        holdings(&rows.iter().collect::<Vec<_>>(), run)
    }

    #[test]
    fn trials_of_all_requests_speak_for_a_stack() {
        let first = Row { cold_start_ms: Some(8.0), ..sample::row("tokio") };
        let mut second = Row { cold_start_ms: Some(12.0), request: "cache_hit".to_owned(), ..sample::row("tokio") };
        second.server.pss_bytes = Some(21 << 20);
        let found = held(&[first, second], &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].cold_start.median, "10.0 ms");
        assert_eq!(found[0].pss.range.as_deref(), Some("[11.0 MiB–21.0 MiB]"));
        assert_eq!((found[0].threads.words(), found[0].idle_connection.words()), ("3".to_owned(), NONE.to_owned()));
    }

    #[test]
    fn the_row_that_weighed_a_connection_may_be_of_another_scenario_but_not_of_another_load() {
        let elsewhere =
            Row { idle_connection_bytes: Some(2048.0), scenario: "else".to_owned(), ..sample::row("tokio") };
        let smaller = Row { idle_connection_bytes: Some(9.0), connections: 10, ..elsewhere.clone() };
        let other = Row { idle_connection_bytes: None, ..sample::row("tokio") };
        let found = held(std::slice::from_ref(&other), &[smaller, elsewhere, other.clone()]);
        assert_eq!(found[0].idle_connection.median, "2.00 KiB");
    }

    #[test]
    fn a_trial_that_was_measured_again_tells_nothing() {
        let mut noisy = Row { repeated: true, cold_start_ms: Some(99.0), ..sample::row("tokio") };
        noisy.idle_connection_bytes = Some(9e9);
        let good = Row { cold_start_ms: Some(8.0), ..sample::row("tokio") };
        let found = held(&[noisy.clone(), good.clone()], &[noisy, good]);
        assert_eq!(
            (found[0].cold_start.words(), found[0].idle_connection.words().as_str()),
            ("8.00 ms".to_owned(), "2.50 KiB")
        );
    }

    #[test]
    fn references_come_after_the_stacks() {
        let null = Row { role: Role::Ceiling, ..sample::row("null") };
        let names: Vec<String> =
            held(&[null, sample::row("tokio"), sample::row("axum")], &[]).into_iter().map(|held| held.name).collect();
        assert_eq!(names, ["axum", "tokio", "null (ceiling)"]);
    }

    #[test]
    fn a_run_that_is_older_than_these_figures_has_no_such_table() {
        let mut old = Row { cold_start_ms: None, ..sample::row("tokio") };
        old.server.pss_bytes = None;
        assert!(held(&[old], &[]).is_empty());
    }
}
