//! Reading a segment batch by batch, trusting nothing.
//!
//! Key invariant: every batch reported has a sane header, a matching checksum, the offset that follows the one before (or a
//! later one, where compaction may have been), and an epoch not below it. Memory is one window, whatever a damaged length field says.

use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;

use super::error::StorageError;
use super::segment::Segment;
use crate::io::{File, IoClass, align_down, align_up};
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::{BatchHeader, Crc32c, HEADER_BYTES};

/// Bytes read at first: often little follows a checkpoint.
const WINDOW_BYTES_MIN: u64 = 64 << 10;
/// Bytes read at once when more follows.
const WINDOW_BYTES_MAX: u64 = 1 << 20;
/// Where the checksummed part of a batch begins.
const CHECKSUMMED_FROM: u64 = 21;

/// Where a scan stands: what the next batch must continue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frontier {
    pub position: u64,
    pub next_offset: Offset,
    pub epoch: LeaderEpoch,
}

impl Frontier {
    /// Before the first batch of a segment.
    pub(super) fn start(base: Offset) -> Self {
        Self { position: 0, next_offset: base, epoch: LeaderEpoch(i32::MIN) }
    }
}

/// How offsets follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    /// Without a gap.
    Strict,
    /// Upwards: compaction leaves gaps.
    Ascending,
}

/// Why a scan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the end of the file.
    File,
    /// At bytes that continue nothing.
    Invalid(String),
}

/// Reads a segment whose `size` bytes are all batches, and makes its facts and index anew.
pub(super) async fn rebuild(
    file: Rc<File>,
    path: &Path,
    (base, size): (Offset, u64),
    interval_bytes: u32,
    now: TimestampMs,
) -> Result<Segment, StorageError> {
    let mut segment = Segment::new(base);
    let mut frontier = Frontier::start(base);
    // Whether they are all there was known when they were found.
    let mut scan = Scan::new(file, path, size).with(Continuity::Ascending);
    let end = scan
        .run(&mut frontier, Offset(i64::MAX), |header, _| {
            segment.note(header, header.base_offset, now, interval_bytes);
        })
        .await?;
    if let End::Invalid(reason) = end {
        return Err(StorageError::corrupt(path, frontier.position, reason));
    }
    segment.written = segment.size;
    Ok(segment)
}

/// A pass over one segment's file.
pub(super) struct Scan<'a> {
    file: Rc<File>,
    path: &'a Path,
    size: u64,
    continuity: Continuity,
    window: Bytes,
    window_at: u64,
    next_window_bytes: u64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(file: Rc<File>, path: &'a Path, size: u64) -> Self {
        Self {
            file,
            path,
            size,
            continuity: Continuity::Strict,
            window: Bytes::new(),
            window_at: 0,
            next_window_bytes: WINDOW_BYTES_MIN,
        }
    }

    /// Accepts offsets that follow each other so.
    pub(super) fn with(self, continuity: Continuity) -> Self {
        Self { continuity, ..self }
    }

    /// Reports every valid batch from `frontier` up to the offset `until`, with its position. `frontier` is left where the first invalid byte is.
    pub(super) async fn run(
        &mut self,
        frontier: &mut Frontier,
        until: Offset,
        mut report: impl FnMut(&BatchHeader, u64),
    ) -> Result<End, StorageError> {
        loop {
            if frontier.position >= self.size {
                return Ok(End::File);
            }
            if frontier.next_offset >= until {
                return Ok(End::Invalid(format!("the log was cut at offset {until}")));
            }
            let header = match self.batch_at(frontier).await? {
                Ok(header) => header,
                Err(reason) => return Ok(End::Invalid(reason)),
            };
            report(&header, frontier.position);
            frontier.position += u64::from(header.size_bytes);
            frontier.next_offset = header.next_offset();
            frontier.epoch = header.leader_epoch;
            glommio::yield_if_needed().await;
        }
    }

    /// The batch at the frontier, or why it is none.
    async fn batch_at(&mut self, frontier: &Frontier) -> Result<Result<BatchHeader, String>, StorageError> {
        let left = self.size - frontier.position;
        if left < HEADER_BYTES as u64 {
            return Ok(Err(format!("{left} bytes are less than a batch header")));
        }
        let bytes = self.bytes(frontier.position, HEADER_BYTES).await?;
        let header = match BatchHeader::parse(&bytes) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if u64::from(header.size_bytes) > left {
            return Ok(Err(format!("a batch of {} bytes where {left} are left", header.size_bytes)));
        }
        let follows = match self.continuity {
            Continuity::Strict => header.base_offset == frontier.next_offset,
            Continuity::Ascending => header.base_offset >= frontier.next_offset,
        };
        if !follows {
            let (found, expected) = (header.base_offset, frontier.next_offset);
            return Ok(Err(format!("base offset {found} where {expected} follows")));
        }
        if header.last_offset_delta < 0
            || header.base_offset.0.checked_add(i64::from(header.last_offset_delta) + 1).is_none()
        {
            return Ok(Err(format!("a last offset delta of {}", header.last_offset_delta)));
        }
        if header.leader_epoch < frontier.epoch {
            let (found, before) = (header.leader_epoch, frontier.epoch);
            return Ok(Err(format!("leader epoch {found} after {before}")));
        }
        let end = frontier.position + u64::from(header.size_bytes);
        let computed = self.crc(frontier.position + CHECKSUMMED_FROM, end).await?;
        if computed != header.crc {
            return Ok(Err(format!("checksum {:#010x} over bytes that give {computed:#010x}", header.crc)));
        }
        Ok(Ok(header))
    }

    /// How many bytes from `position` on there are up to the last one that is not zero, looking at `bytes_max` of them.
    pub(super) async fn nonzero_bytes_from(
        &mut self,
        position: u64,
        bytes_max: u64,
    ) -> Result<u64, StorageError> {
        let (mut at, mut last) = (position, position);
        let end = self.size.min(position.saturating_add(bytes_max));
        while at < end {
            let part = self.available(at).await?;
            if let Some(nonzero) = part.iter().rposition(|byte| *byte != 0) {
                last = at + nonzero as u64 + 1;
            }
            at += part.len() as u64;
            glommio::yield_if_needed().await;
        }
        Ok(last - position)
    }

    async fn crc(&mut self, from: u64, to: u64) -> Result<u32, StorageError> {
        let (mut at, mut crc) = (from, Crc32c::default());
        while at < to {
            let part = self.available(at).await?;
            let take = part.len().min((to - at) as usize);
            crc.update(&part[..take]);
            at += take as u64;
        }
        Ok(crc.finish())
    }

    async fn bytes(&mut self, position: u64, length: usize) -> Result<Bytes, StorageError> {
        let part = self.available(position).await?;
        if part.len() >= length {
            return Ok(part.slice(..length));
        }
        self.load(position).await?;
        let part = self.available(position).await?;
        if part.len() < length {
            return Err(StorageError::corrupt(
                self.path,
                position,
                "the file became shorter while it was read",
            ));
        }
        Ok(part.slice(..length))
    }

    /// The bytes at `position` that the window holds, at least one; loads the next window if it holds none.
    async fn available(&mut self, position: u64) -> Result<Bytes, StorageError> {
        if position < self.window_at || position >= self.window_at + self.window.len() as u64 {
            self.load(position).await?;
        }
        Ok(self.window.slice((position - self.window_at) as usize..))
    }

    async fn load(&mut self, position: u64) -> Result<(), StorageError> {
        let from = align_down(position);
        let to = align_up(self.size.min(from + self.next_window_bytes));
        self.next_window_bytes = (2 * self.next_window_bytes).min(WINDOW_BYTES_MAX);
        let read = self
            .file
            .read_at(from, (to - from) as usize, IoClass::ColdRead)
            .await
            .map_err(StorageError::io("reading", self.path))?;
        let length = (read.len() as u64).min(self.size - from) as usize;
        self.window = read.slice(..length);
        self.window_at = from;
        if from + length as u64 <= position {
            return Err(StorageError::corrupt(
                self.path,
                position,
                "the file became shorter while it was read",
            ));
        }
        Ok(())
    }
}
