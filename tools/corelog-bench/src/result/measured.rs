//! The measured part of a record, made from a run's totals.
//!
//! Key invariant: the percentiles are those of the histogram beside them. Latencies are in microseconds, times in seconds
//! of the run, sizes in bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measure::{Counts, Latencies, Packed, PackedError, SecondRow, Timing, Totals};

const NS_PER_SECOND: f64 = 1e9;

/// What a run measured in its counted time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measured {
    pub counted_s: f64,
    pub counts: Counts,
    /// By Kafka's name of the error, or `connection lost`, `timed out`.
    pub errors: BTreeMap<String, u64>,
    pub cpu: CpuSeconds,
    /// Only those that have counts.
    pub latencies: BTreeMap<Timing, LatencyRecord>,
    /// With the warm-up.
    pub series: Vec<SecondRecord>,
}

/// CPU time of the counted time, user and system, all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CpuSeconds {
    #[serde(default)]
    pub client_s: Option<f64>,
    /// Of the broker's process, if it is local and its CPU time may be read.
    #[serde(default)]
    pub broker_s: Option<f64>,
}

/// A histogram and what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LatencyRecord {
    pub count: u64,
    pub min_us: u64,
    pub mean_us: f64,
    pub stdev_us: f64,
    pub percentiles_us: Percentiles,
    /// HdrHistogram's V2 format with deflate, as base64; values in microseconds.
    pub histogram: String,
}

/// The percentiles that reports show, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Percentiles {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    #[serde(rename = "p99.9")]
    pub p99_9: u64,
    #[serde(rename = "p99.99")]
    pub p99_99: u64,
    pub max: u64,
}

/// One second of the series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecondRecord {
    /// From the run's start.
    pub from_s: f64,
    pub to_s: f64,
    #[serde(default)]
    pub warm_up: bool,
    pub counts: Counts,
    pub errors: u64,
    pub latencies: BTreeMap<Timing, SecondLatency>,
}

/// The latencies of one second, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecondLatency {
    pub count: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
    /// As [`LatencyRecord::histogram`].
    pub histogram: String,
}

impl Percentiles {
    /// Of a histogram; all 0 if it is empty.
    pub fn of(latencies: &Latencies) -> Self {
        let at = |quantile: f64| latencies.value_at_quantile(quantile);
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: latencies.max(),
        }
    }

    /// With their names, the lowest first.
    pub fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p99_9),
            ("p99.99", self.p99_99),
            ("max", self.max),
        ]
    }
}

impl LatencyRecord {
    /// Of a histogram; fails if a count is 2^63 or more.
    pub fn of(latencies: &Latencies) -> Result<Self, PackedError> {
        Ok(Self {
            count: latencies.len(),
            min_us: latencies.min(),
            mean_us: latencies.mean(),
            stdev_us: latencies.stdev(),
            percentiles_us: Percentiles::of(latencies),
            histogram: Packed::pack(latencies)?.to_base64(),
        })
    }

    /// The histogram; fails if the text is not one, as a file may hold anything.
    pub fn latencies(&self) -> Result<Latencies, PackedError> {
        Packed::from_base64(&self.histogram)?.unpack()
    }
}

impl SecondLatency {
    /// Of a histogram; fails if a count is 2^63 or more.
    pub fn of(latencies: &Latencies, packed: &Packed) -> Self {
        Self {
            count: latencies.len(),
            p50: latencies.value_at_quantile(0.5),
            p99: latencies.value_at_quantile(0.99),
            max: latencies.max(),
            histogram: packed.to_base64(),
        }
    }

    /// The histogram; fails if the text is not one, as a file may hold anything.
    pub fn latencies(&self) -> Result<Latencies, PackedError> {
        Packed::from_base64(&self.histogram)?.unpack()
    }
}

impl SecondRecord {
    fn of(row: &SecondRow) -> Result<Self, PackedError> {
        let mut latencies = BTreeMap::new();
        for (timing, recorded) in &row.latencies {
            latencies.insert(*timing, SecondLatency::of(&recorded.get(), recorded.packed()?.as_ref()));
        }
        Ok(Self {
            from_s: row.from_ns as f64 / NS_PER_SECOND,
            to_s: row.to_ns as f64 / NS_PER_SECOND,
            warm_up: row.warm_up,
            counts: row.counts,
            errors: row.errors,
            latencies,
        })
    }

    /// The time that the row covers.
    pub fn seconds(&self) -> f64 {
        (self.to_s - self.from_s).max(0.0)
    }
}

impl Measured {
    /// What the totals say; fails if a count is 2^63 or more.
    pub fn of(totals: &Totals, cpu: CpuSeconds) -> Result<Self, PackedError> {
        let mut latencies = BTreeMap::new();
        for timing in Timing::ALL {
            let recorded = totals.latencies(timing);
            if !recorded.is_empty() {
                latencies.insert(timing, LatencyRecord::of(recorded)?);
            }
        }
        Ok(Self {
            counted_s: totals.counted_seconds(),
            counts: *totals.counts(),
            errors: totals.errors().clone(),
            cpu,
            latencies,
            series: totals.series().iter().map(SecondRecord::of).collect::<Result<_, _>>()?,
        })
    }

    /// Errors of all kinds.
    pub fn errors_in_all(&self) -> u64 {
        self.errors.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// An amount per counted second; 0 without counted time.
    pub fn per_second(&self, amount: u64) -> f64 {
        if self.counted_s > 0.0 { amount as f64 / self.counted_s } else { 0.0 }
    }

    /// CPU seconds per GB (10^9 bytes) of keys and values, produced and fetched; none without bytes.
    pub fn cpu_s_per_gb(&self, cpu_s: Option<f64>) -> Option<f64> {
        let bytes = self.counts.produced_bytes.saturating_add(self.counts.fetched_bytes);
        cpu_s.filter(|_| bytes > 0).map(|cpu_s| cpu_s / (bytes as f64 / 1e9))
    }
}
