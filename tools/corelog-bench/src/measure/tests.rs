//! What is recorded comes out once: totals against intervals, the warm-up, stalls, and the judge's bounds.

use proptest::prelude::*;

use super::limits::{OWN_DELAY_US_MIN, RATE_SHARE_MIN, WAIT_SHARE_MAX, WORK_SHARE_MAX};
use super::*;

const SECOND_NS: u64 = 1_000_000_000;

/// One event of one worker.
#[derive(Clone, Debug)]
struct Event {
    worker: usize,
    second: u64,
    timing: Timing,
    us: u64,
    times: u64,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let timing = proptest::sample::select(Timing::ALL.to_vec());
    let event = (0..3_usize, 0..12_u64, timing, 0..2 * LATENCY_US_MAX, 0..5_u64)
        .prop_map(|(worker, second, timing, us, times)| Event { worker, second, timing, us, times });
    proptest::collection::vec(event, 0..200)
}

/// The intervals of three workers, in an order in which a worker may be seconds behind the others.
fn intervals(events: &[Event]) -> Vec<Interval> {
    let mut all = Vec::new();
    for worker in 0..3 {
        let mut recorder = Recorder::new(0);
        for second in 0..12 {
            for event in events.iter().filter(|event| (event.worker, event.second) == (worker, second)) {
                recorder.latency(event.timing, event.us, event.times);
                recorder.counts().produced_records += event.times;
                recorder.error(event.timing.name());
            }
            all.push(recorder.take((second + 1) * SECOND_NS));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn totals_and_rows_hold_each_event_once(events in events(), warm_up in 0..6_u64) {
        let mut totals = Totals::new(warm_up * SECOND_NS);
        intervals(&events).into_iter().for_each(|interval| totals.add(interval));

        let mut expected = std::array::from_fn::<_, 4, _>(|_| empty_latencies());
        let mut records = 0;
        for event in events.iter().filter(|event| event.second >= warm_up) {
            if event.times > 0 {
                let us = event.us.min(LATENCY_US_MAX);
                expected[event.timing as usize].record_n(us, event.times).unwrap();
            }
            records += event.times;
        }
        let counted = events.iter().filter(|event| event.second >= warm_up).count() as u64;
        prop_assert_eq!(totals.counts().produced_records, records);
        prop_assert_eq!(totals.errors().values().sum::<u64>(), counted);
        for timing in Timing::ALL {
            prop_assert_eq!(totals.latencies(timing), &expected[timing as usize]);
            let mut of_rows = empty_latencies();
            for row in totals.series().iter().filter(|row| !row.warm_up) {
                if let Some(latencies) = row.latencies.get(&timing) {
                    of_rows.add(latencies.get().as_ref()).unwrap();
                }
            }
            prop_assert_eq!(&of_rows, &expected[timing as usize]);
        }
        let all: u64 = totals.series().iter().map(|row| row.counts.produced_records).sum();
        prop_assert_eq!(all, events.iter().map(|event| event.times).sum::<u64>());
        prop_assert_eq!(totals.series().len(), 12);
        prop_assert_eq!(totals.counted_seconds(), (12 - warm_up) as f64);
    }

    #[test]
    fn packing_keeps_every_count(events in events()) {
        let mut latencies = empty_latencies();
        for event in &events {
            latencies.saturating_record_n(event.us, event.times + 1);
        }
        let packed = Packed::pack(&latencies).unwrap();
        prop_assert_eq!(Packed::from_base64(&packed.to_base64()).unwrap().unpack().unwrap(), latencies);
    }
}

#[test]
fn taking_ends_an_interval_and_begins_the_next() {
    let mut recorder = Recorder::new(5);
    recorder.latency(Timing::Fetch, 70, 2);
    recorder.latency(Timing::Produce, 1, 0);
    let first = recorder.take(10);
    assert_eq!((first.from_ns, first.to_ns), (5, 10));
    assert_eq!(first.latencies.keys().copied().collect::<Vec<_>>(), [Timing::Fetch]);
    assert_eq!(first.latencies[&Timing::Fetch].len(), 2);
    let second = recorder.take(9);
    assert_eq!((second.from_ns, second.to_ns), (10, 10));
    assert!(second.latencies.is_empty() && second.errors.is_empty());
    assert_eq!(second.counts, Counts::default());
}

#[test]
fn the_second_in_which_the_warm_up_ends_has_two_rows() {
    let mut totals = Totals::new(SECOND_NS / 2);
    let mut recorder = Recorder::new(0);
    for (to_ns, records) in [(SECOND_NS / 2, 10), (SECOND_NS, 20), (2 * SECOND_NS + 900, 40)] {
        recorder.counts().produced_records += records;
        totals.add(recorder.take(to_ns));
    }
    let rows: Vec<_> =
        totals.series().iter().map(|row| (row.second, row.warm_up, row.counts.produced_records)).collect();
    assert_eq!(rows, [(0, true, 10), (0, false, 20), (1, false, 40)]);
    assert_eq!(totals.counts().produced_records, 60);
}

#[test]
fn a_stall_of_a_second_is_in_the_percentiles() {
    // 1,000 records/s for 100 s; in second 50 the broker stalls: a record waits from its intended time to the stall's end.
    let mut totals = Totals::new(0);
    let mut recorder = Recorder::new(0);
    for second in 0..100 {
        for ms in 0..1_000 {
            let us = if second == 50 { 1_000_000 - ms * 1_000 } else { 400 };
            recorder.latency(Timing::Produce, us.max(400), 1);
        }
        totals.add(recorder.take((second + 1) * SECOND_NS));
    }
    let latencies = totals.latencies(Timing::Produce);
    assert!((1_000_000..1_001_000).contains(&latencies.max()));
    assert!((895_000..=905_000).contains(&latencies.value_at_quantile(0.999)));
    assert!(latencies.value_at_quantile(0.98) < 402);
    let stalled = &totals.series()[50].latencies[&Timing::Produce];
    assert!(matches!(stalled, RowLatencies::Packed(_)), "the rows of passed seconds are packed");
    assert!((989_000..=991_000).contains(&stalled.get().value_at_quantile(0.99)));
}

#[test]
fn kinds_of_errors_are_bounded_and_their_number_is_not() {
    let mut recorder = Recorder::new(0);
    for kind in 0..2 * ERROR_KINDS_MAX {
        recorder.error(&format!("error {kind}"));
    }
    let errors = recorder.take(1).errors;
    assert_eq!(errors.len(), ERROR_KINDS_MAX + 1);
    assert_eq!(errors[OTHER_ERRORS], ERROR_KINDS_MAX as u64);
}

#[test]
fn the_judge_acts_exactly_at_its_bounds() {
    let kinds =
        |evidence: Evidence| Limits::judge(&evidence).iter().map(|limit| limit.kind).collect::<Vec<_>>();
    let none = Evidence::default;
    assert_eq!(kinds(none()), []);
    assert_eq!(
        kinds(Evidence { busiest_cpu_share: Some(WORK_SHARE_MAX), ..none() }),
        [LimitKind::ClientBusy]
    );
    assert_eq!(kinds(Evidence { busiest_cpu_share: Some(WORK_SHARE_MAX - 0.001), ..none() }), []);
    assert_eq!(
        kinds(Evidence { longest_wait_share: Some(WAIT_SHARE_MAX), ..none() }),
        [LimitKind::ClientWaited]
    );
    assert_eq!(kinds(Evidence { longest_wait_share: Some(WAIT_SHARE_MAX - 0.001), ..none() }), []);
    let shared = |computed: f64| Evidence {
        busiest_cpu_share: Some(computed),
        longest_wait_share: Some(0.45),
        ..none()
    };
    assert_eq!(kinds(shared(0.5)), [LimitKind::ClientBusy]);
    assert_eq!(kinds(shared(0.49)), [LimitKind::ClientWaited]);
    let late = |own: u64, latency: u64| {
        kinds(Evidence { own_delay_p99_us: Some(own), latency_p99_us: Some(latency), ..none() })
    };
    assert_eq!(late(OWN_DELAY_US_MIN, OWN_DELAY_US_MIN), [LimitKind::ClientLate]);
    assert_eq!(late(OWN_DELAY_US_MIN - 1, OWN_DELAY_US_MIN), []);
    assert_eq!(late(1_000, 10_000), [LimitKind::ClientLate]);
    assert_eq!(late(1_000, 10_001), []);
    let rate =
        |reached: f64| kinds(Evidence { asked_rate: Some(1_000.0), reached_rate: Some(reached), ..none() });
    assert_eq!(rate(1_000.0 * RATE_SHARE_MIN), []);
    assert_eq!(rate(1_000.0 * RATE_SHARE_MIN - 1.0), [LimitKind::RateMissed]);
}

#[test]
fn a_missed_rate_names_whose_limit_it_was() {
    let mut evidence =
        Evidence { asked_rate: Some(1_000.0), reached_rate: Some(500.0), ..Evidence::default() };
    let limits = Limits::judge(&evidence);
    assert!(!limits[0].is_client() && limits[0].sentence.contains("the broker did not keep up"));
    evidence.busiest_cpu_share = Some(1.0);
    let limits = Limits::judge(&evidence);
    assert!(limits[0].is_client() && limits[1].sentence.contains("the client was the limit"));
}

/// Says what recording costs: `cargo test --release -p corelog-bench --lib measure:: -- --ignored --nocapture`.
#[test]
#[ignore = "a timing for people, nothing that could fail"]
fn cost_of_recording() {
    const RECORDS: u64 = 50_000_000;
    let mut recorder = Recorder::new(0);
    let start = std::time::Instant::now();
    for i in 0..RECORDS {
        recorder.latency(Timing::Produce, 200 + (i * 7_919) % 3_000, 1);
    }
    let recording = start.elapsed();
    assert_eq!(recorder.take(1).latencies[&Timing::Produce].len(), RECORDS);
    println!("{:.2} ns per latency", recording.as_nanos() as f64 / RECORDS as f64);
}
