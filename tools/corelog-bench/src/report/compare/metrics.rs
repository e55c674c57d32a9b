//! The figures that are compared, and what of a difference is noise.
//!
//! Key invariant: a figure that no run of a side has is absent, not zero.

use super::Side;
use crate::measure::Timing;
use crate::report::format::{grouped, significant};
use crate::result::{Measured, RunRecord};

/// A figure of all sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// With its unit.
    pub name: String,
    /// A whole number, as errors are.
    pub whole: bool,
    /// Of each side; none if no run of it has the figure.
    pub sides: Vec<Option<Spread>>,
}

/// A figure over the runs of a side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// Runs that have the figure.
    pub runs: usize,
}

/// Whether a difference can be told from noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// The ranges of the runs overlap.
    Within,
    /// They do not.
    Beyond,
    /// One run a side.
    Unknown,
}

impl Spread {
    /// Over these values; none without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Self { median, min, max, runs: sorted.len() })
    }

    /// Half the range in relation to the median; none with one run or a median of 0.
    pub fn half_range_share(&self) -> Option<f64> {
        let range = (self.max - self.min) / 2.0;
        (self.runs > 1 && self.median > 0.0).then(|| range / self.median)
    }

    /// The difference of two sides, judged.
    pub fn noise(&self, other: &Self) -> Noise {
        if self.min <= other.max && other.min <= self.max {
            Noise::Within
        } else if self.runs == 1 && other.runs == 1 {
            Noise::Unknown
        } else {
            Noise::Beyond
        }
    }
}

impl Metric {
    /// A side's median in relation to the first side's; none if either is absent, or the first is 0.
    pub fn ratio(&self, side: usize) -> Option<f64> {
        let first = self.sides.first().copied().flatten()?;
        let other = self.sides.get(side).copied().flatten()?;
        (first.median > 0.0).then(|| other.median / first.median)
    }

    /// A side's difference from the first side, judged.
    pub fn noise(&self, side: usize) -> Option<Noise> {
        let first = self.sides.first().copied().flatten()?;
        let other = self.sides.get(side).copied().flatten()?;
        Some(first.noise(&other))
    }

    /// A value of this figure as text.
    pub fn value(&self, value: f64) -> String {
        if self.whole { grouped(value.round().max(0.0) as u64) } else { significant(value) }
    }
}

/// All figures that at least one run has, in the order of the table.
pub fn metrics(sides: &[Side]) -> Vec<Metric> {
    let mut all = Vec::new();
    let mut add = |name: &str, whole: bool, of: &dyn Fn(&RunRecord) -> Option<f64>| {
        let spreads: Vec<Option<Spread>> = sides
            .iter()
            .map(|side| Spread::of(&side.runs.iter().filter_map(of).collect::<Vec<f64>>()))
            .collect();
        if spreads.iter().any(Option::is_some) {
            all.push(Metric { name: name.to_owned(), whole, sides: spreads });
        }
    };
    let rate = |measured: &Measured, amount: u64| (amount > 0).then(|| measured.per_second(amount));
    add("produced records/s", false, &|run| rate(&run.measured, run.measured.counts.produced_records));
    add("produced MB/s", false, &|run| {
        rate(&run.measured, run.measured.counts.produced_bytes).map(|b| b / 1e6)
    });
    add("consumed records/s", false, &|run| rate(&run.measured, run.measured.counts.fetched_records));
    add("consumed MB/s", false, &|run| {
        rate(&run.measured, run.measured.counts.fetched_bytes).map(|b| b / 1e6)
    });
    for timing in [Timing::Produce, Timing::EndToEnd, Timing::Fetch] {
        for (index, name) in ["p50", "p90", "p99", "p99.9", "p99.99", "max"].into_iter().enumerate() {
            add(&format!("{} {name} ms", timing.name()), false, &|run| {
                let latency = run.measured.latencies.get(&timing)?;
                Some(latency.percentiles_us.named()[index].1 as f64 / 1e3)
            });
        }
    }
    add("broker CPU s/GB", false, &|run| run.measured.cpu_s_per_gb(run.measured.cpu.broker_s));
    add("client CPU s/GB", false, &|run| run.measured.cpu_s_per_gb(run.measured.cpu.client_s));
    add("errors", true, &|run| Some(run.measured.errors_in_all() as f64));
    all
}
