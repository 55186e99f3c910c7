//! The figures that two runs can be compared by.

use crate::{
    dir::Run,
    number,
    row::{Row, Verdict},
    stats::Blocks,
    summary::Cell,
    table::Headline,
};

/// A figure of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// Server's CPU time per answer, in microseconds.
    Cpu,
    /// Answers per second; in an open loop whether the rate was carried.
    Rate,
    /// 99th percentile of the latency from the due instants, in microseconds: each trial's own.
    P99,
    /// Server's peak resident set, in bytes.
    Rss,
}

/// Figures by the names that command lines use.
pub const QUANTITIES: &[(&str, Quantity)] =
    &[("cpu", Quantity::Cpu), ("rate", Quantity::Rate), ("p99", Quantity::P99), ("rss", Quantity::Rss)];

impl Quantity {
    /// The figure of a name of [`QUANTITIES`].
    pub fn named(name: &str) -> Option<Self> {
        QUANTITIES.iter().find(|(known, _)| *known == name).map(|(_, quantity)| *quantity)
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Cpu => Headline::CpuPerRequest.words(),
            Self::Rate => Headline::Rate.words(),
            Self::P99 => "p99 latency from due",
            Self::Rss => "peak RSS",
        }
    }

    /// For a heading, with the unit where the figure does not carry it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cpu => "server CPU µs per request",
            Self::Rate | Self::P99 | Self::Rss => self.words(),
        }
    }

    /// A value as it is shown in a column.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Cpu => number::cpu_us(value),
            Self::Rate => number::rate(value),
            Self::P99 => number::duration_us(value),
            Self::Rss => number::bytes(value),
        }
    }

    /// The same in a sentence, with its unit.
    pub fn tell(self, value: f64) -> String {
        match self {
            Self::Cpu => format!("{} µs", self.show(value)),
            Self::Rate => format!("{}/s", self.show(value)),
            Self::P99 | Self::Rss => self.show(value),
        }
    }

    /// What the new run is called where the figure is to the good, …
    pub fn better(self) -> &'static str {
        match self {
            Self::Cpu => "cheaper",
            Self::Rate | Self::P99 => "faster",
            Self::Rss => "smaller",
        }
    }

    /// … and where it is not.
    pub fn worse(self) -> &'static str {
        match self {
            Self::Cpu => "dearer",
            Self::Rate | Self::P99 => "slower",
            Self::Rss => "larger",
        }
    }

    /// Whether less is better.
    pub fn prefers_less(self) -> bool {
        self != Self::Rate
    }

    /// Whether a verdict lets the figure be held against another's. Latency is ranked as speed is, cost and memory also
    /// where somebody else set the pace.
    pub(super) fn ranks(self, verdict: Verdict) -> bool {
        match self {
            Self::Cpu | Self::Rss => Headline::CpuPerRequest.ranks(verdict),
            Self::Rate | Self::P99 => Headline::Rate.ranks(verdict),
        }
    }

    /// What each trial of a cell says, by block; those that failed or were measured again say nothing.
    pub(super) fn by_block(self, rows: &[&Row], cell: &Cell, run: &Run) -> Blocks {
        let of_rows = |figure: &dyn Fn(&Row) -> Option<f64>| {
            let counts = |row: &&&Row| !row.repeated && row.verdict != Verdict::Failed;
            rows.iter().filter(counts).filter_map(|row| Some((row.trial, figure(row)?))).collect()
        };
        match self {
            Self::Cpu => cell.server_us_by_block.clone(),
            Self::Rate => cell.rate_by_block.clone(),
            Self::P99 => of_rows(&|row| p99_us(row, run)),
            Self::Rss => of_rows(&|row| Some(row.server.rss_peak_bytes as f64).filter(|bytes| *bytes > 0.0)),
        }
    }
}

/// A trial's own, from the instants at which requests were due. In a closed loop there is none; and a lower bound has no
/// ratio to anything.
fn p99_us(row: &Row, run: &Run) -> Option<f64> {
    row.offered?;
    let observed = run.latencies.get(row.raw.as_ref()?)?;
    observed.quantile(0.99).filter(|percentile| !percentile.is_lower_bound).map(|percentile| percentile.us)
}
