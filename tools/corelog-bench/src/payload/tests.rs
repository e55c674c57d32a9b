//! What makers hand out, read back with the broker's own code.
//!
//! Key invariant: every seed is fixed, so a failure repeats.

mod cost;
mod ready;
mod shares;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use corelog::model::TimestampMs;
use corelog::record::{
    BatchHeader, BatchRules, Change, Record, TimestampType, records, split_batches, validate,
};
use proptest::prelude::*;

use super::*;
use crate::workload::{CodecName, JsonShape, KeyPlan, RecordPlan, SizePlan, ValuePlan, named};

const NOW_MS: i64 = 1_800_000_000_000;

fn supply(plan: &RecordPlan, lanes: (u32, i32), stamped: bool) -> Supply {
    let lanes = Lanes { topics: lanes.0, partitions: lanes.1 };
    let lines = matches!(plan.values, ValuePlan::Lines { .. }).then(|| b"one\ntwo two\n\nthree".to_vec());
    Supply::new(plan, lanes, 1, stamped, lines).expect("the plan can be made")
}

fn maker(plan: &RecordPlan, lanes: (u32, i32), stamped: bool) -> Maker {
    let supply = Arc::new(supply(plan, lanes, stamped));
    let all = (0..supply.lanes()).map(Lane).collect();
    Maker::new(supply, 0, all)
}

/// Reads a batch as a broker would before it stores it without a change.
fn read(batch: &Batch) -> (BatchHeader, Vec<Record>) {
    let mut batches = split_batches(&batch.bytes);
    let (bytes, header) = batches.next().expect("whole").expect("well formed");
    assert!(batches.next().is_none(), "one batch and nothing after it");
    let rules = BatchRules {
        require_keys: false,
        compression: None,
        timestamps: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        batch_bytes_max: u32::MAX,
    };
    let validated = validate(&bytes, &header, &rules, TimestampMs(NOW_MS)).expect("a broker takes it");
    assert_eq!(validated.change, Change::None);
    let records: Vec<Record> = records(&bytes).expect("readable").map(|r| r.expect("well formed")).collect();
    assert_eq!((records.len() as u32, header.record_count), (batch.records, batch.records as i32));
    let payload: usize = records.iter().map(|r| bytes_of(&r.key) + bytes_of(&r.value)).sum();
    assert_eq!(payload as u64, batch.payload_bytes);
    (header, records)
}

fn bytes_of(field: &Option<Bytes>) -> usize {
    field.as_ref().map_or(0, Bytes::len)
}

fn plans() -> impl Strategy<Value = RecordPlan> {
    let size = prop_oneof![
        (28..3000_u32).prop_map(SizePlan::Fixed),
        (28..200_u32, 0..2000_u32).prop_map(|(min, more)| SizePlan::Uniform { min, max: min + more }),
        (28..2000_u32).prop_map(|median| SizePlan::LogNormal { median, sigma: 1.0, max: 4000 }),
    ];
    let keys = prop_oneof![
        Just(KeyPlan::None),
        (1..500_u32).prop_map(|count| KeyPlan::Uniform { count }),
        (1..500_u32, 0.0..2.0).prop_map(|(count, exponent)| KeyPlan::Zipf { count, exponent }),
        (1..500_u32).prop_map(|count| KeyPlan::Sequential { count }),
    ];
    let values = prop_oneof![
        (0.0..=1.0).prop_map(|compressibility| ValuePlan::Random { compressibility }),
        Just(ValuePlan::Lines { file: "a".into() }),
        Just(ValuePlan::Json { shape: JsonShape::Click }),
    ];
    let codec = prop::sample::select(vec![
        CodecName::None,
        CodecName::Gzip,
        CodecName::Snappy,
        CodecName::Lz4,
        CodecName::Zstd,
    ]);
    (size, keys, values, codec, 1..20_000_u32).prop_map(|(size, keys, values, codec, batch_bytes)| {
        RecordPlan { size, keys, values, codec, batch_bytes, ..RecordPlan::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_broker_takes_every_batch(
        plan in plans(), partitions in 1..9_i32, stamped: bool, wanted in 1..40_u32,
        origin in proptest::option::of((0..9_i64, 0..9_i16, 0..9_i32)),
    ) {
        let mut maker = maker(&plan, (2, partitions), stamped);
        let origin = origin.map(|(producer_id, producer_epoch, base_sequence)| {
            Origin { producer_id, producer_epoch, base_sequence }
        });
        let mut sequences: BTreeMap<Lane, u64> = BTreeMap::new();
        for _ in 0..10 {
            let lane = maker.next_lane().expect("some lane has keys");
            let told = maker.next_sequence(lane);
            let intended = |at| 100 + u64::from(at);
            let batch = maker.batch(lane, wanted, NOW_MS, origin, &intended).expect("it can be made");
            prop_assert!((1..=wanted).contains(&batch.records));
            let (header, records) = read(&batch);
            prop_assert_eq!(header.max_timestamp, TimestampMs(NOW_MS));
            let expected = origin.map_or((-1, -1, -1), |o| (o.producer_id, o.producer_epoch, o.base_sequence));
            let found = (header.producer_id.get(), header.producer_epoch.get(), header.base_sequence.get());
            prop_assert_eq!(found, expected);
            let next = sequences.entry(lane).or_default();
            for (at, record) in (0..).zip(&records) {
                match &record.key {
                    Some(key) => {
                        let partition = corelog::model::partition_of_key(key, partitions as u32);
                        prop_assert_eq!(partition, lane.0 % partitions as u32);
                    }
                    None => prop_assert_eq!(plan.keys, KeyPlan::None),
                }
                if stamped {
                    let stamp = Stamp { producer: 0, sequence: *next, intended_ns: 100 + at };
                    prop_assert_eq!(Stamp::read(record.value.as_ref().expect("it has one")), Ok(stamp));
                    prop_assert_eq!(told + at, *next);
                    *next += 1;
                }
            }
            if records.len() > 1 {
                let encoded = |(at, r): (u32, &Record)| {
                    encode::record_bytes(r.key.as_ref().map(Bytes::len), bytes_of(&r.value), at)
                };
                let bytes: usize = (0..).zip(&records).map(encoded).sum();
                prop_assert!(bytes <= plan.batch_bytes as usize);
            }
        }
    }
}

#[test]
fn named_workloads_fill_requests_as_they_say() {
    for (name, expected) in [("bulk-100x1k", 100), ("single-1k", 1), ("small-10x100", 10), ("market-data", 1)]
    {
        let workload = named(name).expect("it is known");
        let plan = RecordPlan { encoding: Default::default(), ..workload.records };
        let mut maker = maker(&plan, (1, 16), false);
        let told = supply(&plan, (1, 16), false).records_per_batch();
        assert_eq!(told, expected, "{name}");
        let lane = maker.next_lane().expect("there is one");
        let batch = maker.batch(lane, u32::MAX, NOW_MS, None, &|_| 0).expect("it can be made");
        assert_eq!(batch.records, expected, "{name}");
    }
}

#[test]
fn the_mean_of_records_per_batch_is_told() {
    for name in ["log-lines", "click-stream", "change-capture", "truck-positions"] {
        let plan = RecordPlan { codec: CodecName::None, ..named(name).expect("it is known").records };
        let mut maker = maker(&plan, (1, 4), false);
        let told = f64::from(supply(&plan, (1, 4), false).records_per_batch());
        let mut records = 0;
        for _ in 0..100 {
            let lane = maker.next_lane().expect("there is one");
            records += maker.batch(lane, u32::MAX, NOW_MS, None, &|_| 0).expect("it can be made").records;
        }
        let mean = f64::from(records) / 100.0;
        assert!((told / mean - 1.0).abs() < 0.05, "{name}: {told} told, {mean} found");
    }
}

#[test]
fn equal_seeds_make_equal_batches_and_other_numbers_others() {
    let plan = RecordPlan {
        keys: KeyPlan::Zipf { count: 100, exponent: 1.0 },
        size: SizePlan::Fixed(50),
        ..RecordPlan::default()
    };
    let shared = Arc::new(supply(&plan, (1, 4), false));
    let again = Arc::new(supply(&plan, (1, 4), false));
    let first = |supply: &Arc<Supply>, number| {
        let mut maker = Maker::new(Arc::clone(supply), number, (0..4).map(Lane).collect());
        let lane = maker.next_lane().expect("there is one");
        maker.batch(lane, 10, NOW_MS, None, &|_| 0).expect("it can be made")
    };
    assert_eq!(first(&shared, 0), first(&again, 0));
    assert_ne!(first(&shared, 0), first(&shared, 1));
}

#[test]
fn values_have_the_sizes_and_texts_of_the_plan() {
    let plan = RecordPlan { size: SizePlan::Fixed(90), ..RecordPlan::default() };
    let json = RecordPlan { values: ValuePlan::Json { shape: JsonShape::Trade }, ..plan.clone() };
    for (plan, stamped) in [(&plan, false), (&plan, true), (&json, false), (&json, true)] {
        let (_, records) =
            read(&maker(plan, (1, 1), stamped).batch(Lane(0), 5, NOW_MS, None, &|_| 0).expect("made"));
        for value in records.iter().map(|record| record.value.as_ref().expect("it has one")) {
            assert_eq!(value.len(), 90);
            if plan == &json {
                let text = &value[if stamped { STAMP_BYTES } else { 0 }..];
                serde_json::from_slice::<serde_json::Value>(text).expect("the rest is JSON");
            }
        }
    }
    let lines = RecordPlan { values: ValuePlan::Lines { file: "a".into() }, ..plan };
    let (_, records) =
        read(&maker(&lines, (1, 1), true).batch(Lane(0), 4, NOW_MS, None, &|_| 0).expect("made"));
    let mut texts: Vec<&[u8]> =
        records.iter().map(|record| &record.value.as_ref().expect("it has one")[STAMP_BYTES..]).collect();
    texts.sort_unstable();
    assert_eq!(texts, [&b""[..], b"one", b"three", b"two two"]);
}

#[test]
fn compressibility_is_what_a_codec_saves() {
    let bytes = |codec, compressibility, size| {
        let values = ValuePlan::Random { compressibility };
        let size = SizePlan::Fixed(size);
        let plan = RecordPlan { values, codec, size, batch_bytes: 200_000, ..RecordPlan::default() };
        let batch = maker(&plan, (1, 1), false).batch(Lane(0), 150, NOW_MS, None, &|_| 0).expect("made");
        batch.bytes.len() as f64
    };
    // What stands around a value shrinks by itself, which counts for small ones.
    let expected = [
        (1000, 0.0, 0.98..1.01),
        (1000, 0.5, 0.47..0.57),
        (1000, 1.0, 0.0..0.06),
        (100, 0.0, 0.91..1.01),
        (100, 0.5, 0.45..0.6),
        (100, 1.0, 0.0..0.12),
    ];
    for codec in [CodecName::Lz4, CodecName::Zstd, CodecName::Snappy, CodecName::Gzip] {
        for (size, compressibility, shares) in &expected {
            let share =
                bytes(codec, *compressibility, *size) / bytes(CodecName::None, *compressibility, *size);
            assert!(shares.contains(&share), "{codec:?} {size} {compressibility}: {share}");
        }
    }
}

#[test]
fn sequences_go_on_when_lanes_come_back() {
    let plan = RecordPlan { size: SizePlan::Fixed(50), ..RecordPlan::default() };
    let mut maker = maker(&plan, (1, 4), true);
    maker.batch(Lane(2), 7, NOW_MS, None, &|_| 0).expect("made");
    maker.set_lanes(vec![Lane(0)]);
    maker.set_lanes(vec![Lane(2), Lane(3)]);
    assert_eq!((maker.next_sequence(Lane(2)), maker.next_sequence(Lane(3))), (7, 0));
    let (_, records) = read(&maker.batch(Lane(2), 1, NOW_MS, None, &|_| 0).expect("made"));
    let stamp = Stamp::read(records[0].value.as_ref().expect("it has one")).expect("it is whole");
    assert_eq!(stamp.sequence, 7);
}

#[test]
fn plans_that_cannot_be_made_are_refused() {
    let plan = RecordPlan { size: SizePlan::Fixed(10), ..RecordPlan::default() };
    let refused = |lanes, stamped| Supply::new(&plan, lanes, 1, stamped, None).err();
    let one = Lanes { topics: 1, partitions: 1 };
    assert_eq!(refused(one, true), Some(SupplyError::TooSmallForStamp { bytes: 10 }));
    assert_eq!(refused(one, false), None);
    for none in [Lanes { topics: 0, partitions: 1 }, Lanes { topics: 1, partitions: 0 }] {
        assert!(matches!(refused(none, false), Some(SupplyError::Plan(_))));
    }
    let many = Lanes { topics: u32::MAX, partitions: 2 };
    assert!(matches!(refused(many, false), Some(SupplyError::Plan(_))));
}
