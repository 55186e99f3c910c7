//! What was found of a condition: the figure with its spread, how it stands, and by how much.

use super::need::{Condition, Limit, Quantity};
use crate::{
    number,
    stats::{self, median},
    summary::Spread,
};

/// What was found of a condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The condition; none where a stack did not do its work, whatever was asked for.
    pub condition: Option<Condition>,
    /// How it stands.
    pub standing: Standing,
    /// The figure; none for words, and where there is none.
    pub reading: Option<Reading>,
    /// What there is to say beside the figure: the card's words, or why it cannot be told.
    pub note: String,
}

/// How a condition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is met, in the whole of the spread.
    Met,
    /// It is met in some trials and missed in others.
    Straddling,
    /// It is missed, in the whole of the spread.
    Missed,
    /// The run does not say; what is missing.
    Unknown(Missing),
}

/// What a run lacks to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// What cards say of upstream.
    Card,
    /// The same again: it was disturbed, or did not record the figure.
    Again,
    /// Trials at the rate.
    Rate,
}

/// A figure over trials.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The median, of a percentile that of the merged histograms, of errors the share of all.
    pub value: Point,
    /// Lower and upper end over the trials: their range, or from six trials on the interval of the median.
    pub ends: (Point, Point),
    /// Trials it rests on.
    pub trials: usize,
}

/// A value, in the unit of its quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The value.
    pub value: f64,
    /// Whether it is known only to be at least that.
    pub is_lower_bound: bool,
}

/// What is left to the limit, as shares of the limit: negative where the limit is exceeded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margin {
    /// Of the figure itself.
    pub value: f64,
    /// Of the ends of its spread, the smaller margin first.
    pub ends: (f64, f64),
}

impl Finding {
    /// The condition, if it is one of a figure.
    pub fn limit(&self) -> Option<&Limit> {
        match &self.condition {
            Some(Condition::Limit(limit)) => Some(limit),
            _ => None,
        }
    }

    /// What is left to the limit; none without a figure.
    pub fn margin(&self) -> Option<Margin> {
        let (limit, reading) = (self.limit()?, self.reading?);
        let of = |value: f64| {
            let above = (value - limit.limit) / limit.limit;
            if limit.comparison.sets_upper_limit() { -above } else { above }
        };
        let ends = (of(reading.ends.0.value), of(reading.ends.1.value));
        let margin = || Margin { value: of(reading.value.value), ends: (ends.0.min(ends.1), ends.0.max(ends.1)) };
        (limit.limit > 0.0).then(margin)
    }

    /// In words, for what is not met.
    pub fn words(&self) -> String {
        let Some(condition) = &self.condition else { return self.note.clone() };
        if let Standing::Unknown(_) = self.standing {
            return self.note.clone();
        }
        match (condition, self.reading) {
            (Condition::Words(words), _) => {
                format!("{} is {}, needs {}", words.fact.name(), self.note, words.any_of.join(" or "))
            }
            (Condition::Limit(limit), None) => format!("{}, needs {}", self.note, limit.words()),
            (Condition::Limit(limit), Some(reading)) => {
                let name = match limit.quantity {
                    Quantity::Rate => "carries".to_owned(),
                    other => other.name(),
                };
                let spread =
                    reading.spread(|value| limit.show(value)).map(|spread| format!(" {spread}")).unwrap_or_default();
                let note = if self.note.is_empty() { String::new() } else { format!(" {}", self.note) };
                let margin = self.margin().map(|margin| format!(" ({})", margin.words(limit))).unwrap_or_default();
                format!(
                    "{name} {}{spread}{note}, needs {}{margin}",
                    reading.shown(|value| limit.show(value)),
                    limit.words()
                )
            }
        }
    }
}

/// So many limits over the limit are said in limits and not in per cent.
const TIMES: f64 = 1.0;

impl Margin {
    /// `2.40 times the limit`, `35.0 % to spare`, `75.0 % over`, `4.70 % short`.
    pub fn words(&self, limit: &Limit) -> String {
        if self.value <= -TIMES && limit.comparison.sets_upper_limit() {
            return format!("{} times the limit", number::ratio(1.0 - self.value));
        }
        let percent = number::ratio(100.0 * self.value.abs());
        match (self.value >= 0.0, limit.comparison.sets_upper_limit()) {
            (true, _) => format!("{percent} % to spare"),
            (false, true) => format!("{percent} % over"),
            (false, false) => format!("{percent} % short"),
        }
    }
}

impl Reading {
    /// Of a figure that every trial has one of; of several trials, the ends of its interval where there is one.
    pub(crate) fn of(spread: Spread) -> Self {
        let (low, high) = spread.interval.map_or((spread.min, spread.max), |interval| (interval.low, interval.high));
        let [value, low, high] = [spread.median, low, high].map(Point::exactly);
        Self { value, ends: (low, high), trials: spread.trials }
    }

    /// Of all trials together and of each of them; none without trials.
    pub(super) fn merged(value: Point, mut trials: Vec<Point>) -> Option<Self> {
        trials.sort_by(|a, b| a.value.total_cmp(&b.value));
        let outside = if trials.len() < stats::TRIALS_MIN { 1 } else { median::rank(trials.len()) };
        let (low, high) = (trials.get(outside - 1)?, trials.get(trials.len().checked_sub(outside)?)?);
        Some(Self { value, ends: (*low, *high), trials: trials.len() })
    }

    /// The figure with its unit.
    pub fn shown(&self, show: impl Fn(f64) -> String) -> String {
        self.value.shown(show)
    }

    /// `[28.0–35.0 ms]`; none of a single trial, and where all trials are the same.
    pub fn spread(&self, show: impl Fn(f64) -> String) -> Option<String> {
        let (low, high) = (self.ends.0.shown(&show), self.ends.1.shown(&show));
        let unit = |text: &str| text.find([' ', '/']).map_or(text.len(), |at| at);
        // The unit is said once where both ends have the same.
        let is_alike = low[unit(&low)..] == high[unit(&high)..];
        let low = if is_alike { &low[..unit(&low)] } else { &low };
        (self.trials > 1 && self.ends.0.value < self.ends.1.value).then(|| format!("[{low}–{high}]"))
    }

    /// How a limit stands that this is held against.
    pub(super) fn standing(&self, limit: &Limit) -> Standing {
        let points = [self.ends.0, self.value, self.ends.1].map(|point| point.keeps(limit));
        let is_all = |kept| points.iter().all(|point| *point == kept);
        if is_all(Some(true)) {
            Standing::Met
        } else if points.contains(&Some(true)) {
            Standing::Straddling
        } else if points[1] == Some(false) {
            Standing::Missed
        } else {
            Standing::Unknown(Missing::Rate)
        }
    }
}

impl Point {
    pub(super) fn exactly(value: f64) -> Self {
        Self { value, is_lower_bound: false }
    }

    /// `≥ 30.0 ms`.
    fn shown(self, show: impl Fn(f64) -> String) -> String {
        let bound = if self.is_lower_bound { "≥ " } else { "" };
        format!("{bound}{}", show(self.value))
    }

    /// Whether it keeps a limit; none where it may lie on either side.
    fn keeps(self, limit: &Limit) -> Option<bool> {
        match limit.holds(self.value) {
            true if self.is_lower_bound && limit.comparison.sets_upper_limit() => None,
            holds => Some(holds),
        }
    }
}
