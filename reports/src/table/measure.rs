//! The figures that an overview can show.

use crate::{
    latency::Percentile,
    number,
    row::Role,
    summary::{Cell, Spread},
};

use super::{Headline, is_ranked};

/// A figure of a cell.
pub struct Measure {
    /// What it is.
    pub title: &'static str,
    /// The figure, if the cell has it.
    pub shown: fn(&Cell) -> Option<String>,
    /// Whether it may be held against others', in a table that is ordered by this.
    is_sound: fn(&Cell, Headline) -> bool,
}

impl Measure {
    /// One that is as sound as what the table is ordered by.
    const fn new(title: &'static str, shown: fn(&Cell) -> Option<String>) -> Self {
        Self { title, shown, is_sound: is_ranked }
    }

    /// The figure; in brackets, if it is no stack's own.
    pub fn of(&self, cell: &Cell, headline: Headline) -> Option<String> {
        let is_sound = cell.role != Role::Stack || (self.is_sound)(cell, headline);
        (self.shown)(cell).map(|figure| if is_sound { figure } else { in_brackets(&figure) })
    }
}

/// What may not be ranked.
pub fn in_brackets(figure: &str) -> String {
    format!("({figure})")
}

pub const CPU: Measure = Measure::new("server CPU µs per request", |cell| median(cell.server_us, number::cpu_us));
pub const RATE: Measure = Measure {
    is_sound: |cell, _| is_ranked(cell, Headline::Rate),
    ..Measure::new("requests per second", |cell| median(cell.rate, number::rate))
};
pub const CEILING: Measure = Measure::new("% of the ceiling", |cell| median(cell.ceiling_share, number::percent));
pub const CARRIED: Measure =
    Measure::new("% carried of what was offered", |cell| median(cell.carried_share, number::percent));
pub const DUE_P50: Measure = Measure::new("median latency from the due instants", |cell| from_due(cell, cell.p50));
pub const DUE_P99: Measure = Measure::new("p99 latency from the due instants", |cell| from_due(cell, cell.p99));
pub const LAG: Measure = Measure {
    is_sound: |_, _| true,
    ..Measure::new("schedule lag of the load client, p99", |cell| median(cell.lag_us, number::duration_us))
};
pub const GENERATOR: Measure = Measure {
    is_sound: |_, _| true,
    ..Measure::new("load client's share of a core, %", |cell| median(cell.client_cores, number::percent))
};
pub const RSS: Measure = Measure::new("peak RSS", |cell| median(cell.rss_bytes, number::bytes));
pub const SWITCHES: Measure = Measure::new("context switches per request", |cell| median(cell.switches, number::ratio));
/// Weighed where nothing set a pace, so that no verdict spoils it.
pub const IDLE_CONNECTION: Measure = Measure {
    is_sound: |_, _| true,
    ..Measure::new("memory per idle connection", |cell| median(cell.idle_connection_bytes, number::bytes))
};

fn median(spread: Option<Spread>, show: fn(f64) -> String) -> Option<String> {
    spread.map(|spread| show(spread.median))
}

/// A percentile, where requests were due at instants of their own; in a closed loop it restates throughput.
fn from_due(cell: &Cell, percentile: Option<Percentile>) -> Option<String> {
    let percentile = percentile.filter(|_| cell.is_open)?;
    let bound = if percentile.is_lower_bound { "≥ " } else { "" };
    Some(format!("{bound}{}", number::duration_us(percentile.us)))
}
