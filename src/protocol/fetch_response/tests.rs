//! Compares the writer with the kafka-protocol crate's encoder, byte for byte, in every version.

use super::*;
use crate::protocol::encode_response;
use kafka_protocol::messages::fetch_response as plain;
use kafka_protocol::messages::{self, TopicName};
use proptest::prelude::*;

fn header(version: i16) -> RequestHeader {
    RequestHeader { api: ApiKey::Fetch, version, correlation_id: 77, client_id: None }
}

/// The same answer as the crate's message; what a version cannot say is left at its default, as the writer does.
fn plain_answer(answer: &FetchAnswer, version: i16) -> messages::FetchResponse {
    let topics = answer.topics.iter().map(|topic| {
        let message = plain::FetchableTopicResponse::default()
            .with_partitions(topic.partitions.iter().map(|p| plain_partition(p, version)).collect());
        if version >= 13 {
            message.with_topic_id(topic.id.0)
        } else {
            message.with_topic(TopicName(topic.name.clone()))
        }
    });
    let message = messages::FetchResponse::default()
        .with_throttle_time_ms(answer.throttle_ms)
        .with_responses(topics.collect());
    let message = if version >= 7 {
        message.with_error_code(answer.error.map_or(0, ErrorCode::code)).with_session_id(answer.session_id)
    } else {
        message
    };
    if version < 16 {
        return message;
    }
    let endpoints = answer.node_endpoints.iter().map(|endpoint| {
        plain::NodeEndpoint::default()
            .with_node_id(endpoint.node.get().into())
            .with_host(endpoint.host.clone())
            .with_port(endpoint.port)
            .with_rack(endpoint.rack.clone())
    });
    message.with_node_endpoints(endpoints.collect())
}

fn plain_partition(partition: &PartitionAnswer, version: i16) -> plain::PartitionData {
    let aborted = partition.aborted_transactions.as_ref().map(|transactions| {
        let plain_transaction = |transaction: &AbortedTransaction| {
            plain::AbortedTransaction::default()
                .with_producer_id(transaction.producer_id.get().into())
                .with_first_offset(transaction.first_offset.get())
        };
        transactions.iter().map(plain_transaction).collect()
    });
    let mut message = plain::PartitionData::default()
        .with_partition_index(partition.partition.get())
        .with_error_code(partition.error.code())
        .with_high_watermark(partition.high_watermark.get())
        .with_last_stable_offset(partition.last_stable_offset.get())
        .with_aborted_transactions(aborted)
        .with_records(Some(Bytes::from(partition.records.concat())));
    if version >= 5 {
        message = message.with_log_start_offset(partition.log_start_offset.get());
    }
    if version >= 11 {
        let replica = partition.preferred_read_replica.map_or(-1, BrokerId::get);
        message = message.with_preferred_read_replica(replica.into());
    }
    if version >= 12 {
        if let Some((epoch, end)) = partition.diverging_epoch {
            message = message.with_diverging_epoch(
                plain::EpochEndOffset::default().with_epoch(epoch.get()).with_end_offset(end.get()),
            );
        }
        if let Some((leader, epoch)) = partition.current_leader {
            message = message.with_current_leader(
                plain::LeaderIdAndEpoch::default()
                    .with_leader_id(leader.get().into())
                    .with_leader_epoch(epoch.get()),
            );
        }
    }
    message
}

fn any_text() -> impl Strategy<Value = StrBytes> {
    "[a-z.]{0,200}".prop_map(StrBytes::from_string)
}

fn any_partition() -> impl Strategy<Value = PartitionAnswer> {
    let records = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4);
    let aborted = prop::option::of(prop::collection::vec((any::<i64>(), any::<i64>()), 0..3));
    let offsets = (any::<i64>(), any::<i64>(), any::<i64>());
    let epochs = (prop::option::of((-1..9_i32, -1..9_i64)), prop::option::of((-1..9_i32, -1..9_i32)));
    let rest = (any::<i32>(), prop::sample::select(ErrorCode::ALL), prop::option::of(0..9_i32));
    (records, aborted, offsets, epochs, rest).prop_map(|(records, aborted, offsets, epochs, rest)| {
        let transaction = |(producer_id, first_offset)| AbortedTransaction {
            producer_id: ProducerId(producer_id),
            first_offset: Offset(first_offset),
        };
        PartitionAnswer {
            partition: PartitionIndex(rest.0),
            error: rest.1,
            high_watermark: Offset(offsets.0),
            last_stable_offset: Offset(offsets.1),
            log_start_offset: Offset(offsets.2),
            diverging_epoch: epochs.0.map(|(epoch, end)| (LeaderEpoch(epoch), Offset(end))),
            current_leader: epochs.1.map(|(leader, epoch)| (BrokerId(leader), LeaderEpoch(epoch))),
            aborted_transactions: aborted.map(|pairs| pairs.into_iter().map(transaction).collect()),
            preferred_read_replica: rest.2.map(BrokerId),
            records: records.into_iter().map(Bytes::from).collect(),
        }
    })
}

fn any_answer() -> impl Strategy<Value = FetchAnswer> {
    let topic = (any_text(), any::<u128>(), prop::collection::vec(any_partition(), 0..4)).prop_map(
        |(name, id, partitions)| TopicAnswer { name, id: TopicId(uuid::Uuid::from_u128(id)), partitions },
    );
    let endpoint = (any::<i32>(), any_text(), any::<i32>(), prop::option::of(any_text()))
        .prop_map(|(node, host, port, rack)| NodeEndpoint { node: BrokerId(node), host, port, rack });
    let head = (any::<i32>(), prop::option::of(prop::sample::select(ErrorCode::ALL)), any::<i32>());
    (head, prop::collection::vec(topic, 0..4), prop::collection::vec(endpoint, 0..3)).prop_map(
        |((throttle_ms, error, session_id), topics, node_endpoints)| FetchAnswer {
            throttle_ms,
            error,
            session_id,
            topics,
            node_endpoints,
        },
    )
}

proptest! {
    #[test]
    fn the_bytes_are_those_of_a_plain_encoder(answer in any_answer(), version in 4..=18_i16) {
        let slices = encode(&header(version), &answer).expect("nothing is too long");
        let expected = encode_response(&header(version), &plain_answer(&answer, version))
            .expect("the version has the fields");
        prop_assert!(slices.iter().all(|slice| !slice.is_empty()));
        prop_assert_eq!(Bytes::from(slices.concat()), expected);
    }
}

#[test]
fn records_are_not_copied() {
    let batch = Bytes::from(vec![7; 5000]);
    let partition = PartitionAnswer {
        records: [batch.clone(), batch.slice(..100)].into_iter().collect(),
        ..PartitionAnswer::failed(PartitionIndex(0), ErrorCode::None)
    };
    let topic = TopicAnswer { partitions: vec![partition; 2], ..TopicAnswer::default() };
    let answer = FetchAnswer { topics: vec![topic], ..FetchAnswer::default() };
    let slices = encode(&header(18), &answer).expect("nothing is too long");
    assert_eq!(slices.len(), 7);
    for at in [1, 2, 4, 5] {
        assert_eq!(slices[at].as_ptr(), batch.as_ptr());
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let name = StrBytes::from_string("x".repeat(40_000));
    let answer = FetchAnswer {
        topics: vec![TopicAnswer { name, ..TopicAnswer::default() }],
        ..FetchAnswer::default()
    };
    assert!(encode(&header(4), &answer).is_err());
    assert!(encode(&header(13), &answer).is_ok());
}
