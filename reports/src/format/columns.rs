//! The columns of a run's cells: what each CSV file and the JSON document says of a cell, written once for all of them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    card,
    latency::Percentile,
    panel::Panel,
    row::{Mode, Placement, Role},
    standing::Standing,
    summary::{Cell, FaultSummary, Recovery, Spread},
    table::{Headline, verdict_word},
};

/// A column of `summary.csv`, and a key of a cell in `summary.json`.
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its name in `curves.csv`; none where that file does not have it.
    pub in_curves: Option<&'static str>,
    /// What stands in it.
    pub of: Of,
}

/// What stands in a column.
pub enum Of {
    /// One value for the whole cell.
    Fact(fn(&Standing) -> Value),
    /// A median over trials, with its range and interval.
    Figure(fn(&Standing) -> Option<Spread>),
}

/// A value that is no median.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// There is none.
    None,
    /// Whether something is so.
    Flag(bool),
    /// A number of things.
    Count(u64),
    /// Any other number.
    Number(f64),
    /// A word or a sentence.
    Text(String),
    /// Several words.
    Words(Vec<&'static str>),
    /// How many there are of each kind.
    Counts(BTreeMap<String, u64>),
}

impl Value {
    /// As a field of CSV: empty where there is none, words with blanks between them, counts as `kind=3`.
    pub fn csv(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Flag(flag) => flag.to_string(),
            Self::Count(count) => count.to_string(),
            Self::Number(number) => csv_number(*number),
            Self::Text(text) => text.clone(),
            Self::Words(words) => words.join(" "),
            Self::Counts(counts) => {
                counts.iter().map(|(kind, count)| format!("{kind}={count}")).collect::<Vec<_>>().join(" ")
            }
        }
    }

    fn of<T>(value: Option<T>, to: impl Fn(T) -> Self) -> Self {
        value.map_or(Self::None, to)
    }
}

/// With all its digits, so that what is read back is the same number; empty for what is none.
pub fn csv_number(number: f64) -> String {
    if number.is_finite() { format!("{number:?}") } else { String::new() }
}

/// One that `curves.csv` has under the same name.
const fn shared(name: &'static str, of: Of) -> Column {
    Column { name, in_curves: Some(name), of }
}

/// One that `curves.csv` does not have.
const fn own(name: &'static str, of: Of) -> Column {
    Column { name, in_curves: None, of }
}

/// What is said of every cell. A file that has some of them has them in this order.
pub const COLUMNS: &[Column] = &[
    shared("scenario", Of::Fact(|s| text(&s.named.key.scenario))),
    shared("stack", Of::Fact(|s| text(&s.named.key.stack))),
    shared("twin", Of::Fact(|s| Value::of(s.named.key.twin, |twin| Value::Count(twin.into())))),
    shared("role", Of::Fact(|s| text(role(s.named.key.role)))),
    own("panel", Of::Fact(|s| Value::of(s.stack, |stack| text(&stack.panel)))),
    own("how", Of::Fact(how)),
    shared("request", Of::Fact(|s| text(&s.named.key.request))),
    shared("mode", Of::Fact(|s| text(mode(s.named.key.mode)))),
    shared("placement", Of::Fact(|s| text(placement(s.named.key.placement)))),
    shared("store", Of::Fact(|s| text(&s.named.key.store))),
    shared("step", Of::Fact(|s| Value::of(s.named.key.step, |step| Value::Count(step.into())))),
    shared("step_title", Of::Fact(|s| Value::of(s.named.key.step, |_| text(&s.step_title)))),
    shared("connections", Of::Fact(|s| Value::Count(s.named.rows[0].connections.into()))),
    shared("workers", Of::Fact(|s| Value::Count(s.named.rows[0].workers.into()))),
    shared("pool", Of::Fact(|s| Value::Count(s.named.rows[0].pool.into()))),
    shared("offered_per_sec", Of::Figure(|s| s.named.cell.offered)),
    shared("due_per_sec", Of::Figure(|s| s.named.cell.due)),
    Column { name: "requests_per_sec", in_curves: Some("achieved_per_sec"), of: Of::Figure(|s| s.named.cell.rate) },
    shared("carried", Of::Fact(|s| Value::of(s.named.cell.is_carried, Value::Flag))),
    shared("latency_from", Of::Fact(|s| text(if s.named.cell.is_open { "due" } else { "sent" }))),
    shared("p50_us", Of::Fact(|s| percentile(s.named.cell.p50))),
    shared("p90_us", Of::Fact(|s| percentile(s.named.cell.p90))),
    shared("p99_us", Of::Fact(|s| percentile(s.named.cell.p99))),
    shared("p999_us", Of::Fact(|s| percentile(s.named.cell.p999))),
    shared("lower_bounds", Of::Fact(|s| lower_bounds(&s.named.cell))),
    own("latency_trials", Of::Fact(|s| Value::Count(s.named.cell.merged.read as u64))),
    shared("lag_p99_us", Of::Figure(|s| s.named.cell.lag_us)),
    shared("client_cores", Of::Figure(|s| s.named.cell.client_cores)),
    own("occupancy", Of::Figure(|s| s.over(|row| (row.requests > 0).then_some(row.occupancy)))),
    shared("server_cpu_us_per_request", Of::Figure(|s| s.named.cell.server_us)),
    shared("store_cpu_us_per_request", Of::Figure(|s| s.named.cell.store_us)),
    shared("client_cpu_us_per_request", Of::Figure(|s| s.named.cell.client_us)),
    own("unexplained_cpu_us_per_request", Of::Figure(|s| s.named.cell.unexplained_us)),
    own("requests_per_server_cpu_sec", Of::Figure(|s| s.named.cell.per_cpu_second)),
    own("context_switches_per_request", Of::Figure(|s| s.named.cell.switches)),
    own("threads", Of::Figure(|s| s.over(|row| Some(row.server.threads as f64).filter(|threads| *threads > 0.0)))),
    shared("rss_peak_bytes", Of::Figure(|s| s.named.cell.rss_bytes)),
    own("pss_bytes", Of::Figure(|s| s.over(|row| row.server.pss_bytes.map(|bytes| bytes as f64)))),
    shared("idle_connection_bytes", Of::Figure(|s| s.named.cell.idle_connection_bytes)),
    own("cold_start_ms", Of::Figure(|s| s.over(|row| row.cold_start_ms))),
    shared("ceiling_per_sec", Of::Fact(|s| Value::of(s.named.cell.ceiling.as_ref(), |(most, _)| Value::Number(*most)))),
    own("ceiling_source", Of::Fact(|s| Value::of(s.named.cell.ceiling.as_ref(), |(_, source)| text(source)))),
    own("ceiling_share", Of::Figure(|s| s.named.cell.ceiling_share)),
    own("errors", Of::Fact(|s| Value::Count(errors(s).values().sum()))),
    own("errors_by_kind", Of::Fact(|s| Value::Counts(errors(s)))),
    own("fault_lost", Of::Fact(|s| fault(s, |fault| Value::Count(fault.lost)))),
    own("fault_recovered", Of::Fact(|s| fault(s, |f| Value::Flag(matches!(f.recovery, Recovery::After(_)))))),
    own("fault_recovery_s", Of::Fact(|s| fault(s, |fault| recovery_s(fault.recovery)))),
    own("fault_p99_us_before", Of::Figure(|s| s.named.cell.fault.as_ref()?.p99_before)),
    own("fault_p99_us_during", Of::Figure(|s| s.named.cell.fault.as_ref()?.p99_during)),
    own("fault_unavailable", Of::Figure(|s| s.named.cell.fault.as_ref()?.unavailable)),
    own("fault_unexpected", Of::Figure(|s| s.named.cell.fault.as_ref()?.unexpected)),
    shared("verdict", Of::Fact(|s| text(verdict_word(s.named.cell.verdict)))),
    own("verdict_trials", Of::Fact(|s| Value::Count(s.named.cell.verdict_trials as u64))),
    own("other_verdicts", Of::Fact(|s| other_verdicts(&s.named.cell))),
    own("reason", Of::Fact(|s| reason(&s.named.cell))),
    shared("trials", Of::Fact(|s| Value::Count(s.named.cell.trials as u64))),
    own("repeated", Of::Fact(|s| Value::Count(s.named.cell.repeated as u64))),
];

/// What `summary.csv` says in columns and `summary.json` elsewhere, with more to it.
pub const OF_TABLES: &[Column] = &[
    own("ordered_by", Of::Fact(|s| text(ordered_by(s.headline)))),
    own("place_deployed", Of::Fact(|s| place(s, Panel::Deployed))),
    own("place_controlled", Of::Fact(|s| place(s, Panel::Controlled))),
    own("noise_floor", Of::Fact(|s| Value::of(s.noise_floor, |floor| Value::Number(floor.exp_m1())))),
];

/// The column that tables are ordered by.
pub fn ordered_by(headline: Headline) -> &'static str {
    match headline {
        Headline::CpuPerRequest => "server_cpu_us_per_request",
        Headline::Rate => "requests_per_sec",
    }
}

/// A mode as rows spell it.
fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Sync => "sync",
        Mode::Async => "async",
    }
}

/// A placement as rows spell it.
fn placement(placement: Placement) -> &'static str {
    match placement {
        Placement::Pinned => "pinned",
        Placement::Free => "free",
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Stack => "stack",
        Role::Ceiling => "ceiling",
        Role::Floor => "floor",
        Role::Trap => "trap",
    }
}

fn how(standing: &Standing) -> Value {
    let mode = standing.named.key.mode;
    standing.stack.map_or(Value::None, |stack| text(card::how(stack, mode)))
}

fn percentile(percentile: Option<Percentile>) -> Value {
    Value::of(percentile, |percentile| Value::Number(percentile.us))
}

/// Which percentiles are lower bounds: all, where the rate was not carried; else those whose rank falls among requests that
/// were never answered.
fn lower_bounds(cell: &Cell) -> Value {
    let percentiles = [("p50", cell.p50), ("p90", cell.p90), ("p99", cell.p99), ("p999", cell.p999)];
    let is_bound = |percentile: &Option<Percentile>| percentile.is_some_and(|percentile| percentile.is_lower_bound);
    Value::Words(percentiles.iter().filter(|(_, percentile)| is_bound(percentile)).map(|(name, _)| *name).collect())
}

/// Those of all trials but the repeated ones, failed ones included.
fn errors(standing: &Standing) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    let rows = standing.named.rows.iter().filter(|row| !row.repeated);
    for (kind, count) in rows.flat_map(|row| &row.errors).filter(|(_, count)| **count > 0) {
        *sum.entry(kind.clone()).or_default() += count;
    }
    sum
}

fn fault(standing: &Standing, of: fn(&FaultSummary) -> Value) -> Value {
    standing.named.cell.fault.as_ref().map_or(Value::None, of)
}

/// How long it took, or how long it was watched for in vain.
fn recovery_s(recovery: Recovery) -> Value {
    match recovery {
        Recovery::After(seconds) | Recovery::NotWithin(seconds) => Value::Number(seconds),
    }
}

fn other_verdicts(cell: &Cell) -> Value {
    let of = |(verdict, trials): &(_, usize)| (verdict_word(*verdict).to_owned(), *trials as u64);
    Value::Counts(cell.other_verdicts.iter().map(of).collect())
}

/// On one line, because many programs take a line of CSV for a record.
fn reason(cell: &Cell) -> Value {
    let reason = cell.reason.split_whitespace().collect::<Vec<_>>().join(" ");
    if reason.is_empty() { Value::None } else { Value::Text(reason) }
}

fn place(standing: &Standing, panel: Panel) -> Value {
    Value::of(standing.place_in(panel), |place| Value::Count(place as u64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_columns_have_one_name() {
        let names: Vec<&str> = COLUMNS.iter().chain(OF_TABLES).map(|column| column.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn every_column_is_explained() {
        let page = include_str!("../../../docs/formats.md");
        for column in COLUMNS.iter().chain(OF_TABLES) {
            assert!(page.contains(&format!("`{}`", column.name)), "docs/formats.md does not explain {}", column.name);
        }
    }

    #[test]
    fn values_are_fields_of_csv() {
        let counts = Value::Counts(BTreeMap::from([("read".to_owned(), 3), ("timeout".to_owned(), 1)]));
        let values = [Value::None, Value::Flag(true), Value::Number(5000.0), Value::Number(f64::NAN), counts];
        let fields: Vec<String> = values.iter().map(Value::csv).collect();
        assert_eq!(fields, ["", "true", "5000.0", "", "read=3 timeout=1"]);
    }
}
