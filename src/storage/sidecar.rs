//! The content of our own small files.
//!
//! ```text
//! sealed file:    magic "CLOG" | kind u32 | length u64 | CRC-32C of the body u32 | CRC-32C of the 20 bytes before u32 | body
//! index body:     summary | entries x (relative offset u32, position u32, timestamp before i64)
//! summary:        base i64 | next offset i64 | size u64 | largest timestamp i64 | its batch i64 |
//!                 first batch's timestamp, first, last append i64 | entries u32
//! producers body: the observer's own
//! ```
//! All little-endian.
//!
//! Key invariant: what does not check out, or is longer or shorter than it says, reads as absent.

use super::index::{Entry, SparseIndex};
use super::segment::{Segment, Stage, Times};
use crate::model::{Offset, TimestampMs};
use crate::record::crc32c;

const MAGIC: &[u8; 4] = b"CLOG";
const HEAD_BYTES: usize = 24;
const SUMMARY_BYTES: usize = 68;
const ENTRY_BYTES: usize = 16;
/// The largest sidecar that is read; an index of a 2 GiB segment with an entry for each small batch stays below.
pub(super) const SIDECAR_BYTES_MAX: u64 = 256 << 20;
/// Enough of an index file to read its summary.
pub(super) const SUMMARY_READ_BYTES: u64 = (HEAD_BYTES + SUMMARY_BYTES) as u64;

/// 1 was an index whose summary lacks the first batch's timestamp: it reads as absent, and is made anew.
pub(super) const INDEX: u32 = 5;
pub(super) const PRODUCERS: u32 = 2;

/// Wraps a body so that damage shows.
pub(super) fn seal(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEAD_BYTES + body.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&kind.to_le_bytes());
    file.extend_from_slice(&(body.len() as u64).to_le_bytes());
    file.extend_from_slice(&crc32c(body).to_le_bytes());
    let head = crc32c(&file);
    file.extend_from_slice(&head.to_le_bytes());
    file.extend_from_slice(body);
    file
}

/// The body of a sealed file of this kind.
pub(super) fn open(kind: u32, file: &[u8]) -> Option<&[u8]> {
    let (length, crc) = head(kind, file)?;
    let body = &file[HEAD_BYTES..];
    (body.len() as u64 == length && crc32c(body) == crc).then_some(body)
}

fn head(kind: u32, file: &[u8]) -> Option<(u64, u32)> {
    let mut fields = Fields(file.get(..HEAD_BYTES)?);
    let covered = &file[..HEAD_BYTES - 4];
    let magic: [u8; 4] = fields.take()?;
    let found = u32::from_le_bytes(fields.take()?);
    let length = u64::from_le_bytes(fields.take()?);
    let body = u32::from_le_bytes(fields.take()?);
    let own = u32::from_le_bytes(fields.take()?);
    (&magic == MAGIC && found == kind && crc32c(covered) == own).then_some((length, body))
}

/// A finished segment's facts and index.
pub(super) struct SegmentSummary {
    pub base: Offset,
    pub next_offset: Offset,
    pub size: u64,
    pub times: Times,
    pub index: SparseIndex,
}

impl SegmentSummary {
    pub(super) fn of(segment: &Segment) -> Self {
        Self {
            base: segment.base,
            next_offset: segment.next_offset,
            size: segment.size,
            times: segment.times,
            index: segment.index.clone().unwrap_or_default(),
        }
    }

    /// The segment, all of it durable.
    pub(super) fn into_segment(self, stage: Stage) -> Segment {
        Segment {
            base: self.base,
            next_offset: self.next_offset,
            size: self.size,
            written: self.size,
            times: self.times,
            stage,
            index_bytes: self.index.size_bytes(),
            index: Some(self.index),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        seal(INDEX, &self.body())
    }

    pub(super) fn decode(file: &[u8]) -> Option<Self> {
        Self::from_body(open(INDEX, file)?)
    }

    /// Only the summary, without entries, of the first bytes of an index file.
    pub(super) fn decode_summary(file: &[u8]) -> Option<Self> {
        head(INDEX, file)?;
        let (summary, _) = Self::from_summary(file.get(HEAD_BYTES..)?)?;
        Some(summary)
    }

    fn body(&self) -> Vec<u8> {
        let entries = self.index.entries();
        let mut body = Vec::with_capacity(SUMMARY_BYTES + ENTRY_BYTES * entries.len());
        for number in [self.base.0, self.next_offset.0, self.size as i64, self.times.largest] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        let Times { largest_at, first_batch, first_append, last_append, .. } = self.times;
        for number in [largest_at.0, first_batch.0, first_append.0, last_append.0] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        debug_assert_eq!(body.len(), SUMMARY_BYTES);
        for entry in entries {
            body.extend_from_slice(&entry.relative_offset.to_le_bytes());
            body.extend_from_slice(&entry.position.to_le_bytes());
            body.extend_from_slice(&entry.timestamp_before.to_le_bytes());
        }
        body
    }

    fn from_summary(body: &[u8]) -> Option<(Self, usize)> {
        let mut fields = Fields(body.get(..SUMMARY_BYTES)?);
        let mut number = || fields.take().map(i64::from_le_bytes);
        let summary = Self {
            base: Offset(number()?),
            next_offset: Offset(number()?),
            size: u64::try_from(number()?).ok()?,
            times: Times {
                largest: number()?,
                largest_at: Offset(number()?),
                first_batch: TimestampMs(number()?),
                first_append: TimestampMs(number()?),
                last_append: TimestampMs(number()?),
            },
            index: SparseIndex::default(),
        };
        let entries = u32::from_le_bytes(fields.take()?) as usize;
        (summary.base.0 >= 0 && summary.base <= summary.next_offset).then_some((summary, entries))
    }

    fn from_body(body: &[u8]) -> Option<Self> {
        let (mut summary, count) = Self::from_summary(body)?;
        let rest = &body[SUMMARY_BYTES..];
        if rest.len() != count.checked_mul(ENTRY_BYTES)? {
            return None;
        }
        let mut fields = Fields(rest);
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(Entry {
                relative_offset: u32::from_le_bytes(fields.take()?),
                position: u32::from_le_bytes(fields.take()?),
                timestamp_before: i64::from_le_bytes(fields.take()?),
            });
        }
        summary.index = SparseIndex::from_entries(entries)?;
        Some(summary)
    }
}

/// Reads fields of fixed size off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> SegmentSummary {
        let mut index = SparseIndex::default();
        index.note(Entry { relative_offset: 0, position: 0, timestamp_before: i64::MIN }, 1);
        index.note(Entry { relative_offset: 9, position: 900, timestamp_before: 77 }, 1);
        SegmentSummary {
            base: Offset(100),
            next_offset: Offset(120),
            size: 2000,
            times: Times {
                largest: 80,
                largest_at: Offset(110),
                first_batch: TimestampMs(70),
                first_append: TimestampMs(5),
                last_append: TimestampMs(6),
            },
            index,
        }
    }

    #[test]
    fn an_index_comes_back() {
        let file = summary().encode();
        let read = SegmentSummary::decode(&file).expect("whole");
        assert_eq!((read.base, read.next_offset, read.size), (Offset(100), Offset(120), 2000));
        assert_eq!(read.times, summary().times);
        assert_eq!(read.index, summary().index);
        let short = &file[..SUMMARY_READ_BYTES as usize];
        assert_eq!(SegmentSummary::decode_summary(short).expect("whole").size, 2000);
    }

    #[test]
    fn any_flipped_byte_or_lost_tail_reads_as_absent() {
        let file = summary().encode();
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x40;
            assert!(SegmentSummary::decode(&damaged).is_none(), "byte {at}");
            assert!(SegmentSummary::decode(&file[..at]).is_none(), "cut at {at}");
        }
        assert!(open(PRODUCERS, &file).is_none(), "another kind");
    }
}
