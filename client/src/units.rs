//! Numbers with units: read as wrk reads them, printed as wrk prints them.

use crate::extended::Extended;

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// wrk's count: an unsigned decimal integer with an optional SI suffix (`1k` = 1000), in either case.
pub fn parse_count(text: &str) -> Option<u64> {
    let (digits, suffix) = split_number(text);
    digits.parse::<u64>().ok()?.checked_mul(10u64.pow(si_power(suffix)?))
}

/// A rate per second: a count or, beyond wrk2, a decimal fraction (`1.5k`, `565.7`), as a share of another rate is one.
pub fn parse_rate(text: &str) -> Option<f64> {
    if let Some(count) = parse_count(text) {
        return Some(count as f64);
    }
    let (number, suffix) = split_number(text);
    let (whole, fraction) = number.split_once('.')?;
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_decimal = is_digits(whole) && is_digits(fraction);
    let power = si_power(suffix)?;
    number.parse::<f64>().ok().filter(|_| is_decimal).map(|rate| rate * 10f64.powi(power as i32))
}

/// The power of ten of an SI suffix, in either case.
fn si_power(suffix: &str) -> Option<u32> {
    Some(match suffix.to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 3,
        "m" => 6,
        "g" => 9,
        "t" => 12,
        "p" => 15,
        _ => return None,
    })
}

/// A time in nanoseconds: wrk's whole seconds, minutes and hours (`2`, `2s`, `2m`, `2h`), and beyond wrk the units
/// `ms`, `us` (or `µs`) and decimal fractions (`1.5s`).
pub fn parse_time_ns(text: &str) -> Option<u64> {
    let (number, suffix) = split_number(text);
    let unit_ns = match suffix.to_ascii_lowercase().as_str() {
        // The micro sign and the Greek letter look the same.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "" | "s" => NS_PER_S,
        "m" => 60 * NS_PER_S,
        "h" => 3600 * NS_PER_S,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Twelve digits are picoseconds of a second: more cannot matter, and 10^12 · 3600 · 10^9 still fits.
    if fraction.is_empty() || fraction.len() > 12 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole_ns = whole.parse::<u64>().ok()?.checked_mul(unit_ns)?;
    let fraction_ns = fraction.parse::<u128>().ok()? * u128::from(unit_ns) / 10u128.pow(fraction.len() as u32);
    whole_ns.checked_add(u64::try_from(fraction_ns).ok()?)
}

/// A number of bytes with its unit, of powers of 1000 (`200MB`) or of 1024 (`200MiB`), in either case.
pub fn parse_bytes(text: &str) -> Option<f64> {
    let (number, suffix) = split_number(text);
    let suffix = suffix.to_ascii_lowercase();
    let (scale, prefix) = match (suffix.strip_suffix("ib"), suffix.strip_suffix('b')) {
        (Some(prefix), _) if !prefix.is_empty() => (1024.0, prefix),
        (_, Some(prefix)) => (1000.0, prefix),
        _ => return None,
    };
    let power = match prefix {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    Some(parse_rate(number)? * f64::powi(scale, power))
}

/// A share of a hundred, as per cent: `0.1%`.
pub fn parse_percent(text: &str) -> Option<f64> {
    let percent = text.trim().strip_suffix('%')?.trim().parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent)
}

/// Splits into the number and its suffix; blanks may stand before the number and on either side of the suffix. A sign
/// is left in the suffix, where it matches no unit.
fn split_number(text: &str) -> (&str, &str) {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches(|c: char| c.is_ascii_whitespace()))
}

/// A list of units, each `scale` times the one before.
struct Units {
    scale: u64,
    names: &'static [&'static str],
}

// wrk never reaches the last unit of its lists; these hold the ones it does reach.
const MICROSECONDS: Units = Units { scale: 1000, names: &["us", "ms"] };
const SECONDS: Units = Units { scale: 60, names: &["s", "m"] };
const METRIC: Units = Units { scale: 1000, names: &["", "k", "M", "G", "T"] };
const BINARY: Units = Units { scale: 1024, names: &["", "K", "M", "G", "T"] };

impl Units {
    /// Steps up while the value reaches 0.85 of the next unit.
    fn format(&self, value: Extended, decimals: u32) -> String {
        let scale = Extended::from(self.scale);
        // wrk computes the threshold in double precision; for every scale in use that is exact to the bit kept here.
        let threshold = threshold_of(self.scale);
        let (mut value, mut unit) = (value, 0);
        while unit + 1 < self.names.len() && value >= threshold {
            value = value.divided_by(scale);
            unit += 1;
        }
        value.to_fixed(decimals) + self.names[unit]
    }
}

/// `0.85 · scale`, computed as a C double and widened.
fn threshold_of(scale: u64) -> Extended {
    let threshold = 0.85 * scale as f64;
    // 2^20 is enough to make the thresholds of 60 and 1000 whole, and 2^43 that of 1024.
    Extended::from((threshold * 2f64.powi(43)) as u64).divided_by(Extended::from(1u64 << 43))
}

/// A latency or a runtime, from microseconds.
pub fn format_time_us(microseconds: Extended) -> String {
    let million = Extended::from(1_000_000u64);
    if microseconds >= million {
        SECONDS.format(microseconds.divided_by(million), 2)
    } else {
        MICROSECONDS.format(microseconds, 2)
    }
}

/// The duration in the first line: whole seconds as wrk prints them, fractions (which wrk does not take) like a
/// runtime.
pub fn format_duration_ns(nanoseconds: u64) -> String {
    if nanoseconds.is_multiple_of(NS_PER_S) {
        SECONDS.format(Extended::from(nanoseconds / NS_PER_S), 0)
    } else {
        format_time_us(Extended::from(nanoseconds).divided_by(Extended::from(1000u64)))
    }
}

/// A rate.
pub fn format_metric(value: Extended) -> String {
    METRIC.format(value, 2)
}

/// A number of bytes, without the `B` that callers append.
pub fn format_binary(bytes: Extended) -> String {
    BINARY.format(bytes, 2)
}

/// A formatted value in a cell: unit letters are aligned at the right edge, and bare numbers leave their room blank.
///
/// wrk also cuts a text that is too wide for its cell, which turns `1000.00ms` into `1000.00m`: minutes. We print it
/// whole.
pub fn cell(text: &str, width: usize) -> String {
    let letters = text.bytes().rev().take(2).filter(u8::is_ascii_alphabetic).count();
    let blanks = 2 - letters;
    format!("{text:>width$}{:blanks$}", "", width = width.saturating_sub(blanks))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(value: u64) -> String {
        format_time_us(Extended::from(value))
    }

    #[test]
    fn a_rate_may_have_a_fraction() {
        assert_eq!(
            ["5000", "5k", "1.5k", "565.685424949238"].map(parse_rate),
            [5e3, 5e3, 1.5e3, 565.685424949238].map(Some)
        );
        for text in ["", ".5", "5.", "1.2.3", "-5", "1.5x", "1e3", "nan"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn counts_take_si_suffixes_in_either_case() {
        let cases = [("4", 4), ("1k", 1000), ("2K", 2000), ("1m", 1_000_000), (" 3 g", 3_000_000_000), ("0", 0)];
        for (text, expected) in cases {
            assert_eq!(parse_count(text), Some(expected), "{text}");
        }
        for text in ["", "k", "4kb", "0x4", "xx", "-1", "1.5", "+3", "99999999999999999999", "99999999p"] {
            assert_eq!(parse_count(text), None, "{text}");
        }
    }

    #[test]
    fn times_take_wrks_units_and_finer_ones() {
        let cases = [
            ("2", 2 * NS_PER_S),
            ("1S", NS_PER_S),
            ("1 s", NS_PER_S),
            ("2m", 120 * NS_PER_S),
            ("1h", 3600 * NS_PER_S),
            ("500ms", 500_000_000),
            ("1.5s", 1_500_000_000),
            ("250us", 250_000),
            ("250 µs", 250_000),
            ("250 μs", 250_000),
            ("0.25", 250_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_time_ns(text), Some(expected), "{text}");
        }
        for text in ["", "s", "1sec", "-1", "1.s", "1..5s", "0x4", "1e3", "99999999999999h", "1.5.5s"] {
            assert_eq!(parse_time_ns(text), None, "{text}");
        }
    }

    #[test]
    fn bytes_take_units_of_both_kinds() {
        let cases = [("200MB", 200e6), ("200 MiB", 200.0 * 1048576.0), ("1.5gib", 1.5 * 1073741824.0), ("512B", 512.0)];
        for (text, expected) in cases {
            assert_eq!(parse_bytes(text), Some(expected), "{text}");
        }
        for text in ["", "200", "200M", "ib", "5ib", "MB", "-1MB", "1kMB", "1.MB", "nanB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn a_percentage_is_from_none_to_all() {
        assert_eq!(["0%", "0.1 %", "100%"].map(parse_percent), [0.0, 0.1, 100.0].map(Some));
        for text in ["", "%", "5", "101%", "-1%", "nan%", "x%"] {
            assert_eq!(parse_percent(text), None, "{text}");
        }
    }

    #[test]
    fn latencies_step_up_at_eighty_five_hundredths_of_the_next_unit() {
        let cases = [
            (849, "849.00us"),
            (850, "0.85ms"),
            (999_999, "1000.00ms"),
            (1_000_000, "1.00s"),
            (51_000_000, "0.85m"),
            (3_600_000_000, "60.00m"),
            (36_000_000_000, "600.00m"),
            (0, "0.00us"),
        ];
        for (value, expected) in cases {
            assert_eq!(us(value), expected);
        }
    }

    #[test]
    fn durations_step_to_minutes_and_round_to_even() {
        let cases = [(50, "50s"), (51, "1m"), (90, "2m"), (3600, "60m"), (7200, "120m"), (2, "2s")];
        for (seconds, expected) in cases {
            assert_eq!(format_duration_ns(seconds * NS_PER_S), expected);
        }
        assert_eq!(format_duration_ns(500_000_000), "500.00ms");
        assert_eq!(format_duration_ns(1_500_000_000), "1.50s");
    }

    #[test]
    fn rates_and_bytes_have_their_own_scales() {
        assert_eq!(format_metric(Extended::from(849u64)), "849.00");
        assert_eq!(format_metric(Extended::from(850u64)), "0.85k");
        assert_eq!(format_binary(Extended::from(870u64)), "870.00");
        assert_eq!(format_binary(Extended::from(871u64)), "0.85K");
        assert_eq!(format_binary(Extended::from(17_930_650u64)), "17.10M");
    }

    #[test]
    fn cells_align_letters_at_the_right_edge() {
        assert_eq!(cell("586.08us", 8), "586.08us");
        assert_eq!(cell("2.50s", 9), "   2.50s ");
        assert_eq!(cell("76.58", 8), " 76.58  ");
        assert_eq!(cell("1000.00ms", 8), "1000.00ms");
        assert_eq!(cell("-nan", 8), "    -nan");
    }

    /// FNV-1a, to compare a million printed figures with those of a C program in one number.
    fn fingerprint(texts: impl Iterator<Item = String>) -> u64 {
        let bytes = texts.flat_map(String::into_bytes);
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn every_last_digit_is_that_of_a_long_double() {
        // The expected numbers come from `printf("%.2Lf")` of the same quotients on x86-64.
        let milliseconds = (850..1_000_000).map(|value| us(value).trim_end_matches("ms").to_owned());
        assert_eq!(fingerprint(milliseconds), 0x0bac_4336_1009_fc76);
        let seconds_and_minutes = (1_000_000..400_000_000).step_by(997).map(us);
        assert_eq!(fingerprint(seconds_and_minutes), 0x7a45_62ee_4af4_ced4);
    }
}
