//! The heads of requests: what must be known to answer one without reading its records.
//!
//! Key invariant: bytes of a client never panic, and what parsed can be answered.

use kafka_protocol::messages::ApiKey;

use crate::client::Malformed;
use crate::client::wire::Reader;

/// Kafka's codes of the APIs that are answered by hand.
pub(super) const PRODUCE: i16 = 0;
pub(super) const FETCH: i16 = 1;
/// From these versions on numbers and texts are compact (KIP-482), and topics are named by ids (KIP-516).
pub(super) const PRODUCE_FLEXIBLE_FROM: i16 = 9;
pub(super) const FETCH_FLEXIBLE_FROM: i16 = 12;
pub(super) const IDS_FROM: i16 = 13;

/// What stands in front of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub api: i16,
    pub version: i16,
    pub correlation: i32,
    /// Where the body begins.
    pub body_at: usize,
}

impl RequestHead {
    /// Reads the beginning of a frame, which stands without its size field.
    pub(super) fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(frame);
        let api = reader.i16()?;
        let version = reader.i16()?;
        let correlation = reader.i32()?;
        reader.text(false)?;
        if has_tags(api, version) {
            reader.skip_tags()?;
        }
        Ok(Self { api, version, correlation, body_at: reader.position() })
    }
}

/// Whether the header of a request ends with tagged fields.
fn has_tags(api: i16, version: i16) -> bool {
    match api {
        PRODUCE => version >= PRODUCE_FLEXIBLE_FROM,
        FETCH => version >= FETCH_FLEXIBLE_FROM,
        _ => ApiKey::try_from(api).is_ok_and(|api| api.request_header_version(version) >= 2),
    }
}

/// How a request names a topic: by its name, or by the 16 bytes of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic<'a> {
    Name(&'a [u8]),
    Id([u8; 16]),
}

/// The head of a Produce request with one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProduceHead<'a> {
    pub version: i16,
    pub correlation: i32,
    pub acks: i16,
    pub topic: Topic<'a>,
    pub partition: i32,
    /// Where the records end.
    pub records_end: usize,
}

impl<'a> ProduceHead<'a> {
    /// Reads as much of a frame as is needed; `None` if the request has several batches or none.
    pub(super) fn parse(frame: &'a [u8], head: &RequestHead) -> Result<Option<Self>, Malformed> {
        let flexible = head.version >= PRODUCE_FLEXIBLE_FROM;
        let mut reader = Reader::resume(frame, head.body_at);
        reader.text(flexible)?;
        let acks = reader.i16()?;
        let _timeout_ms = reader.i32()?;
        if reader.count(flexible)? != 1 {
            return Ok(None);
        }
        let topic = match head.version >= IDS_FROM {
            true => Topic::Id(reader.id()?),
            false => Topic::Name(reader.text(flexible)?),
        };
        if reader.count(flexible)? != 1 {
            return Ok(None);
        }
        let partition = reader.i32()?;
        let records_end = reader.bytes_length(flexible)? + reader.position();
        let RequestHead { version, correlation, .. } = *head;
        Ok(Some(Self { version, correlation, acks, topic, partition, records_end }))
    }
}

/// Whether the rest of a frame of `size` bytes, of which `beginning` is here, need not be kept to answer it.
pub(super) fn is_enough(beginning: &[u8], size: usize) -> bool {
    let Ok(head) = RequestHead::parse(beginning) else { return false };
    head.api == PRODUCE
        && matches!(ProduceHead::parse(beginning, &head), Ok(Some(produce)) if produce.records_end <= size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ProduceTemplate, ProduceTerms, TopicFacts};
    use proptest::prelude::*;
    use uuid::Uuid;

    proptest! {
        #[test]
        fn heads_of_what_the_client_sends_are_read(version in 3..=13_i16, acks in -1..=1_i16, partition in any::<i32>(), correlation in any::<i32>(), size in 0..5_000_usize) {
            let terms = ProduceTerms { version, client_id: "me", acks, timeout_ms: 9 };
            let topic = TopicFacts { name: "orders".to_owned(), id: Uuid::from_u128(77), partitions: vec![] };
            let template = ProduceTemplate::new(&terms, &topic, partition);
            let mut frame = vec![];
            template.head(&mut frame, correlation, size);
            let beginning = frame[4..].to_vec();
            let head = RequestHead::parse(&beginning).expect("it is whole");
            prop_assert_eq!((head.api, head.version, head.correlation), (PRODUCE, version, correlation));
            let produce = ProduceHead::parse(&beginning, &head).expect("it is whole").expect("it has one batch");
            let named = if version >= IDS_FROM { Topic::Id(*topic.id.as_bytes()) } else { Topic::Name(b"orders") };
            let expected = ProduceHead { version, correlation, acks, topic: named, partition, records_end: beginning.len() + size };
            prop_assert_eq!(produce, expected);
            let whole = beginning.len() + size + template.tail().len();
            prop_assert!(is_enough(&beginning, whole));
            prop_assert!(!is_enough(&beginning[..beginning.len() - 1], whole));
        }

        #[test]
        fn garbage_never_panics(api in 0..3_i16, version in 0..20_i16, rest in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut frame = [api.to_be_bytes(), version.to_be_bytes()].concat();
            frame.extend(rest);
            if let Ok(head) = RequestHead::parse(&frame) {
                let _ = ProduceHead::parse(&frame, &head);
            }
            is_enough(&frame, frame.len());
        }
    }
}
