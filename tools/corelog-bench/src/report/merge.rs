//! Merges the run files of several hosts that loaded one cluster at the same time into one record.
//!
//! Key invariant: histograms and counts are those that one recorder of everything would have. Seconds are put together by
//! the time since each run's own start, as clocks of hosts differ.

use std::collections::BTreeMap;

use crate::measure::{Counts, Latencies, Limit, Packed, PackedError, Timing, count_errors, empty_latencies};
use crate::result::{
    CpuSeconds, Difference, Findings, LatencyRecord, Measured, RunRecord, SecondLatency, SecondRecord,
    Verdict, differences, flatten,
};
use crate::workload::Workload;

use super::hlog::unix_time;

/// Counted times that differ by more than this share are told.
const LENGTH_SHARE_MAX: f64 = 0.05;

/// Why runs cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error("there is no run to merge")]
    Nothing,
    #[error("runs of different commands cannot be merged: {first} and {other}")]
    Commands { first: String, other: String },
    #[error("a histogram of the runs cannot be used: {0}")]
    Histogram(#[from] PackedError),
}

/// One record of all runs. What is amiss between them becomes a note of the verdict.
pub fn merge(runs: &[RunRecord]) -> Result<RunRecord, MergeError> {
    let (first, others) = runs.split_first().ok_or(MergeError::Nothing)?;
    if let Some(other) = others.iter().find(|run| run.command.name != first.command.name) {
        let (first, other) = (first.command.name.clone(), other.command.name.clone());
        return Err(MergeError::Commands { first, other });
    }
    let mut merged = first.clone();
    for run in others {
        for address in &run.target.bootstrap {
            if !merged.target.bootstrap.contains(address) {
                merged.target.bootstrap.push(address.clone());
            }
        }
        for broker in &run.target.brokers {
            if !merged.target.brokers.contains(broker) {
                merged.target.brokers.push(broker.clone());
            }
        }
        merged.hosts.extend(run.hosts.iter().cloned());
    }
    if let Some(earliest) = runs.iter().min_by_key(|run| unix_time(&run.started_at)) {
        merged.started_at.clone_from(&earliest.started_at);
    }
    merged.workload = workload(runs, first);
    merged.measured = measured(runs)?;
    merged.verdict = verdict(runs);
    Ok(merged)
}

/// The load of all hosts: what adds up is added up, the rest is the first run's.
fn workload(runs: &[RunRecord], first: &RunRecord) -> Workload {
    let mut all = first.workload.clone();
    all.producer.connections = runs.iter().map(|run| run.workload.producer.connections).sum();
    all.producer.rate = runs.iter().map(|run| run.workload.producer.rate).sum();
    all.consumer.connections = runs.iter().map(|run| run.workload.consumer.connections).sum();
    all.length.records = runs.iter().map(|run| run.workload.length.records).sum();
    all.length.bytes = runs.iter().map(|run| run.workload.length.bytes).sum();
    all
}

fn measured(runs: &[RunRecord]) -> Result<Measured, MergeError> {
    let mut counts = Counts::default();
    let mut errors = BTreeMap::new();
    let mut latencies: BTreeMap<Timing, Latencies> = BTreeMap::new();
    for run in runs {
        counts.add(&run.measured.counts);
        for (name, count) in &run.measured.errors {
            count_errors(&mut errors, name, *count);
        }
        for (timing, record) in &run.measured.latencies {
            add(latencies.entry(*timing).or_insert_with(empty_latencies), &record.latencies()?);
        }
    }
    let records = latencies.iter().map(|(timing, all)| Ok((*timing, LatencyRecord::of(all)?)));
    Ok(Measured {
        counted_s: runs.iter().map(|run| run.measured.counted_s).fold(0.0, f64::max),
        counts,
        errors,
        cpu: cpu(runs),
        latencies: records.collect::<Result<_, PackedError>>()?,
        series: series(runs)?,
    })
}

/// Clients add up. Runs of one host saw the same local broker: their largest figure counts once.
fn cpu(runs: &[RunRecord]) -> CpuSeconds {
    let client = runs.iter().filter_map(|run| run.measured.cpu.client_s).reduce(|sum, more| sum + more);
    let mut brokers: Vec<(&[serde_json::Value], f64)> = Vec::new();
    for run in runs {
        let Some(broker_s) = run.measured.cpu.broker_s else { continue };
        match brokers.iter_mut().find(|(hosts, _)| *hosts == run.hosts) {
            Some((_, most)) => *most = most.max(broker_s),
            None => brokers.push((&run.hosts, broker_s)),
        }
    }
    let broker = brokers.into_iter().map(|(_, broker_s)| broker_s).reduce(|sum, more| sum + more);
    CpuSeconds { client_s: client, broker_s: broker }
}

/// A second of several runs while it is put together.
struct Second {
    row: SecondRecord,
    latencies: BTreeMap<Timing, Latencies>,
}

fn series(runs: &[RunRecord]) -> Result<Vec<SecondRecord>, MergeError> {
    let mut seconds: BTreeMap<(bool, u64), Second> = BTreeMap::new();
    for row in runs.iter().flat_map(|run| &run.measured.series) {
        // Negative and absurd times of a file become the first and the last second.
        let middle = ((row.from_s + row.to_s) / 2.0) as u64;
        let second = seconds.entry((!row.warm_up, middle)).or_insert_with(|| Second {
            row: SecondRecord {
                counts: Counts::default(),
                errors: 0,
                latencies: BTreeMap::new(),
                ..row.clone()
            },
            latencies: BTreeMap::new(),
        });
        second.row.from_s = second.row.from_s.min(row.from_s);
        second.row.to_s = second.row.to_s.max(row.to_s);
        second.row.counts.add(&row.counts);
        second.row.errors = second.row.errors.saturating_add(row.errors);
        for (timing, latency) in &row.latencies {
            add(second.latencies.entry(*timing).or_insert_with(empty_latencies), &latency.latencies()?);
        }
    }
    let mut rows = Vec::with_capacity(seconds.len());
    for Second { mut row, latencies } in seconds.into_values() {
        for (timing, all) in latencies {
            row.latencies.insert(timing, SecondLatency::of(&all, &Packed::pack(&all)?));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn add(sum: &mut Latencies, more: &Latencies) {
    sum.add(more).expect("all latencies have the same bounds");
}

fn verdict(runs: &[RunRecord]) -> Verdict {
    let of_each = |sentence: &str, index: usize| match runs.len() {
        1 => sentence.to_owned(),
        _ => format!("run {}: {sentence}", index + 1),
    };
    let mut verdict = Verdict::complete();
    let mut reasons = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        verdict.complete &= run.verdict.complete;
        reasons.extend(run.verdict.reason.iter().map(|reason| of_each(reason, index)));
        verdict.notes.extend(run.verdict.notes.iter().map(|note| of_each(note, index)));
        for limit in &run.verdict.limits {
            verdict.limits.push(Limit { sentence: of_each(&limit.sentence, index), ..limit.clone() });
        }
        if let Some(findings) = &run.verdict.findings {
            add_findings(verdict.findings.get_or_insert_default(), findings);
        }
    }
    verdict.reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    verdict.notes.extend(discord(runs));
    verdict
}

fn add_findings(sum: &mut Findings, more: &Findings) {
    let pairs = [
        (&mut sum.records, more.records),
        (&mut sum.lost, more.lost),
        (&mut sum.duplicated, more.duplicated),
        (&mut sum.reordered, more.reordered),
        (&mut sum.corrupted, more.corrupted),
        (&mut sum.foreign, more.foreign),
        (&mut sum.offset_gaps, more.offset_gaps),
    ];
    for (mine, other) in pairs {
        *mine = mine.saturating_add(other);
    }
    sum.examples.extend(more.examples.iter().cloned());
    sum.lanes.extend(more.lanes.iter().cloned());
}

/// What hosts that were to do the same did differently.
fn discord(runs: &[RunRecord]) -> Vec<String> {
    let mut notes = Vec::new();
    let fields = workload_differences(runs, &["seed"]);
    if !fields.is_empty() {
        let names: Vec<&str> = fields.iter().map(|one| one.field.as_str()).collect();
        notes.push(format!("the merged runs differ in {}", names.join(", ")));
    }
    let lengths = runs.iter().map(|run| run.measured.counted_s);
    let (shortest, longest) = (lengths.clone().fold(f64::INFINITY, f64::min), lengths.fold(0.0, f64::max));
    if longest - shortest > longest * LENGTH_SHARE_MAX {
        notes.push(format!(
            "the merged runs counted from {shortest:.1} to {longest:.1} s; rates are over the longest"
        ));
    }
    notes
}

/// In which fields the workloads of these runs differ, but for those named.
pub fn workload_differences<'a>(
    runs: impl IntoIterator<Item = &'a RunRecord>,
    without: &[&str],
) -> Vec<Difference> {
    let all: Vec<BTreeMap<String, String>> = runs
        .into_iter()
        .map(|run| flatten(&serde_json::to_value(&run.workload).unwrap_or_default()))
        .collect();
    let mut found = differences(&all);
    found.retain(|one| !without.contains(&one.field.as_str()));
    found
}
