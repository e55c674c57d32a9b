//! What the page's script draws: curves of percentiles and series, as JSON inside the page.
//!
//! Key invariant: the JSON holds no `<`, so that no text can end the element that holds it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::measure::{Latencies, PackedError, Timing};
use crate::report::ReportError;
use crate::report::compare::Side;
use crate::report::hgrm::{self, Step};
use crate::result::{RunRecord, SecondRecord};

/// Points of a curve between two halvings of what is above.
const TICKS_PER_HALF_DISTANCE: u32 = 12;
/// Points of a series; longer ones are thinned.
const POINTS_MAX: usize = 1_500;
/// Rows that cover less time say nothing about a rate.
const ROW_SECONDS_MIN: f64 = 0.5;
/// The latencies that are drawn, the most telling one first.
const DRAWN: [Timing; 3] = [Timing::EndToEnd, Timing::Produce, Timing::Fetch];
const RATES: [&str; 4] = ["produced records/s", "produced MB/s", "consumed records/s", "consumed MB/s"];

#[derive(Serialize)]
struct PageData<'a> {
    sides: Vec<&'a str>,
    timings: Vec<&'static str>,
    rates: Vec<&'static str>,
    runs: Vec<RunData>,
}

#[derive(Serialize)]
struct RunData {
    side: usize,
    /// From 1, within the side.
    number: usize,
    /// By kind of latency: (log10(1 / (1 - quantile)), milliseconds).
    curves: BTreeMap<&'static str, Vec<(f64, f64)>>,
    /// Seconds since the end of the warm-up, of each point.
    times: Vec<f64>,
    /// By unit.
    rates: BTreeMap<&'static str, Vec<f64>>,
    /// By kind of latency, in milliseconds; none where nothing was answered.
    p99: BTreeMap<&'static str, Vec<Option<f64>>>,
}

/// The page's data.
pub fn json(sides: &[Side]) -> Result<String, ReportError> {
    let mut runs = Vec::new();
    for (side, one) in sides.iter().enumerate() {
        for (index, run) in one.runs.iter().enumerate() {
            runs.push(run_data(side, index + 1, run)?);
        }
    }
    let timings = DRAWN.iter().map(|timing| timing.name());
    let data = PageData {
        sides: sides.iter().map(|side| side.name.as_str()).collect(),
        timings: timings.filter(|name| runs.iter().any(|run| run.curves.contains_key(name))).collect(),
        rates: RATES.into_iter().filter(|name| runs.iter().any(|run| run.rates.contains_key(name))).collect(),
        runs,
    };
    let text = serde_json::to_string(&data).expect("numbers and texts can be written as JSON");
    Ok(text.replace('<', "\\u003c"))
}

fn run_data(side: usize, number: usize, run: &RunRecord) -> Result<RunData, PackedError> {
    let mut curves = BTreeMap::new();
    for timing in DRAWN {
        if let Some(latency) = run.measured.latencies.get(&timing) {
            curves.insert(timing.name(), curve(&latency.latencies()?));
        }
    }
    let rows: Vec<&SecondRecord> =
        run.measured.series.iter().filter(|row| row.seconds() >= ROW_SECONDS_MIN).collect();
    let points: Vec<&[&SecondRecord]> = rows.chunks(rows.len().div_ceil(POINTS_MAX).max(1)).collect();
    let counted_from = run.measured.series.iter().find(|row| !row.warm_up).map_or(0.0, |row| row.from_s);
    let p99 = curves.keys().filter_map(|name| Timing::ALL.into_iter().find(|timing| timing.name() == *name));
    Ok(RunData {
        side,
        number,
        p99: p99
            .map(|timing| (timing.name(), points.iter().map(|rows| p99_ms(rows, timing)).collect()))
            .collect(),
        curves,
        times: points.iter().map(|rows| middle_s(rows) - counted_from).map(rounded).collect(),
        rates: rates(&points),
    })
}

/// The curve of percentiles up to the maximum, which stands where one of all values is above.
fn curve(latencies: &Latencies) -> Vec<(f64, f64)> {
    let last = (latencies.len().max(1) as f64).log10();
    let mut points: Vec<(f64, f64)> = Vec::new();
    for Step { quantile, value, .. } in hgrm::steps(latencies, TICKS_PER_HALF_DISTANCE) {
        let place = if quantile < 1.0 { (-(1.0 - quantile).log10()).min(last) } else { last };
        points.push((rounded(place.max(0.0)), value as f64 / 1e3));
    }
    points
}

fn rates(points: &[&[&SecondRecord]]) -> BTreeMap<&'static str, Vec<f64>> {
    let amounts: [fn(&SecondRecord) -> f64; 4] = [
        |row| row.counts.produced_records as f64,
        |row| row.counts.produced_bytes as f64 / 1e6,
        |row| row.counts.fetched_records as f64,
        |row| row.counts.fetched_bytes as f64 / 1e6,
    ];
    let mut rates = BTreeMap::new();
    for (name, amount) in RATES.into_iter().zip(amounts) {
        let rate = |rows: &&[&SecondRecord]| {
            let seconds: f64 = rows.iter().map(|row| row.seconds()).sum();
            rounded(rows.iter().map(|row| amount(row)).sum::<f64>() / seconds)
        };
        let values: Vec<f64> = points.iter().map(rate).collect();
        if values.iter().any(|value| *value > 0.0) {
            rates.insert(name, values);
        }
    }
    rates
}

fn middle_s(rows: &[&SecondRecord]) -> f64 {
    match (rows.first(), rows.last()) {
        (Some(first), Some(last)) => (first.from_s + last.to_s) / 2.0,
        _ => 0.0,
    }
}

/// The p99 of a point; of a thinned series the highest of the seconds it stands for.
fn p99_ms(rows: &[&SecondRecord], timing: Timing) -> Option<f64> {
    let highest_us = rows.iter().filter_map(|row| row.latencies.get(&timing)).map(|one| one.p99).max()?;
    Some(highest_us as f64 / 1e3)
}

/// Three decimals are enough to draw.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
