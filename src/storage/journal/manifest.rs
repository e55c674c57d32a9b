//! The manifest: the checkpoint of one shard, written whole and atomically.
//!
//! Key invariants: a manifest reads as it was written or not at all; it is replaced by a rename, so one that does not read was
//! damaged later, never torn. Whatever the bytes claim, no more is allocated than they are.

use bytes::Bytes;
use uuid::Uuid;

use super::group::Place;
use super::layout::{
    EPOCH_BYTES, LOG_BYTES, MANIFEST_FIXED_BYTES, MANIFEST_FORMAT, MANIFEST_HEAD_BYTES, MANIFEST_MAGIC,
    WRITTEN_BYTES, manifest,
};
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::crc32c;

/// What of a shard's journal is in the segments, and how the segments stood then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub journal: u64,
    pub incarnation: u64,
    pub shard: u16,
    /// Groups before this one are in the segments.
    pub from_sequence: u64,
    /// One for each partition of the shard.
    pub logs: Vec<LogRecord>,
}

/// One partition's log at the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub place: Place,
    pub log_start: Offset,
    /// Absent while nothing was written to a segment.
    pub written: Option<Written>,
}

/// The newest segment as its file was, and what held at exactly its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub base: Offset,
    pub next_offset: Offset,
    pub size_bytes: u64,
    /// The largest timestamp of any batch of the segment, in milliseconds; `i64::MIN` if there is none.
    pub largest_timestamp: i64,
    /// The base offset of the first batch that holds it.
    pub largest_at: Offset,
    /// The largest timestamp of its first batch.
    pub first_batch: TimestampMs,
    pub first_append: TimestampMs,
    pub last_append: TimestampMs,
    /// Each leader epoch and the offset at which it began, of the whole log, oldest first.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// The producer state, in its owner's encoding.
    pub producers: Bytes,
}

/// Why bytes are no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("it is no manifest")]
    NotAManifest,
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it has format {found}; this version reads {MANIFEST_FORMAT}")]
    UnknownFormat { found: u16 },
}

impl Manifest {
    /// The whole file.
    pub fn encode(&self) -> Vec<u8> {
        let mut file = vec![0; MANIFEST_HEAD_BYTES];
        for number in [self.journal, self.incarnation, self.from_sequence] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.extend_from_slice(&self.shard.to_le_bytes());
        file.extend_from_slice(&[0; 2]);
        file.extend_from_slice(&(self.logs.len() as u32).to_le_bytes());
        debug_assert_eq!(file.len(), MANIFEST_HEAD_BYTES + MANIFEST_FIXED_BYTES);
        self.logs.iter().for_each(|log| log.encode(&mut file));
        let (head, body) = file.split_at_mut(MANIFEST_HEAD_BYTES);
        manifest::MAGIC.put(head, &MANIFEST_MAGIC);
        manifest::FORMAT.put(head, &MANIFEST_FORMAT.to_le_bytes());
        manifest::BODY_BYTES.put(head, &(body.len() as u64).to_le_bytes());
        manifest::BODY_CRC.put(head, &crc32c(body).to_le_bytes());
        let crc = crc32c(&head[..manifest::CRC.at]);
        manifest::CRC.put(head, &crc.to_le_bytes());
        file
    }

    /// Reads a whole file; producer states are slices of it.
    pub fn decode(file: &Bytes) -> Result<Self, ManifestError> {
        let head = file.get(..MANIFEST_HEAD_BYTES).ok_or(ManifestError::NotAManifest)?;
        if manifest::MAGIC.read(head) != MANIFEST_MAGIC {
            return Err(ManifestError::NotAManifest);
        }
        if crc32c(&head[..manifest::CRC.at]) != u32::from_le_bytes(manifest::CRC.read(head)) {
            return Err(ManifestError::Damaged("the checksum of its head is another"));
        }
        let found = u16::from_le_bytes(manifest::FORMAT.read(head));
        if found != MANIFEST_FORMAT {
            return Err(ManifestError::UnknownFormat { found });
        }
        let body = file.slice(MANIFEST_HEAD_BYTES..);
        if body.len() as u64 != u64::from_le_bytes(manifest::BODY_BYTES.read(head)) {
            return Err(ManifestError::Damaged("it is longer or shorter than it says"));
        }
        if crc32c(&body) != u32::from_le_bytes(manifest::BODY_CRC.read(head)) {
            return Err(ManifestError::Damaged("the checksum of its body is another"));
        }
        let mut fields = Fields(body);
        let (journal, incarnation, from_sequence) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let shard = u16::from_le_bytes(fields.take()?);
        let _reserved: [u8; 2] = fields.take()?;
        let count = fields.count(LOG_BYTES)?;
        let mut logs = Vec::with_capacity(count);
        for _ in 0..count {
            logs.push(LogRecord::decode(&mut fields)?);
        }
        if !fields.0.is_empty() {
            return Err(ManifestError::Damaged("bytes follow its last log"));
        }
        Ok(Self { journal, incarnation, shard, from_sequence, logs })
    }
}

impl LogRecord {
    fn encode(&self, file: &mut Vec<u8>) {
        let before = file.len();
        file.extend_from_slice(self.place.topic.as_bytes());
        file.extend_from_slice(&self.place.partition.to_le_bytes());
        file.extend_from_slice(&u32::from(self.written.is_some()).to_le_bytes());
        file.extend_from_slice(&self.log_start.0.to_le_bytes());
        debug_assert_eq!(file.len() - before, LOG_BYTES);
        if let Some(written) = &self.written {
            written.encode(file);
        }
    }

    fn decode(fields: &mut Fields) -> Result<Self, ManifestError> {
        let topic = Uuid::from_bytes(fields.take()?);
        let partition = i32::from_le_bytes(fields.take()?);
        let has_written = u32::from_le_bytes(fields.take()?);
        let log_start = Offset(fields.i64()?);
        let written = match has_written {
            0 => None,
            1 => Some(Written::decode(fields)?),
            _ => return Err(ManifestError::Damaged("a log has segments and has not")),
        };
        if partition < 0 || log_start.0 < 0 {
            return Err(ManifestError::Damaged("a log has a negative partition or start"));
        }
        Ok(Self { place: Place { topic, partition }, log_start, written })
    }
}

impl Written {
    fn encode(&self, file: &mut Vec<u8>) {
        let before = file.len();
        for number in [self.base.0, self.next_offset.0, self.size_bytes as i64, self.largest_timestamp] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.largest_at.0, self.first_batch.0, self.first_append.0, self.last_append.0] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.extend_from_slice(&(self.epochs.len() as u32).to_le_bytes());
        file.extend_from_slice(&(self.producers.len() as u32).to_le_bytes());
        debug_assert_eq!(file.len() - before, WRITTEN_BYTES);
        for (epoch, start) in &self.epochs {
            file.extend_from_slice(&epoch.0.to_le_bytes());
            file.extend_from_slice(&start.0.to_le_bytes());
        }
        file.extend_from_slice(&self.producers);
    }

    fn decode(fields: &mut Fields) -> Result<Self, ManifestError> {
        let (base, next_offset) = (Offset(fields.i64()?), Offset(fields.i64()?));
        let (size_bytes, largest_timestamp) = (fields.u64()?, fields.i64()?);
        let largest_at = Offset(fields.i64()?);
        let first_batch = TimestampMs(fields.i64()?);
        let (first_append, last_append) = (TimestampMs(fields.i64()?), TimestampMs(fields.i64()?));
        let epochs_count = u32::from_le_bytes(fields.take()?) as usize;
        let producers_bytes = u32::from_le_bytes(fields.take()?) as usize;
        fields.room_for(epochs_count, EPOCH_BYTES)?;
        let mut epochs = Vec::with_capacity(epochs_count);
        for _ in 0..epochs_count {
            epochs.push((LeaderEpoch(i32::from_le_bytes(fields.take()?)), Offset(fields.i64()?)));
        }
        fields.room_for(producers_bytes, 1)?;
        let producers = fields.0.split_to(producers_bytes);
        if base.0 < 0 || next_offset < base {
            return Err(ManifestError::Damaged("a segment ends before it begins"));
        }
        Ok(Self {
            base,
            next_offset,
            size_bytes,
            largest_timestamp,
            largest_at,
            first_batch,
            first_append,
            last_append,
            epochs,
            producers,
        })
    }
}

/// Reads fields off the front.
struct Fields(Bytes);

impl Fields {
    fn take<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], ManifestError> {
        let field = *self.0.first_chunk::<BYTES>().ok_or(ManifestError::Damaged("it ends within a field"))?;
        bytes::Buf::advance(&mut self.0, BYTES);
        Ok(field)
    }

    fn u64(&mut self) -> Result<u64, ManifestError> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, ManifestError> {
        self.take().map(i64::from_le_bytes)
    }

    /// A count of things of at least `bytes_min` each, for which there is room.
    fn count(&mut self, bytes_min: usize) -> Result<usize, ManifestError> {
        let count = u32::from_le_bytes(self.take()?) as usize;
        self.room_for(count, bytes_min)?;
        Ok(count)
    }

    fn room_for(&self, count: usize, bytes_min: usize) -> Result<(), ManifestError> {
        let fits = count.checked_mul(bytes_min).is_some_and(|bytes| bytes <= self.0.len());
        if fits { Ok(()) } else { Err(ManifestError::Damaged("it counts more than it holds")) }
    }
}
