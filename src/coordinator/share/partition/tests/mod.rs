//! Tests of share partitions: cases by hand, and any order of events against a naive model.

mod model;

use super::*;

fn rules() -> ShareRules {
    ShareRules { lock_ms: 30_000, deliveries_max: 5, locks_max: 200 }
}

fn limits(records_max: u32) -> AcquireLimits {
    AcquireLimits { records_max, part_records: 500, exact: false }
}

fn fresh(start: i64) -> SharePartition {
    let read = Read { state_epoch: 1, start: Offset(start), batches: vec![] };
    SharePartition::load(&read, Offset(1_000_000), 0)
}

fn member(name: &str) -> MemberId {
    MemberId::from(name)
}

fn offsets(batches: &[(i64, i64)]) -> Vec<(Offset, Offset)> {
    batches.iter().map(|(first, last)| (Offset(*first), Offset(*last))).collect()
}

/// Acquires what `batches` have from the next fetch on, at time 0.
fn acquire(
    partition: &mut SharePartition,
    name: &str,
    batches: &[(i64, i64)],
    max: u32,
) -> Vec<(i64, i64, i16)> {
    acquire_with(partition, name, batches, limits(max))
}

fn acquire_with(
    partition: &mut SharePartition,
    name: &str,
    batches: &[(i64, i64)],
    limits: AcquireLimits,
) -> Vec<(i64, i64, i16)> {
    let (from, batches) = (partition.next_fetch(), offsets(batches));
    let fetched = Fetched { from, batches: &batches };
    let acquired = partition.acquire(TimestampMs(0), &member(name), &fetched, limits, &rules());
    acquired.into_iter().map(|one| (one.first.0, one.last.0, one.deliveries)).collect()
}

fn ack(
    partition: &mut SharePartition,
    name: &str,
    first: i64,
    last: i64,
    types: &[AckType],
) -> Result<Option<ChangeId>, GroupError> {
    let batch = AckBatch { first: Offset(first), last: Offset(last), types: types.to_vec() };
    partition.acknowledge(TimestampMs(0), &member(name), &[batch], &rules())
}

/// Writes all that is to be written; returns the last write.
fn settle(partition: &mut SharePartition) -> Option<Write> {
    let mut last = None;
    while let Some(write) = partition.take_write() {
        partition.on_written(true);
        last = Some(write);
    }
    last
}

fn batch(first: i64, last: i64, state: DeliveryState, deliveries: i16) -> StateBatch {
    StateBatch { first: Offset(first), last: Offset(last), state, deliveries }
}

#[test]
fn a_record_acknowledged_is_done_with_when_it_is_written() {
    let mut partition = fresh(0);
    assert_eq!(acquire(&mut partition, "a", &[(0, 9)], 100), [(0, 9, 1)]);
    assert_eq!(partition.next_fetch(), Offset(10));
    let change = ack(&mut partition, "a", 0, 9, &[AckType::Accept]).unwrap().unwrap();
    assert_eq!(partition.start(), Offset(0), "not written yet");
    let write = partition.take_write().unwrap();
    assert_eq!((write.start, write.done_records, write.batches.len()), (Offset(10), 0, 0));
    assert_eq!(partition.take_write(), None, "one at a time");
    assert_eq!(partition.on_written(true), [change]);
    assert_eq!((partition.start(), partition.in_flight()), (Offset(10), 0));
}

#[test]
fn where_a_group_without_state_begins_is_written_at_once() {
    let read = Read { state_epoch: 4, start: Offset::NONE, batches: vec![] };
    let mut partition = SharePartition::load(&read, Offset(7), 2);
    let write = partition.take_write().unwrap();
    assert_eq!((write.start, write.state_epoch, write.leader_epoch), (Offset(7), 4, 2));
    assert_eq!(partition.on_written(true), []);
    assert_eq!(partition.take_write(), None);
}

#[test]
fn what_cannot_be_written_is_the_members_again() {
    let mut partition = fresh(0);
    acquire(&mut partition, "a", &[(0, 4)], 100);
    ack(&mut partition, "a", 0, 4, &[AckType::Accept]).unwrap();
    assert!(ack(&mut partition, "a", 0, 4, &[AckType::Accept]).is_err(), "under way already");
    partition.take_write().unwrap();
    partition.on_written(false);
    assert_eq!(acquire(&mut partition, "b", &[(0, 4)], 100), [], "still with its member");
    ack(&mut partition, "a", 0, 4, &[AckType::Accept]).unwrap().unwrap();
    settle(&mut partition);
    assert_eq!(partition.start(), Offset(5));
}

#[test]
fn each_record_can_have_its_own_fate() {
    use AckType::{Accept, Gap, Reject, Release};
    let mut partition = fresh(0);
    acquire(&mut partition, "a", &[(0, 4)], 100);
    ack(&mut partition, "a", 0, 4, &[Accept, Release, Reject, Gap, Accept]).unwrap();
    let write = settle(&mut partition).unwrap();
    assert_eq!((write.start, write.done_records), (Offset(1), 3));
    let kept = [
        batch(1, 1, DeliveryState::Available, 1),
        batch(2, 3, DeliveryState::Archived, 1),
        batch(4, 4, DeliveryState::Acknowledged, 1),
    ];
    assert_eq!(write.batches, kept);
    assert_eq!((partition.start(), partition.next_fetch()), (Offset(1), Offset(1)));
    assert_eq!(acquire(&mut partition, "b", &[(0, 4), (5, 6)], 100), [(1, 1, 2), (5, 6, 1)]);
}

#[test]
fn only_the_owner_speaks_for_a_record_and_all_is_taken_or_none() {
    let mut partition = fresh(0);
    acquire(&mut partition, "a", &[(0, 4)], 100);
    acquire(&mut partition, "b", &[(5, 9)], 100);
    assert!(matches!(
        ack(&mut partition, "b", 0, 4, &[AckType::Accept]),
        Err(GroupError::InvalidRecordState(_))
    ));
    let batches = [(0, 4), (5, 9)].map(|(first, last)| AckBatch {
        first: Offset(first),
        last: Offset(last),
        types: vec![AckType::Accept],
    });
    let refused = partition.acknowledge(TimestampMs(0), &member("a"), &batches, &rules());
    assert!(refused.is_err());
    assert_eq!(partition.take_write(), None);
    assert!(matches!(
        ack(&mut partition, "b", 5, 10, &[AckType::Accept]),
        Err(GroupError::InvalidRequest(_))
    ));
    assert!(ack(&mut partition, "b", 3, i64::MAX, &[AckType::Accept]).is_err());
}

#[test]
fn a_record_delivered_too_often_is_archived_and_goes_alone_at_last() {
    let mut partition = fresh(0);
    let batches = [(0, 7)];
    assert_eq!(acquire(&mut partition, "a", &batches, 100), [(0, 7, 1)]);
    for delivery in 2..=3 {
        partition.release(&member("a"), &rules());
        assert_eq!(acquire(&mut partition, "a", &batches, 100), [(0, 7, delivery)]);
    }
    partition.release(&member("a"), &rules());
    // Three of five deliveries are over: half of the batch.
    assert_eq!(acquire(&mut partition, "a", &batches, 100), [(0, 3, 4)]);
    partition.release(&member("a"), &rules());
    assert_eq!(acquire(&mut partition, "a", &batches, 100), [(0, 0, 5)], "the last time, alone");
    partition.release(&member("a"), &rules());
    assert_eq!(partition.start(), Offset(1), "archived");
    let write = settle(&mut partition).unwrap();
    assert_eq!(write.start, Offset(1));
}

#[test]
fn locks_end_and_can_be_renewed() {
    let mut partition = fresh(0);
    acquire(&mut partition, "a", &[(0, 9)], 100);
    assert_eq!(partition.next_deadline(), Some(TimestampMs(30_000)));
    let renewed = AckBatch { first: Offset(5), last: Offset(9), types: vec![AckType::Renew] };
    let change = partition.acknowledge(TimestampMs(20_000), &member("a"), &[renewed], &rules()).unwrap();
    assert_eq!(change, None, "nothing to write");
    assert!(!partition.on_time(TimestampMs(29_999), &rules()));
    assert!(partition.on_time(TimestampMs(30_000), &rules()));
    assert_eq!(partition.next_fetch(), Offset(0));
    assert_eq!(partition.next_deadline(), Some(TimestampMs(50_000)));
    assert!(ack(&mut partition, "a", 0, 4, &[AckType::Accept]).is_err(), "too late");
    assert!(ack(&mut partition, "a", 5, 9, &[AckType::Accept]).is_ok());
}

#[test]
fn limits_round_up_to_batches_of_the_log_unless_exact() {
    let batches = [(0, 3), (4, 7), (8, 11)];
    let mut partition = fresh(0);
    assert_eq!(acquire(&mut partition, "a", &batches, 5), [(0, 7, 1)]);
    let mut partition = fresh(0);
    let exact = AcquireLimits { exact: true, ..limits(5) };
    assert_eq!(acquire_with(&mut partition, "a", &batches, exact), [(0, 4, 1)]);
    assert_eq!(acquire_with(&mut partition, "a", &batches[1..], exact), [(5, 9, 1)]);
    let mut partition = fresh(0);
    let parts = AcquireLimits { part_records: 4, ..limits(100) };
    assert_eq!(acquire_with(&mut partition, "a", &batches, parts), [(0, 3, 1), (4, 7, 1), (8, 11, 1)]);
}

#[test]
fn records_in_flight_are_bounded_but_what_is_released_goes_out_again() {
    let mut partition = fresh(0);
    let few = ShareRules { locks_max: 10, ..rules() };
    let batches = offsets(&[(0, 7), (8, 15), (16, 23)]);
    let fetched = Fetched { from: Offset(0), batches: &batches };
    let acquired = partition.acquire(TimestampMs(0), &member("a"), &fetched, limits(100), &few);
    assert_eq!(acquired.last().map(|one| one.last), Some(Offset(15)), "a batch comes whole");
    assert!(!partition.can_acquire(&few));
    ack(&mut partition, "a", 3, 3, &[AckType::Release]).unwrap();
    settle(&mut partition);
    assert!(partition.can_acquire(&few));
    let fetched = Fetched { from: Offset(3), batches: &batches };
    let again = partition.acquire(TimestampMs(0), &member("b"), &fetched, limits(100), &few);
    assert_eq!(again, [Acquired { first: Offset(3), last: Offset(3), deliveries: 2 }]);
}

#[test]
fn a_start_goes_on_from_what_was_written() {
    let read = Read {
        state_epoch: 3,
        start: Offset(2),
        batches: vec![batch(4, 5, DeliveryState::Acknowledged, 1), batch(8, 9, DeliveryState::Available, 2)],
    };
    let mut partition = SharePartition::load(&read, Offset(100), 7);
    assert_eq!((partition.start(), partition.end(), partition.state_epoch()), (Offset(2), Offset(10), 3));
    let again = acquire(&mut partition, "a", &[(0, 11)], 100);
    assert_eq!(again, [(2, 3, 1), (6, 7, 1), (8, 9, 3), (10, 11, 1)]);
}

#[test]
fn offsets_that_the_log_has_no_longer_do_not_hold_up_the_start() {
    let mut partition = fresh(0);
    acquire(&mut partition, "a", &[(0, 9)], 100);
    partition.release(&member("a"), &rules());
    assert_eq!(acquire(&mut partition, "a", &[(6, 9), (20, 21)], 100), [(6, 9, 2), (20, 21, 1)]);
    assert_eq!(partition.start(), Offset(6), "compaction took the others");
    ack(&mut partition, "a", 6, 9, &[AckType::Accept]).unwrap();
    settle(&mut partition);
    assert_eq!(partition.start(), Offset(20), "and there was nothing between");
    partition.on_log_start(Offset(21));
    assert_eq!(partition.start(), Offset(21));
    assert_eq!(ack(&mut partition, "a", 20, 20, &[AckType::Accept]), Ok(None), "gone is no error");
}
