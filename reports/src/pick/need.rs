//! What somebody needs of a stack: `rate>=20000,p99<20ms,cpu<15us,upstream=active`.
//!
//! Conditions are written as those of `--objective`, and read by the same parser; what a need has besides are figures that
//! only a run knows (cost, memory) and words of a stack's card.

use std::fmt;

use stackload::{
    threshold::{self, Comparison, leave_nothing, split},
    units::{parse_bytes, parse_count, parse_percent, parse_rate, parse_time_ns},
};

use crate::number;

/// Conditions that all have to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// In the order in which they were given.
    pub conditions: Vec<Condition>,
}

/// One of them; `Display` writes it as it is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Of a figure.
    Limit(Limit),
    /// Of the card.
    Words(Words),
}

/// A figure with its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// What is limited.
    pub quantity: Quantity,
    /// How; from below for the rate, from above for all others.
    pub comparison: Comparison,
    /// The limit, in the unit of the quantity.
    pub limit: f64,
    /// The same as it was written: `20ms`.
    text: String,
}

/// A fact of the card with the words that are good enough for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Words {
    /// Which.
    pub fact: Fact,
    /// One of these, in lower case.
    pub any_of: Vec<String>,
}

/// A figure that may be limited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantity {
    /// Requests per second that are carried.
    Rate,
    /// A percentile of latency from due, in microseconds.
    Percentile(f64),
    /// The server's CPU time per answer, in microseconds.
    Cpu,
    /// The server's peak resident set, in bytes.
    Rss,
    /// Resident memory of the server that an idle connection takes, in bytes.
    Idle,
    /// Errors for each hundred requests that were answered or failed.
    Errors,
    /// The server's threads at the end of the window.
    Threads,
    /// From the start of the server to its first answer, in microseconds.
    ColdStart,
}

/// A fact of the card that may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// Whether its libraries have had releases of late.
    Upstream,
    /// How it answers the mode that is asked for.
    Mode,
    /// Which panel it is of.
    Panel,
    /// Words of its concurrency model.
    Model,
    /// The library that parses HTTP.
    Http,
    /// The store client.
    Redis,
}

const QUANTITIES: [(&str, Quantity); 7] = [
    ("rate", Quantity::Rate),
    ("cpu", Quantity::Cpu),
    ("rss", Quantity::Rss),
    ("idle", Quantity::Idle),
    ("errors", Quantity::Errors),
    ("threads", Quantity::Threads),
    ("coldstart", Quantity::ColdStart),
];

const FACTS: [(&str, Fact); 6] = [
    ("upstream", Fact::Upstream),
    ("mode", Fact::Mode),
    ("panel", Fact::Panel),
    ("model", Fact::Model),
    ("http", Fact::Http),
    ("redis", Fact::Redis),
];

/// What there is to ask for, for messages and help.
pub const FIELDS: &str = "rate, p50, p90, p99, p999 (or any other percentile), cpu, rss, idle, errors, threads, coldstart; \
                          and of the card upstream, mode, panel, model, http, redis";

impl Need {
    /// Reads conditions that are separated by commas. `flag` is who asks.
    ///
    /// # Errors
    /// The whole message, when a condition is malformed, can never hold, always holds, limits the wrong side, contradicts
    /// another or says less than another; and when a latency is asked for and no rate at which.
    pub fn parse(flag: &str, list: &str) -> Result<Self, String> {
        let one = |text: &str| one(text).map_err(|why| format!("{flag} '{text}': {why}"));
        let conditions: Vec<Condition> = list.split(',').map(|text| one(text.trim())).collect::<Result<_, _>>()?;
        let need = Self { conditions };
        for limit in need.limits() {
            limit.possible().map_err(|why| format!("{flag} '{limit}': {why}"))?;
        }
        need.compatible().map_err(|why| format!("{flag}: {why}"))?;
        for limit in need.limits() {
            limit.limiting().map_err(|why| format!("{flag} '{limit}': {why}"))?;
        }
        need.complete().map_err(|why| format!("{flag}: {why}"))?;
        Ok(need)
    }

    /// The conditions of figures.
    pub fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.conditions.iter().filter_map(|condition| match condition {
            Condition::Limit(limit) => Some(limit),
            Condition::Words(_) => None,
        })
    }

    /// The limit of a quantity.
    pub fn limit_of(&self, quantity: Quantity) -> Option<&Limit> {
        self.limits().find(|limit| limit.quantity == quantity)
    }

    /// The rate that has to be carried, per second.
    pub fn rate(&self) -> Option<f64> {
        self.limit_of(Quantity::Rate).map(|limit| limit.limit)
    }

    /// Whether it asks for a latency.
    pub fn has_latency(&self) -> bool {
        self.limits().any(|limit| limit.quantity.is_latency())
    }

    /// What of it can be the objective of a search for the highest rate; none if there is nothing of the kind.
    pub fn objective(&self) -> Option<String> {
        let fits = |limit: &&Limit| limit.quantity.is_latency() || limit.quantity == Quantity::Errors;
        let conditions: Vec<String> = self.limits().filter(fits).map(Limit::to_string).collect();
        (!conditions.is_empty()).then(|| conditions.join(","))
    }

    /// Refuses two conditions of which one forbids what the other demands, or is all there is to the other.
    fn compatible(&self) -> Result<(), String> {
        let (upper, lower): (Vec<&Limit>, Vec<&Limit>) =
            self.limits().partition(|limit| limit.comparison.sets_upper_limit());
        for (below, above) in upper.iter().flat_map(|below| lower.iter().map(move |above| (below, above))) {
            let limits = ((below.comparison, below.limit), (above.comparison, above.limit));
            if above.quantity.never_exceeds(below.quantity) && leave_nothing(limits.0, limits.1) {
                return Err(format!("'{below}' and '{above}' contradict each other; leave one out"));
            }
        }
        for (index, condition) in self.conditions.iter().enumerate() {
            let is_same = |other: &&Condition| match (condition, other) {
                (Condition::Limit(one), Condition::Limit(other)) => {
                    let is_alike = one.comparison.sets_upper_limit() == other.comparison.sets_upper_limit();
                    one.quantity == other.quantity && is_alike
                }
                (Condition::Words(one), Condition::Words(other)) => one.fact == other.fact,
                _ => false,
            };
            if let Some(other) = self.conditions[..index].iter().find(is_same) {
                let remedy = match condition {
                    Condition::Limit(_) => "keep the stricter one",
                    Condition::Words(_) => "where either will do, write it with a bar, as upstream=active|partly",
                };
                return Err(format!("'{other}' and '{condition}' are about the same; {remedy}"));
            }
        }
        Ok(())
    }

    /// Refuses a latency without the rate at which it is asked for.
    fn complete(&self) -> Result<(), String> {
        match self.limits().find(|limit| limit.quantity.is_latency()) {
            Some(latency) if self.rate().is_none() => Err(format!(
                "'{latency}' says nothing without a rate, as every stack is quick when little is asked of it; add the rate \
                 that has to be carried, as rate>=20000"
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions: Vec<String> = self.conditions.iter().map(Condition::to_string).collect();
        f.write_str(&conditions.join(","))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => limit.fmt(f),
            Self::Words(words) => words.fmt(f),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.quantity.name(), self.comparison.sign(), self.text)
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.fact.name(), self.any_of.join("|"))
    }
}

/// Reads one condition. Of a word of the card it is the first `=` that counts, of a figure the first `<` or `>`.
fn one(text: &str) -> Result<Condition, String> {
    let sign =
        text.find(['<', '>', '=']).ok_or_else(|| "expected a field, one of < <= > >= = and a value".to_owned())?;
    let name = text[..sign].trim();
    let fact = FACTS.iter().find(|(known, _)| *known == name).map(|(_, fact)| *fact);
    let quantity = Quantity::named(name);
    match (fact, quantity, text[sign..].strip_prefix('=')) {
        (Some(fact), _, Some(words)) => Words::parse(fact, words).map(Condition::Words),
        (Some(_), ..) => Err(format!("{name} is a word and no figure; write {name}=, as in upstream=active")),
        (_, Some(_), Some(_)) => {
            Err("a figure is hardly ever just that; write < or <=, and for the rate >=".to_owned())
        }
        (_, Some(quantity), None) => Limit::parse(quantity, text).map(Condition::Limit),
        (None, None, _) => Err(format!("there is no field `{name}`; there are {FIELDS}")),
    }
}

impl Limit {
    fn parse(quantity: Quantity, text: &str) -> Result<Self, String> {
        let (_, comparison, text) = split(text).ok_or("expected one of < <= > >=")?;
        let limit = quantity.parse(text).ok_or_else(|| format!("expected {}", quantity.form()))?;
        Ok(Self { quantity, comparison, limit, text: text.to_owned() })
    }

    /// Whether a value keeps it.
    pub fn holds(&self, value: f64) -> bool {
        self.comparison.holds(value, self.limit)
    }

    /// `< 20 ms`.
    pub fn words(&self) -> String {
        let number = self.text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.text.len());
        let (number, unit) = self.text.split_at(number);
        let shown = match (self.quantity, unit.trim()) {
            (Quantity::Rate, _) => self.quantity.show(self.limit),
            (_, "us") => format!("{number} µs"),
            (_, "" | "%") => format!("{number}{unit}"),
            (_, unit) => format!("{number} {unit}"),
        };
        format!("{} {shown}", self.comparison.sign())
    }

    /// A value with its unit; of sizes, with one of the kind in which the limit was written.
    pub fn show(&self, value: f64) -> String {
        let is_size = matches!(self.quantity, Quantity::Rss | Quantity::Idle);
        if is_size && !self.text.to_lowercase().ends_with("ib") {
            return number::decimal_bytes(value);
        }
        self.quantity.show(value)
    }

    fn possible(&self) -> Result<(), &'static str> {
        self.comparison.possible(self.limit, self.quantity.range())
    }

    /// Refuses a limit from the side on which nobody has a need.
    fn limiting(&self) -> Result<(), &'static str> {
        match (self.quantity, self.comparison.sets_upper_limit()) {
            (Quantity::Rate, true) => Err("a rate is what has to be carried at least; write >="),
            (Quantity::Rate, false) | (_, true) => Ok(()),
            (_, false) => Err("of this nobody needs more than some; write < or <="),
        }
    }
}

impl Quantity {
    fn named(name: &str) -> Option<Self> {
        let known = QUANTITIES.iter().find(|(known, _)| *known == name).map(|(_, quantity)| *quantity);
        known.or_else(|| threshold::percentile(name).map(Self::Percentile))
    }

    /// As conditions name it.
    pub fn name(self) -> String {
        match self {
            Self::Percentile(percent) => format!("p{percent}"),
            _ => {
                QUANTITIES.iter().find(|(_, known)| *known == self).map_or_else(String::new, |(name, _)| (*name).into())
            }
        }
    }

    /// Whether it is a latency.
    pub fn is_latency(self) -> bool {
        matches!(self, Self::Percentile(_))
    }

    fn parse(self, text: &str) -> Option<f64> {
        // Without a unit a time would be taken for seconds, which hardly anybody means here.
        let time_us =
            || Some(parse_time_ns(text).filter(|_| !text.ends_with(|c: char| c.is_ascii_digit()))? as f64 / 1e3);
        match self {
            Self::Rate => parse_rate(text),
            Self::Percentile(_) | Self::Cpu | Self::ColdStart => time_us(),
            Self::Rss | Self::Idle => parse_bytes(text),
            Self::Errors => parse_percent(text),
            Self::Threads => Some(parse_count(text)? as f64),
        }
    }

    /// What its limit looks like.
    fn form(self) -> &'static str {
        match self {
            Self::Rate => "a number of requests per second, as 20000 or 20k",
            Self::Percentile(_) | Self::ColdStart => "a time with its unit, as 20ms or 500us",
            Self::Cpu => "a time with its unit, as 15us",
            Self::Rss | Self::Idle => "a size with its unit, as 200MB or 4KiB",
            Self::Errors => "a share in per cent, as 0.1%",
            Self::Threads => "a whole number, as 8",
        }
    }

    /// The values it can have.
    fn range(self) -> (f64, f64) {
        match self {
            Self::Rate | Self::Idle => (0.0, f64::INFINITY),
            Self::Errors => (0.0, 100.0),
            Self::Threads => (1.0, f64::INFINITY),
            Self::Percentile(_) | Self::Cpu | Self::Rss | Self::ColdStart => (f64::MIN_POSITIVE, f64::INFINITY),
        }
    }

    /// Whether its value is at most that of another in every run.
    fn never_exceeds(self, other: Self) -> bool {
        match (self, other) {
            (Self::Percentile(of), Self::Percentile(other)) => of <= other,
            _ => self == other,
        }
    }

    /// A value with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Rate => format!("{}/s", number::rate(value)),
            Self::Percentile(_) | Self::Cpu | Self::ColdStart => number::duration_us(value),
            Self::Rss | Self::Idle => number::bytes(value),
            Self::Errors => format!("{} %", number::ratio(value)),
            Self::Threads => number::count(value),
        }
    }
}

#[cfg(test)]
mod tests;
