//! The summary of one run as text.
//!
//! Key invariant: what makes the numbers doubtful (a run cut short, the client as the limit, findings of `--verify`) is in
//! it, in plain sentences.

use super::format::{bytes, grouped, ms, percent, significant};
use super::table::Table;
use crate::measure::Timing;
use crate::result::{Findings, RunRecord, Verdict};

/// The summary; `ceiling` is a run of the same workload against `corelog-bench ceiling`, for the share of it.
pub fn text(record: &RunRecord, ceiling: Option<&RunRecord>) -> String {
    let mut text = head(record);
    text.push('\n');
    text.push_str(&throughput(record, ceiling));
    if !record.measured.latencies.is_empty() {
        text.push('\n');
        text.push_str(&latencies(record));
    }
    text.push('\n');
    text.push_str(&costs(record));
    for sentence in sentences(&record.verdict) {
        text.push_str(&format!("\n{sentence}"));
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// What makes the numbers doubtful, a sentence each, without a full stop.
pub fn sentences(verdict: &Verdict) -> Vec<String> {
    let mut sentences = Vec::new();
    if !verdict.complete {
        let reason = verdict.reason.as_deref().unwrap_or("it did not come to its end");
        sentences.push(format!("partial results: {reason}"));
    }
    sentences.extend(verdict.limits.iter().map(|limit| limit.sentence.clone()));
    sentences.extend(verdict.notes.iter().cloned());
    if let Some(findings) = &verdict.findings {
        sentences.push(verified(findings));
        sentences.extend(findings.examples.iter().map(|example| format!("  {example}")));
    }
    sentences
}

/// What `--verify` found, in a line.
fn verified(findings: &Findings) -> String {
    let records = grouped(findings.records);
    if findings.is_clean() {
        return format!("verified: {records} records read, none lost, duplicated, reordered or corrupted");
    }
    format!(
        "NOT CORRECT: of {records} records read {} lost, {} duplicated, {} reordered, {} corrupted",
        grouped(findings.lost),
        grouped(findings.duplicated),
        grouped(findings.reordered),
        grouped(findings.corrupted)
    )
}

fn head(record: &RunRecord) -> String {
    let name = match record.workload.name.as_str() {
        "" => String::new(),
        name => format!(" {name}"),
    };
    format!(
        "{}{name} on {}, {} s counted\n",
        record.command.name,
        record.target.bootstrap.join(","),
        significant(record.measured.counted_s)
    )
}

fn throughput(record: &RunRecord, ceiling: Option<&RunRecord>) -> String {
    let measured = &record.measured;
    let counts = &measured.counts;
    let directions = [
        ("produced", counts.produced_records, counts.produced_bytes, counts.produce_requests),
        ("consumed", counts.fetched_records, counts.fetched_bytes, counts.fetch_requests),
    ];
    let mut table = Table::default();
    table.row(["", "records/s", "MB/s", "requests/s", "records", "bytes"]);
    for (name, records, volume, requests) in directions {
        if records > 0 {
            table.row([
                name.to_owned(),
                significant(measured.per_second(records)),
                significant(measured.per_second(volume) / 1e6),
                significant(measured.per_second(requests)),
                grouped(records),
                bytes(volume),
            ]);
        }
    }
    if counts.produced_records == 0 && counts.fetched_records == 0 {
        return "no record was produced or consumed in the counted time\n".to_owned();
    }
    let mut text = table.text();
    if let Some(share) = ceiling.and_then(|ceiling| share_of(record, ceiling)) {
        text.push_str(&format!("{} of what this client drives against the ceiling\n", percent(share)));
    }
    text
}

/// The record's rate of records in relation to the ceiling's, in the direction that both have.
fn share_of(record: &RunRecord, ceiling: &RunRecord) -> Option<f64> {
    let rates = |run: &RunRecord| {
        let measured = &run.measured;
        [measured.counts.produced_records, measured.counts.fetched_records]
            .map(|count| measured.per_second(count))
    };
    let pairs = rates(record).into_iter().zip(rates(ceiling));
    pairs.filter(|(mine, most)| *mine > 0.0 && *most > 0.0).map(|(mine, most)| mine / most).next()
}

fn latencies(record: &RunRecord) -> String {
    let mut table = Table::default();
    table.row(["latency, ms", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean", "count"]);
    for (timing, latency) in &record.measured.latencies {
        let name = match timing {
            Timing::OwnDelay => "client's own delay",
            other => other.name(),
        };
        let mut cells = vec![name.to_owned()];
        cells.extend(latency.percentiles_us.named().map(|(_, us)| ms(us)));
        cells.extend([significant(latency.mean_us / 1e3), grouped(latency.count)]);
        table.row(cells);
    }
    table.text()
}

fn costs(record: &RunRecord) -> String {
    let measured = &record.measured;
    let cpu = |cpu_s: Option<f64>| match (cpu_s, measured.cpu_s_per_gb(cpu_s)) {
        (Some(cpu_s), Some(per_gb)) => {
            format!("{} s, {} s/GB", significant(cpu_s), significant(per_gb))
        }
        (Some(cpu_s), None) => format!("{} s", significant(cpu_s)),
        (None, _) => "not known".to_owned(),
    };
    let counts = &measured.counts;
    let errors = match measured.errors_in_all() {
        0 => "none".to_owned(),
        all => {
            let kinds: Vec<String> =
                measured.errors.iter().map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
            format!("{}: {}", grouped(all), kinds.join(", "))
        }
    };
    let again = [
        (counts.retries, "retries"),
        (counts.reconnects, "reconnects"),
        (counts.leader_changes, "leader changes"),
        (counts.unanswered_records, "records without an answer at the end"),
    ];
    let again: Vec<String> = again
        .iter()
        .filter(|one| one.0 > 0)
        .map(|(count, name)| format!("{} {name}", grouped(*count)))
        .collect();
    let mut text = format!(
        "CPU of the client  {}\nCPU of the broker  {}\nerrors             {errors}\n",
        cpu(measured.cpu.client_s),
        cpu(measured.cpu.broker_s)
    );
    if !again.is_empty() {
        text.push_str(&format!("recovery           {}\n", again.join(", ")));
    }
    text
}
