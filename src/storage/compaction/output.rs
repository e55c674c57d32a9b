//! The file that a group of segments is rewritten into.
//!
//! Key invariant: it has a name that recovery deletes until all of it is durable and cut to its length. It is written in
//! aligned writes as large as others on the device allow, one at a time; memory is one of them.

use std::path::PathBuf;
use std::rc::Rc;

use super::super::error::StorageError;
use super::super::log::Log;
use super::super::place;
use super::super::segment::{Segment, Times};
use super::source::{Pace, window_bytes};
use super::swap::CLEANED_SUFFIX;
use crate::io::{Access, File, IoClass, align_up};
use crate::model::{Offset, TimestampMs};
use crate::record::BatchHeader;

/// A segment on its way.
pub(super) struct Output {
    log: Rc<Log>,
    path: PathBuf,
    file: Rc<File>,
    pace: Pace,
    /// What is not written yet.
    buffer: Vec<u8>,
    written_bytes: u64,
    segment: Segment,
    interval_bytes: u32,
}

impl Output {
    /// Begins a segment at `base` that gets about `bytes`.
    pub(super) async fn create(
        log: &Rc<Log>,
        base: Offset,
        bytes: u64,
        pace: Pace,
    ) -> Result<Self, StorageError> {
        let path = place::file_of(&log.directory, base, CLEANED_SUFFIX);
        let disk = log.store.disk();
        if !disk.admit_reservation(align_up(bytes)) {
            return Err(StorageError::DiskFull);
        }
        // Of a round that failed.
        disk.remove_file(&path).await.map_err(StorageError::io("removing", &path))?;
        let file = {
            let _names = log.names.read().await.map_err(|_| StorageError::Closed)?;
            disk.open_file(&path, Access::Durable).await.map_err(StorageError::io("creating", &path))?
        };
        // Not every file system can; the writes extend the file then.
        let _ = file.preallocate(align_up(bytes)).await;
        Ok(Self {
            log: log.clone(),
            path,
            file,
            pace,
            buffer: Vec::new(),
            written_bytes: 0,
            segment: Segment::new(base),
            interval_bytes: log.settings().index_interval_bytes,
        })
    }

    /// Bytes of all batches so far.
    pub(super) fn size(&self) -> u64 {
        self.segment.size
    }

    /// Adds a batch.
    pub(super) async fn push(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), StorageError> {
        if self.segment.size + batch.len() as u64 > u64::from(u32::MAX) {
            return Err(StorageError::TooLarge("a compacted segment outgrew its index"));
        }
        self.segment.note(header, header.base_offset, TimestampMs::NONE, self.interval_bytes);
        self.buffer.extend_from_slice(batch);
        loop {
            let bytes = window_bytes(self.log.store.disk()) as usize;
            if self.buffer.len() < bytes {
                return Ok(());
            }
            self.write(bytes).await?;
        }
    }

    /// Makes all of it durable. The segment stands for the offsets up to `next_offset`, whatever its last batch is.
    pub(super) async fn finish(mut self, next_offset: Offset, times: Times) -> Result<Segment, StorageError> {
        let padded = align_up(self.buffer.len() as u64) as usize;
        self.buffer.resize(padded, 0);
        if padded > 0 {
            self.write(padded).await?;
        }
        let Self { file, path, mut segment, .. } = self;
        file.truncate(segment.size).await.map_err(StorageError::io("truncating", &path))?;
        file.close().await.map_err(StorageError::io("closing", &path))?;
        segment.written = segment.size;
        segment.next_offset = next_offset;
        segment.times.first_append = times.first_append;
        segment.times.last_append = times.last_append;
        Ok(segment)
    }

    /// Closes a file that came to nothing; whoever began it removes it.
    pub(super) async fn give_up(self) {
        if let Err(error) = self.file.close().await {
            tracing::debug!(path = %self.path.display(), %error, "closing a segment that is given up");
        }
    }

    /// Writes the first `bytes` of the buffer, which are whole blocks.
    async fn write(&mut self, bytes: usize) -> Result<(), StorageError> {
        let failed = || StorageError::io("writing", &self.path);
        let mut buffer =
            self.log.store.disk().write_buffer(bytes, IoClass::Compaction).await.map_err(failed())?;
        buffer.as_mut_slice().copy_from_slice(&self.buffer[..bytes]);
        self.file.write_at(buffer, self.written_bytes).await.map_err(failed())?;
        self.buffer.drain(..bytes);
        self.written_bytes += bytes as u64;
        self.pace.moved(&self.log, bytes as u64).await;
        Ok(())
    }
}
