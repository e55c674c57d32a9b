//! Answers to Produce requests with one batch, written by hand.
//!
//! Key invariant: what is written is what the kafka-protocol crate reads; a property test compares for every version.

use super::heads::{PRODUCE_FLEXIBLE_FROM, ProduceHead, Topic};
use crate::client::wire;

const SIZE_BYTES: usize = 4;
/// The time at which the broker appended: the records' own times count.
const NO_APPEND_TIME: i64 = -1;

/// Appends the answer, from its size field on. `error` is Kafka's code, 0 for none.
pub(super) fn put_produce(out: &mut Vec<u8>, asked: &ProduceHead<'_>, error: i16) {
    let version = asked.version;
    let flexible = version >= PRODUCE_FLEXIBLE_FROM;
    let start = out.len();
    out.extend_from_slice(&[0; SIZE_BYTES]);
    out.extend_from_slice(&asked.correlation.to_be_bytes());
    if flexible {
        out.push(0);
    }
    wire::put_count(out, 1, flexible);
    match asked.topic {
        Topic::Name(name) => wire::put_text(out, name, flexible),
        Topic::Id(id) => out.extend_from_slice(&id),
    }
    wire::put_count(out, 1, flexible);
    out.extend_from_slice(&asked.partition.to_be_bytes());
    out.extend_from_slice(&error.to_be_bytes());
    let base_offset: i64 = if error == 0 { 0 } else { -1 };
    out.extend_from_slice(&base_offset.to_be_bytes());
    out.extend_from_slice(&NO_APPEND_TIME.to_be_bytes());
    if version >= 5 {
        out.extend_from_slice(&base_offset.to_be_bytes());
    }
    if version >= 8 {
        // No records with errors, no message.
        wire::put_count(out, 0, flexible);
        out.extend_from_slice(if flexible { &[0] } else { &[0xff, 0xff] });
    }
    if flexible {
        out.extend_from_slice(&[0, 0]);
    }
    // Not throttled.
    out.extend_from_slice(&0_i32.to_be_bytes());
    if flexible {
        out.push(0);
    }
    put_size(out, start);
}

/// Writes the size of the frame that began at `start`.
pub(super) fn put_size(out: &mut [u8], start: usize) {
    let size = (out.len() - start - SIZE_BYTES) as u32;
    out[start..start + SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use corelog::protocol::decode_response;
    use kafka_protocol::messages::ProduceRequest;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_crate_reads_what_is_written(version in 3..=13_i16, correlation in any::<i32>(), partition in any::<i32>(), error in any::<i16>(), id in any::<[u8; 16]>()) {
            let topic = if version >= 13 { Topic::Id(id) } else { Topic::Name(b"orders") };
            let asked = ProduceHead { version, correlation, acks: 1, topic, partition, records_end: 0 };
            let mut out = b"before".to_vec();
            put_produce(&mut out, &asked, error);
            let mut frame = Bytes::copy_from_slice(&out[6..]);
            prop_assert_eq!(frame.split_to(4)[..].to_vec(), (frame.len() as u32).to_be_bytes().to_vec());
            let (read_correlation, answer) = decode_response::<ProduceRequest>(&mut frame, version).expect("it is well formed");
            prop_assert!(frame.is_empty());
            prop_assert_eq!(read_correlation, correlation);
            let topic = &answer.responses[0];
            let named = if version >= 13 { topic.topic_id.as_bytes() == &id } else { topic.name.as_str() == "orders" };
            prop_assert!(named);
            let answered = &topic.partition_responses[0];
            prop_assert_eq!((answered.index, answered.error_code), (partition, error));
        }
    }
}
