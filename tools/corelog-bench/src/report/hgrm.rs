//! `.hgrm`: HdrHistogram's percentile distribution as text, which its plotter and many tools read.
//!
//! Key invariant: line by line what HdrHistogram writes for the same histogram with five ticks per half distance; values
//! are in microseconds, as recorded, which a comment at the end states.

use std::fmt::Write as _;

use crate::measure::{DIGITS, Latencies};

/// HdrHistogram's own default.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// The distribution's text.
pub fn text(latencies: &Latencies) -> String {
    let digits = usize::from(DIGITS);
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0_u64;
    for step in latencies.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total = total.saturating_add(step.count_since_last_iteration());
        let value = step.value_iterated_to() as f64;
        let quantile = step.quantile_iterated_to();
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
