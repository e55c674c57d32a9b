//! Run files, merging and comparing, from the outside; HdrHistogram's formats are read back by Python's implementation.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking and say what they skip"
)]

#[path = "report/planted.rs"]
mod planted;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use corelog_bench::measure::{Timing, Totals};
use corelog_bench::report::compare::{self, Noise, Side, Spread};
use corelog_bench::report::{ReportError, files, hgrm, hlog, merge, summary};
use corelog_bench::result::{Findings, RunRecord};
use planted::Plan;

#[test]
fn a_merged_record_equals_that_of_one_recorder_of_everything() {
    let plans = [
        Plan { seed: 1, stall_at: Some(5), ..Plan::default() },
        Plan { seed: 2, median_us: 5_000.0, ..Plan::default() },
        Plan { seed: 3, timings: vec![Timing::Produce, Timing::EndToEnd], ..Plan::default() },
    ];
    let mut everything = Totals::new(2_000_000_000);
    plans.iter().flat_map(planted::intervals).for_each(|interval| everything.add(interval));
    let expected = planted::record(&everything);
    let runs: Vec<RunRecord> = plans.iter().map(planted::run).collect();

    let merged = merge::merge(&runs).unwrap();
    assert_eq!(merged.measured.counts, expected.measured.counts);
    assert_eq!(merged.measured.errors, expected.measured.errors);
    assert_eq!(merged.measured.latencies, expected.measured.latencies);
    assert_eq!(merged.measured.series, expected.measured.series);
    assert_eq!(merged.measured.counted_s, 10.0);
    assert_eq!(merged.hosts.len(), 3);
    assert_eq!(merged.measured.cpu.client_s, Some(3.0 * 3.5), "clients add up");
    assert_eq!(merged.measured.cpu.broker_s, Some(8.25), "one host's broker counts once");
    assert_eq!(merged.workload.producer.connections, 3 * 16);
    assert!(merged.verdict.complete && merged.verdict.notes.is_empty());
}

#[test]
fn merging_tells_what_is_amiss() {
    let mut runs =
        vec![planted::run(&Plan::default()), planted::run(&Plan { seconds: 6, ..Plan::default() })];
    runs[1].workload.records.batch_bytes = 1;
    runs[1].verdict.complete = false;
    runs[1].verdict.reason = Some("Ctrl-C".to_owned());
    let verdict = merge::merge(&runs).unwrap().verdict;
    assert!(!verdict.complete);
    assert_eq!(verdict.reason.as_deref(), Some("run 2: Ctrl-C"));
    assert_eq!(verdict.notes.len(), 2, "{:?}", verdict.notes);
    assert!(verdict.notes[0].contains("records.batch-bytes"));

    runs[1].command.name = "consume".to_owned();
    assert!(matches!(merge::merge(&runs), Err(merge::MergeError::Commands { .. })));
    assert!(matches!(merge::merge(&[]), Err(merge::MergeError::Nothing)));
    runs[0].measured.latencies.get_mut(&Timing::Produce).unwrap().histogram.truncate(30);
    assert!(matches!(merge::merge(&runs[..1]), Err(merge::MergeError::Histogram(_))));
}

#[test]
fn run_files_are_written_whole_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let run = planted::run(&Plan::default());
    let out = folder.path().join("new/folder");
    let written = files::write_run(&run, &out, "first").unwrap();
    let names: Vec<String> =
        written.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(
        names,
        [
            "first.json",
            "first.produce.hgrm",
            "first.produce.hlog",
            "first.own-delay.hgrm",
            "first.own-delay.hlog"
        ]
    );
    assert_eq!(files::read_run(&written[0]).unwrap(), run);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), written.len(), "nothing unfinished is left");
}

#[test]
fn places_that_take_no_file_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let error = files::prepare(&file).unwrap_err().to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
    let below = file.join("run.json");
    let error = files::write(&below, "text").unwrap_err().to_string();
    assert!(error.contains(&below.display().to_string()), "{error}");

    // A full disk, as far as a device can stand for one.
    let error = files::write(Path::new("/dev/full"), "text").unwrap_err();
    assert!(
        matches!(&error, ReportError::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
    );
    assert_eq!(error.to_string(), "cannot write /dev/full: No space left on device (os error 28)");

    let error = files::read_run(&file).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: this is not the file of a run", file.display())), "{error}");
    let error = files::read_run(&folder.path().join("absent.json")).unwrap_err().to_string();
    assert!(error.contains("absent.json") && error.contains("No such file"), "{error}");
}

#[test]
fn runs_go_to_sides_by_label_or_by_the_name_of_their_file() {
    let run = planted::run(&Plan { seconds: 1, warm_up_s: 0, ..Plan::default() });
    let labelled = RunRecord { label: Some("kafka".to_owned()), ..run.clone() };
    let stems = ["kafka-1", "kafka-12", "corelog.3", "release-v4", "7", "other"];
    let mut runs: Vec<(String, RunRecord)> =
        stems.iter().map(|stem| (stem.to_string(), run.clone())).collect();
    runs.push(("anything".to_owned(), labelled));
    let sides: Vec<(String, usize)> =
        compare::group(runs).into_iter().map(|side| (side.name, side.runs.len())).collect();
    let expected = [("kafka", 3), ("corelog", 1), ("release-v4", 1), ("7", 1), ("other", 1)];
    assert_eq!(sides, expected.map(|(name, runs)| (name.to_owned(), runs)));
}

fn side(name: &str, rates: &[u64]) -> Side {
    let run = |rate: &u64| {
        let mut run = planted::run(&Plan { seconds: 4, warm_up_s: 0, ..Plan::default() });
        run.measured.counts.produced_records = *rate * 4;
        run
    };
    Side { name: name.to_owned(), runs: rates.iter().map(run).collect() }
}

#[test]
fn differences_within_the_ranges_of_the_runs_are_marked_as_noise() {
    let sides = [
        side("one", &[900, 1_000, 1_100]),
        side("two", &[1_090, 1_500, 1_200]),
        side("three", &[2_000, 2_500]),
    ];
    let metrics = compare::metrics(&sides);
    let rate = metrics.iter().find(|metric| metric.name == "produced records/s").unwrap();
    assert_eq!(rate.sides[0], Some(Spread { median: 1_000.0, min: 900.0, max: 1_100.0, runs: 3 }));
    assert_eq!(rate.sides[2].unwrap().median, 2_250.0);
    assert_eq!((rate.noise(1), rate.noise(2)), (Some(Noise::Within), Some(Noise::Beyond)));
    assert_eq!((rate.ratio(1), rate.ratio(2)), (Some(1.2), Some(2.25)));

    let table = compare::table(&sides);
    let line = table.lines().find(|line| line.starts_with("produced records/s")).unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        cells[2..],
        ["1,000", "10.0", "%", "1,200", "17.1", "%", "1.20x", "~", "2,250", "11.1", "%", "2.25x"]
    );
    assert!(table.contains("~ within noise"));
    assert!(!table.contains("noise unknown"));
}

#[test]
fn single_runs_differing_workloads_and_doubtful_runs_are_told() {
    let mut sides = [side("one", &[900]), side("two", &[1_500])];
    sides[1].runs[0].workload.producer.acks = 1;
    sides[0].runs[0].verdict.complete = false;
    sides[0].runs[0].verdict.reason = Some("Ctrl-C".to_owned());
    let table = compare::table(&sides);
    for told in [
        "one run a side: noise unknown",
        "! the workloads differ: producer.acks (-1 / 1)",
        "! one run 1: partial results: Ctrl-C",
    ] {
        assert!(table.contains(told), "{told} is missing in\n{table}");
    }
    let mut alike = side("alike", &[1_000, 1_000, 1_000]);
    for (run, reason) in alike.runs.iter_mut().zip(["lost after 1.5 s", "lost after 22 s", "Ctrl-C"]) {
        run.verdict.complete = false;
        run.verdict.reason = Some(reason.to_owned());
    }
    let table = compare::table(&[alike]);
    assert!(table.contains("! alike runs 1, 2: partial results: lost after 1.5 s"), "{table}");
    assert!(table.contains("! alike run 3: partial results: Ctrl-C"), "{table}");
    let metric = &compare::metrics(&sides)[0];
    assert_eq!(metric.noise(1), Some(Noise::Unknown));
    let mixed = compare::table(&[side("one", &[900]), side("two", &[1_500, 1_600])]);
    assert!(mixed.contains("one run of one: its noise is unknown"));
    assert_eq!(compare::table(&[]), "there are no runs to compare\n");
}

#[test]
fn the_summary_is_aligned_and_tells_what_is_doubtful() {
    let mut run = planted::run(&Plan { seconds: 10, stall_at: Some(6), ..Plan::default() });
    let half = &run.measured.counts;
    let mut ceiling = run.clone();
    ceiling.measured.counts.produced_records = half.produced_records * 2;
    run.measured.counts.reconnects = 2;
    run.verdict.complete = false;
    run.verdict.reason = Some("Ctrl-C".to_owned());
    run.verdict.findings = Some(Findings {
        records: 1_000,
        lost: 2,
        examples: vec!["partition 3: records 7 to 8 of producer 1 are lost".to_owned()],
        ..Findings::default()
    });
    let text = summary::text(&run, Some(&ceiling));
    for told in [
        "produce log-lines on 127.0.0.1:9092, 10.00 s counted\n",
        "50.0 % of what this client drives against the ceiling\n",
        "errors             1: NOT_LEADER_OR_FOLLOWER 1\n",
        "recovery           2 reconnects\n",
        "partial results: Ctrl-C\n",
        "NOT CORRECT: of 1,000 records read 2 lost, 0 duplicated, 0 reordered, 0 corrupted\n",
        "partition 3: records 7 to 8 of producer 1 are lost\n",
    ] {
        assert!(text.contains(told), "{told} is missing in\n{text}");
    }
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("latency, ms")).unwrap();
    assert_eq!(lines[at].len(), lines[at + 1].len(), "the columns end together");
    let shown: Vec<&str> = lines[at + 1].split_whitespace().collect();
    assert_eq!((shown[0], shown[8]), ("produce", "20,000"));

    run.measured.counts = Default::default();
    run.measured.latencies.clear();
    run.verdict.findings = Some(Findings { records: 5, ..Findings::default() });
    let text = summary::text(&run, None);
    assert!(text.contains("no record was produced or consumed in the counted time\n"));
    assert!(text.contains("verified: 5 records read, none lost, duplicated, reordered or corrupted\n"));
}

/// Python with its HdrHistogram, installed on demand; none, and a line that says so, where that does not work.
fn python() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("readers");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/setup.sh");
    let said =
        Command::new("bash").arg(script).arg(&folder).output().map(|done| done.stdout).unwrap_or_default();
    if folder.join("done").exists() {
        return Some(folder.join("python/bin/python"));
    }
    let line = format!("SKIPPED  reading back with Python: {}\n", String::from_utf8_lossy(&said).trim());
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}

#[test]
fn another_implementation_reads_the_same_histograms() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = planted::run(&Plan { stall_at: Some(6), ..Plan::default() });
    let (log, distribution) = (folder.path().join("run.hlog"), folder.path().join("run.hgrm"));
    let own = run.measured.latencies[&Timing::Produce].clone();
    let latencies = own.latencies().unwrap();
    let text = hgrm::text(&latencies);
    files::write(&log, &hlog::text(&run, Timing::Produce).unwrap()).unwrap();
    files::write(&distribution, &text).unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/read_back.py");
    let done = Command::new(python).arg(script).args([&log, &distribution]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let read: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();

    let percentiles = own.percentiles_us;
    let expected = [percentiles.p50, percentiles.p90, percentiles.p99, percentiles.p99_9, percentiles.p99_99];
    assert_eq!(read["count"], own.count);
    assert_eq!(read["percentiles"], serde_json::json!(expected));
    // Python tells the lowest value of the highest bucket's range, HdrHistogram the highest: they are equivalent.
    assert!(latencies.equivalent(read["max"].as_u64().unwrap(), percentiles.max));
    assert!(latencies.equivalent(read["min"].as_u64().unwrap(), own.min_us));
    assert!((read["mean"].as_f64().unwrap() / own.mean_us - 1.0).abs() < 1e-9);

    let counted: Vec<_> = run.measured.series.iter().filter(|row| !row.warm_up).collect();
    let intervals: Vec<(f64, u64)> = serde_json::from_value(read["intervals"].clone()).unwrap();
    // 2026-03-01T12:00:00.250Z, which is the base time.
    let expected: Vec<(f64, u64)> = counted
        .iter()
        .map(|row| ((1_772_366_400.25 + row.from_s) * 1e3, row.latencies[&Timing::Produce].count))
        .collect();
    assert_eq!(intervals, expected);
    assert_eq!(read["start"], 1_772_366_400.25);

    assert!(read["lines"].as_u64().unwrap() > 40, "the distribution has {} lines", read["lines"]);
    assert_eq!(read["wrong"], serde_json::json!([]));
    assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"));
}
