//! How well the rates of an open loop were kept to, by the load client and by the stacks.

use crate::{
    number,
    run::ScenarioMeta,
    summary::{Cell, Question, Spread},
};

use super::title;

/// `Offered 5,000/s; the load client sent at most 80.0 µs (p99) late and used 9.1–12.3 % of a core.`; empty for a closed
/// loop.
pub fn schedule(cells: &[&Cell]) -> String {
    let over = |figure: fn(&Cell) -> Option<Spread>, show: fn(f64) -> String| {
        let mut medians: Vec<f64> = cells.iter().filter_map(|cell| Some(figure(cell)?.median)).collect();
        medians.sort_by(f64::total_cmp);
        let (least, most) = (show(*medians.first()?), show(*medians.last()?));
        Some(if least == most { most } else { format!("{least}–{most}") })
    };
    let open: Vec<&Cell> = cells.iter().copied().filter(|cell| cell.is_open).collect();
    let lag_us = open.iter().filter_map(|cell| Some(cell.lag_us?.max)).reduce(f64::max);
    let words = || {
        let rate = over(|cell| cell.offered, number::rate)?;
        let cores = over(|cell| cell.client_cores.filter(|_| cell.is_open), number::percent)?;
        let lag = number::duration_us(lag_us?);
        Some(format!("Offered {rate}/s; the load client sent at most {lag} (p99) late and used {cores} % of a core."))
    };
    words().unwrap_or_default()
}

/// `cache_hit, async: 40000/s: thread-pool 31,200 of 40,000/s`, for each question with stacks that did not carry what they
/// were offered.
pub fn not_carried(asked: &[(&Question, Vec<&Cell>)], meta: Option<&ScenarioMeta>) -> Vec<String> {
    let of_cell = |cell: &&Cell| {
        let (carried, offered) = (number::rate(cell.rate?.median), number::rate(cell.offered?.median));
        (cell.is_carried == Some(false)).then(|| format!("{} {carried} of {offered}/s", cell.stack))
    };
    let of_question = |(question, cells): &(&Question, Vec<&Cell>)| {
        let stacks: Vec<String> = cells.iter().filter_map(of_cell).collect();
        (!stacks.is_empty()).then(|| format!("{}: {}", title(question, meta), stacks.join(", ")))
    };
    asked.iter().filter_map(of_question).collect()
}
