//! Reads the batches of one segment in order, a window at a time.
//!
//! Key invariant: what it hands out is whole, has a matching checksum and offsets that ascend; anything else is an error, so
//! that compaction never makes damage look sound. One window is in memory, or one batch if that is larger.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::super::error::StorageError;
use super::super::log::Log;
use super::super::read::Place;
use crate::io::{BACKGROUND_WRITE_BYTES, BLOCK_BYTES, Disk, IoClass};
use crate::model::Offset;
use crate::record::{BatchHeader, HEADER_BYTES};

/// Bytes read or written at once while nobody waits for the device.
const WINDOW_BYTES: u64 = 1 << 20;
const _: () =
    assert!(WINDOW_BYTES.is_multiple_of(BLOCK_BYTES) && BACKGROUND_WRITE_BYTES.is_multiple_of(BLOCK_BYTES));
/// The longest pause after one window, however slow compaction is to be.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Bytes to read or write at once now: little while others wait for the device, whose queue a large one fills (0025).
pub(super) fn window_bytes(disk: &Disk) -> u64 {
    if disk.is_contended() { BACKGROUND_WRITE_BYTES } else { WINDOW_BYTES }
}

/// How fast compaction reads and writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace(pub Option<u64>);

impl Pace {
    /// Waits as long as `bytes` may take, and at least lets others have their turn.
    pub(super) async fn moved(self, log: &Log, bytes: u64) {
        match self.0 {
            Some(rate) => {
                let pause = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64).min(PAUSE_MAX);
                log.store.disk().sleep(pause).await;
            }
            None => glommio::yield_if_needed().await,
        }
    }
}

/// A walk over one segment.
pub(super) struct Source {
    log: Rc<Log>,
    place: Place,
    pace: Pace,
    /// What was read and not handed out; begins at the place's position.
    window: Bytes,
    next_offset: Offset,
    read_bytes: u64,
}

impl Source {
    /// Begins at `place`, where a batch begins.
    pub(super) fn new(log: Rc<Log>, place: Place, pace: Pace) -> Self {
        let next_offset = place.segment;
        Self { log, place, pace, window: Bytes::new(), next_offset, read_bytes: 0 }
    }

    /// Bytes read from the device.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// The next batch; `None` at the segment's end.
    pub(super) async fn next(&mut self) -> Result<Option<(BatchHeader, Bytes)>, StorageError> {
        if self.place.position >= self.place.size {
            return Ok(None);
        }
        if self.window.len() < HEADER_BYTES {
            self.load(HEADER_BYTES as u64).await?;
        }
        let header = BatchHeader::parse(&self.window).map_err(|_| self.damaged())?;
        let size = u64::from(header.size_bytes);
        if self.place.position + size > self.place.size {
            return Err(self.damaged());
        }
        if (self.window.len() as u64) < size {
            self.load(size).await?;
        }
        let ascends = header.base_offset >= self.next_offset && header.last_offset_delta >= 0;
        let batch = self.window.slice(..size as usize);
        if !ascends || header.check_crc(&batch).is_err() {
            return Err(self.damaged());
        }
        self.window = self.window.slice(size as usize..);
        self.place.position += size;
        self.next_offset = header.next_offset();
        Ok(Some((header, batch)))
    }

    /// Reads from the position on, at least `needed` bytes.
    async fn load(&mut self, needed: u64) -> Result<(), StorageError> {
        self.log.state.borrow().phase.check()?;
        self.window = Bytes::new();
        self.log.store.disk().home().drain();
        let wanted = needed.max(window_bytes(self.log.store.disk()));
        self.window = self.log.window(&self.place, self.place.position, wanted, IoClass::Compaction).await?;
        let bytes = self.window.len() as u64;
        if bytes < needed {
            return Err(self.damaged());
        }
        self.read_bytes += bytes;
        self.pace.moved(&self.log, bytes).await;
        Ok(())
    }

    fn damaged(&self) -> StorageError {
        self.log.damaged(&self.place, self.place.position)
    }
}
