//! Retention against Kafka's rules played through on a list of segments: first the log start, then size, then time, each
//! from the oldest segment to the first that stays.

use proptest::prelude::*;

use crate::io::Simulated;
use crate::model::{Offset, TimestampMs};
use crate::storage::testing::{open, run, settings, simulated_store};
use crate::storage::{LogSettings, SegmentFacts};

/// The broker's clock while the records are written.
const WRITTEN: i64 = 1_000;

/// A log, and what retention is asked to do with it.
#[derive(Clone, Debug)]
struct Case {
    /// Payload bytes and timestamp of each batch of one record.
    batches: Vec<(usize, i64)>,
    log_start: i64,
    retention_ms: i64,
    retention_bytes: i64,
    now: i64,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let timestamp = prop_oneof![6 => 0..WRITTEN, 1 => Just(-1), 1 => Just(i64::MAX)];
    let batches = prop::collection::vec((1..150_usize, timestamp), 0..25);
    let retention_ms = prop_oneof![Just(-1), Just(0), 0..2_000_i64];
    let retention_bytes = prop_oneof![Just(-1), Just(0), 0..3_000_i64];
    (batches, 0..30_i64, retention_ms, retention_bytes, WRITTEN..4_000, any::<u64>()).prop_map(
        |(batches, log_start, retention_ms, retention_bytes, now, seed)| {
            let log_start = log_start.min(batches.len() as i64);
            Case { batches, log_start, retention_ms, retention_bytes, now, seed }
        },
    )
}

/// How many of the oldest segments satisfy `goes`; the last one stays if it is empty.
fn prefix(segments: &[SegmentFacts], mut goes: impl FnMut(&SegmentFacts) -> bool) -> usize {
    let last = segments.len().saturating_sub(1);
    let candidates = segments.iter().enumerate();
    candidates.take_while(|(at, segment)| (*at < last || segment.size_bytes > 0) && goes(segment)).count()
}

/// Where the log starts afterwards.
fn expected_start(case: &Case, segments: &[SegmentFacts]) -> i64 {
    let end = case.batches.len() as i64;
    let below = segments.windows(2).take_while(|pair| pair[1].base_offset.0 <= case.log_start).count();
    let mut left = &segments[below..];
    let size = left.iter().map(|segment| segment.size_bytes as i64).sum::<i64>();
    if case.retention_bytes >= 0 && size >= case.retention_bytes {
        let mut excess = size - case.retention_bytes;
        let gone = prefix(left, |segment| {
            let goes = excess >= segment.size_bytes as i64;
            excess -= if goes { segment.size_bytes as i64 } else { 0 };
            goes
        });
        left = &left[gone..];
    }
    if case.retention_ms >= 0 {
        let gone = prefix(left, |segment| {
            let (from, to) = (segment.base_offset.0 as usize, segment.next_offset.0 as usize);
            let latest = case.batches[from..to].iter().map(|(_, timestamp)| *timestamp).max();
            // Ahead of the clock, or not stated: the time of the append.
            let latest = latest.filter(|latest| (0..WRITTEN).contains(latest)).unwrap_or(WRITTEN);
            case.now - latest > case.retention_ms
        });
        left = &left[gone..];
    }
    left.first().map_or(end, |segment| segment.base_offset.0).max(case.log_start)
}

async fn play(case: &Case) {
    let device = Simulated::new(case.seed);
    let store = simulated_store(&device, 1 << 20).await;
    let small = LogSettings { segment_bytes: 400, segment_ms: -1, ..settings() };
    let log = open(&store, small).await.expect("a new log");
    for (payload, timestamp) in &case.batches {
        log.append_at(1, *payload, *timestamp, WRITTEN).expect("accepted");
    }
    let end = Offset(case.batches.len() as i64);
    log.log.wait_durable(end).await.expect("durable");
    let segments = log.log.segments();
    log.log.advance_log_start(Offset(case.log_start)).await.expect("advanced");
    let (retention_ms, retention_bytes) = (case.retention_ms, case.retention_bytes);
    log.log.update_settings(LogSettings { retention_ms, retention_bytes, ..small });
    log.log.apply_retention(TimestampMs(case.now)).await.expect("applied");
    let expected = expected_start(case, &segments);
    assert_eq!(log.log.log_start_offset(), Offset(expected));
    assert_eq!(log.bases().await, (expected..end.0).collect::<Vec<_>>());
    // What went does not come back.
    let store = simulated_store(&device.crash(), 1 << 20).await;
    let log = open(&store, small).await.expect("after a crash");
    assert_eq!((log.log.log_start_offset(), log.log.log_end_offset()), (Offset(expected), end));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn retention_takes_what_kafkas_rules_take(case in case()) {
        run(play(&case));
    }
}
