//! Lists are read or refused by line; bars are judged by medians; the table says what was measured and nothing else.

use std::collections::BTreeMap;

use super::*;
use crate::measure::{Recorder, Timing, Totals};
use crate::result::{CommandFacts, CpuSeconds, FORMAT, Measured, RunRecord, TargetFacts, ToolFacts, Verdict};
use crate::workload::Workload;

const LIST: &str = "\
# what is compared
one   | bars | produce | records_s>=1.5*kafka cpu_gb<=0.5 p99_ms<=0.1*flush | 1 KB | --any 1

two-2 | idle | idle    | start_s<=0.3 mb_s>=0.9*device_mb_s | nobody |
";

/// The list that `make peers` reads.
const SHIPPED: &str = include_str!("../../../../../benches/peers/scenarios.txt");

fn noted(text: &str) -> Figures {
    figures(None, text).unwrap()
}

fn results() -> Results {
    let mut results = Results::default();
    for rate in [90.0, 100.0, 140.0] {
        results.add("one", Side::Kafka, noted(&format!("records_s {rate}\ncpu_gb 2\np99_ms 30")));
    }
    results.add("one", Side::Corelog, noted("records_s 170\ncpu_gb 0.6\nclient_limit 1"));
    results.add("one", Side::Ceiling, noted("records_s 340"));
    results.add("two-2", Side::Corelog, noted("start_s 0.2\nmb_s 95\ndevice_mb_s 100"));
    results
}

#[test]
fn a_list_is_read_with_its_bars() {
    let scenarios = parse(LIST).unwrap();
    assert_eq!((scenarios.len(), scenarios[0].words.as_str()), (2, "1 KB"));
    let bar = |at_least, number, of| Some(Bar { at_least, number, of });
    assert_eq!(
        scenarios[0].compared,
        [
            ("records_s".to_owned(), bar(true, 1.5, Limit::Side(Side::Kafka))),
            ("cpu_gb".to_owned(), bar(false, 0.5, Limit::Number)),
            ("p99_ms".to_owned(), bar(false, 0.1, Limit::Side(Side::Flush))),
        ]
    );
    let device = bar(true, 0.9, Limit::Figure("device_mb_s".to_owned()));
    assert_eq!(scenarios[1].compared[1], ("mb_s".to_owned(), device));
    assert_eq!(Bar::parse("p99.9_ms"), Some(("p99.9_ms".to_owned(), None)));
}

#[test]
fn what_a_list_must_not_hold_is_refused_with_its_line() {
    assert_eq!(parse("a | b | c"), Err(PlanError::Fields { line: 1 }));
    for name in ["", "A", "a b", "one"] {
        let text = format!("one | g | k | records_s | w |\n\n{name} | g | k | records_s | w |");
        assert_eq!(parse(&text), Err(PlanError::Name { line: 3, name: name.to_owned() }));
    }
    for bar in ["rate>1", "rate>=x", "rate>=0", "rate>=inf", ">=1", "rate>=1*Kafka", "a>=1<=2", "rate>=1*"] {
        let refused = Err(PlanError::Bar { line: 1, text: bar.to_owned() });
        assert_eq!(parse(&format!("one | g | k | {bar} | w |")), refused);
    }
}

#[test]
fn the_list_of_make_peers_can_be_read() {
    let scenarios = parse(SHIPPED).unwrap();
    assert!(scenarios.len() > 30, "{}", scenarios.len());
    assert!(scenarios.iter().all(|scenario| !scenario.compared.is_empty()));
}

#[test]
fn bars_are_judged_by_medians_and_only_where_both_figures_are() {
    let (scenarios, results) = (parse(LIST).unwrap(), results());
    let judged = |scenario: usize, at: usize| {
        let (figure, bar) = &scenarios[scenario].compared[at];
        bar.as_ref().unwrap().judge(&results, &scenarios[scenario].name, figure)
    };
    assert_eq!(judged(0, 0), Some(Judgement { came_to: 1.7, met: true }));
    assert_eq!(judged(0, 1), Some(Judgement { came_to: 0.6, met: false }));
    assert_eq!(judged(0, 2), None, "neither side has it");
    assert_eq!(judged(1, 0), Some(Judgement { came_to: 0.2, met: true }));
    assert_eq!(judged(1, 1), Some(Judgement { came_to: 0.95, met: true }));
}

#[test]
fn the_table_says_what_was_measured_and_nothing_else() {
    let table = markdown(&parse(LIST).unwrap(), &results());
    let wanted = "\
| requests | broker | records/s | MB/s | p50, ms | p99, ms | p99.9, ms | CPU-s/GB | CPU, µs/request | peak MB | else | \
of the ceiling | to Kafka | to Kafka, flush | bars |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| `one`: 1 KB | Kafka | 100.0 ± 25.0 % |  |  | 30.00 ± 0.0 % |  | 2.000 ± 0.0 % |  |  |  | 29.4 % |  |  |  |
|  | **Corelog** | 170.0† |  |  |  |  | 0.600 |  |  |  | 50.0 % | records/s 1.700×; CPU-s/GB 0.300× |  | \
records/s ≥ 1.5× kafka: 1.700 met; CPU-s/GB ≤ 0.5: 0.600 **missed**; p99 ≤ 0.1× flush: not measured |
|  | ceiling | 340.0 |  |  |  |  |  |  |  |  |  |  |  |  |
| `two-2`: nobody | **Corelog** |  | 95.00 |  |  |  |  |  |  | device_mb_s 100.0; start_s 0.200 |  |  |  | \
start_s ≤ 0.3: 0.200 met; MB/s ≥ 0.9× device_mb_s: 0.950 met |

Medians over the rounds, ± half their range. 3 of 4 bars that were measured are met.

† the client was the limit in at least one round.
";
    assert_eq!(table, wanted);
}

#[test]
fn a_side_that_was_paced_has_no_share_of_the_ceiling() {
    let mut results = results();
    results.add("one", Side::Flush, noted("records_s 170\npaced_records_s 170"));
    let table = markdown(&parse(LIST).unwrap(), &results);
    let row = table
        .lines()
        .find(|line| line.contains("Kafka, flush |  170.0") || line.contains("| Kafka, flush | 170"))
        .unwrap();
    assert!(!row.contains('%'), "{row}");
}

#[test]
fn lines_that_are_no_figures_are_refused() {
    assert_eq!(noted("a 1\n\n b 2.5 \n"), BTreeMap::from([("a".to_owned(), 1.0), ("b".to_owned(), 2.5)]));
    assert!(noted("a NaN").is_empty(), "it says nothing");
    for (text, line) in [("a", 1), ("a 1\nb x", 2), ("a 1 2", 1)] {
        assert_eq!(figures(None, text), Err(FactsError { line }));
    }
}

#[test]
fn the_picture_has_a_bar_for_each_ratio_and_turns_latencies_round() {
    let mut results = results();
    let list = "one | g | k | records_s | w |\nslow | g | k | p99_ms | w |\nnone | g | k | p99_ms | w |";
    results.add("slow", Side::Kafka, noted("p99_ms 2"));
    results.add("slow", Side::Corelog, noted("p99_ms 8"));
    let svg = plot(&parse(list).unwrap(), &results);
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    assert!(svg.contains(">1.700×<") && svg.contains(">0.250×<"), "{svg}");
    assert!(svg.contains("slow · p99_ms") && !svg.contains("none · "));
}

/// A run of a second in which 1,000 records of 1 KB were sent in 500 requests, and read twice in 100.
fn run(command: &str, rate: f64) -> RunRecord {
    let mut totals = Totals::new(0);
    let mut recorder = Recorder::new(0);
    for timing in [Timing::Produce, Timing::EndToEnd, Timing::Fetch] {
        let us = match timing {
            Timing::Produce => 1_000,
            Timing::EndToEnd => 2_000,
            _ => 3_000,
        };
        recorder.latency(timing, us, 10);
    }
    let counts = recorder.counts();
    (counts.produce_requests, counts.produced_records, counts.produced_bytes) = (500, 1_000, 1_000_000);
    (counts.fetch_requests, counts.fetched_records, counts.fetched_bytes) = (100, 2_000, 2_000_000);
    totals.add(recorder.take(1_000_000_000));
    let mut workload = Workload::default();
    workload.producer.rate = rate;
    let cpu = CpuSeconds { client_s: None, broker_s: Some(0.6) };
    RunRecord {
        format: FORMAT,
        label: None,
        tool: ToolFacts::this(),
        command: CommandFacts { name: command.to_owned(), arguments: vec![] },
        target: TargetFacts::default(),
        hosts: vec![],
        started_at: String::new(),
        workload,
        measured: Measured::of(&totals, cpu).unwrap(),
        verdict: Verdict::complete(),
    }
}

#[test]
fn a_runs_figures_are_those_of_what_it_did() {
    let of = |command: &str| figures(Some(&run(command, 0.0)), "peak_mb 7").unwrap();
    for (command, records_s, p50_ms) in [
        ("produce", 1_000.0, 1.0),
        ("end-to-end", 1_000.0, 2.0),
        ("mixed", 2_000.0, 1.0),
        ("consume", 2_000.0, 3.0),
    ] {
        let all = of(command);
        assert_eq!(all["records_s"], records_s, "{command}");
        assert!((all["p50_ms"] - p50_ms).abs() < p50_ms * 0.01, "{command}: {}", all["p50_ms"]);
        assert_eq!((all["peak_mb"], all["us_request"]), (7.0, 1_000.0));
        assert!((all["cpu_gb"] - 200.0).abs() < 1e-6, "{}", all["cpu_gb"]);
        assert!(!all.contains_key("paced_records_s") && !all.contains_key("errors"));
    }
    let kept_up = figures(Some(&run("mixed", 1_010.0)), "").unwrap();
    assert!(kept_up["paced_records_s"] == 1_010.0 && !kept_up.contains_key("rate_missed"));
    assert!(figures(Some(&run("mixed", 1_100.0)), "").unwrap().contains_key("rate_missed"));
    assert_eq!(
        figures(Some(&run("produce", 0.0)), "records_s 4").unwrap()["records_s"],
        4.0,
        "noted comes first"
    );
}
