//! Figures as a reader takes them in: three significant digits, a unit, groups of thousands.

/// Stands where there is no figure.
pub const NONE: &str = "–";

/// A rate or a count: whole, with groups of thousands, from 1,000 on; three significant digits below.
pub fn rate(value: f64) -> String {
    if value >= 1000.0 { grouped(value) } else { significant(value) }
}

/// A number of things: whole.
pub fn count(value: f64) -> String {
    grouped(value)
}

/// Microseconds of CPU.
pub fn cpu_us(value: f64) -> String {
    if value < 0.0 { format!("-{}", rate(-value)) } else { rate(value) }
}

/// A count per request, which may be far below one: two decimals, fewer for what is large.
pub fn ratio(value: f64) -> String {
    if value >= 99.95 { format!("{value:.0}") } else { significant(value) }
}

/// A share as per cent, without the sign.
pub fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

/// A duration given in microseconds, with its unit.
pub fn duration_us(value: f64) -> String {
    match value {
        v if v < 999.5 => format!("{} µs", significant(v)),
        v if v < 999_500.0 => format!("{} ms", significant(v / 1e3)),
        v => format!("{} s", significant(v / 1e6)),
    }
}

/// Seconds, as short as they can be said: `4`, `0.5`.
pub fn seconds(value: f64) -> String {
    format!("{} s", (value * 1000.0).round() / 1000.0)
}

/// A long time, given in seconds: `50 min 12 s`.
pub fn wall_time(seconds: f64) -> String {
    let seconds = seconds.round();
    let (minutes, rest) = ((seconds / 60.0).floor(), seconds % 60.0);
    if minutes > 0.0 { format!("{minutes} min {rest} s") } else { format!("{rest} s") }
}

/// Bytes in binary units.
pub fn bytes(value: f64) -> String {
    scaled(value, 1024.0, ["KiB", "MiB", "GiB", "TiB"])
}

/// Bytes in decimal units.
pub fn decimal_bytes(value: f64) -> String {
    scaled(value, 1000.0, ["kB", "MB", "GB", "TB"])
}

/// In the first unit in which it is below 1,000, each so many times the one before.
fn scaled(value: f64, scale: f64, units: [&str; 4]) -> String {
    let (mut value, mut unit) = (value / scale, units[0]);
    for next in &units[1..] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / scale, next);
    }
    format!("{} {unit}", significant(value))
}

/// Three significant digits for what is below 1,000.
fn significant(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_grouped_from_a_thousand_on() {
        let shown: Vec<String> =
            [0.0, 3.456, 45.67, 999.4, 1000.0, 9_999.6, 1_234_567.0].into_iter().map(rate).collect();
        assert_eq!(shown, ["0.00", "3.46", "45.7", "999", "1,000", "10,000", "1,234,567"]);
    }

    #[test]
    fn a_difference_below_zero_keeps_its_digits() {
        assert_eq!([cpu_us(-12.34), cpu_us(-0.5), cpu_us(12.34)], ["-12.3", "-0.50", "12.3"]);
    }

    #[test]
    fn things_are_counted_whole() {
        assert_eq!([count(3.0), count(2003.0)], ["3", "2,003"]);
    }

    #[test]
    fn durations_move_up_to_the_next_unit() {
        let shown: Vec<String> = [7.0, 999.4, 999.6, 200_400.0, 999_600.0].into_iter().map(duration_us).collect();
        assert_eq!(shown, ["7.00 µs", "999 µs", "1.00 ms", "200 ms", "1.00 s"]);
    }

    #[test]
    fn bytes_are_shown_in_binary_units() {
        assert_eq!(bytes(12.34 * 1024.0 * 1024.0), "12.3 MiB");
        assert_eq!(bytes(1000.0 * 1024.0 * 1024.0), "0.98 GiB");
        assert_eq!([decimal_bytes(31_234_567.0), decimal_bytes(512.0)], ["31.2 MB", "0.51 kB"]);
    }

    #[test]
    fn long_times_are_in_minutes_and_seconds() {
        assert_eq!([42.4, 59.6, 3012.0].map(wall_time), ["42 s", "1 min 0 s", "50 min 12 s"]);
    }

    #[test]
    fn seconds_are_said_shortly() {
        assert_eq!(seconds(4.0), "4 s");
        assert_eq!(seconds(0.5), "0.5 s");
    }
}
