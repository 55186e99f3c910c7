//! Durations and shares as people write them: `10s`, `20ms`, `500us`, `1m`; `5%`, `0.05`.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Reads a duration with its unit.
///
/// # Errors
/// A sentence that shows the forms that are understood, when the text is none of them or negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        // The load client and the store count in microseconds: what is finer would be lost without a word.
        .filter(|duration| duration.subsec_nanos().is_multiple_of(1_000))
        .ok_or_else(|| {
            format!("`{text}` is not a duration; write a number and a unit, as in \"10s\", \"20ms\" or \"500us\"")
        })
}

/// Reads a share, in per cent or as a number.
///
/// # Errors
/// A sentence that shows the forms that are understood, when the text is none of them.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    share.ok().filter(|share: &f64| share.is_finite()).ok_or_else(|| "write a share, as 5% or 0.05".to_owned())
}

/// Writes a duration with the unit in which it is a whole number, if there is one.
pub fn show_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros >= 1_000_000 && micros.is_multiple_of(1_000_000) {
        format!("{}s", micros / 1_000_000)
    } else if micros >= 1_000 && micros.is_multiple_of(1_000) {
        format!("{}ms", micros / 1_000)
    } else {
        format!("{micros}us")
    }
}

/// For `#[serde(deserialize_with = …)]` on a duration.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(D::Error::custom)
}

/// For `#[serde(deserialize_with = …)]` on a duration that may be absent.
pub fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(parse_duration("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(parse_duration("1m"), Ok(Duration::from_secs(60)));
    }

    #[test]
    fn a_bare_number_a_negative_and_an_unknown_unit_are_refused() {
        for text in ["10", "-1s", "3 parsecs", "", "100ns"] {
            assert!(parse_duration(text).unwrap_err().contains("is not a duration"), "{text}");
        }
    }

    #[test]
    fn shares_are_read_in_per_cent_and_as_numbers() {
        assert_eq!((parse_share("5%"), parse_share("0.05"), parse_share("2.5 %")), (Ok(0.05), Ok(0.05), Ok(0.025)));
        for text in ["", "%", "five", "nan", "inf%", "5%%"] {
            assert!(parse_share(text).unwrap_err().contains("as 5% or 0.05"), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for text in ["20ms", "10s", "1500ms", "50us"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
    }
}
