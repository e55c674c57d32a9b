//! The life of fetch sessions: creation, increments, errors, eviction.

use super::*;

const NOW: TimestampMs = TimestampMs(1_000_000);
const LATER: TimestampMs = TimestampMs(1_000_000 + STALE_AFTER_MS + 1);

fn key(partition: i32) -> FetchKey {
    FetchKey { topic: TopicRef::Name(StrBytes::from_static_str("t")), partition: PartitionIndex(partition) }
}

fn fetch(offset: i64) -> PartitionFetch {
    PartitionFetch {
        offset: Offset(offset),
        max_bytes: 1000,
        current_epoch: LeaderEpoch::UNKNOWN,
        last_fetched_epoch: LeaderEpoch::UNKNOWN,
        answered_before: false,
    }
}

fn request(id: i32, epoch: i32, partitions: &[i32]) -> SessionRequest {
    let listed = partitions.iter().map(|partition| (key(*partition), fetch(0))).collect();
    SessionRequest { session_id: id, session_epoch: epoch, uses_topic_ids: false, listed, forgotten: vec![] }
}

fn seen(high_watermark: i64) -> Answered {
    Answered {
        high_watermark: Offset(high_watermark),
        log_start: Offset(0),
        has_records: false,
        is_error: false,
    }
}

fn cache(slots: usize) -> SessionCache {
    SessionCache::new(slots, ShardId(1), 3, 7)
}

/// Creates a session of `partitions` and returns its id.
fn create(cache: &mut SessionCache, partitions: &[i32], now: TimestampMs) -> i32 {
    let fetching = cache.begin(request(0, 0, partitions), now).unwrap();
    let answers = vec![seen(5); partitions.len()];
    let ending = cache.finish(&fetching, &answers, now).unwrap();
    assert!(ending.included.iter().all(|included| *included));
    ending.session_id
}

#[test]
fn an_increment_answers_only_what_changed() {
    let mut cache = cache(10);
    let id = create(&mut cache, &[0, 1, 2], NOW);
    assert_eq!(id % 3, 1, "ids tell the shard that gave them");
    let fetching = cache.begin(request(id, 1, &[]), NOW).unwrap();
    assert_eq!(fetching.partitions.len(), 3);
    let mut error = seen(5);
    error.is_error = true;
    let ending = cache.finish(&fetching, &[seen(5), seen(6), error], NOW).unwrap();
    assert_eq!(ending, Ending { session_id: id, included: vec![false, true, true] });
    // The error is over: the partition is sent again although its high watermark is the old one.
    let fetching = cache.begin(request(id, 2, &[]), NOW).unwrap();
    let ending = cache.finish(&fetching, &[seen(5), seen(6), seen(5)], NOW).unwrap();
    assert_eq!(ending.included, [false, false, true]);
}

#[test]
fn epochs_and_ids_are_checked() {
    let mut cache = cache(10);
    let id = create(&mut cache, &[0], NOW);
    assert_eq!(cache.begin(request(id + 3, 1, &[]), NOW).unwrap_err(), SessionError::NotFound);
    assert_eq!(cache.begin(request(id, 2, &[]), NOW).unwrap_err(), SessionError::Epoch);
    let mut by_id = request(id, 1, &[]);
    by_id.uses_topic_ids = true;
    assert_eq!(cache.begin(by_id, NOW).unwrap_err(), SessionError::TopicIds);
    // A full request with an unknown id is answered, and one with a known id closes that session.
    assert!(cache.begin(request(12_345, 0, &[0]), NOW).is_ok());
    assert!(cache.begin(request(id, -1, &[0]), NOW).is_ok());
    assert!(cache.sessions.is_empty());
}

#[test]
fn a_request_sent_twice_is_noticed_when_the_first_ends() {
    let mut cache = cache(10);
    let id = create(&mut cache, &[0], NOW);
    let first = cache.begin(request(id, 1, &[]), NOW).unwrap();
    let second = cache.begin(request(id, 2, &[]), NOW).unwrap();
    assert_eq!(cache.finish(&first, &[seen(9)], NOW).unwrap_err(), SessionError::Epoch);
    assert!(cache.finish(&second, &[seen(9)], NOW).is_ok());
}

#[test]
fn forgetting_everything_ends_the_session() {
    let mut cache = cache(10);
    let id = create(&mut cache, &[0, 1], NOW);
    let mut forget = request(id, 1, &[2]);
    forget.forgotten = vec![key(0)];
    let fetching = cache.begin(forget, NOW).unwrap();
    let partitions: Vec<i32> = fetching.partitions.iter().map(|(key, _)| key.partition.0).collect();
    assert_eq!(partitions, [1, 2]);
    let mut forget = request(id, 2, &[]);
    forget.forgotten = vec![key(1), key(2)];
    let fetching = cache.begin(forget, NOW).unwrap();
    assert!(fetching.partitions.is_empty());
    assert_eq!(cache.finish(&fetching, &[], NOW).unwrap().session_id, 0);
    assert!(cache.sessions.is_empty());
}

#[test]
fn the_cache_is_bounded_and_evicts_stale_and_smaller_sessions() {
    let mut cache = cache(2);
    let first = create(&mut cache, &[0], NOW);
    let second = create(&mut cache, &[0, 1], NOW);
    assert_eq!(create(&mut cache, &[0, 1, 2], NOW), 0, "no session is old enough to go");
    for id in [first, second] {
        let fetching = cache.begin(request(id, 1, &[]), LATER).unwrap();
        let answers = vec![seen(5); fetching.partitions.len()];
        cache.finish(&fetching, &answers, LATER).unwrap();
    }
    assert_eq!(create(&mut cache, &[0], LATER), 0, "both are in use and not smaller");
    assert!(create(&mut cache, &[0, 1, 2], LATER) > 0);
    assert_eq!(cache.begin(request(first, 2, &[]), LATER).unwrap_err(), SessionError::NotFound);
    assert_eq!(cache.sessions.len(), 2);
}

#[test]
fn the_next_fetch_begins_after_the_partition_that_had_records() {
    let mut cache = cache(2);
    let id = create(&mut cache, &[0, 1, 2], NOW);
    let fetching = cache.begin(request(id, 1, &[]), NOW).unwrap();
    let mut full = seen(5);
    full.has_records = true;
    cache.finish(&fetching, &[full, seen(5), seen(5)], NOW).unwrap();
    let fetching = cache.begin(request(id, 2, &[]), NOW).unwrap();
    let partitions: Vec<i32> = fetching.partitions.iter().map(|(key, _)| key.partition.0).collect();
    assert_eq!(partitions, [1, 2, 0]);
}

#[test]
fn epochs_wrap_past_the_reserved_ones() {
    assert_eq!(next_epoch(i32::MAX), 1);
    assert_eq!(next_epoch(0), 1);
}
