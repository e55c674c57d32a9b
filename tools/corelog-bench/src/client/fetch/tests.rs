//! Requests and answers against the kafka-protocol crate, in every version.

use bytes::{BufMut, BytesMut};
use corelog::protocol::{RequestHeader, encode_request, encode_response};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use kafka_protocol::messages::{ApiKey, FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

fn topics(count: usize) -> Vec<TopicFacts> {
    let topic = |n: usize| TopicFacts {
        name: format!("topic-{n}"),
        id: Uuid::from_u128(n as u128 + 1),
        partitions: vec![],
    };
    (0..count).map(topic).collect()
}

fn expected(terms: &FetchTerms<'_>, correlation: i32, wanted: &[FetchFrom<'_>]) -> Bytes {
    let topics = wanted.chunk_by(|a, b| a.topic.name == b.topic.name).map(|group| {
        let partitions = group.iter().map(|from| {
            FetchPartition::default()
                .with_partition(from.partition)
                .with_fetch_offset(from.offset)
                .with_partition_max_bytes(terms.partition_max_bytes)
        });
        let topic = FetchTopic::default().with_partitions(partitions.collect());
        match terms.version >= IDS_FROM {
            true => topic.with_topic_id(group[0].topic.id),
            false => topic.with_topic(name(&group[0].topic.name)),
        }
    });
    let request = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(terms.max_wait_ms)
        .with_min_bytes(terms.min_bytes)
        .with_max_bytes(terms.max_bytes)
        .with_session_epoch(if terms.version >= 7 { -1 } else { FetchRequest::default().session_epoch })
        .with_topics(topics.collect());
    encode_request(terms.client_id, correlation, terms.version, &request).expect("it can be written")
}

/// Partition, error code, high watermark, records.
type Answered = (i32, i16, i64, Vec<u8>);

fn partitions() -> impl Strategy<Value = Vec<Answered>> {
    let partition = (any::<i32>(), any::<i16>(), any::<i64>(), prop::collection::vec(any::<u8>(), 0..300));
    prop::collection::vec(partition, 0..5)
}

fn answer(version: i16, topics: &[TopicFacts], answered: &[Vec<Answered>]) -> FetchResponse {
    let topics = topics.iter().zip(answered).map(|(topic, partitions)| {
        let partitions = partitions.iter().map(|(index, error, high_watermark, records)| {
            let mut data = PartitionData::default()
                .with_partition_index(*index)
                .with_error_code(*error)
                .with_high_watermark(*high_watermark)
                .with_aborted_transactions(Some(vec![AbortedTransaction::default(); records.len() % 3]))
                .with_records((!records.is_empty()).then(|| Bytes::copy_from_slice(records)));
            if version >= 5 {
                data = data.with_log_start_offset(*high_watermark / 2);
            }
            if version >= 12 && records.len() % 2 == 1 {
                data = data
                    .with_current_leader(LeaderIdAndEpoch::default().with_leader_epoch(7))
                    .with_diverging_epoch(EpochEndOffset::default().with_end_offset(8));
            }
            data
        });
        let answered = FetchableTopicResponse::default().with_partitions(partitions.collect());
        match version >= IDS_FROM {
            true => answered.with_topic_id(topic.id),
            false => answered.with_topic(name(&topic.name)),
        }
    });
    FetchResponse::default().with_responses(topics.collect())
}

proptest! {
    #[test]
    fn requests_are_what_the_crate_writes(
        version in 4..=18_i16, correlation in any::<i32>(), numbers in any::<[i32; 4]>(),
        wanted in prop::collection::vec((0..3_usize, any::<i32>(), any::<i64>()), 0..40),
    ) {
        let [max_wait_ms, min_bytes, max_bytes, partition_max_bytes] = numbers;
        let terms = FetchTerms { version, client_id: "bench", max_wait_ms, min_bytes, max_bytes, partition_max_bytes };
        let topics = topics(3);
        let mut wanted: Vec<FetchFrom<'_>> =
            wanted.iter().map(|(topic, partition, offset)| FetchFrom { topic: &topics[*topic], partition: *partition, offset: *offset }).collect();
        wanted.sort_by(|a, b| a.topic.name.cmp(&b.topic.name));
        let mut written = b"before".to_vec();
        terms.request(&mut written, correlation, &wanted);
        prop_assert_eq!(&written[6..], &expected(&terms, correlation, &wanted)[..]);
    }

    #[test]
    fn answers_are_read_as_the_crate_writes_them(
        version in 4..=18_i16, correlation in any::<i32>(), answered in prop::collection::vec(partitions(), 0..4),
    ) {
        let topics = topics(answered.len());
        let header = RequestHeader { api: ApiKey::Fetch, version, correlation_id: correlation, client_id: None };
        let frame = encode_response(&header, &answer(version, &topics, &answered)).expect("it can be written");
        let read = FetchAnswer::parse(frame.slice(SIZE_BYTES..), version).expect("it was written just now");
        prop_assert_eq!((read.correlation, read.error), (correlation, 0));
        let read: Vec<FetchedPartition> = read.collect::<Result<_, _>>().expect("it was written just now");
        let flat = topics.iter().zip(&answered).flat_map(|(topic, partitions)| partitions.iter().map(move |p| (topic, p)));
        prop_assert_eq!(read.len(), flat.clone().count());
        for (read, (topic, (index, error, high_watermark, records))) in read.iter().zip(flat) {
            prop_assert!(read.topic.is(topic));
            prop_assert_eq!((read.partition, read.error, read.high_watermark), (*index, *error, *high_watermark));
            prop_assert_eq!(read.log_start_offset, if version >= 5 { *high_watermark / 2 } else { -1 });
            prop_assert_eq!(&read.records[..], &records[..]);
        }
    }

    #[test]
    fn garbage_never_panics_and_always_ends(version in 0..=20_i16, frame in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(answer) = FetchAnswer::parse(Bytes::from(frame), version) {
            // Every partition takes bytes, so there are no more than bytes.
            prop_assert!(answer.count() <= 200);
        }
    }

    #[test]
    fn an_answer_cut_anywhere_is_an_error(version in 4..=18_i16, answered in prop::collection::vec(partitions(), 1..4), cut in any::<prop::sample::Index>()) {
        let topics = topics(answered.len());
        let header = RequestHeader { api: ApiKey::Fetch, version, correlation_id: 1, client_id: None };
        let frame = encode_response(&header, &answer(version, &topics, &answered)).expect("it can be written");
        let whole = frame.slice(SIZE_BYTES..);
        let tagged = usize::from(version >= FLEXIBLE_FROM);
        let cut = whole.slice(..cut.index(whole.len() - tagged));
        let read = FetchAnswer::parse(cut, version).and_then(|answer| answer.collect::<Result<Vec<_>, _>>());
        prop_assert!(read.is_err());
    }
}

#[test]
fn a_null_count_is_none_and_a_huge_one_ends_soon() {
    let mut frame = BytesMut::new();
    frame.put_i32(5);
    frame.put_i32(0);
    frame.put_i32(i32::MAX);
    let read = FetchAnswer::parse(frame.freeze(), 4).expect("the count is a number");
    assert_eq!(read.filter_map(Result::ok).count(), 0);
}
