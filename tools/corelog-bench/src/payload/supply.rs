//! All that the producers of a run share: values, keys, ready-made batches, and how records are put into batches.
//!
//! Key invariant: a supply does not change once producers draw from it; what a producer draws depends on the plan, the
//! seeds and what it drew before, and on nothing else.

use bytes::Bytes;
use corelog::model::TimestampMs;
use corelog::record::{BatchHeader, Codec, HEADER_BYTES, Stamp as Timestamps, TimestampType, recompress};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::encode::{Encoder, record_bytes};
use super::keys::{KeyText, Keys};
use super::ready::ReadyBatches;
use super::values::{Body, Values};
use super::{Batch, Lane, Lanes, Origin, STAMP_BYTES, Stamp, SupplyError};
use crate::workload::{CodecName, Encoding, RecordPlan};

/// Keys that are drawn at once; those that find no room in the batch are dropped.
const KEYS_AHEAD: usize = 16;

/// What batches are made of; immutable, shared by all producers of a run.
#[derive(Debug)]
pub struct Supply {
    pub(super) values: Values,
    pub(super) keys: Option<Keys>,
    codec: Codec,
    batch_bytes: usize,
    encoding: Encoding,
    /// Of each topic.
    partitions: u32,
    lanes: u32,
    stamped: bool,
    seed: u64,
    record_bytes_mean: usize,
    records_per_batch: u32,
    pub(super) ready: Option<ReadyBatches>,
}

/// Where a producer, or the maker of ready-made batches, stands in drawing from a supply.
#[derive(Debug)]
pub(super) struct Draw {
    pub(super) rng: Xoshiro256PlusPlus,
    position: usize,
    /// Drawn for a batch that had no room for it. Dropped, large values would be rarer than planned.
    pending: Option<Body>,
}

/// Records that are to go into one batch.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) partition: u32,
    pub(super) records: u32,
    /// Records that went to the lane before, where keys go in turn.
    pub(super) turn: u64,
    pub(super) stamps: Option<Stamps<'a>>,
}

/// What a batch's stamps say.
#[derive(Clone, Copy)]
pub(super) struct Stamps<'a> {
    pub(super) producer: u32,
    pub(super) first_sequence: u64,
    pub(super) intended_ns: &'a dyn Fn(u32) -> u64,
}

impl Supply {
    /// `lines` is the text of `ValuePlan::Lines`. Time and memory are those of the keys
    /// (16 bytes each) and of some MiB of values. Fails with a sentence if the plan's records cannot be made.
    pub fn new(
        plan: &RecordPlan,
        lanes: Lanes,
        seed: u64,
        stamped: bool,
        lines: Option<Vec<u8>>,
    ) -> Result<Self, SupplyError> {
        if stamped && plan.encoding == Encoding::Ready {
            return Err(SupplyError::StampedReady);
        }
        let Some((partitions, lanes)) = lanes.count() else {
            let Lanes { topics, partitions } = lanes;
            let sentence = format!("{topics} topics of {partitions} partitions cannot be written to");
            return Err(SupplyError::Plan(sentence));
        };
        let mut supply = Self {
            values: Values::new(plan, seed, stamped, lines)?,
            keys: Keys::new(plan.keys, partitions)?,
            codec: codec(plan.codec),
            batch_bytes: plan.batch_bytes as usize,
            encoding: plan.encoding,
            partitions,
            lanes,
            stamped,
            seed,
            record_bytes_mean: 0,
            records_per_batch: 1,
            ready: None,
        };
        supply.find_means();
        Ok(supply)
    }

    /// Records that fill a batch on average, at least 1.
    pub fn records_per_batch(&self) -> u32 {
        self.records_per_batch
    }

    /// Bytes of a record's key and value on average.
    pub fn mean_payload_bytes(&self) -> usize {
        let (key_bytes, value_bytes) = self.mean_bytes();
        key_bytes.unwrap_or(0) + value_bytes
    }

    /// Partitions of all topics together.
    pub fn lanes(&self) -> u32 {
        self.lanes
    }

    /// Whether records carry stamps.
    pub fn is_stamped(&self) -> bool {
        self.stamped
    }

    /// Whether batches are made before the run, for which [`Supply::prepare_ready`] is to be called.
    pub fn is_ready_made(&self) -> bool {
        self.encoding == Encoding::Ready
    }

    /// Makes the ready-made batches, each of exactly `records` records (at least 1) whatever bytes a batch is to have. Fails
    /// if they take more than `READY_BYTES_MAX` (1 for each partition that has keys) or cannot be compressed.
    pub fn prepare_ready(&mut self, records: u32, timestamp_ms: i64) -> Result<(), SupplyError> {
        self.ready = Some(ReadyBatches::make(self, records.max(1), timestamp_ms)?);
        Ok(())
    }

    pub(super) fn partitions(&self) -> u32 {
        self.partitions
    }

    pub(super) fn partition(&self, lane: Lane) -> u32 {
        lane.0 % self.partitions
    }

    /// The share of all records that goes to a lane.
    pub(super) fn weight(&self, lane: Lane) -> f64 {
        self.keys.as_ref().map_or(1.0, |keys| keys.weight(self.partition(lane)))
    }

    /// A place to begin drawing from, other for every `number`.
    pub(super) fn draw(&self, number: u64) -> Draw {
        // Seeds that differ in a bit give unrelated sequences; a step of an odd constant keeps runs of equal numbers apart.
        let seed = self.seed.wrapping_add((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let position = self.values.start(&mut rng);
        Draw { rng, position, pending: None }
    }

    /// Fills a batch that `batch_bytes` bounds, or with `exact` has as many records as ordered.
    pub(super) fn fill(
        &self,
        encoder: &mut Encoder,
        draw: &mut Draw,
        order: &Order<'_>,
        exact: bool,
    ) -> Result<(), SupplyError> {
        let (partition, records) = (order.partition, order.records.max(1));
        let mut ahead = [0; KEYS_AHEAD];
        for at in 0..records {
            let body =
                draw.pending.take().unwrap_or_else(|| self.values.next(&mut draw.position, &mut draw.rng));
            let place = at as usize % KEYS_AHEAD;
            if let Some(keys) = &self.keys
                && place == 0
            {
                let wanted = KEYS_AHEAD.min((records - at) as usize);
                if !keys.draw(partition, order.turn + u64::from(at), &mut draw.rng, &mut ahead[..wanted]) {
                    return Err(SupplyError::NoKeys { partition });
                }
            }
            let key = self.keys.as_ref().map(|_| KeyText::new(ahead[place]));
            let key = key.as_ref().map(|key| key.as_bytes());
            if at > 0 && !exact {
                let record = record_bytes(key.map(<[u8]>::len), self.value_bytes(body.bytes), at);
                if encoder.records_bytes() + record > self.batch_bytes {
                    draw.pending = Some(body);
                    break;
                }
            }
            let stamp = order.stamps.map(|stamps| Stamp {
                producer: stamps.producer,
                sequence: stamps.first_sequence + u64::from(at),
                intended_ns: (stamps.intended_ns)(at),
            });
            encoder.push(key, stamp, self.values.bytes(body));
        }
        Ok(())
    }

    /// Seals and compresses what was filled. `spare` becomes the buffer of the next batch where it can.
    pub(super) fn finish(
        &self,
        encoder: Encoder,
        timestamp_ms: i64,
        origin: Option<Origin>,
        spare: &mut Vec<u8>,
    ) -> Result<Batch, SupplyError> {
        let (records, payload_bytes) = (encoder.records(), encoder.payload_bytes());
        let plain = encoder.seal(timestamp_ms, origin);
        let bytes = if self.codec == Codec::None {
            Bytes::from(plain)
        } else {
            let compressed = compress(&plain, self.codec, timestamp_ms);
            *spare = plain;
            compressed?
        };
        Ok(Batch { bytes, records, payload_bytes })
    }

    /// An empty buffer with room for a batch of so many records. What is compressed is put together in the same one again.
    pub(super) fn buffer(&self, records: u32, spare: &mut Vec<u8>) -> Vec<u8> {
        if self.codec != Codec::None {
            return std::mem::take(spare);
        }
        // A quarter more than the mean seldom has to grow; a full batch never has.
        let likely_bytes = self.record_bytes_mean * records as usize;
        let bytes = (likely_bytes + likely_bytes / 4).min(self.batch_bytes).max(self.record_bytes_mean);
        Vec::with_capacity(HEADER_BYTES + bytes)
    }

    fn value_bytes(&self, body_bytes: usize) -> usize {
        if self.stamped { STAMP_BYTES + body_bytes } else { body_bytes }
    }

    /// Of sizes that vary the mean stands for all.
    /// Of keys, if there are any, and of values.
    fn mean_bytes(&self) -> (Option<usize>, usize) {
        let key_bytes = self.keys.as_ref().map(|keys| keys.mean_bytes().round() as usize);
        (key_bytes, self.value_bytes(self.values.mean_bytes(self.seed).round() as usize))
    }

    fn find_means(&mut self) {
        let (key_bytes, value_bytes) = self.mean_bytes();
        let (mut records, mut bytes) = (0, 0);
        loop {
            bytes += record_bytes(key_bytes, value_bytes, records);
            if bytes > self.batch_bytes {
                break;
            }
            records += 1;
        }
        self.records_per_batch = records.max(1);
        self.record_bytes_mean = record_bytes(key_bytes, value_bytes, self.records_per_batch);
    }
}

fn codec(name: CodecName) -> Codec {
    match name {
        CodecName::None => Codec::None,
        CodecName::Gzip => Codec::Gzip,
        CodecName::Snappy => Codec::Snappy,
        CodecName::Lz4 => Codec::Lz4,
        CodecName::Zstd => Codec::Zstd,
    }
}

fn compress(plain: &[u8], codec: Codec, timestamp_ms: i64) -> Result<Bytes, SupplyError> {
    let told = |error: corelog::record::BatchError| SupplyError::Compression(error.to_string());
    let header = BatchHeader::parse_whole(plain).map_err(told)?;
    let timestamps = Timestamps { kind: TimestampType::CreateTime, max_timestamp: TimestampMs(timestamp_ms) };
    recompress(plain, &header, codec, timestamps).map_err(told)
}
