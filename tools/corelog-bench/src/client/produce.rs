//! Produce requests of one batch each, versions 3 to 13: the request as a template, and of the answer what matters.
//!
//! Key invariant: byte for byte what the kafka-protocol crate writes and reads; property tests compare for every
//! version. The batch itself is left to `payload`.

use super::TopicFacts;
use super::wire::{self, Malformed, Reader};

const API_KEY: i16 = 0;
/// From this version on numbers and texts are compact (KIP-482).
pub(crate) const FLEXIBLE_FROM: i16 = 9;
/// From this version on topics are named by their ids (KIP-516).
pub(crate) const IDS_FROM: i16 = 13;
/// What ends partition, topic and request in flexible versions: no tagged fields.
const FLEXIBLE_TAIL: &[u8] = &[0, 0, 0];
const SIZE_BYTES: usize = 4;
/// Where the correlation id stands, counted from the size field.
const CORRELATION_AT: usize = 8;

/// What the requests of a run have in common.
#[derive(Clone, Copy, Debug)]
pub struct ProduceTerms<'a> {
    /// 3 to 13, as negotiated.
    pub version: i16,
    pub client_id: &'a str,
    /// 0, 1 or -1 (all).
    pub acks: i16,
    /// How long the broker may wait for replicas, in milliseconds.
    pub timeout_ms: i32,
}

/// A Produce request to one partition without its batch.
#[derive(Clone, Debug)]
pub struct ProduceTemplate {
    /// From the size field to the length of the records, which is left out.
    head: Vec<u8>,
    flexible: bool,
}

impl ProduceTemplate {
    pub fn new(terms: &ProduceTerms<'_>, topic: &TopicFacts, partition: i32) -> Self {
        let flexible = terms.version >= FLEXIBLE_FROM;
        let mut head = vec![0; SIZE_BYTES];
        head.extend(API_KEY.to_be_bytes());
        head.extend(terms.version.to_be_bytes());
        head.extend(0_i32.to_be_bytes());
        wire::put_text(&mut head, terms.client_id.as_bytes(), false);
        // No tagged fields in the header, no transactional id.
        head.extend_from_slice(if flexible { &[0, 0] } else { &[0xff, 0xff] });
        head.extend(terms.acks.to_be_bytes());
        head.extend(terms.timeout_ms.to_be_bytes());
        wire::put_count(&mut head, 1, flexible);
        if terms.version >= IDS_FROM {
            head.extend(topic.id.as_bytes());
        } else {
            wire::put_text(&mut head, topic.name.as_bytes(), flexible);
        }
        wire::put_count(&mut head, 1, flexible);
        head.extend(partition.to_be_bytes());
        Self { head, flexible }
    }

    /// Appends to `out` what stands in front of a batch of `batch_bytes` bytes, from the size field on.
    pub fn head(&self, out: &mut Vec<u8>, correlation: i32, batch_bytes: usize) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        wire::put_count(out, batch_bytes, self.flexible);
        let size = out.len() - start - SIZE_BYTES + batch_bytes + self.tail().len();
        let size = i32::try_from(size).expect("batches are far smaller than a frame can be");
        out[start..start + SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
        out[start + CORRELATION_AT..start + CORRELATION_AT + 4].copy_from_slice(&correlation.to_be_bytes());
    }

    /// What follows the batch.
    pub fn tail(&self) -> &[u8] {
        if self.flexible { FLEXIBLE_TAIL } else { &[] }
    }
}

/// The answer to a request of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceAnswer {
    pub correlation: i32,
    pub partition: i32,
    /// Kafka's error code, 0 for none.
    pub error: i16,
    /// The offset of the batch's first record; -1 with an error.
    pub base_offset: i64,
}

impl ProduceAnswer {
    /// Reads a frame (without its size field) that answers a request of `version`. Allocates nothing.
    pub fn parse(frame: &[u8], version: i16) -> Result<Self, Malformed> {
        const EMPTY: Malformed = Malformed("the answer to a produce request names no partition");
        let flexible = version >= FLEXIBLE_FROM;
        let mut reader = Reader::new(frame);
        let correlation = reader.i32()?;
        if flexible {
            reader.skip_tags()?;
        }
        if reader.count(flexible)? == 0 {
            return Err(EMPTY);
        }
        if version >= IDS_FROM {
            reader.id()?;
        } else {
            reader.text(flexible)?;
        }
        if reader.count(flexible)? == 0 {
            return Err(EMPTY);
        }
        let partition = reader.i32()?;
        let error = reader.i16()?;
        let base_offset = reader.i64()?;
        Ok(Self { correlation, partition, error, base_offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use corelog::protocol::{RequestHeader, encode_request, encode_response};
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::produce_response::{
        BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
    };
    use kafka_protocol::messages::{ApiKey, ProduceRequest, ProduceResponse, TopicName};
    use kafka_protocol::protocol::StrBytes;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn topic(name: &str, id: u128) -> TopicFacts {
        TopicFacts { name: name.to_owned(), id: Uuid::from_u128(id), partitions: vec![] }
    }

    fn name(text: &str) -> TopicName {
        TopicName(StrBytes::from_string(text.to_owned()))
    }

    /// What the kafka-protocol crate writes.
    fn expected(
        terms: &ProduceTerms<'_>,
        topic: &TopicFacts,
        (partition, correlation): (i32, i32),
        batch: &[u8],
    ) -> Bytes {
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(Bytes::copy_from_slice(batch)));
        let data = TopicProduceData::default().with_partition_data(vec![data]);
        let data = if terms.version >= IDS_FROM {
            data.with_topic_id(topic.id)
        } else {
            data.with_name(name(&topic.name))
        };
        let request = ProduceRequest::default()
            .with_acks(terms.acks)
            .with_timeout_ms(terms.timeout_ms)
            .with_topic_data(vec![data]);
        encode_request(terms.client_id, correlation, terms.version, &request).expect("it can be written")
    }

    proptest! {
        #[test]
        fn requests_are_what_the_crate_writes(
            version in 3..=13_i16, acks in -1..=1_i16, timeout_ms in any::<i32>(), id in any::<u128>(),
            text in "[a-z.]{1,249}", partition in any::<i32>(), correlation in any::<i32>(),
            batch in prop::collection::vec(any::<u8>(), 0..20_000),
        ) {
            let terms = ProduceTerms { version, client_id: "bench", acks, timeout_ms };
            let topic = topic(&text, id);
            let template = ProduceTemplate::new(&terms, &topic, partition);
            let mut written = b"before".to_vec();
            template.head(&mut written, correlation, batch.len());
            written.extend(&batch);
            written.extend(template.tail());
            prop_assert_eq!(&written[6..], &expected(&terms, &topic, (partition, correlation), &batch)[..]);
        }

        #[test]
        fn answers_are_read_as_the_crate_writes_them(
            version in 3..=13_i16, correlation in any::<i32>(), partition in any::<i32>(), error in any::<i16>(),
            base_offset in any::<i64>(), text in "[a-z]{1,200}", words in prop::option::of("[ -~]{0,50}"), id in any::<u128>(),
        ) {
            let mut answered = PartitionProduceResponse::default().with_index(partition).with_error_code(error).with_base_offset(base_offset);
            if version >= 8 {
                answered = answered
                    .with_error_message(words.map(StrBytes::from_string))
                    .with_record_errors(vec![BatchIndexAndErrorMessage::default().with_batch_index(3)]);
            }
            let answered = TopicProduceResponse::default().with_partition_responses(vec![answered]);
            let answered = if version >= IDS_FROM { answered.with_topic_id(Uuid::from_u128(id)) } else { answered.with_name(name(&text)) };
            let response = ProduceResponse::default().with_responses(vec![answered]);
            let header = RequestHeader { api: ApiKey::Produce, version, correlation_id: correlation, client_id: None };
            let frame = encode_response(&header, &response).expect("it can be written");
            let read = ProduceAnswer::parse(&frame[SIZE_BYTES..], version);
            prop_assert_eq!(read, Ok(ProduceAnswer { correlation, partition, error, base_offset }));
        }

        #[test]
        fn garbage_is_an_error_or_an_answer_but_never_a_panic(version in 0..=20_i16, frame in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = ProduceAnswer::parse(&frame, version);
        }
    }
}
