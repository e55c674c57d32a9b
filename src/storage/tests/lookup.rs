//! ListOffsets by timestamp, exact to the record, for every codec, in memory and from the device.

use bytes::Bytes;

use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::builder::{BatchBuilder, NewRecord};
use crate::record::{BatchHeader, Codec, Stamp, TimestampType};
use crate::storage::testing::{Opened, open, real_store, run, settings};
use crate::storage::{Log, StorageError};

fn batch(codec: Codec, timestamps: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for timestamp in timestamps {
        let record =
            NewRecord { timestamp: TimestampMs(*timestamp), value: Some(&[7; 200]), ..NewRecord::default() };
        builder.append(&record);
    }
    builder.build(Offset(0)).expect("it has records")
}

async fn found(log: &std::rc::Rc<Log>, timestamp: i64, end: i64) -> Option<(i64, i64)> {
    let found = log.offset_for_timestamp(TimestampMs(timestamp), Offset(end)).await.expect("readable");
    found.map(|(timestamp, offset, _)| (timestamp.0, offset.0))
}

async fn latest(log: &std::rc::Rc<Log>, end: i64) -> Option<(i64, i64)> {
    let found = log.max_timestamp(Offset(end)).await.expect("readable");
    found.map(|(timestamp, offset, _)| (timestamp.0, offset.0))
}

async fn put(opened: &Opened, batch: &Bytes) -> Result<(), StorageError> {
    opened.log.append(batch, LeaderEpoch(5), TimestampMs(0))?;
    opened.log.wait_durable(opened.log.log_end_offset()).await
}

#[test]
fn the_first_record_at_or_after_a_time_is_found_exactly() {
    for codec in Codec::ALL {
        let directory = tempfile::tempdir().expect("a directory");
        run(async {
            let store = real_store(directory.path()).await;
            let mut opened = open(&store, settings()).await.expect("a new log");
            // Timestamps out of order within and across batches; enough of them for several segments.
            put(&opened, &batch(codec, &[10, 30, 20])).await.expect("durable");
            put(&opened, &batch(codec, &[5, 25, 40])).await.expect("durable");
            for n in 0..40 {
                put(&opened, &batch(Codec::None, &[100 + n; 20])).await.expect("durable");
            }
            assert!(opened.log.segments().len() > 2);
            for _ in 0..2 {
                let log = &opened.log;
                let end = log.log_end_offset().0;
                assert_eq!(found(log, 0, end).await, Some((10, 0)), "{codec:?}");
                assert_eq!(found(log, 11, end).await, Some((30, 1)));
                assert_eq!(found(log, 31, end).await, Some((40, 5)));
                assert_eq!(found(log, 100, end).await, Some((100, 6)));
                assert_eq!(found(log, 139, end).await, Some((139, 6 + 39 * 20)));
                assert_eq!(found(log, 140, end).await, None);
                assert_eq!(found(log, 31, 5).await, None, "not below the end");
                assert_eq!(latest(log, end).await, Some((139, 6 + 39 * 20)));
                assert_eq!(latest(log, 6).await, Some((40, 5)));
                assert_eq!(latest(log, 5).await, Some((30, 1)), "of batches not wholly below the end too");
                assert_eq!(latest(log, 0).await, None);
                let epoch = log.offset_for_timestamp(TimestampMs(0), Offset(end)).await.expect("readable");
                assert_eq!(epoch.map(|found| found.2), Some(LeaderEpoch(5)));
                log.close().await.expect("closed");
                opened = open(&store, settings()).await.expect("the log again");
            }
        });
    }
}

#[test]
fn records_below_the_log_start_are_not_found() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let opened = open(&store, settings()).await.expect("a new log");
        put(&opened, &batch(Codec::Zstd, &[50, 30, 40])).await.expect("durable");
        opened.log.advance_log_start(Offset(1)).await.expect("advanced");
        assert_eq!(found(&opened.log, 0, 3).await, Some((30, 1)));
        assert_eq!(latest(&opened.log, 3).await, Some((40, 2)));
    });
}

#[test]
fn of_a_batch_stamped_by_the_broker_the_first_record_is_the_latest() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let opened = open(&store, settings()).await.expect("a new log");
        let plain = batch(Codec::None, &[1, 2, 3]);
        let header = BatchHeader::parse(&plain).expect("a batch");
        let stamp = Stamp { kind: TimestampType::LogAppendTime, max_timestamp: TimestampMs(77) };
        let stamped = crate::record::restamp(&plain, &header, stamp);
        put(&opened, &stamped.expect("restamped")).await.expect("durable");
        assert_eq!(latest(&opened.log, 3).await, Some((77, 0)));
        assert_eq!(found(&opened.log, 70, 3).await, Some((77, 0)));
    });
}
