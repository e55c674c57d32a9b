//! The live line of a run: throughput and latency of the last second beside a progress bar, on a terminal's standard error.
//!
//! Key invariant: without a terminal nothing is written.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::format::{grouped, ms, significant};
use crate::measure::{Counts, SecondRow, Timing};
use crate::workload::LengthPlan;

/// Steps of the bar.
const STEPS: u64 = 1_000;
/// Rows that cover less time say little about a rate: as long are those that are shown.
const ROW_SECONDS_MIN: f64 = 0.05;

/// The line on the terminal.
#[derive(Debug)]
pub struct Live {
    bar: ProgressBar,
}

impl Live {
    /// A line on standard error if that is a terminal and `wanted`; else one that writes nothing.
    pub fn new(wanted: bool) -> Self {
        let target = if wanted { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(STEPS), target);
        let style = ProgressStyle::with_template("{elapsed:>4} [{bar:24}] {percent:>3} %  {msg}")
            .expect("the template is a constant that is well formed")
            .progress_chars("=> ");
        bar.set_style(style);
        Self { bar }
    }

    /// Shows a second and the share of the run that is done, from 0 to 1.
    pub fn show(&self, row: &SecondRow, done: f64) {
        self.bar.set_position((done.clamp(0.0, 1.0) * STEPS as f64) as u64);
        self.bar.set_message(line(row));
    }

    /// Takes the line off the terminal.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A second in a line: throughput, p50 and p99.
pub fn line(row: &SecondRow) -> String {
    let seconds = row.seconds();
    let mut parts = Vec::new();
    if row.warm_up {
        parts.push("warm-up".to_owned());
    }
    let directions = [
        ("out", row.counts.produced_records, row.counts.produced_bytes),
        ("in", row.counts.fetched_records, row.counts.fetched_bytes),
    ];
    for (name, records, bytes) in directions {
        if records > 0 && seconds >= ROW_SECONDS_MIN {
            let records = grouped((records as f64 / seconds).round() as u64);
            parts.push(format!(
                "{name} {records} records/s {} MB/s",
                significant(bytes as f64 / seconds / 1e6)
            ));
        }
    }
    for timing in [Timing::Produce, Timing::EndToEnd, Timing::Fetch] {
        if let Some(latencies) = row.latencies.get(&timing) {
            let latencies = latencies.get();
            let [p50, p99] = [0.5, 0.99].map(|quantile| ms(latencies.value_at_quantile(quantile)));
            parts.push(format!("{} p50 {p50} p99 {p99} ms", timing.name()));
        }
    }
    if row.errors > 0 {
        let plural = if row.errors == 1 { "" } else { "s" };
        parts.push(format!("{} error{plural}", grouped(row.errors)));
    }
    if parts.is_empty() {
        parts.push("nothing answered".to_owned());
    }
    parts.join("  ")
}

/// The share of a run that is done, from 0 to 1: the warm-up and the bound that is closest. `counts` are those of
/// the counted time so far.
pub fn share_done(length: &LengthPlan, elapsed_s: f64, counts: &Counts) -> f64 {
    let share = |done: f64, whole: f64| if whole > 0.0 { (done / whole).clamp(0.0, 1.0) } else { 1.0 };
    let by_time = length.duration_s.map(|duration_s| share(elapsed_s, length.warm_up_s + duration_s));
    let amount = |produced: u64, fetched: u64| produced.max(fetched) as f64;
    let by_records = length
        .records
        .map(|records| share(amount(counts.produced_records, counts.fetched_records), records as f64));
    let by_bytes =
        length.bytes.map(|bytes| share(amount(counts.produced_bytes, counts.fetched_bytes), bytes as f64));
    [by_time, by_records, by_bytes].into_iter().flatten().fold(0.0, f64::max)
}
