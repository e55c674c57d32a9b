//! Fetch requests read and answered by hand: every partition gets the hot batch at the offset it asked for, as far as the
//! request's `max_bytes` allow.
//!
//! Key invariant: what is written is what the client and the kafka-protocol crate read; tests compare for every version.
//! The batch is not copied: the answer says where it stands.

use super::heads::{FETCH_FLEXIBLE_FROM, IDS_FROM, RequestHead};
use super::hot::HotBatch;
use crate::client::Malformed;
use crate::client::wire::{self, Reader};

const SIZE_BYTES: usize = 4;
const NO_REPLICA_FROM: i16 = 15;

/// An answer without its batches.
#[derive(Debug, Default)]
pub(super) struct FetchReply {
    /// Everything else, from the size field on; the base offset of each batch too.
    pub bytes: Vec<u8>,
    /// Where in `bytes` the rest of the hot batch belongs.
    pub cuts: Vec<usize>,
}

impl FetchReply {
    /// Answers the request in `frame`. `judge` says with which error code a partition is answered, 0 for none.
    pub(super) fn write(
        &mut self,
        frame: &[u8],
        head: &RequestHead,
        hot: &HotBatch,
        judge: &dyn Fn(i32) -> i16,
    ) -> Result<(), Malformed> {
        let flexible = head.version >= FETCH_FLEXIBLE_FROM;
        self.bytes.clear();
        self.cuts.clear();
        let mut reader = Reader::resume(frame, head.body_at);
        if head.version < NO_REPLICA_FROM {
            reader.i32()?;
        }
        let _max_wait_ms = reader.i32()?;
        let _min_bytes = reader.i32()?;
        let budget = reader.i32()?;
        let _isolation = reader.i8()?;
        if head.version >= 7 {
            let _session_and_epoch = reader.i64()?;
        }
        self.begin(head, flexible);
        let topics = reader.count(flexible)?;
        wire::put_count(&mut self.bytes, topics.min(frame.len()), flexible);
        let mut left = i64::from(budget);
        for _ in 0..topics {
            self.topic(&mut reader, head.version, hot, &mut |partition| {
                let error = judge(partition);
                let send = error == 0 && left > 0;
                if send {
                    left -= hot.bytes() as i64;
                }
                (error, send)
            })?;
        }
        if flexible {
            self.bytes.push(0);
        }
        let size = self.bytes.len() - SIZE_BYTES + self.cuts.len() * hot.rest.len();
        let size = i32::try_from(size).map_err(|_| Malformed("a fetch asks for more than a frame holds"))?;
        self.bytes[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
        Ok(())
    }

    fn begin(&mut self, head: &RequestHead, flexible: bool) {
        let out = &mut self.bytes;
        out.extend_from_slice(&[0; SIZE_BYTES]);
        out.extend_from_slice(&head.correlation.to_be_bytes());
        if flexible {
            out.push(0);
        }
        out.extend_from_slice(&0_i32.to_be_bytes());
        if head.version >= 7 {
            // No error, no session.
            out.extend_from_slice(&[0; 6]);
        }
    }

    /// One topic; `choose` gives each partition's error code and whether it gets the batch.
    fn topic(
        &mut self,
        reader: &mut Reader<'_>,
        version: i16,
        hot: &HotBatch,
        choose: &mut dyn FnMut(i32) -> (i16, bool),
    ) -> Result<(), Malformed> {
        let flexible = version >= FETCH_FLEXIBLE_FROM;
        if version >= IDS_FROM {
            self.bytes.extend_from_slice(&reader.id()?);
        } else {
            wire::put_text(&mut self.bytes, reader.text(flexible)?, flexible);
        }
        let partitions = reader.count(flexible)?;
        wire::put_count(&mut self.bytes, partitions.min(reader.remaining()), flexible);
        for _ in 0..partitions {
            let partition = reader.i32()?;
            if version >= 9 {
                let _current_leader_epoch = reader.i32()?;
            }
            let offset = reader.i64()?;
            if version >= 12 {
                let _last_fetched_epoch = reader.i32()?;
            }
            if version >= 5 {
                let _log_start_offset = reader.i64()?;
            }
            let _partition_max_bytes = reader.i32()?;
            if flexible {
                reader.skip_tags()?;
            }
            let (error, send) = choose(partition);
            self.partition(version, (partition, error), offset, send.then_some(hot));
        }
        if flexible {
            reader.skip_tags()?;
            self.bytes.push(0);
        }
        Ok(())
    }

    fn partition(&mut self, version: i16, (index, error): (i32, i16), offset: i64, hot: Option<&HotBatch>) {
        const NO_REPLICA: i32 = -1;
        let flexible = version >= FETCH_FLEXIBLE_FROM;
        let out = &mut self.bytes;
        let end = offset.saturating_add(hot.map_or(0, |hot| hot.records));
        let watermark = if error == 0 { end } else { -1 };
        out.extend_from_slice(&index.to_be_bytes());
        out.extend_from_slice(&error.to_be_bytes());
        out.extend_from_slice(&watermark.to_be_bytes());
        out.extend_from_slice(&watermark.to_be_bytes());
        if version >= 5 {
            out.extend_from_slice(&0_i64.to_be_bytes());
        }
        // No aborted transactions.
        wire::put_count(out, 0, flexible);
        if version >= 11 {
            out.extend_from_slice(&NO_REPLICA.to_be_bytes());
        }
        wire::put_count(out, hot.map_or(0, HotBatch::bytes), flexible);
        if hot.is_some() {
            out.extend_from_slice(&offset.to_be_bytes());
            self.cuts.push(out.len());
        }
        if flexible {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{FetchAnswer, FetchFrom, FetchTerms, FetchedPartition, TopicFacts};
    use bytes::Bytes;
    use corelog::protocol::decode_response;
    use corelog::record::BatchHeader;
    use kafka_protocol::messages::FetchRequest;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn joined(reply: &FetchReply, hot: &HotBatch) -> Bytes {
        let mut whole = vec![];
        let mut from = 0;
        for cut in &reply.cuts {
            whole.extend(&reply.bytes[from..*cut]);
            whole.extend(&hot.rest);
            from = *cut;
        }
        whole.extend(&reply.bytes[from..]);
        Bytes::from(whole)
    }

    #[test]
    fn every_version_gets_batches_up_to_the_bytes_asked_for() {
        let hot = HotBatch::new(10_000, 0);
        let topic = TopicFacts { name: "orders".to_owned(), id: Uuid::from_u128(5), partitions: vec![] };
        for version in 4..=18 {
            let max_bytes = hot.bytes() as i32 + 1;
            let terms = FetchTerms {
                version,
                client_id: "me",
                max_wait_ms: 1,
                min_bytes: 1,
                max_bytes,
                partition_max_bytes: 1,
            };
            let wanted: Vec<FetchFrom<'_>> =
                (0..4).map(|partition| FetchFrom { topic: &topic, partition, offset: 100 }).collect();
            let mut frame = vec![];
            terms.request(&mut frame, 9, &wanted);
            let head = RequestHead::parse(&frame[4..]).unwrap();
            let mut reply = FetchReply::default();
            reply.write(&frame[4..], &head, &hot, &|partition| if partition == 1 { 6 } else { 0 }).unwrap();
            let mut whole = joined(&reply, &hot);
            assert_eq!(whole.split_to(4)[..], (whole.len() as u32).to_be_bytes());
            decode_response::<FetchRequest>(&mut whole.clone(), version).expect("the crate reads it");
            let answer = FetchAnswer::parse(whole, version).unwrap();
            assert_eq!((answer.correlation, answer.error), (9, 0));
            let partitions: Vec<FetchedPartition> = answer.map(Result::unwrap).collect();
            let told: Vec<_> =
                partitions.iter().map(|p| (p.partition, p.error, p.records.len() / hot.bytes())).collect();
            assert_eq!(told, [(0, 0, 1), (1, 6, 0), (2, 0, 1), (3, 0, 0)], "version {version}");
            let batch = BatchHeader::parse_whole(&partitions[2].records).unwrap();
            assert_eq!((batch.base_offset.0, batch.next_offset().0), (100, partitions[2].high_watermark));
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_at_most(version in 0..20_i16, rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let hot = HotBatch::new(1, 0);
            let head = RequestHead { api: 1, version, correlation: 1, body_at: 0 };
            let _ = FetchReply::default().write(&rest, &head, &hot, &|_| 0);
        }
    }
}
