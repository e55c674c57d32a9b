//! Compares this codec with the kafka-protocol crate's, in every version and both directions, on whole and damaged bytes.

use super::*;
use crate::protocol::shape::ELEMENTS_MAX;
use crate::protocol::{api, decode, encode_response};
use bytes::BytesMut;
use kafka_protocol::messages::produce_request as plain_request;
use kafka_protocol::messages::produce_response as plain_response;
use kafka_protocol::messages::{self, TopicName, TransactionalId};
use kafka_protocol::protocol::{Encodable, StrBytes};
use proptest::prelude::*;
use uuid::Uuid;

fn header(version: i16) -> RequestHeader {
    RequestHeader { api: ApiKey::Produce, version, correlation_id: 77, client_id: None }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// What the crate reads after the layout was checked, or `None` if either refuses; and how many bytes that took.
fn plain_decoded(bytes: &[u8], version: i16) -> Option<(messages::ProduceRequest, usize)> {
    let mut body = Bytes::copy_from_slice(bytes);
    let request = decode(&mut body, version).ok()?;
    Some((request, bytes.len() - body.len()))
}

fn decoded(bytes: &[u8], version: i16) -> Option<(ProduceRequest<'_>, usize)> {
    let mut body = bytes;
    let request = ProduceRequest::decode(&mut body, version).ok()?;
    Some((request, bytes.len() - body.len()))
}

/// The same request as the crate's message; tagged fields, which nobody looks at, are not compared.
fn plain(request: &ProduceRequest<'_>) -> messages::ProduceRequest {
    let partition = |data: &PartitionData<'_>| {
        plain_request::PartitionProduceData::default()
            .with_index(data.partition.get())
            .with_records(data.records.map(Bytes::copy_from_slice))
    };
    let topic = |data: &TopicData<'_>| {
        plain_request::TopicProduceData::default()
            .with_name(TopicName(text(data.name)))
            .with_topic_id(data.id.0)
            .with_partition_data(data.partitions.iter().map(partition).collect())
    };
    messages::ProduceRequest::default()
        .with_transactional_id(request.transactional_id.map(|id| TransactionalId(text(id))))
        .with_acks(request.acks)
        .with_timeout_ms(request.timeout_ms)
        .with_topic_data(request.topics.iter().map(topic).collect())
}

fn without_tags(mut request: messages::ProduceRequest) -> messages::ProduceRequest {
    request.unknown_tagged_fields.clear();
    for topic in &mut request.topic_data {
        topic.unknown_tagged_fields.clear();
        topic.partition_data.iter_mut().for_each(|partition| partition.unknown_tagged_fields.clear());
    }
    request
}

/// Both decoders refuse, or both read the same.
fn agree(bytes: &[u8], version: i16) -> Result<(), TestCaseError> {
    let ours = decoded(bytes, version).map(|(request, taken)| (plain(&request), taken));
    let theirs = plain_decoded(bytes, version).map(|(request, taken)| (without_tags(request), taken));
    prop_assert_eq!(ours, theirs, "version {}, {:?}", version, bytes);
    Ok(())
}

type Tags = std::collections::BTreeMap<i32, Bytes>;

fn any_tags() -> impl Strategy<Value = Tags> {
    let value = prop::collection::vec(any::<u8>(), 0..5).prop_map(Bytes::from);
    prop_oneof![3 => Just(Tags::new()), 1 => prop::collection::btree_map(0..3000_i32, value, 1..4)]
}

fn any_request() -> impl Strategy<Value = messages::ProduceRequest> {
    let records = prop::option::of(prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from));
    let partition = (any::<i32>(), records, any_tags()).prop_map(|(index, records, tags)| {
        plain_request::PartitionProduceData::default()
            .with_index(index)
            .with_records(records)
            .with_unknown_tagged_fields(tags)
    });
    let partitions = prop::collection::vec(partition, 0..4);
    let topic =
        ("[a-zö.]{0,70}", any::<u128>(), partitions, any_tags()).prop_map(|(name, id, partitions, tags)| {
            plain_request::TopicProduceData::default()
                .with_name(TopicName(text(&name)))
                .with_topic_id(Uuid::from_u128(id))
                .with_partition_data(partitions)
                .with_unknown_tagged_fields(tags)
        });
    let head = (prop::option::of("[a-zö]{0,200}"), any::<i16>(), any::<i32>());
    (head, prop::collection::vec(topic, 0..4), any_tags()).prop_map(|((id, acks, timeout), topics, tags)| {
        messages::ProduceRequest::default()
            .with_transactional_id(id.map(|id| TransactionalId(text(&id))))
            .with_acks(acks)
            .with_timeout_ms(timeout)
            .with_topic_data(topics)
            .with_unknown_tagged_fields(tags)
    })
}

/// The request as a client writes it; what the version lacks is left out first.
fn encoded(mut request: messages::ProduceRequest, version: i16) -> (messages::ProduceRequest, Vec<u8>) {
    for topic in &mut request.topic_data {
        if version < TOPIC_IDS_FROM {
            topic.topic_id = Uuid::nil();
        } else {
            topic.name = TopicName::default();
        }
    }
    if version < FLEXIBLE_FROM {
        request = without_tags(request);
    }
    let mut bytes = BytesMut::new();
    request.encode(&mut bytes, version).expect("the version has the fields");
    (without_tags(request), bytes.to_vec())
}

fn any_answers() -> impl Strategy<Value = Vec<TopicAnswer>> {
    let records = prop::collection::vec((any::<i32>(), "[a-zö ]{0,150}"), 0..3);
    let fault = (records, prop::option::of("[a-zö ]{0,150}"))
        .prop_map(|(records, message)| Box::new(Fault { records, message }));
    let offsets = (any::<i64>(), any::<i64>(), any::<i64>());
    let partition = (any::<i32>(), prop::sample::select(ErrorCode::ALL), offsets, prop::option::of(fault))
        .prop_map(|(index, error, (base_offset, append_time, log_start), fault)| PartitionAnswer {
            partition: PartitionIndex(index),
            error,
            base_offset: Offset(base_offset),
            append_time: TimestampMs(append_time),
            log_start: Offset(log_start),
            fault,
        });
    let partitions = prop::collection::vec(partition, 0..4).prop_map(SmallVec::from_vec);
    let topic = ("[a-zö.]{0,200}", any::<u128>(), partitions).prop_map(|(name, id, partitions)| {
        TopicAnswer { name: Bytes::from(name), id: TopicId(Uuid::from_u128(id)), partitions }
    });
    prop::collection::vec(topic, 0..4)
}

/// The same answer as the crate's message; what a version cannot say is left at its default, as the writer does.
fn plain_answer(topics: &[TopicAnswer], version: i16) -> messages::ProduceResponse {
    let partition = |answer: &PartitionAnswer| {
        let message = plain_response::PartitionProduceResponse::default()
            .with_index(answer.partition.get())
            .with_error_code(answer.error.code())
            .with_base_offset(answer.base_offset.get())
            .with_log_append_time_ms(answer.append_time.get())
            .with_log_start_offset(answer.log_start.get());
        let Some(fault) = answer.fault.as_ref().filter(|_| version >= FAULTS_FROM) else { return message };
        let records = fault.records.iter().map(|(record, message)| {
            plain_response::BatchIndexAndErrorMessage::default()
                .with_batch_index(*record)
                .with_batch_index_error_message(Some(text(message)))
        });
        message.with_record_errors(records.collect()).with_error_message(fault.message.as_deref().map(text))
    };
    let topics = topics.iter().map(|topic| {
        let name = std::str::from_utf8(&topic.name).expect("names are UTF-8");
        plain_response::TopicProduceResponse::default()
            .with_name(TopicName(text(name)))
            .with_topic_id(topic.id.0)
            .with_partition_responses(topic.partitions.iter().map(partition).collect())
    });
    messages::ProduceResponse::default().with_responses(topics.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_a_client_writes_is_read(request in any_request(), version in 3..=13_i16) {
        let (request, mut bytes) = encoded(request, version);
        let size = bytes.len();
        bytes.extend(b"left over");
        let (read, taken) = decoded(&bytes, version).expect("a client wrote it");
        prop_assert_eq!(taken, size);
        prop_assert_eq!(plain(&read), request);
        agree(&bytes, version)?;
    }

    #[test]
    fn damaged_requests_are_read_or_refused_by_both(
        request in any_request(),
        version in 3..=13_i16,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..3),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let (_, mut bytes) = encoded(request, version);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        for (place, bit) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        agree(&bytes, version)?;
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused_by_both(
        bytes in prop::collection::vec(prop_oneof![Just(0_u8), 0..3_u8, any::<u8>()], 0..100),
        version in 0..=15_i16,
    ) {
        agree(&bytes, version)?;
    }

    #[test]
    fn the_bytes_of_an_answer_are_those_of_a_plain_encoder(topics in any_answers(), version in 3..=13_i16) {
        let frame = encode(&header(version), &topics).expect("nothing is too long");
        let expected = encode_response(&header(version), &plain_answer(&topics, version));
        prop_assert_eq!(frame, expected.expect("the version has the fields"));
    }
}

#[test]
fn the_versions_are_those_that_are_served() {
    let row = api::offered(ApiKey::Produce as i16).expect("it is offered");
    assert_eq!(row.served_from..=row.max, VERSIONS);
    for version in 0..=20 {
        let flexible = ApiKey::Produce.request_header_version(version) >= 2;
        assert_eq!(flexible, version >= FLEXIBLE_FROM, "version {version}");
    }
}

/// A request of one topic and one partition in version 3, up to its records' length.
const HEAD: &[u8] = &[0xff, 0xff, 0, 1, 0, 0, 0, 100, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0];

#[test]
fn a_request_borrows_from_its_frame() {
    let bytes = [HEAD, &[0, 0, 0, 3], b"abc"].concat();
    let (request, _) = decoded(&bytes, 3).expect("well formed");
    assert!(!request.topics.spilled() && !request.topics[0].partitions.spilled());
    let records = request.topics[0].partitions[0].records.expect("there are some");
    assert_eq!(records.as_ptr_range(), bytes[bytes.len() - 3..].as_ptr_range());
}

#[test]
fn records_may_be_null_but_not_names_and_arrays() {
    let null_records = [HEAD, &[0xff; 4]].concat();
    assert_eq!(decoded(&null_records, 3).expect("null is allowed").0.topics[0].partitions[0].records, None);
    let set = |at: usize, bytes: &[u8]| {
        let mut whole = null_records.clone();
        whole[at..at + bytes.len()].copy_from_slice(bytes);
        whole
    };
    // Each is refused for the null alone: what comes after it would be read.
    let null_topics = set(8, &[0xff; 4]);
    let null_name = [&null_records[..12], &[0xff, 0xff], &null_records[15..]].concat();
    let null_partitions = set(15, &[0xff; 4]);
    for (refused, reason) in
        [(null_topics, "array"), (null_name, "name is null"), (null_partitions, "array is null")]
    {
        let error = ProduceRequest::decode(&mut &refused[..], 3).expect_err(reason);
        assert!(error.to_string().contains(reason), "{error}");
        assert!(plain_decoded(&refused, 3).is_none());
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    for lie in [-2, i32::MIN, i32::MAX, 4] {
        let bytes = [HEAD, &lie.to_be_bytes(), b"abc"].concat();
        assert!(decoded(&bytes, 3).is_none(), "{lie}");
    }
    // A count of topics that the bytes could hold but do not.
    let mut many = HEAD[..8].to_vec();
    many.extend(1000_i32.to_be_bytes());
    many.extend([0xff; 1000]);
    assert!(decoded(&many, 3).is_none());
}

#[test]
fn elements_are_bounded() {
    let many = |partitions: u32| {
        let mut bytes = HEAD[..15].to_vec();
        bytes.extend(partitions.to_be_bytes());
        bytes.resize(bytes.len() + partitions as usize * 8, 0);
        decoded(&bytes, 3).map(|(request, _)| request.topics[0].partitions.len())
    };
    // The topic is one.
    assert_eq!(many(ELEMENTS_MAX - 1), Some(ELEMENTS_MAX as usize - 1));
    assert_eq!(many(ELEMENTS_MAX), None);
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let long = "x".repeat(40_000);
    let fault = Fault { message: Some(long), ..Fault::default() };
    let answer = PartitionAnswer {
        fault: Some(Box::new(fault)),
        ..PartitionAnswer::failed(PartitionIndex(0), ErrorCode::InvalidRecord)
    };
    let topic = TopicAnswer { partitions: SmallVec::from_elem(answer, 1), ..TopicAnswer::default() };
    assert!(encode(&header(13), std::slice::from_ref(&topic)).is_err());
    // Version 7 has no room for the message.
    assert!(encode(&header(7), &[topic]).is_ok());
}
