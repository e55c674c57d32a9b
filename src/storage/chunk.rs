//! Chunks: the memory that batches are appended to, written from and read from.
//!
//! Key invariant: a chunk holds whole batches, contiguous in offset and in file position, of one segment. Its bytes live on while
//! a reader holds slices of them. One whose memory was dropped for room may get it back, with the same bytes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use futures_channel::oneshot;

use super::batch_cache::BatchCache;
use super::walk::{self, Cut, ReadLimit, Walk};
use crate::io::{AppendBuffer, BLOCK_BYTES, POOLED_BYTES_LARGE, POOLED_BYTES_SMALL};
use crate::model::{Offset, TimestampMs};
use crate::record::BatchHeader;

/// The smallest chunk, for partitions that rarely see a record.
const CHUNK_BYTES_MIN: usize = POOLED_BYTES_SMALL;
/// The largest chunk, unless one batch is larger. Partitions in bulk have chunks of this size only.
const CHUNK_BYTES_MAX: usize = POOLED_BYTES_LARGE;
/// A chunk that fills within this time is followed by one twice as large.
const FILLS_FAST_MS: i64 = 1_000;
/// A chunk that takes longer than this to fill is followed by one half as large.
const FILLS_SLOWLY_MS: i64 = 10_000;
/// Bytes between two places in a chunk that can be jumped to.
const MARK_BYTES: usize = 4 << 10;

/// A place in a chunk that can be jumped to: a batch's start.
struct Mark {
    offset: Offset,
    at: usize,
}

struct Content {
    buffer: AppendBuffer,
    marks: Vec<Mark>,
}

/// A run of batches, in memory unless it was dropped.
pub(super) struct Chunk {
    cache: Rc<BatchCache>,
    pub memory_bytes: u64,
    made: Made,
    /// The segment that the batches belong to, by its base offset.
    pub segment: Offset,
    /// The file position of the first byte.
    pub start: u64,
    pub base_offset: Offset,
    next_offset: Cell<Offset>,
    content: RefCell<Option<Content>>,
    bytes: Cell<u64>,
    written_to: Cell<u64>,
    touched: Cell<bool>,
    /// Who waits for its memory to be brought back, while someone does that.
    returning: RefCell<Option<Vec<oneshot::Sender<()>>>>,
}

/// When a chunk was made.
struct Made {
    at: TimestampMs,
    /// In memory of all chunks that were made until then.
    at_bytes: u64,
}

/// The right to bring a chunk back, until this is dropped.
pub(super) struct Returning(Rc<Chunk>);

impl Chunk {
    /// A chunk for a batch of `bytes` that goes to `start` of `segment`, sized by how fast `previous` filled.
    pub(super) fn after(
        cache: &Rc<BatchCache>,
        previous: Option<&Self>,
        (segment, start, base_offset): (Offset, u64, Offset),
        bytes: usize,
        now: TimestampMs,
    ) -> Rc<Self> {
        let wanted = previous.map_or(CHUNK_BYTES_MIN, |chunk| {
            let took_ms = now.since(chunk.made.at);
            let before = chunk.memory_bytes as usize;
            let size = match took_ms {
                ..FILLS_FAST_MS => before * 2,
                FILLS_SLOWLY_MS.. => before / 2,
                _ => before,
            };
            size.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
        });
        let lead = lead_of(start, wanted.max(bytes));
        let buffer = AppendBuffer::with_lead(lead, bytes.max(wanted.saturating_sub(lead)));
        let memory_bytes = buffer.memory_bytes() as u64;
        let chunk = Rc::new(Self {
            cache: cache.clone(),
            memory_bytes,
            made: Made { at: now, at_bytes: cache.note_made(memory_bytes) },
            segment,
            start,
            base_offset,
            next_offset: Cell::new(base_offset),
            content: RefCell::new(Some(Content { buffer, marks: Vec::new() })),
            bytes: Cell::new(0),
            written_to: Cell::new(start),
            touched: Cell::new(false),
            returning: RefCell::default(),
        });
        cache.grow(memory_bytes, now);
        cache.admit(&chunk);
        chunk
    }

    /// Memory of all chunks that were made until it was, its own included.
    pub(super) fn made_at_bytes(&self) -> u64 {
        self.made.at_bytes
    }

    pub(super) fn is_resident(&self) -> bool {
        self.content.borrow().is_some()
    }

    /// The file position after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.get()
    }

    pub(super) fn next_offset(&self) -> Offset {
        self.next_offset.get()
    }

    pub(super) fn is_written(&self) -> bool {
        self.written_to.get() >= self.end()
    }

    /// Notes that the file is written up to `position`. What is appended later at a lower position, after a truncation,
    /// is not covered.
    pub(super) fn set_written(&self, position: u64) {
        self.written_to.set(self.written_to.get().max(position.min(self.end())));
    }

    /// Whether `bytes` more fit.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.content.borrow().as_ref().is_some_and(|content| content.buffer.room() >= bytes)
    }

    /// Copies a batch to the end; the caller asked for room.
    pub(super) fn append(&self, batch: &[u8], base: Offset, next: Offset, patch: impl FnOnce(&mut [u8])) {
        let mut content = self.content.borrow_mut();
        let content = content.as_mut().expect("a chunk with room is resident");
        content.mark(base, content.buffer.len());
        content.buffer.append_for_device(batch, patch);
        self.bytes.set(content.buffer.len() as u64);
        self.next_offset.set(next);
    }

    /// The bytes of file positions `from..to`, as far as this chunk holds them.
    pub(super) fn bytes(&self, from: u64, to: u64) -> Option<(u64, Bytes)> {
        let content = self.content.borrow();
        let content = content.as_ref()?;
        let (from, to) = (from.max(self.start), to.min(self.start + content.buffer.len() as u64));
        if from >= to {
            return None;
        }
        let range = (from - self.start) as usize..(to - self.start) as usize;
        Some((from, content.buffer.slice(range)))
    }

    /// Whole batches from the one that holds `from`; `None` if the limit allows none. The chunk is resident.
    pub(super) fn read(&self, from: Offset, limit: ReadLimit) -> Option<(Bytes, Offset)> {
        self.touched.set(true);
        let content = self.content.borrow();
        let content = content.as_ref()?;
        let cut = content.cut(from, limit)?;
        Some((content.buffer.slice(cut.range), cut.next_offset))
    }

    /// Whether it was read since this was last asked.
    pub(super) fn take_touched(&self) -> bool {
        self.touched.replace(false)
    }

    /// Gives the memory back; slices that readers hold live on.
    pub(super) fn evict(&self) {
        if self.content.borrow_mut().take().is_some() {
            self.cache.dismiss(self);
        }
    }

    /// Whether it was dropped and is worth bringing back.
    pub(super) fn is_wanted_back(&self) -> bool {
        !self.is_resident() && self.cache.remembers(self)
    }

    /// The right to bring it back; `None` if someone else is about to.
    pub(super) fn begin_return(self: &Rc<Self>) -> Option<Returning> {
        let mut returning = self.returning.borrow_mut();
        if returning.is_some() {
            return None;
        }
        *returning = Some(vec![]);
        Some(Returning(self.clone()))
    }

    /// Waits until whoever brings it back has done so, or given up.
    pub(super) async fn returned(&self) {
        let receiver = match &mut *self.returning.borrow_mut() {
            Some(waiting) => {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                receiver
            }
            None => return,
        };
        // Nothing is sent: the end of the right drops the sender.
        let _ = receiver.await;
    }

    /// Takes its bytes in again, as they are in the file; false if they are not what it had.
    fn restore(self: &Rc<Self>, bytes: &[u8]) -> bool {
        if self.is_resident() {
            return true;
        }
        let lead = lead_of(self.start, self.memory_bytes as usize);
        let mut content = Content {
            buffer: AppendBuffer::with_lead(lead, self.memory_bytes as usize - lead),
            marks: Vec::new(),
        };
        let mut at = 0;
        let mut next = self.base_offset;
        while let Some(header) = bytes.get(at..).and_then(|rest| BatchHeader::parse_whole(rest).ok()) {
            if header.base_offset < next {
                return false;
            }
            content.mark(header.base_offset, at);
            next = header.next_offset();
            at += header.size_bytes as usize;
        }
        if at != bytes.len() || at as u64 != self.bytes.get() || next != self.next_offset.get() {
            return false;
        }
        content.buffer.append(bytes, |_| {});
        *self.content.borrow_mut() = Some(content);
        self.cache.admit(self);
        true
    }
}

impl Returning {
    pub(super) fn chunk(&self) -> &Rc<Chunk> {
        &self.0
    }

    /// The chunk's bytes, as they are in the file; false if they are not what it had.
    pub(super) fn complete(self, bytes: &[u8]) -> bool {
        self.0.restore(bytes)
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        *self.0.returning.borrow_mut() = None;
    }
}

/// Where in the memory of a chunk its first byte lies: as it lies in its block of the file, so that it is written from there.
/// Single pages are copied anyway.
fn lead_of(start: u64, memory_bytes: usize) -> usize {
    if memory_bytes > CHUNK_BYTES_MIN { (start % BLOCK_BYTES) as usize } else { 0 }
}

impl Content {
    /// Notes that a batch begins at `at`, if the last place noted is far enough before it.
    fn mark(&mut self, offset: Offset, at: usize) {
        if self.marks.last().is_none_or(|mark| at - mark.at >= MARK_BYTES) {
            self.marks.push(Mark { offset, at });
        }
    }

    /// Jumps by marks to the start and to near the end of what the limit allows, and walks the rest.
    fn cut(&self, from: Offset, limit: ReadLimit) -> Option<Cut> {
        let bytes = self.buffer.as_slice();
        let after = self.marks.partition_point(|mark| mark.offset <= from);
        let jump = self.marks[..after].last().map_or(0, |mark| mark.at);
        // One batch first: where the cut begins is known then.
        let one = ReadLimit { bytes_max: 0, at_least_one: true, ..limit };
        let Walk::Found(first) = walk::cut(&bytes[jump..], from, one) else { return None };
        let start = jump + first.range.start;
        if first.range.len() > limit.bytes_max as usize {
            return limit.at_least_one.then_some(shift(first, jump));
        }
        let allowed = start.saturating_add(limit.bytes_max as usize);
        let fits = self.marks.partition_point(|mark| mark.at <= allowed && mark.offset <= limit.end);
        let near = self.marks[..fits].last().filter(|mark| mark.at > start);
        let (resume, next_offset) = match near {
            Some(mark) => (mark.at, mark.offset),
            None => (jump + first.range.end, first.next_offset),
        };
        let rest = ReadLimit { bytes_max: (allowed - resume) as u32, at_least_one: false, ..limit };
        match walk::cut(&bytes[resume..], next_offset, rest) {
            Walk::Found(cut) => {
                Some(Cut { range: start..resume + cut.range.end, next_offset: cut.next_offset })
            }
            _ => Some(Cut { range: start..resume, next_offset }),
        }
    }
}

fn shift(cut: Cut, by: usize) -> Cut {
    Cut { range: cut.range.start + by..cut.range.end + by, next_offset: cut.next_offset }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.evict();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::batch_at;

    fn limit(bytes_max: u32) -> ReadLimit {
        ReadLimit { end: Offset(i64::MAX), bytes_max, at_least_one: true }
    }

    /// A chunk at file position 10,000 that holds `batches` and was dropped, and its bytes.
    fn dropped(cache: &Rc<BatchCache>, batches: i64) -> (Rc<Chunk>, Vec<u8>) {
        let now = TimestampMs(1_000);
        let chunk = Chunk::after(cache, None, (Offset::ZERO, 10_000, Offset(0)), CHUNK_BYTES_MAX, now);
        let mut bytes = vec![];
        for base in 0..batches {
            let batch = batch_at(base, 1, 3_000);
            chunk.append(&batch, Offset(base), Offset(base + 1), |_| {});
            bytes.extend(batch);
        }
        chunk.set_written(u64::MAX);
        chunk.evict();
        (chunk, bytes)
    }

    fn give_back(chunk: &Rc<Chunk>, bytes: &[u8]) -> bool {
        chunk.begin_return().expect("nobody else does").complete(bytes)
    }

    #[test]
    fn what_comes_back_is_read_and_goes_on_as_before() {
        let cache = BatchCache::new(64 << 20);
        let (chunk, bytes) = dropped(&cache, 20);
        assert_eq!((cache.used_bytes(), chunk.end()), (0, 10_000 + bytes.len() as u64));
        assert!(chunk.read(Offset(7), limit(1)).is_none() && chunk.bytes(0, u64::MAX).is_none());
        assert!(give_back(&chunk, &bytes));
        assert_eq!(cache.used_bytes(), chunk.memory_bytes);
        let (read, next) = chunk.read(Offset(7), limit(7_000)).expect("in memory");
        let batch = bytes.len() / 20;
        assert_eq!((&read[..], next), (&bytes[7 * batch..9 * batch], Offset(9)));
        let more = batch_at(20, 1, 500);
        assert!(chunk.has_room(more.len()));
        chunk.append(&more, Offset(20), Offset(21), |_| {});
        assert_eq!(chunk.read(Offset(20), limit(1)).expect("in memory").0, more);
        assert!(!chunk.is_written());
    }

    #[test]
    fn what_is_not_what_it_had_does_not_come_back() {
        let cache = BatchCache::new(64 << 20);
        let (chunk, bytes) = dropped(&cache, 3);
        let batch = bytes.len() / 3;
        assert!(!give_back(&chunk, &bytes[..2 * batch]), "one is missing");
        assert!(!give_back(&chunk, &[&bytes[..], &batch_at(3, 1, 100)].concat()), "one is new");
        assert!(!give_back(
            &chunk,
            &[batch_at(0, 1, 3_000), batch_at(5, 1, 3_000), batch_at(6, 1, 3_000)].concat()
        ));
        assert!(!give_back(&chunk, &[&bytes[batch..], &bytes[..batch]].concat()), "another order");
        let mut zeros = bytes.clone();
        zeros[batch..].fill(0);
        assert!(!give_back(&chunk, &zeros), "nothing was written there");
        assert!(!chunk.is_resident() && cache.used_bytes() == 0);
        assert!(give_back(&chunk, &bytes));
    }

    #[test]
    fn one_brings_it_back_and_the_others_wait_until_that_ends() {
        let cache = BatchCache::new(64 << 20);
        let (chunk, _) = dropped(&cache, 1);
        let right = chunk.begin_return().expect("nobody else does");
        assert!(chunk.begin_return().is_none());
        let mut waiting = Box::pin(chunk.returned());
        assert!(futures_lite::future::block_on(futures_lite::future::poll_once(&mut waiting)).is_none());
        drop(right);
        futures_lite::future::block_on(waiting);
        futures_lite::future::block_on(chunk.returned());
        assert!(chunk.begin_return().is_some());
    }
}
