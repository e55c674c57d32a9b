//! ListOffsets by time against a model: any batches, codecs and timestamps over small segments, any log start and end,
//! from memory, from the device, after a clean end and after a crash.

use std::rc::Rc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::io::Simulated;
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::builder::{BatchBuilder, NewRecord};
use crate::record::{BatchHeader, Codec, Stamp, TimestampType};
use crate::storage::testing::{open, run, settings, simulated_store};
use crate::storage::{Log, LogSettings};

/// A batch to write.
#[derive(Clone, Debug)]
struct Written {
    codec: Codec,
    /// The broker's time, which then holds for all records.
    stamp: Option<i64>,
    timestamps: Vec<i64>,
    epoch: i32,
}

impl Written {
    fn bytes(&self) -> Bytes {
        let mut builder = BatchBuilder::new(self.codec);
        for timestamp in &self.timestamps {
            let record = NewRecord {
                timestamp: TimestampMs(*timestamp),
                value: Some(&[9; 30]),
                ..NewRecord::default()
            };
            builder.append(&record);
        }
        let batch = builder.build(Offset(0)).expect("it has records");
        let Some(stamp) = self.stamp else { return batch };
        let header = BatchHeader::parse(&batch).expect("a batch");
        let stamp = Stamp { kind: TimestampType::LogAppendTime, max_timestamp: TimestampMs(stamp) };
        crate::record::restamp(&batch, &header, stamp).expect("restamped")
    }
}

/// A record as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Known {
    offset: i64,
    timestamp: i64,
    epoch: i32,
    /// The offset after its batch: an end within a batch hides all of it.
    batch_end: i64,
}

/// Timestamp, offset and epoch.
type Found = Option<(i64, i64, i32)>;

/// What happens and what is asked.
#[derive(Clone, Debug)]
struct Case {
    batches: Vec<Written>,
    index_interval_bytes: u32,
    cache_bytes: u64,
    /// Where the log start moves, as a share of the log, of 100.
    start: i64,
    /// Timestamps asked for, and ends as shares of the log.
    asked: Vec<(i64, i64)>,
    seed: u64,
}

fn timestamp() -> impl Strategy<Value = i64> {
    // Few distinct ones, so that many are equal; sometimes none, sometimes out of all proportion.
    prop_oneof![8 => 0..40_i64, 1 => Just(-1), 1 => Just(i64::MAX)]
}

fn written() -> impl Strategy<Value = Written> {
    let codec = prop::sample::select(Codec::ALL.to_vec());
    let stamp = prop_oneof![3 => Just(None), 1 => (0..40_i64).prop_map(Some)];
    (codec, stamp, prop::collection::vec(timestamp(), 1..6), 0..3)
        .prop_map(|(codec, stamp, timestamps, epoch)| Written { codec, stamp, timestamps, epoch })
}

fn case() -> impl Strategy<Value = Case> {
    let index_interval_bytes = prop::sample::select(vec![0, 200, 4096]);
    let cache_bytes = prop::sample::select(vec![0, 1 << 20]);
    let start = prop_oneof![Just(0), 0..=100_i64];
    let asked = prop::collection::vec((0..45_i64, 0..=100_i64), 1..12);
    (prop::collection::vec(written(), 1..40), index_interval_bytes, cache_bytes, start, asked, any::<u64>())
        .prop_map(|(mut batches, index_interval_bytes, cache_bytes, start, asked, seed)| {
            // Epochs only rise.
            batches.sort_by_key(|batch| batch.epoch);
            Case { batches, index_interval_bytes, cache_bytes, start, asked, seed }
        })
}

fn model(batches: &[Written]) -> Vec<Known> {
    let mut known = Vec::new();
    for batch in batches {
        let first = known.len() as i64;
        let batch_end = first + batch.timestamps.len() as i64;
        for (at, own) in batch.timestamps.iter().enumerate() {
            let timestamp = batch.stamp.unwrap_or(*own);
            known.push(Known { offset: first + at as i64, timestamp, epoch: batch.epoch, batch_end });
        }
    }
    known
}

fn visible(known: &[Known], start: i64, end: i64) -> impl Iterator<Item = &Known> {
    known.iter().filter(move |record| record.offset >= start && record.batch_end <= end)
}

fn told(record: &Known) -> (i64, i64, i32) {
    (record.timestamp, record.offset, record.epoch)
}

/// Checks every question of the case, and some that any log must answer.
async fn check(log: &Rc<Log>, known: &[Known], case: &Case, when: &str) {
    let start = log.log_start_offset().0;
    let whole = known.len() as i64;
    let always = [(0, 100), (i64::MAX, 100), (0, 0)];
    for (asked, share) in case.asked.iter().chain(&always) {
        let end = whole * share / 100;
        let found = log.offset_for_timestamp(TimestampMs(*asked), Offset(end)).await.expect("readable");
        let found: Found = found.map(|(timestamp, offset, epoch)| (timestamp.0, offset.0, epoch.0));
        let expected = visible(known, start, end).find(|record| record.timestamp >= *asked).map(told);
        assert_eq!(found, expected, "{when}: at {asked}, from {start} below {end}");
        let found = log.max_timestamp(Offset(end)).await.expect("readable");
        let found: Found = found.map(|(timestamp, offset, epoch)| (timestamp.0, offset.0, epoch.0));
        let latest = visible(known, start, end).map(|record| record.timestamp).max();
        let expected = visible(known, start, end).find(|record| Some(record.timestamp) == latest).map(told);
        assert_eq!(found, expected, "{when}: the latest, from {start} below {end}");
    }
}

async fn play(case: &Case) {
    let known = model(&case.batches);
    let device = Simulated::new(case.seed);
    let store = simulated_store(&device, case.cache_bytes).await;
    let small = LogSettings {
        segment_bytes: 700,
        index_interval_bytes: case.index_interval_bytes,
        segment_ms: -1,
        ..settings()
    };
    let opened = open(&store, small).await.expect("a new log");
    for batch in &case.batches {
        opened.log.append(&batch.bytes(), LeaderEpoch(batch.epoch), TimestampMs(5)).expect("accepted");
    }
    opened.log.wait_durable(opened.log.log_end_offset()).await.expect("durable");
    check(&opened.log, &known, case, "just written").await;
    let start = known.len() as i64 * case.start / 100;
    opened.log.advance_log_start(Offset(start)).await.expect("advanced");
    check(&opened.log, &known, case, "after deletion").await;
    opened.log.close().await.expect("closed");
    let opened = open(&store, small).await.expect("the log again");
    check(&opened.log, &known, case, "after a clean end").await;
    drop(opened);
    let store = simulated_store(&device.crash(), case.cache_bytes).await;
    let opened = open(&store, small).await.expect("the log after a crash");
    check(&opened.log, &known, case, "after a crash").await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn lookups_by_time_agree_with_a_list_of_the_records(case in case()) {
        run(play(&case));
    }
}

#[test]
fn of_equal_latest_timestamps_the_oldest_is_found_where_a_later_segment_is_visible_in_part() {
    let record =
        |timestamp| Written { codec: Codec::None, stamp: None, timestamps: vec![timestamp], epoch: 0 };
    // Seven batches to a segment. The second segment's largest timestamp is beyond the end, its next is the first's.
    let timestamps = [39, 0, 0, 0, 0, 0, 0, 39, i64::MAX];
    let case = Case {
        batches: timestamps.map(record).to_vec(),
        index_interval_bytes: 0,
        cache_bytes: 0,
        start: 0,
        asked: vec![(0, 89)],
        seed: 1,
    };
    run(async {
        play(&case).await;
        let store = simulated_store(&Simulated::new(1), 0).await;
        let opened = open(&store, LogSettings { segment_bytes: 700, ..settings() }).await.expect("a new log");
        for batch in &case.batches {
            opened.log.append(&batch.bytes(), LeaderEpoch(0), TimestampMs(5)).expect("accepted");
        }
        assert_eq!(
            opened.log.segments()[1].base_offset,
            Offset(7),
            "the segments are as the test needs them"
        );
        opened.log.wait_durable(Offset(9)).await.expect("durable");
        let found = opened.log.max_timestamp(Offset(8)).await.expect("readable");
        assert_eq!(found.map(|found| found.1), Some(Offset(0)));
    });
}

#[test]
fn a_batch_that_is_not_what_the_facts_say_is_no_reason_to_be_wrong() {
    let batch = |timestamps: &[i64]| Written {
        codec: Codec::Zstd,
        stamp: None,
        timestamps: timestamps.to_vec(),
        epoch: 0,
    };
    run(async {
        let store = simulated_store(&Simulated::new(2), 0).await;
        let opened = open(&store, settings()).await.expect("a new log");
        for batch in [batch(&[5, 1]), batch(&[7, 9, 2]), batch(&[9])] {
            opened.log.append(&batch.bytes(), LeaderEpoch(0), TimestampMs(5)).expect("accepted");
        }
        opened.log.wait_durable(Offset(6)).await.expect("durable");
        // As where compaction took the record with the largest timestamp and left the batch's header.
        for (largest, largest_at) in [(12, 0), (9, 0), (12, 5)] {
            {
                let mut state = opened.log.state.borrow_mut();
                let times = &mut state.active_mut().times;
                (times.largest, times.largest_at) = (largest, Offset(largest_at));
            }
            let found = opened.log.max_timestamp(Offset(6)).await.expect("readable");
            assert_eq!(found.map(|found| (found.0.0, found.1.0)), Some((9, 3)), "{largest} at {largest_at}");
        }
    });
}
