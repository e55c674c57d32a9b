//! Compaction: of each key the newest record stays, at its offset, also after a crash; producers go on.

use std::collections::BTreeMap;

use bytes::Bytes;
use corelog::model::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use corelog::record::builder::{BatchBuilder, NewRecord};
use corelog::record::{Codec, records, split_batches};

use crate::requests::{FETCH, PRODUCE, batch, create, fetch, produce, produced};
use crate::support::{Broker, Connection};

/// Segments close every fifth of a second, and compaction looks as often.
const SETTINGS: [&str; 5] = [
    "log.cleanup.policy=compact",
    "log.roll.ms=200",
    "log.cleaner.backoff.ms=200",
    "log.cleaner.min.cleanable.ratio=0.0",
    "log.segment.bytes=1048576",
];
const INVALID_RECORD: i16 = 87;

fn keyed(sequence: i32, records: &[(&str, &str)]) -> Bytes {
    let builder = BatchBuilder::new(Codec::Zstd);
    let mut builder = builder.producer(ProducerId(9), ProducerEpoch(0), Sequence(sequence));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    for (key, value) in records {
        builder.append(&NewRecord {
            timestamp: TimestampMs(now.as_millis() as i64),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
        });
    }
    builder.build(Offset::ZERO).unwrap()
}

/// Key, offset and value of every record of partition 0.
fn read(connection: &mut Connection, topic: &str, end: i64) -> Vec<(String, i64, String)> {
    let text = |bytes: Option<Bytes>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let mut found = Vec::new();
    let mut next = 0;
    while next < end {
        let response = connection.ask(&fetch(topic, &[(0, next)], 1_000, 1), FETCH);
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        for batch in split_batches(&partition.records.clone().unwrap_or_default()) {
            let (bytes, header) = batch.unwrap();
            next = header.next_offset().0;
            let records = records(&bytes).unwrap().map(|record| record.unwrap());
            found.extend(records.map(|record| (text(record.key), record.offset.0, text(record.value))));
        }
    }
    found
}

#[test]
fn the_newest_record_of_each_key_stays_also_after_a_crash() {
    let broker = Broker::start(&SETTINGS);
    let mut connection = broker.connect();
    create(&mut connection, "newest");
    let refused = connection.ask(&produce("newest", 0, batch(&["no key"]), -1), PRODUCE);
    assert_eq!(produced(&refused).error_code, INVALID_RECORD);
    let mut newest = BTreeMap::new();
    for n in 0..40 {
        let (own, value) = (format!("key {}", n % 7), format!("value {n}"));
        let request = produce("newest", 0, keyed(2 * n, &[(&own, &value), ("often", &value)]), -1);
        let base = produced(&connection.ask(&request, PRODUCE)).base_offset;
        assert_eq!(base, i64::from(2 * n));
        newest.insert(own, (base, value.clone()));
        newest.insert("often".to_owned(), (base + 1, value));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // 80 records and 8 keys; the segment that is written to keeps what it has until it closes.
    broker.wait_until("all but the newest records are gone", |broker| {
        broker.metric("corelog_compaction_removed_records_total") >= 72.0
    });
    assert_eq!(broker.metric("corelog_compaction_uncleanable_logs"), 0.0);
    let wanted: BTreeMap<_, _> = newest.into_iter().collect();
    let check = |connection: &mut Connection| {
        let found = read(connection, "newest", 80);
        assert_eq!(found.len(), 8);
        let found: BTreeMap<_, _> = found.into_iter().map(|(key, at, value)| (key, (at, value))).collect();
        assert_eq!(found, wanted);
    };
    check(&mut connection);
    let broker = broker.crash_and_restart(&SETTINGS);
    let mut connection = broker.connect();
    broker.wait_until("the partition serves", |broker| broker.metric("corelog_partitions") >= 1.0);
    check(&mut connection);
    let next = produce("newest", 0, keyed(80, &[("key 0", "last")]), -1);
    assert_eq!(produced(&connection.ask(&next, PRODUCE)).base_offset, 80, "its producer goes on");
    let again =
        connection.ask(&produce("newest", 0, keyed(78, &[("key 4", "x"), ("often", "x")]), -1), PRODUCE);
    assert_eq!((produced(&again).error_code, produced(&again).base_offset), (0, 78), "it is known");
}
