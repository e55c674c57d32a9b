//! Reading: from the chunks in memory at once, or from the device.
//!
//! Key invariant: what is returned is whole batches in offset order, the first of which holds the offset asked for, none
//! reaching the limit's end. Cold reads never go past what is written of a segment.

use std::rc::Rc;

use bytes::Bytes;

use super::error::StorageError;
use super::index::SparseIndex;
use super::log::{Log, State};
use super::place::{self, INDEX_SUFFIX, LOG_SUFFIX};
use super::walk::{self, ReadLimit, Slices, Walk};
use crate::io::{File, IoClass, align_down, align_up};
use crate::model::Offset;

/// The smallest window that a cold read takes from the device.
const WINDOW_BYTES_MIN: u64 = 128 << 10;
/// The largest window, unless one batch is larger.
const WINDOW_BYTES_MAX: u64 = 1 << 20;
/// How far from a log's end a reader still counts as one at the tail. Four of the fetches that
/// a consumer sends by default: whoever fell out of the batch cache by no more is helped back; whoever reads history can wait.
const TAIL_BYTES_MAX: u64 = 4 << 20;

/// What can be said of a read at once.
#[derive(Clone, Debug)]
pub enum TryRead {
    /// All of it is in memory; empty if the limit allows nothing.
    Cached(Slices),
    /// Only the device has it: [`Log::read`].
    Cold,
    /// The offset lies below the log start or above the log end.
    OutOfRange { start: Offset, end: Offset },
}

/// Where a cold read looks.
pub(super) struct Place {
    pub segment: Offset,
    pub next_offset: Offset,
    /// Bytes of the segment that may be read.
    pub size: u64,
    /// Where a walk begins.
    pub position: u64,
}

impl Log {
    /// Reads from memory.
    pub fn try_read(&self, from: Offset, limit: ReadLimit) -> TryRead {
        let state = self.state.borrow();
        let (start, end) = (state.bounds.start, state.bounds.end);
        if from < start || from > end {
            return TryRead::OutOfRange { start, end };
        }
        let end = limit.end.min(end);
        if from >= end {
            return TryRead::Cached(Slices::empty(from));
        }
        match state.read_cached(from, ReadLimit { end, ..limit }) {
            Some(slices) => TryRead::Cached(slices),
            None => TryRead::Cold,
        }
    }

    /// Reads from memory, or from the device where that lacks it. One segment at a time: fewer bytes than the limit
    /// allows do not mean the end. `OutOfRange` below the log start and above the log end.
    pub async fn read(self: &Rc<Self>, from: Offset, limit: ReadLimit) -> Result<Slices, StorageError> {
        match self.try_read(from, limit) {
            TryRead::Cached(slices) => return Ok(slices),
            TryRead::OutOfRange { start, end } => {
                return Err(StorageError::OutOfRange { offset: from, start, end });
            }
            TryRead::Cold => {}
        }
        if self.refill(from).await
            && let TryRead::Cached(slices) = self.try_read(from, limit)
        {
            return Ok(slices);
        }
        match self.read_cold(from, limit).await {
            Err(error) if !matches!(error, StorageError::OutOfRange { .. }) => {
                let bounds = self.state.borrow().bounds;
                if from < bounds.start || from >= bounds.durable_end {
                    // Deleted or cut off while it was read.
                    let (start, end) = (bounds.start, bounds.end);
                    return Err(StorageError::OutOfRange { offset: from, start, end });
                }
                Err(error)
            }
            result => result,
        }
    }

    async fn read_cold(self: &Rc<Self>, from: Offset, limit: ReadLimit) -> Result<Slices, StorageError> {
        let end = limit.end.min(self.durable_end_offset());
        let limit = ReadLimit { end, ..limit };
        let mut sought = from;
        let mut generation = self.compaction.generation();
        let mut ahead = self.read_ahead_for(from).await;
        let in_order = ahead.is_some() || self.last_cold_end.get() == from;
        while sought < end {
            let attempt = async {
                let (place, window) = match ahead.take() {
                    Some((place, window)) => (place, Some(window)),
                    None => (self.locate(sought).await?, None),
                };
                let read = self.read_place(&place, window, from, limit).await?;
                Ok((place, read))
            };
            let attempt: Result<_, StorageError> = attempt.await;
            if generation != self.compaction.generation() {
                // Positions of before were looked up in a file of after: neither what was found nor an error counts.
                generation = self.compaction.generation();
                sought = from;
                continue;
            }
            let (mut place, read) = attempt?;
            if let Some((slices, position)) = read {
                self.last_cold_end.set(slices.next_offset);
                if in_order && !slices.is_empty() {
                    place.position = position;
                    self.begin_read_ahead(slices.next_offset, place, self.window_bytes(limit));
                }
                return Ok(slices);
            }
            // The segment ends before the offset: compaction may have taken its last batches.
            sought = place.next_offset.max(sought.plus(1));
        }
        Ok(Slices::empty(from))
    }

    /// The place to begin walking for `offset`.
    pub(super) async fn locate(&self, offset: Offset) -> Result<Place, StorageError> {
        let base = {
            let state = self.state.borrow();
            let base = state.segments[state.segment_of(offset)].base;
            if base > offset {
                // Its segment was deleted since somebody looked.
                let (start, end) = (state.bounds.start, state.bounds.end);
                return Err(StorageError::OutOfRange { offset, start, end });
            }
            base
        };
        let position = self.ask_index(base, |index| index.position_of(base, offset)).await?.unwrap_or(0);
        let state = self.state.borrow();
        let segment = state.segments.iter().find(|segment| segment.base == base);
        let segment = segment.ok_or(StorageError::OutOfRange {
            offset,
            start: state.bounds.start,
            end: state.bounds.durable_end,
        })?;
        Ok(Place { segment: base, next_offset: segment.next_offset, size: segment.written, position })
    }

    /// A place in a segment, if that is still there and reaches so far.
    pub(super) fn place_at(&self, base: Offset, position: u64) -> Option<Place> {
        let state = self.state.borrow();
        let segment = state.segments.iter().find(|segment| segment.base == base)?;
        let (next_offset, size) = (segment.next_offset, segment.written);
        (position < size).then_some(Place { segment: base, next_offset, size, position })
    }

    /// Batches of one segment and the position after them; `None` if it ends before `from`. `window` is what of the place
    /// is there already.
    async fn read_place(
        &self,
        place: &Place,
        mut window: Option<Bytes>,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Option<(Slices, u64)>, StorageError> {
        let mut position = place.position;
        let mut wanted = self.window_bytes(limit);
        while position < place.size {
            let window = match window.take() {
                Some(window) => window,
                None => {
                    let class = self.class_of(place.segment, position);
                    self.window(place, position, wanted, class).await?
                }
            };
            match walk::cut(&window, from, limit) {
                Walk::Found(cut) => {
                    let after = position + cut.range.end as u64;
                    let bytes = smallvec::smallvec![window.slice(cut.range)];
                    return Ok(Some((Slices { bytes, next_offset: cut.next_offset }, after)));
                }
                Walk::Nothing => return Ok(Some((Slices::empty(from), position))),
                Walk::Beyond => position += window.len() as u64,
                Walk::Partial { at, size } => {
                    let ends = position + at as u64 + size as u64;
                    if ends > place.size || (at == 0 && size <= window.len()) {
                        return Err(self.damaged(place, position + at as u64));
                    }
                    position += at as u64;
                    wanted = (size as u64).clamp(wanted, u64::from(u32::MAX));
                }
                Walk::Damaged { at } => return Err(self.damaged(place, position + at as u64)),
            }
        }
        Ok(None)
    }

    /// How much to read at once for a reader with this limit: little while others wait for the device.
    fn window_bytes(&self, limit: ReadLimit) -> u64 {
        let most = if self.store.disk().is_contended() { WINDOW_BYTES_MIN } else { WINDOW_BYTES_MAX };
        u64::from(limit.bytes_max).clamp(WINDOW_BYTES_MIN, most)
    }

    pub(super) fn damaged(&self, place: &Place, position: u64) -> StorageError {
        let path = place::file_of(&self.directory, place.segment, LOG_SUFFIX);
        StorageError::corrupt(
            &path,
            position,
            "no batch where the index and the batches before it say one is",
        )
    }

    /// How urgent a consumer's read from there is.
    pub(super) fn class_of(&self, segment: Offset, position: u64) -> IoClass {
        if self.state.borrow().is_at_tail(segment, position) { IoClass::TailRead } else { IoClass::ColdRead }
    }

    /// The segment's bytes from `position`, about `wanted` of them, none beyond what may be read.
    pub(super) async fn window(
        &self,
        place: &Place,
        position: u64,
        wanted: u64,
        class: IoClass,
    ) -> Result<Bytes, StorageError> {
        let path = place::file_of(&self.directory, place.segment, LOG_SUFFIX);
        let file = self.reader(place.segment).await?;
        let from = align_down(position);
        let to = align_up((position + wanted).min(place.size));
        let read = file.read_at(from, (to - from) as usize, class).await;
        let read = read.map_err(StorageError::io("reading", &path))?;
        let end = (from + read.len() as u64).min(place.size);
        if end <= position {
            return Err(StorageError::corrupt(&path, position, "the file ends before its batches do"));
        }
        Ok(read.slice((position - from) as usize..(end - from) as usize))
    }

    async fn reader(&self, segment: Offset) -> Result<Rc<File>, StorageError> {
        let writer = {
            let state = self.state.borrow();
            state.writer.as_ref().filter(|writer| writer.segment == segment).map(|writer| writer.file.clone())
        };
        if let Some(file) = writer {
            return Ok(file);
        }
        let path = place::file_of(&self.directory, segment, LOG_SUFFIX);
        let _names = self.names.read().await.map_err(|_| StorageError::Closed)?;
        self.store.reader((self.number, segment), &path).await
    }

    /// Asks a segment's index: the part in memory, then the one on disk, which is loaded. `None`: neither knows, and a walk
    /// begins at the segment's start.
    pub(super) async fn ask_index<T>(
        &self,
        base: Offset,
        ask: impl Fn(&SparseIndex) -> Option<T>,
    ) -> Result<Option<T>, StorageError> {
        let in_memory = {
            let state = self.state.borrow();
            let segment = state.segments.iter().rev().find(|segment| segment.base == base);
            segment.and_then(|segment| segment.index.as_ref()).and_then(&ask)
        };
        if in_memory.is_some() {
            return Ok(in_memory);
        }
        let path = place::file_of(&self.directory, base, INDEX_SUFFIX);
        let _names = self.names.read().await.map_err(|_| StorageError::Closed)?;
        Ok(ask(&*self.store.index((self.number, base), &path).await?))
    }
}

impl State {
    /// Whether at most `TAIL_BYTES_MAX` lie between a place and the log's end. Looks at the last segments only.
    fn is_at_tail(&self, segment: Offset, position: u64) -> bool {
        let mut after: u64 = 0;
        for newer in self.segments.iter().rev() {
            if newer.base <= segment {
                return newer.base == segment
                    && after + newer.size.saturating_sub(position) <= TAIL_BYTES_MAX;
            }
            after += newer.size;
            if after > TAIL_BYTES_MAX {
                return false;
            }
        }
        false
    }

    /// Batches from the chunks, contiguous from the one that holds `from`; `None` if that is not in memory.
    fn read_cached(&self, from: Offset, limit: ReadLimit) -> Option<Slices> {
        let mut at = self.chunks.partition_point(|chunk| chunk.next_offset() <= from);
        let first = self.chunks.get(at)?;
        if first.base_offset > from || !first.is_resident() {
            return None;
        }
        let mut slices = Slices::empty(from);
        let mut left = limit.bytes_max;
        while let Some(chunk) = self.chunks.get(at) {
            let contiguous = chunk.base_offset <= slices.next_offset && chunk.is_resident();
            if !contiguous || slices.next_offset >= limit.end {
                break;
            }
            let first = slices.is_empty();
            let limit = ReadLimit { bytes_max: left, at_least_one: first && limit.at_least_one, ..limit };
            let Some((bytes, next_offset)) = chunk.read(slices.next_offset, limit) else { break };
            left = left.saturating_sub(bytes.len() as u32);
            slices.bytes.push(bytes);
            slices.next_offset = next_offset;
            if next_offset < chunk.next_offset() {
                break;
            }
            at += 1;
        }
        Some(slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Simulated;
    use crate::storage::LogSettings;
    use crate::storage::testing::{open, run, settings, simulated_store};

    #[test]
    fn a_read_near_the_end_is_a_tail_read_and_one_of_history_is_not() {
        run(async {
            let store = simulated_store(&Simulated::new(1), 0).await;
            let settings = LogSettings { segment_bytes: 1 << 20, ..settings() };
            let log = open(&store, settings).await.expect("a new log");
            for _ in 0..2 * TAIL_BYTES_MAX / 100_000 {
                log.put(1, 100_000).await;
            }
            let end = log.log.durable_end_offset();
            let limit = ReadLimit { end, bytes_max: 1_000, at_least_one: true };
            let operations = |class| store.disk().io_counts(class).operations;
            let before = (operations(IoClass::TailRead), operations(IoClass::ColdRead));
            log.log.read(Offset::ZERO, limit).await.expect("readable");
            let history = (operations(IoClass::TailRead), operations(IoClass::ColdRead));
            assert_eq!(history.0, before.0);
            assert!(history.1 > before.1);
            log.log.read(Offset(end.0 - 1), limit).await.expect("readable");
            log.log.read(Offset(end.0 - 30), limit).await.expect("readable");
            assert!(operations(IoClass::TailRead) >= history.0 + 2);
            assert_eq!(operations(IoClass::ColdRead), history.1, "also in the segments just before the last");
        });
    }
}
