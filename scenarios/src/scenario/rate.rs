//! Rates: how many requests a second are offered.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// More than the load client sends.
pub const RATE_MAX: f64 = 1e6;
/// The word for as fast as answers come.
const MAX: &str = "max";

/// What a step of an open loop offers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// As fast as answers come, which is a closed loop: what the stack can do at most, and what shares are taken of.
    Max,
    /// So many requests a second, the same for every stack.
    PerSecond(f64),
    /// A share of what this stack reached at [`Rate::Max`] in the same block.
    Share(f64),
}

/// A share, written as per cent: `"1%"`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Share(pub f64);

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        let is_share = |percent: &f64| *percent > 0.0 && percent.is_finite();
        let share = percent.filter(is_share).map(|percent| Self(percent / 100.0));
        share.ok_or_else(|| format!("`{text}` is no share; write one as \"50%\""))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} %", (self.0 * 1000.0).round() / 10.0)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no rate; write requests per second (5000), a share (\"50%\") or \"{MAX}\"");
        if text == MAX {
            return Ok(Self::Max);
        }
        Share::try_from(text.to_owned()).map(|Share(share)| Self::Share(share)).map_err(|_| wrong())
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "requests per second, a share such as \"50%\", or \"{MAX}\"")
            }

            fn visit_f64<E: de::Error>(self, per_second: f64) -> Result<Rate, E> {
                match (1.0..=RATE_MAX).contains(&per_second) && per_second.fract() == 0.0 {
                    true => Ok(Rate::PerSecond(per_second)),
                    false => Err(E::custom(format!(
                        "a rate must be a whole number of requests per second, from 1 to {RATE_MAX}"
                    ))),
                }
            }

            fn visit_i64<E: de::Error>(self, per_second: i64) -> Result<Rate, E> {
                self.visit_f64(per_second as f64)
            }

            fn visit_u64<E: de::Error>(self, per_second: u64) -> Result<Rate, E> {
                self.visit_f64(per_second as f64)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Max => write!(f, "as fast as answers come"),
            Self::PerSecond(rate) => write!(f, "{rate}/s"),
            Self::Share(share) => write!(f, "{} of its maximum", Share(*share)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Given {
        rate: Vec<Rate>,
    }

    fn read(list: &str) -> Result<Vec<Rate>, toml::de::Error> {
        toml::from_str::<Given>(&format!("rate = {list}")).map(|given| given.rate)
    }

    #[test]
    fn a_rate_is_a_number_a_share_or_the_maximum() {
        let rates = read("[\"max\", 5000, 7.0, \"12.5%\"]").unwrap();
        assert_eq!(rates, [Rate::Max, Rate::PerSecond(5000.0), Rate::PerSecond(7.0), Rate::Share(0.125)]);
        let words: Vec<String> = rates.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["as fast as answers come", "5000/s", "7/s", "12.5 % of its maximum"]);
    }

    #[test]
    fn what_is_no_rate_is_refused_with_what_would_be_one() {
        for (list, words) in [
            ("[0]", "from 1 to 1000000"),
            ("[-5]", "from 1 to"),
            ("[2000000]", "from 1 to"),
            ("[0.5]", "a whole number"),
            ("[\"0%\"]", "is no rate"),
            ("[\"fast\"]", "a share (\"50%\")"),
            ("[true]", "requests per second, a share"),
        ] {
            let error = read(list).unwrap_err().to_string();
            assert!(error.contains(words), "`{words}` is not in `{error}`");
        }
    }
}
