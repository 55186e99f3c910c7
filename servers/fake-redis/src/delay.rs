//! How long a command is kept from its answer: `20ms`, `uniform(1ms,3ms)`, `lognormal(0.5ms,2ms)`, `exponential(2ms)`.

use std::{fmt, str::FromStr};

use anyhow::{Context, bail, ensure};
use rand::{RngExt, rngs::StdRng};
use rand_distr::{Distribution, Exp, LogNormal};

use crate::{assigned::Assignable, clock::Nanos};

/// Longest delay that can be asked for, and at which a draw from a distribution is cut: far beyond any store, and small
/// enough for every sum to fit.
const MAX_DELAY: Nanos = 3_600_000_000_000;

/// The 99th percentile of the standard normal distribution.
const Z_P99: f64 = 2.326_347_874_040_841;

/// The law a command's delay follows. All durations are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    Constant(Nanos),
    /// Evenly between both.
    Uniform(Nanos, Nanos),
    /// By its median and its 99th percentile.
    LogNormal(Nanos, Nanos),
    /// By its mean.
    Exponential(Nanos),
}

impl Delay {
    /// One delay by this law.
    pub fn draw(self, rng: &mut StdRng) -> Nanos {
        match self {
            Self::Constant(nanos) => nanos,
            Self::Uniform(low, high) => rng.random_range(low..=high),
            Self::LogNormal(median, p99) => {
                let (location, scale) = log_normal_parameters(median, p99);
                cut(LogNormal::new(location, scale).expect("scale is not negative: checked when parsed").sample(rng))
            }
            Self::Exponential(mean) => {
                cut(Exp::new(1.0 / mean as f64).expect("the mean is positive: checked when parsed").sample(rng))
            }
        }
    }

    /// The mean of the law, in nanoseconds.
    pub fn mean(self) -> f64 {
        match self {
            Self::Constant(nanos) | Self::Exponential(nanos) => nanos as f64,
            Self::Uniform(low, high) => (low as f64 + high as f64) / 2.0,
            Self::LogNormal(median, p99) => {
                let (location, scale) = log_normal_parameters(median, p99);
                (location + scale * scale / 2.0).exp()
            }
        }
    }
}

fn log_normal_parameters(median: Nanos, p99: Nanos) -> (f64, f64) {
    ((median as f64).ln(), (p99 as f64 / median as f64).ln() / Z_P99)
}

fn cut(nanos: f64) -> Nanos {
    nanos.clamp(0.0, MAX_DELAY as f64) as Nanos
}

impl Assignable for Delay {
    const FORM: &str = "COMMAND=DELAY, such as get=20ms";
}

impl FromStr for Delay {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some((law, rest)) = text.split_once('(') else { return Ok(Self::Constant(parse_duration(text)?)) };
        let inside = rest.strip_suffix(')').with_context(|| format!("`{text}` lacks its closing bracket"))?;
        // `INFO` writes a semicolon, since commas separate its fields; both are read.
        let values =
            inside.split([',', ';']).map(|value| parse_duration(value.trim())).collect::<Result<Vec<_>, _>>()?;
        match (law, values.as_slice()) {
            ("uniform", &[low, high]) => {
                ensure!(low <= high, "`{text}`: the first bound is above the second");
                Ok(Self::Uniform(low, high))
            }
            ("lognormal", &[median, p99]) => {
                ensure!(0 < median && median <= p99, "`{text}`: 0 < median <= p99 must hold");
                Ok(Self::LogNormal(median, p99))
            }
            ("exponential", &[mean]) => {
                ensure!(mean > 0, "`{text}`: the mean must be positive");
                Ok(Self::Exponential(mean))
            }
            _ => bail!("`{text}` is none of `20ms`, `uniform(LOW,HIGH)`, `lognormal(MEDIAN,P99)`, `exponential(MEAN)`"),
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Constant(nanos) => write!(f, "{}", Human(nanos)),
            Self::Uniform(low, high) => write!(f, "uniform({},{})", Human(low), Human(high)),
            Self::LogNormal(median, p99) => write!(f, "lognormal({},{})", Human(median), Human(p99)),
            Self::Exponential(mean) => write!(f, "exponential({})", Human(mean)),
        }
    }
}

/// A duration in the largest unit in which it is at least 1.
struct Human(Nanos);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = UNITS.into_iter().find(|&(unit, _)| self.0 >= unit).unwrap_or((1_000_000, "ms"));
        write!(f, "{}{name}", self.0 as f64 / unit as f64)
    }
}

const UNITS: [(Nanos, &str); 4] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];

fn parse_duration(text: &str) -> anyhow::Result<Nanos> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == 'µ');
    let unit = match &text[digits.len()..] {
        "µs" => 1_000,
        name => UNITS.into_iter().find(|&(_, known)| known == name).map_or(0, |(unit, _)| unit),
    };
    ensure!(unit > 0, "`{text}` is not a duration such as `20ms` (units: s, ms, us, ns)");
    let value: f64 = digits.parse().with_context(|| format!("`{text}` is not a duration such as `20ms`"))?;
    let nanos = value * unit as f64;
    ensure!((0.0..=MAX_DELAY as f64).contains(&nanos), "`{text}` is not between 0 and one hour");
    Ok(nanos.round() as Nanos)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["20ms", "200us", "1.5s", "0ms", "uniform(1ms,2.5ms)", "lognormal(500us,2ms)", "exponential(20ms)"]
        {
            let delay: Delay = text.parse().unwrap();
            assert_eq!(delay.to_string(), text);
        }
        assert_eq!("0.5ms".parse::<Delay>().unwrap(), Delay::Constant(500_000));
        assert_eq!("3µs".parse::<Delay>().unwrap(), Delay::Constant(3_000));
        assert_eq!("uniform(1ms;2ms)".parse::<Delay>().unwrap(), Delay::Uniform(1_000_000, 2_000_000));
    }

    #[test]
    fn nonsense_is_named() {
        for text in [
            "",
            "20",
            "ms",
            "-1ms",
            "2h",
            "1e99s",
            "NaNms",
            "uniform(2ms,1ms)",
            "lognormal(0ms,1ms)",
            "uniform(1ms",
            "gamma(1ms)",
        ] {
            let message = text.parse::<Delay>().unwrap_err().to_string();
            assert!(message.contains(text), "{message}");
        }
    }

    #[test]
    fn draws_follow_their_law_and_their_seed() {
        let law: Delay = "lognormal(0.5ms,2ms)".parse().unwrap();
        let sample = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut drawn: Vec<Nanos> = (0..20_000).map(|_| law.draw(&mut rng)).collect();
            drawn.sort_unstable();
            drawn
        };
        let drawn = sample(1);
        assert_eq!(drawn, sample(1));
        assert_ne!(drawn, sample(2));
        let near = |value: Nanos, expected: f64| (value as f64 / expected - 1.0).abs() < 0.1;
        assert!(near(drawn[10_000], 500_000.0) && near(drawn[19_800], 2_000_000.0));
        let mean = drawn.iter().sum::<Nanos>() / 20_000;
        assert!(near(mean, law.mean()));
    }
}
