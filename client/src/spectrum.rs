//! wrk2's latency distributions: percentiles and the spectrum, as HdrHistogram's C implementation prints it.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::extended::Extended;
use crate::units::{cell, format_time_us};

/// The percentiles that stand above a spectrum.
const PERCENTILES: [f64; 8] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0];

/// Rows per halving of the distance to 100 %.
const TICKS_PER_HALF_DISTANCE: f64 = 5.0;

/// How a histogram from 1 µs to a day with three digits is laid out: the last footer says so.
const BUCKETS: u32 = 27;
const SUB_BUCKETS: u32 = 2048;

/// Latencies from the intended instants, and, if asked for, those from the actual sends.
pub fn blocks(recorded: &Histogram<u64>, uncorrected: Option<&Histogram<u64>>) -> String {
    let mut text = block("Recorded Latency", recorded);
    if let Some(uncorrected) = uncorrected {
        text.push('\n');
        text += &block("Uncorrected Latency (measured without taking delayed starts into account)", uncorrected);
    }
    text
}

fn block(title: &str, latencies: &Histogram<u64>) -> String {
    let mut text = format!("  Latency Distribution (HdrHistogram - {title})\n");
    for percent in PERCENTILES {
        let value = format_time_us(Extended::from(at_percent(latencies, percent)));
        let _ = writeln!(text, "{percent:>7.3}%{}", cell(&value, 10));
    }
    let _ = write!(text, "\n  Detailed Percentile spectrum:\n{}", spectrum(latencies));
    text + &"-".repeat(58) + "\n"
}

/// A percentile by the rank that the C implementation takes.
fn at_percent(latencies: &Histogram<u64>, percent: f64) -> u64 {
    let rank = ((percent / 100.0 * latencies.len() as f64 + 0.5) as u64).max(1);
    let mut seen = 0;
    for step in latencies.iter_recorded() {
        seen += step.count_since_last_iteration();
        if seen >= rank {
            return latencies.highest_equivalent(step.value_iterated_to());
        }
    }
    0
}

/// The ladder in milliseconds, and its footers. The format by which plotters of HdrHistogram read a distribution.
pub fn spectrum(latencies: &Histogram<u64>) -> String {
    let ms = |value_us: u64| value_us as f64 / 1000.0;
    let mut text = format!("{:>12} {:>12} {:>12} {:>16}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let total = latencies.len();
    let (mut percent, mut seen, mut value) = (0.0, 0, 0);
    for step in latencies.iter_recorded() {
        seen += step.count_since_last_iteration();
        value = latencies.highest_equivalent(step.value_iterated_to());
        while percent <= 100.0 * seen as f64 / total as f64 {
            let (fraction, distance) = (percent / 100.0, 1.0 / (1.0 - percent / 100.0));
            let _ = writeln!(text, "{:>12.3} {fraction:>12.6} {seen:>12} {distance:>12.2}", ms(value));
            let halvings = (100.0 / (100.0 - percent)).log2().floor() + 1.0;
            percent += 100.0 / (TICKS_PER_HALF_DISTANCE * halvings.exp2());
            if seen == total {
                break;
            }
        }
    }
    let _ = writeln!(text, "{:>12.3} {:>12.6} {total:>12} {:>12}", ms(value), 1.0, "inf");
    let max = if total == 0 { 0 } else { latencies.lowest_equivalent(latencies.max()) };
    let (mean, stdev) = (latencies.mean() / 1000.0, latencies.stdev() / 1000.0);
    let _ = writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {stdev:>12.3}]");
    let _ = writeln!(text, "#[Max     = {:>12.3}, Total count    = {total:>12}]", ms(max));
    let _ = writeln!(text, "#[Buckets = {BUCKETS:>12}, SubBuckets     = {SUB_BUCKETS:>12}]");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::hdr;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = hdr();
        values.into_iter().for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn the_ladder_halves_the_distance_every_five_rows() {
        let text = spectrum(&of(1..=1000));
        let percentiles: Vec<&str> =
            text.lines().skip(2).take_while(|line| !line.starts_with('#')).map(|line| line[13..25].trim()).collect();
        let expected = ["0.000000", "0.100000", "0.200000", "0.300000", "0.400000", "0.500000", "0.550000", "0.600000"];
        assert_eq!(percentiles[..8], expected);
        assert_eq!(percentiles[10..13], ["0.750000", "0.775000", "0.800000"]);
        assert_eq!(percentiles.last(), Some(&"1.000000"));
    }

    #[test]
    fn a_block_is_wrk2s_to_the_byte() {
        let text = block("Recorded Latency", &of([1000, 1000, 1000, 5503]));
        let expected = "  Latency Distribution (HdrHistogram - Recorded Latency)
 50.000%    1.00ms
 75.000%    1.00ms
 90.000%    5.50ms
 99.000%    5.50ms
 99.900%    5.50ms
 99.990%    5.50ms
 99.999%    5.50ms
100.000%    5.50ms

  Detailed Percentile spectrum:
       Value   Percentile   TotalCount 1/(1-Percentile)

       1.000     0.000000            3         1.00
       1.000     0.100000            3         1.11
       1.000     0.200000            3         1.25
       1.000     0.300000            3         1.43
       1.000     0.400000            3         1.67
       1.000     0.500000            3         2.00
       1.000     0.550000            3         2.22
       1.000     0.600000            3         2.50
       1.000     0.650000            3         2.86
       1.000     0.700000            3         3.33
       1.000     0.750000            3         4.00
       5.503     0.775000            4         4.44
       5.503     1.000000            4          inf
#[Mean    =        2.126, StdDeviation   =        1.949]
#[Max     =        5.500, Total count    =            4]
#[Buckets =           27, SubBuckets     =         2048]
----------------------------------------------------------
";
        assert_eq!(text, expected);
    }

    #[test]
    fn nothing_has_a_last_row_too() {
        let text = spectrum(&hdr());
        let row = text.lines().nth(2).unwrap();
        assert_eq!(row, "       0.000     1.000000            0          inf");
        assert!(text.contains("#[Mean    =        0.000, StdDeviation   =        0.000]\n"), "{text}");
    }

    #[test]
    fn the_footer_says_how_the_histogram_is_laid_out() {
        assert_eq!(u32::from(hdr().buckets()), BUCKETS);
    }
}
