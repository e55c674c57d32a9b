//! What taking records out of a batch leaves, field by field.

use super::*;
use crate::model::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use crate::record::builder::{BatchBuilder, NewRecord};
use crate::record::{patch_assigned, records};
use proptest::prelude::*;

const NOW: TimestampMs = TimestampMs(5_000_000);

/// Records of keys k0, k1 and so on at offset 100, one millisecond apart; `None` is a tombstone.
fn batch(codec: Codec, values: &[Option<&str>]) -> Bytes {
    let mut builder =
        BatchBuilder::new(codec).producer(ProducerId(7), ProducerEpoch(2), Sequence(40)).transactional();
    for (at, value) in values.iter().enumerate() {
        let key = format!("k{at}");
        builder.append(&NewRecord {
            timestamp: TimestampMs(1_000 + at as i64),
            key: Some(key.as_bytes()),
            value: value.map(str::as_bytes),
            headers: &[(b"h", Some(b"v"))],
        });
    }
    let mut bytes = builder.build(Offset(0)).expect("it has records").to_vec();
    patch_assigned(&mut bytes, Offset(100), LeaderEpoch(9));
    Bytes::from(bytes)
}

fn header(batch: &Bytes) -> BatchHeader {
    let header = BatchHeader::parse_whole(batch).expect("well formed");
    header.check_crc(batch).expect("the checksum fits");
    assert_eq!(header.size_bytes as usize, batch.len());
    header
}

fn kept(batch: &Bytes, horizon: Horizon, offsets: &[i64]) -> Remains {
    retain(batch, &header(batch), horizon, |record| offsets.contains(&record.offset.0)).expect("valid")
}

fn rewritten(remains: Remains) -> (Bytes, u32) {
    match remains {
        Remains::Batch { batch, removed } => (batch, removed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_that_stay_are_what_they_were() {
    for codec in Codec::ALL {
        let before = batch(codec, &[Some("a"), Some("b"), Some("c"), Some("d")]);
        let (after, removed) = rewritten(kept(&before, Horizon::OfTombstones(NOW), &[101, 103]));
        assert_eq!(removed, 2);
        let (old, new) = (header(&before), header(&after));
        assert_eq!((new.base_offset, new.last_offset()), (Offset(100), Offset(103)));
        assert_eq!((new.record_count, new.leader_epoch, new.attributes), (2, LeaderEpoch(9), old.attributes));
        assert_eq!((new.producer_id, new.producer_epoch), (old.producer_id, old.producer_epoch));
        assert_eq!((new.base_sequence, new.last_sequence()), (old.base_sequence, Sequence(43)));
        assert_eq!((new.base_timestamp, new.max_timestamp), (TimestampMs(1_000), TimestampMs(1_003)));
        let wanted: Vec<_> = records(&before).expect("valid").flatten().skip(1).step_by(2).collect();
        let found: Vec<_> = records(&after).expect("valid").flatten().collect();
        assert_eq!(found, wanted, "{codec:?}");
    }
}

#[test]
fn the_largest_timestamp_is_that_of_what_stays() {
    let before = batch(Codec::None, &[Some("a"), Some("b"), Some("c")]);
    let (after, _) = rewritten(kept(&before, Horizon::OfTombstones(NOW), &[100]));
    assert_eq!(header(&after).max_timestamp, TimestampMs(1_000));
    let mut stamped = before.to_vec();
    stamped[22] |= 0x8;
    seal(&mut stamped).expect("short");
    let (after, _) = rewritten(kept(&Bytes::from(stamped), Horizon::OfTombstones(NOW), &[100]));
    assert_eq!(header(&after).max_timestamp, TimestampMs(1_002), "the broker's clock stays");
}

#[test]
fn a_tombstone_that_stays_brings_a_delete_horizon_once() {
    for codec in Codec::ALL {
        let before = batch(codec, &[Some("a"), None, Some("c")]);
        assert_eq!(kept(&before, Horizon::OfTombstones(NOW), &[]), Remains::NoRecord);
        let (without, _) = rewritten(kept(&before, Horizon::OfTombstones(NOW), &[100, 102]));
        assert_eq!(header(&without).delete_horizon(), None, "the tombstone went");
        let (after, removed) = rewritten(kept(&before, Horizon::OfTombstones(NOW), &[100, 101, 102]));
        assert_eq!((removed, header(&after).delete_horizon()), (0, Some(NOW)));
        assert_eq!(header(&after).max_timestamp, TimestampMs(1_002));
        let read = |batch: &Bytes| records(batch).expect("valid").flatten().collect::<Vec<_>>();
        assert_eq!(read(&after), read(&before), "timestamps are told from the horizon, and are the same");
        let later = Horizon::OfTombstones(TimestampMs(9_000_000));
        assert_eq!(kept(&after, later, &[100, 101, 102]), Remains::All, "the first horizon counts");
        let (again, _) = rewritten(kept(&after, later, &[101]));
        assert_eq!(header(&again).delete_horizon(), Some(NOW));
        assert_eq!(read(&again), read(&before)[1..2]);
    }
}

#[test]
fn a_marker_gets_a_horizon_when_its_records_are_gone() {
    let mut builder = BatchBuilder::new(Codec::None).producer(ProducerId(7), ProducerEpoch(2), Sequence(-1));
    builder = builder.transactional().control();
    builder.append(&NewRecord { key: Some(&[0, 0, 0, 1]), value: Some(&[0; 6]), ..NewRecord::default() });
    let marker = builder.build(Offset(5)).expect("a record");
    assert_eq!(kept(&marker, Horizon::OfTombstones(NOW), &[5]), Remains::All);
    let (after, removed) = rewritten(kept(&marker, Horizon::OfMarker(NOW), &[5]));
    assert_eq!((removed, header(&after).delete_horizon()), (0, Some(NOW)));
    assert!(header(&after).is_control() && header(&after).is_transactional());
}

#[test]
fn a_batch_without_records_says_what_it_took() {
    for codec in Codec::ALL {
        let before = batch(codec, &[Some("a"), None]);
        let (before, _) = rewritten(kept(&before, Horizon::OfTombstones(NOW), &[101]));
        let empty = without_records(&before, &header(&before)).expect("a header");
        let found = header(&empty);
        assert_eq!((empty.len(), found.record_count, found.attributes), (HEADER_BYTES, 0, 0x10));
        assert_eq!((found.base_offset, found.last_offset()), (Offset(100), Offset(101)));
        assert_eq!((found.leader_epoch, found.last_sequence()), (LeaderEpoch(9), Sequence(41)));
        assert_eq!((found.base_timestamp, found.max_timestamp), (TimestampMs::NONE, TimestampMs(1_001)));
        assert_eq!(kept(&empty, Horizon::OfMarker(NOW), &[100]), Remains::NoRecord);
        assert_eq!(without_records(&empty, &found), Ok(empty.clone()), "it stays as it is");
        assert_eq!(records(&empty).expect("nothing to decompress").count(), 0);
    }
}

#[test]
fn keys_and_tombstones_are_seen() {
    for codec in Codec::ALL {
        let batch = batch(codec, &[Some("a"), None, Some("")]);
        let mut seen = Vec::new();
        each_keyed(&batch, &header(&batch), |record| {
            seen.push((record.offset.0, record.key.map(<[u8]>::to_vec), record.has_value));
            seen.len() < 3
        })
        .expect("valid");
        let key = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(seen, [(100, key("k0"), true), (101, key("k1"), false), (102, key("k2"), true)]);
    }
}

proptest! {
    #[test]
    fn damaged_batches_never_panic(
        codec in prop::sample::select(Codec::ALL.to_vec()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = batch(codec, &[Some("a"), None, Some("c")]).to_vec();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(header) = BatchHeader::parse(&bytes) {
            bytes.truncate(cut.index(2 * bytes.len()));
            let _ = each_keyed(&bytes, &header, |_| true);
            let _ = retain(&bytes, &header, Horizon::OfTombstones(NOW), |record| record.offset.0 % 2 == 0);
            let _ = without_records(&bytes, &header);
        }
    }
}
