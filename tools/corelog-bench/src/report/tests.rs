//! Numbers, times, the live line and the share of a run that is done.

use std::time::{Duration, SystemTime};

use super::format::{bytes, grouped, ms, percent, significant};
use super::table::Table;
use super::{hgrm, hlog, live};
use crate::measure::{Counts, Recorder, Timing, Totals, empty_latencies};
use crate::workload::LengthPlan;

#[test]
fn numbers_have_four_digits_and_commas() {
    let values =
        [0.0, 0.41249, 9.99949, 9.9996, 12.346, 99.996, 999.94, 999.96, 1_234_567.4, -1_500.0, f64::NAN];
    let texts = values.map(significant);
    let expected =
        ["0.000", "0.412", "9.999", "10.00", "12.35", "100.0", "999.9", "1,000", "1,234,567", "-1,500", "–"];
    assert_eq!(texts, expected);
    assert_eq!([0, 999, 1_000, u64::MAX].map(grouped), ["0", "999", "1,000", "18,446,744,073,709,551,615"]);
    assert_eq!(
        [999, 1_500, 2_000_000, 3_500_000_000].map(bytes),
        ["999 B", "1.500 kB", "2.000 MB", "3.500 GB"]
    );
    assert_eq!((ms(1_001_471), percent(0.1234)), ("1,001".to_owned(), "12.3 %".to_owned()));
}

#[test]
fn columns_are_aligned_and_no_line_ends_in_blanks() {
    let mut table = Table::default();
    table.row(["", "µs", "b"]);
    table.row(["row", "1,234", ""]);
    assert_eq!(table.text(), "        µs  b\nrow  1,234\n");
}

#[test]
fn times_of_run_files_are_read() {
    let at = |unix_ms: u64| Some(SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms));
    assert_eq!(hlog::unix_time("1970-01-01T00:00:00Z"), at(0));
    assert_eq!(hlog::unix_time("2024-02-29T23:59:59.5Z"), at(1_709_251_199_500));
    assert_eq!(hlog::unix_time("2024-03-01T01:29:59.5+01:30"), at(1_709_251_199_500));
    assert_eq!(hlog::unix_time("2024-02-29T18:59:59.5-05:00"), at(1_709_251_199_500));
    for text in [
        "",
        "2024-01-01",
        "1969-12-31T23:59:59Z",
        "2024-13-01T00:00:00Z",
        "x-1-1T0:0:0Z",
        "2024-01-01T00:00Z",
        "é",
    ] {
        assert_eq!(hlog::unix_time(text), None, "{text}");
    }
}

#[test]
fn the_live_line_tells_throughput_percentiles_and_errors() {
    let mut totals = Totals::new(1_000_000_000);
    let mut recorder = Recorder::new(0);
    for second in 1..=3 {
        if second < 3 {
            recorder.latency(Timing::Produce, 1_500, 99);
            recorder.latency(Timing::Produce, 20_000, 1);
            recorder.counts().produced_records = 12_345;
            recorder.counts().produced_bytes = 1_235_000;
        }
        totals.add(recorder.take(second * 1_000_000_000));
        recorder.error("NOT_LEADER_OR_FOLLOWER");
    }
    let lines: Vec<String> = totals.series().iter().map(live::line).collect();
    let rates = "out 12,345 records/s 1.235 MB/s  produce p50 1.500 p99 1.500 ms";
    assert_eq!(lines[0], format!("warm-up  {rates}"));
    assert_eq!(lines[1], format!("{rates}  1 error"));
    assert_eq!(lines[2], "1 error");
    assert_eq!(
        live::line(&crate::measure::SecondRow { errors: 0, ..totals.series()[2].clone() }),
        "nothing answered"
    );
}

#[test]
fn the_bound_that_is_closest_tells_how_much_is_done() {
    let counts = Counts { produced_records: 30, fetched_bytes: 80, ..Counts::default() };
    let length = LengthPlan { warm_up_s: 5.0, duration_s: Some(15.0), records: None, bytes: None };
    assert_eq!(live::share_done(&length, 5.0, &counts), 0.25);
    assert_eq!(live::share_done(&length, 50.0, &counts), 1.0);
    let length = LengthPlan { records: Some(100), ..length };
    assert_eq!(live::share_done(&length, 5.0, &counts), 0.3);
    let length = LengthPlan { bytes: Some(100), ..length };
    assert_eq!(live::share_done(&length, 5.0, &counts), 0.8);
    let none = LengthPlan { warm_up_s: 0.0, duration_s: None, records: None, bytes: None };
    assert_eq!(live::share_done(&none, 5.0, &counts), 0.0);
}

/// Written by HdrHistogram's own `HistogramLogProcessor` (Java, 2.2.2) from the `.hlog` of the histogram below.
const OF_HDRHISTOGRAM: &str = include_str!("../../tests/report/distribution.hgrm");

#[test]
fn a_distribution_is_line_by_line_that_of_hdrhistogram() {
    let mut latencies = empty_latencies();
    for i in 0..20_000_u64 {
        let us = if i % 16 == 3 { i * 50 } else { 300 + (i * i) % 5_000 };
        latencies.record(us).unwrap();
    }
    let text = hgrm::text(&latencies);
    let own = text.strip_suffix("# Values are in microseconds.\n").unwrap();
    // The processor's own first lines tell from which log it was made.
    let expected: Vec<&str> = OF_HDRHISTOGRAM.lines().filter(|line| !line.contains("StartTime")).collect();
    assert_eq!(own.lines().collect::<Vec<_>>(), expected);
    assert!(hgrm::steps(&empty_latencies(), 5).len() <= 1, "an empty histogram ends at once");
}
