//! Ready-made batches: bounded, shared, signed without touching the pool.
//!
//! Key invariant: what a producer of ready-made batches sends is as valid as what is made fresh.

use super::*;
use crate::workload::Encoding;
use std::collections::BTreeSet;

fn plan() -> RecordPlan {
    RecordPlan { encoding: Encoding::Ready, size: SizePlan::Fixed(100), ..RecordPlan::default() }
}

fn prepared(plan: &RecordPlan, lanes: (u32, i32), records: u32) -> Arc<Supply> {
    let mut supply = supply(plan, lanes, false);
    supply.prepare_ready(records, NOW_MS).expect("they fit");
    Arc::new(supply)
}

#[test]
fn batches_without_an_origin_are_shared() {
    let supply = prepared(&plan(), (2, 3), 20);
    let mut places = BTreeSet::new();
    for number in 0..3 {
        let mut maker = Maker::new(Arc::clone(&supply), number, (0..6).map(Lane).collect());
        for _ in 0..200 {
            let lane = maker.next_lane().expect("there is one");
            let batch = maker.batch(lane, 1, NOW_MS + 1, None, &|_| 0).expect("made before");
            assert_eq!(batch.records, 20);
            if places.insert(batch.bytes.as_ptr()) {
                assert_eq!(read(&batch).0.max_timestamp, TimestampMs(NOW_MS));
            }
        }
    }
    assert_eq!(places.len(), READY_BATCHES_MAX);
}

#[test]
fn an_origin_goes_into_a_copy() {
    for codec in [CodecName::None, CodecName::Lz4] {
        let supply = prepared(&RecordPlan { codec, ..plan() }, (1, 1), 20);
        let mut maker = Maker::new(supply, 0, vec![Lane(0)]);
        for base_sequence in 0..2 * READY_BATCHES_MAX as i32 {
            let origin = Origin { producer_id: 5, producer_epoch: 2, base_sequence };
            let batch = maker.batch(Lane(0), 20, NOW_MS, Some(origin), &|_| 0).expect("made before");
            assert_eq!(read(&batch).0.base_sequence.get(), base_sequence);
            let plain = maker.batch(Lane(0), 20, NOW_MS, None, &|_| 0).expect("made before");
            assert_eq!(read(&plain).0.producer_id.get(), -1);
        }
    }
}

#[test]
fn keyed_batches_are_those_of_their_partition() {
    let plan = RecordPlan { keys: KeyPlan::Zipf { count: 9, exponent: 1.0 }, ..plan() };
    let mut maker = Maker::new(prepared(&plan, (2, 16), 5), 0, (0..32).map(Lane).collect());
    for _ in 0..100 {
        let lane = maker.next_lane().expect("some lane has keys");
        for record in read(&maker.batch(lane, 5, NOW_MS, None, &|_| 0).expect("made before")).1 {
            let key = record.key.expect("it has one");
            assert_eq!(corelog::model::partition_of_key(&key, 16), lane.0 % 16);
        }
    }
    let empty = (0..16).find(|p| maker.batch(Lane(*p), 5, NOW_MS, None, &|_| 0).is_err()).expect("nine keys");
    let refused = maker.batch(Lane(empty), 5, NOW_MS, None, &|_| 0);
    assert_eq!(refused, Err(SupplyError::NoKeys { partition: empty }));
}

#[test]
fn the_pool_is_bounded() {
    let large = RecordPlan { size: SizePlan::Fixed(9 << 20), ..plan() };
    let supply = prepared(&large, (1, 2), 1);
    let mut maker = Maker::new(supply, 0, vec![Lane(0)]);
    let places: BTreeSet<_> = (0..20)
        .map(|_| maker.batch(Lane(0), 1, 0, None, &|_| 0).expect("made before").bytes.as_ptr())
        .collect();
    assert_eq!(places.len(), 7, "seven times nine MiB are within 64");
    let keyed = RecordPlan { keys: KeyPlan::Uniform { count: 1_000 }, ..large };
    let refused = super::supply(&keyed, (1, 8), false).prepare_ready(1, 0);
    assert!(matches!(refused, Err(SupplyError::ReadyTooLarge { partitions: 8, .. })), "{refused:?}");
}

#[test]
fn stamps_and_a_missing_pool_are_refused() {
    let lanes = Lanes { topics: 1, partitions: 1 };
    assert_eq!(Supply::new(&plan(), lanes, 1, true, None).err(), Some(SupplyError::StampedReady));
    let mut maker = maker(&plan(), (1, 1), false);
    assert_eq!(maker.batch(Lane(0), 1, 0, None, &|_| 0), Err(SupplyError::NotPrepared));
}
