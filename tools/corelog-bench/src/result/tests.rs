//! Records survive their JSON; other formats are refused with a sentence.

use std::collections::BTreeMap;

use super::*;
use crate::measure::{Evidence, Limits, Recorder, Timing, Totals};

fn totals() -> Totals {
    let mut totals = Totals::new(1_000_000_000);
    let mut recorder = Recorder::new(0);
    for second in 1..=8_u64 {
        for i in 0..500 {
            recorder.latency(Timing::Produce, 150 + i * i * second, 3);
            recorder.latency(Timing::OwnDelay, i % 7, 3);
        }
        recorder.counts().produced_records += 1_500;
        recorder.counts().produced_bytes += 1_500_000;
        recorder.error("NOT_LEADER_OR_FOLLOWER");
        totals.add(recorder.take(second * 1_000_000_000));
    }
    totals
}

fn record() -> RunRecord {
    let cpu = CpuSeconds { client_s: Some(1.25), broker_s: Some(0.1 + 0.2) };
    let evidence = Evidence { busiest_cpu_share: Some(1.0), ..Evidence::default() };
    RunRecord {
        format: FORMAT,
        label: Some("<b>one</b>".to_owned()),
        tool: ToolFacts::this(),
        command: CommandFacts { name: "produce".to_owned(), arguments: vec!["produce".to_owned()] },
        target: TargetFacts {
            bootstrap: vec!["127.0.0.1:9092".to_owned()],
            brokers: vec![BrokerFacts { id: 1, address: "127.0.0.1:9092".to_owned() }],
        },
        hosts: vec![serde_json::json!({"cpu": "a CPU", "cores": 2})],
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        workload: Workload { seed: u64::MAX, ..Workload::default() },
        measured: Measured::of(&totals(), cpu).unwrap(),
        verdict: Verdict {
            reason: Some("Ctrl-C".to_owned()),
            complete: false,
            limits: Limits::judge(&evidence),
            findings: Some(Findings { lost: 2, ..Findings::default() }),
            ..Verdict::complete()
        },
    }
}

#[test]
fn a_record_survives_its_json() {
    let record = record();
    assert_eq!(RunRecord::from_json(&record.to_json().unwrap()).unwrap(), record);
}

#[test]
fn what_is_counted_is_the_sum_of_the_counted_seconds() {
    let measured = record().measured;
    let counted: Vec<&SecondRecord> = measured.series.iter().filter(|row| !row.warm_up).collect();
    assert_eq!((measured.series.len(), counted.len()), (8, 7));
    assert_eq!(
        measured.counts.produced_records,
        counted.iter().map(|row| row.counts.produced_records).sum::<u64>()
    );
    let mut sum = crate::measure::empty_latencies();
    for row in counted {
        sum.add(row.latencies[&Timing::Produce].latencies().unwrap()).unwrap();
    }
    let total = &measured.latencies[&Timing::Produce];
    assert_eq!(total.latencies().unwrap(), sum);
    assert_eq!(total.percentiles_us, Percentiles::of(&sum));
    assert_eq!((total.count, measured.counted_s), (7 * 1_500, 7.0));
}

#[test]
fn unknown_formats_and_other_files_are_refused() {
    let text = record().to_json().unwrap();
    let newer = text.replacen("\"format\": 1", "\"format\": 2", 1);
    assert!(matches!(RunRecord::from_json(&newer), Err(ResultError::UnknownFormat { found: 2 })));
    assert!(matches!(RunRecord::from_json("{}"), Err(ResultError::NotARun(_))));
    assert!(matches!(RunRecord::from_json("{\"format\": 1}"), Err(ResultError::Malformed(_))));
    assert!(matches!(RunRecord::from_json(&text[..text.len() / 2]), Err(ResultError::NotARun(_))));
}

#[test]
fn a_damaged_histogram_is_an_error_and_no_panic() {
    let mut damaged = record().measured.latencies[&Timing::Produce].clone();
    for text in ["", "AAAA", "no base64!", &damaged.histogram.clone()[..40]] {
        damaged.histogram = text.to_owned();
        assert!(damaged.latencies().is_err(), "{text:?}");
    }
}

#[test]
fn differing_fields_are_named_with_their_values() {
    let one = record();
    let mut other = record();
    other.workload.producer.acks = 1;
    other.hosts = vec![serde_json::json!({"cpu": "a CPU"})];
    let found = differences(&[one.settings(), other.settings()]);
    let told: BTreeMap<&str, Vec<&str>> = found
        .iter()
        .map(|one| (one.field.as_str(), one.values.iter().map(String::as_str).collect()))
        .collect();
    let expected =
        BTreeMap::from([("host.cores", vec!["2", ""]), ("workload.producer.acks", vec!["-1", "1"])]);
    assert_eq!(told, expected);
}

#[test]
fn cpu_is_told_per_gigabyte_of_keys_and_values() {
    let measured = record().measured;
    // Seven counted seconds of 1.5 MB.
    let per_gb = measured.cpu_s_per_gb(measured.cpu.client_s).unwrap();
    assert!((per_gb - 1.25 / 0.0105).abs() < 1e-9, "{per_gb}");
    assert_eq!(measured.cpu_s_per_gb(None), None);
}
