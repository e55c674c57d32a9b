//! The sequence rules, batch by batch, and the table against a model under random batches.

use proptest::prelude::*;

use super::*;
use crate::model::LeaderEpoch;

fn batch(producer: i64, epoch: i16, base_sequence: i32, records: i32) -> BatchHeader {
    BatchHeader {
        base_offset: Offset::ZERO,
        size_bytes: 100,
        leader_epoch: LeaderEpoch(0),
        crc: 0,
        attributes: 0,
        last_offset_delta: records - 1,
        base_timestamp: TimestampMs(1_000),
        max_timestamp: TimestampMs(1_000),
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(base_sequence),
        record_count: records,
    }
}

fn append(table: &mut ProducerTable, header: &BatchHeader, at: i64) {
    assert_eq!(table.check(header), Ok(Verdict::Append));
    table.record(header, Offset(at), 100);
    table.check_invariants();
}

#[test]
fn a_repeated_batch_is_answered_with_its_first_offsets() {
    let mut table = ProducerTable::default();
    append(&mut table, &batch(1, 0, 0, 10), 100);
    append(&mut table, &batch(1, 0, 10, 5), 110);
    let Ok(Verdict::Duplicate(first)) = table.check(&batch(1, 0, 0, 10)) else {
        panic!("expected a duplicate");
    };
    assert_eq!((first.base_offset, first.last_offset), (Offset(100), Offset(109)));
}

#[test]
fn only_five_batches_are_remembered() {
    let mut table = ProducerTable::default();
    for n in 0..6 {
        append(&mut table, &batch(1, 0, n, 1), i64::from(n));
    }
    assert!(matches!(table.check(&batch(1, 0, 1, 1)), Ok(Verdict::Duplicate(_))));
    let expected = SequenceError::OutOfOrder { given: Sequence(0), expected_after: Sequence(5) };
    assert_eq!(table.check(&batch(1, 0, 0, 1)), Err(expected));
}

#[test]
fn a_gap_is_refused_and_an_unknown_producer_may_start_anywhere() {
    let mut table = ProducerTable::default();
    append(&mut table, &batch(1, 0, 7, 1), 0);
    assert!(matches!(table.check(&batch(1, 0, 9, 1)), Err(SequenceError::OutOfOrder { .. })));
    assert!(matches!(table.check(&batch(1, 0, 8, 1)), Ok(Verdict::Append)));
}

#[test]
fn epochs_fence_older_instances() {
    let mut table = ProducerTable::default();
    append(&mut table, &batch(1, 3, 0, 1), 0);
    assert!(matches!(table.check(&batch(1, 2, 1, 1)), Err(SequenceError::StaleEpoch { .. })));
    assert!(matches!(table.check(&batch(1, 4, 1, 1)), Err(SequenceError::NewEpochNotZero { .. })));
    append(&mut table, &batch(1, 4, 0, 1), 1);
    assert!(matches!(table.check(&batch(1, 3, 1, 1)), Err(SequenceError::StaleEpoch { .. })));
}

#[test]
fn an_epoch_below_none_is_fenced_even_from_an_unknown_producer() {
    let table = ProducerTable::default();
    assert!(matches!(table.check(&batch(1, -3, 0, 1)), Err(SequenceError::StaleEpoch { .. })));
}

#[test]
fn sequences_wrap() {
    let mut table = ProducerTable::default();
    append(&mut table, &batch(1, 0, i32::MAX - 1, 3), 0);
    assert_eq!(batch(1, 0, i32::MAX - 1, 3).last_sequence(), Sequence(0));
    append(&mut table, &batch(1, 0, 1, 1), 3);
}

#[test]
fn expired_and_surplus_producers_are_forgotten() {
    let mut table = ProducerTable::default();
    for producer in 0..10 {
        table.record(&batch(producer, 0, 0, 1), Offset(producer), 4);
        table.check_invariants();
    }
    assert_eq!(table.len(), 4);
    assert_eq!(table.expire(TimestampMs(1_500), 1_000), 0);
    assert_eq!(table.expire(TimestampMs(2_000), 1_000), 4);
    assert!(table.is_empty());
}

#[test]
fn a_busy_producer_outlives_idle_ones() {
    let mut table = ProducerTable::default();
    for n in 0..50 {
        table.record(&batch(0, 0, n, 1), Offset(0), 3);
        table.record(&batch(i64::from(n) + 1, 0, 0, 1), Offset(0), 3);
    }
    assert!(matches!(table.check(&batch(0, 0, 49, 1)), Ok(Verdict::Duplicate(_))));
}

proptest! {
    #[test]
    fn a_snapshot_restores_the_table(steps in prop::collection::vec((0..5i64, 0..3i16, 0..4i32, 1..4i32), 0..60)) {
        let mut table = ProducerTable::default();
        for (at, (producer, epoch, sequence, records)) in steps.into_iter().enumerate() {
            let header = batch(producer, epoch, sequence, records);
            if table.check(&header) == Ok(Verdict::Append) {
                table.record(&header, Offset(at as i64), 100);
            }
            table.check_invariants();
        }
        let mut restored = ProducerTable::default();
        prop_assert!(restored.restore(&table.snapshot()));
        restored.check_invariants();
        prop_assert_eq!(restored.snapshot(), table.snapshot());
    }

    #[test]
    fn garbage_is_no_snapshot_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut table = ProducerTable::default();
        table.restore(&bytes);
        table.check_invariants();
    }
}
