//! `.hgrm`: HdrHistogram's percentile distribution as text, which its plotter and many tools read.
//!
//! Key invariant: line by line what HdrHistogram writes for the same histogram with five ticks per half distance, and the
//! value at a percentile is the one that all other reports tell. Values are in microseconds, as recorded, which a comment
//! at the end states.

use std::fmt::Write as _;

use crate::measure::{DIGITS, Latencies};

/// HdrHistogram's own default.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Quantiles are printed with twelve digits.
const PRINTED: f64 = 1e12;

/// A point of the distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// 0 to 1.
    pub quantile: f64,
    /// In microseconds.
    pub value: u64,
    /// Latencies up to this value.
    pub total: u64,
}

/// The distribution in so many steps between two halvings of what is above, up to the maximum; empty without latencies.
pub fn steps(latencies: &Latencies, ticks_per_half_distance: u32) -> Vec<Step> {
    // The iterator's sums of steps lie a little beside the percentile that is printed, so that where a percentile is met
    // exactly it would go one value too far.
    let at = |quantile: f64| {
        let quantile = (quantile * PRINTED).round() / PRINTED;
        let value = latencies.value_at_quantile(quantile);
        Step { quantile, value, total: latencies.count_between(0, value) }
    };
    let quantiles = latencies.iter_quantiles(ticks_per_half_distance).map(|step| step.quantile_iterated_to());
    quantiles.map(at).collect()
}

/// The distribution's text.
pub fn text(latencies: &Latencies) -> String {
    let digits = usize::from(DIGITS);
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    for Step { quantile, value, total } in steps(latencies, TICKS_PER_HALF_DISTANCE) {
        let value = value as f64;
        let line = if quantile < 1.0 {
            format!("{value:12.digits$} {quantile:2.12} {total:10} {:14.2}", 1.0 / (1.0 - quantile))
        } else {
            format!("{value:12.digits$} {quantile:2.12} {total:10}")
        };
        text.push_str(&line);
        text.push('\n');
    }
    write_foot(&mut text, latencies).expect("a String takes whatever is written to it");
    text
}

fn write_foot(text: &mut String, latencies: &Latencies) -> std::fmt::Result {
    let digits = usize::from(DIGITS);
    let (mean, deviation) = (latencies.mean(), latencies.stdev());
    // 2,048 sub-buckets hold three digits.
    let sub_buckets = (2 * 10_u64.pow(u32::from(DIGITS))).next_power_of_two();
    writeln!(text, "#[Mean    = {mean:12.digits$}, StdDeviation   = {deviation:12.digits$}]")?;
    writeln!(
        text,
        "#[Max     = {:12.digits$}, Total count    = {:12}]",
        latencies.max() as f64,
        latencies.len()
    )?;
    writeln!(text, "#[Buckets = {:12}, SubBuckets     = {sub_buckets:12}]", latencies.buckets())?;
    writeln!(text, "# Values are in microseconds.")
}
