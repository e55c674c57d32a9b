//! Chunks: the memory that batches are appended to, written from and read from; and their bound.
//!
//! Key invariant: a chunk holds whole batches, contiguous in offset and in file position, of one segment. It is dropped
//! for room only when all of it is in its segment's file. The bound is per shard; the oldest go first, read ones get a second chance.
//! A chunk's bytes live on while a reader holds slices of them.
//!
//! The cache takes a part of its bound at once and the rest little by little: memory that was never used is dear, most of all in a
//! virtual machine whose host must find each page (measured: bulk at half the rate while the cache grows as fast as it can).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use bytes::Bytes;

use super::walk::{self, Cut, ReadLimit, Walk};
use crate::io::{AppendBuffer, BLOCK_BYTES, POOLED_BYTES_LARGE, POOLED_BYTES_SMALL, keep_free_chunks};
use crate::model::{Offset, TimestampMs};

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

/// The share of the bound that is taken as it is needed, as a divisor.
const TAKEN_AT_ONCE: u64 = 4;
/// In how long as much as the bound is added, if the memory is wanted all the time.
const GROWS_FOR_MS: i64 = 300_000;
/// A pause in the wish for memory counts as no more than this.
const GROWTH_STEP_MS_MAX: i64 = 100;

/// The bound on the chunks of one shard.
pub struct BatchCache {
    budget_bytes: u64,
    /// What of the bound may be used by now.
    allowed_bytes: Cell<u64>,
    /// When more was last wanted than was allowed.
    wanted_more: Cell<TimestampMs>,
    used_bytes: Cell<u64>,
    /// Oldest first; entries of chunks that are gone are dropped when met.
    chunks: RefCell<VecDeque<Weak<Chunk>>>,
}

impl BatchCache {
    /// A cache of at most `budget_bytes`, exceeded only by what is not in its file yet.
    pub fn new(budget_bytes: u64) -> Rc<Self> {
        Rc::new(Self {
            budget_bytes,
            allowed_bytes: Cell::new(budget_bytes / TAKEN_AT_ONCE),
            wanted_more: Cell::new(TimestampMs(0)),
            used_bytes: Cell::new(0),
            chunks: RefCell::default(),
        })
    }

    /// Bytes of memory that chunks take now.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.get()
    }

    /// The bound.
    pub fn budget_bytes(&self) -> u64 {
        self.budget_bytes
    }

    fn admit(&self, chunk: &Rc<Chunk>) {
        self.set_used(self.used_bytes.get() + chunk.charge_bytes);
        self.grow(chunk.created);
        self.make_room();
        let mut chunks = self.chunks.borrow_mut();
        chunks.push_back(Rc::downgrade(chunk));
        if chunks.len().is_multiple_of(1024) {
            chunks.retain(|chunk| chunk.strong_count() > 0);
        }
    }

    /// What is allowed and not used is kept for reuse when it is freed.
    fn set_used(&self, bytes: u64) {
        self.used_bytes.set(bytes);
        keep_free_chunks(self.allowed_bytes.get().saturating_sub(bytes));
    }

    /// Allows a little more of the bound, if it is wanted.
    fn grow(&self, now: TimestampMs) {
        let allowed = self.allowed_bytes.get();
        if self.used_bytes.get() <= allowed || allowed >= self.budget_bytes {
            return;
        }
        let since_ms = now.since(self.wanted_more.replace(now)).clamp(0, GROWTH_STEP_MS_MAX);
        let more = u128::from(self.budget_bytes) * since_ms as u128 / GROWS_FOR_MS as u128;
        self.allowed_bytes.set(self.budget_bytes.min(allowed + more as u64));
    }

    /// Drops old written chunks until the rest fits, looking at each at most twice.
    pub(super) fn make_room(&self) {
        let allowed = self.allowed_bytes.get();
        if self.used_bytes.get() <= allowed {
            return;
        }
        let mut chunks = self.chunks.borrow_mut();
        let mut looks = 2 * chunks.len();
        while self.used_bytes.get() > allowed && looks > 0 {
            looks -= 1;
            let Some(weak) = chunks.pop_front() else { return };
            let Some(chunk) = weak.upgrade() else { continue };
            if !chunk.is_resident() {
                continue;
            }
            if chunk.touched.replace(false) || !chunk.is_written() {
                chunks.push_back(weak);
            } else {
                chunk.evict();
            }
        }
    }
}

impl Drop for BatchCache {
    fn drop(&mut self) {
        keep_free_chunks(0);
    }
}

/// A place in a chunk that can be jumped to: a batch's start.
struct Mark {
    offset: Offset,
    at: usize,
}

struct Content {
    buffer: AppendBuffer,
    marks: Vec<Mark>,
}

/// A run of batches in memory.
pub(super) struct Chunk {
    cache: Rc<BatchCache>,
    charge_bytes: u64,
    /// The segment that the batches belong to, by its base offset.
    pub segment: Offset,
    /// The file position of the first byte.
    pub start: u64,
    pub base_offset: Offset,
    next_offset: Cell<Offset>,
    created: TimestampMs,
    content: RefCell<Option<Content>>,
    written_to: Cell<u64>,
    touched: Cell<bool>,
}

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
            let took_ms = now.since(chunk.created);
            let before = chunk.charge_bytes as usize;
            let size = match took_ms {
                ..FILLS_FAST_MS => before * 2,
                FILLS_SLOWLY_MS.. => before / 2,
                _ => before,
            };
            size.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
        });
        // What lies in memory as it lies in its file is written from there. Single pages are copied anyway.
        let lead = if wanted.max(bytes) > CHUNK_BYTES_MIN { (start % BLOCK_BYTES) as usize } else { 0 };
        let buffer = AppendBuffer::with_lead(lead, bytes.max(wanted.saturating_sub(lead)));
        let chunk = Rc::new(Self {
            cache: cache.clone(),
            charge_bytes: buffer.memory_bytes() as u64,
            segment,
            start,
            base_offset,
            next_offset: Cell::new(base_offset),
            created: now,
            content: RefCell::new(Some(Content { buffer, marks: Vec::new() })),
            written_to: Cell::new(start),
            touched: Cell::new(false),
        });
        cache.admit(&chunk);
        chunk
    }

    pub(super) fn is_resident(&self) -> bool {
        self.content.borrow().is_some()
    }

    /// The file position after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.content.borrow().as_ref().map_or(self.start, |content| self.start + content.buffer.len() as u64)
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
        let at = content.buffer.len();
        if content.marks.last().is_none_or(|mark| at - mark.at >= MARK_BYTES) {
            content.marks.push(Mark { offset: base, at });
        }
        content.buffer.append(batch, patch);
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

    /// Gives the memory back; slices that readers hold live on.
    pub(super) fn evict(&self) {
        if self.content.borrow_mut().take().is_some() {
            self.cache.set_used(self.cache.used_bytes.get() - self.charge_bytes);
        }
    }
}

impl Content {
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

    fn chunk(cache: &Rc<BatchCache>, now: TimestampMs) -> Rc<Chunk> {
        let chunk = Chunk::after(cache, None, (Offset::ZERO, 0, Offset::ZERO), CHUNK_BYTES_MAX, now);
        // As much as if it were in its file.
        chunk.written_to.set(u64::MAX);
        chunk
    }

    #[test]
    fn a_quarter_of_the_bound_is_taken_at_once_and_the_rest_over_minutes() {
        let bound = 64 * CHUNK_BYTES_MAX as u64;
        let cache = BatchCache::new(bound);
        let mut held = vec![];
        let mut fill = |now_ms: i64| {
            for _ in 0..64 {
                held.push(chunk(&cache, TimestampMs(now_ms)));
            }
            cache.used_bytes()
        };
        assert_eq!(fill(1_000_000), bound / 4);
        // A long pause is no wish for memory.
        assert_eq!(fill(9_000_000), bound / 4);
        let mut now_ms = 9_000_000;
        let mut used = vec![];
        while now_ms < 9_000_000 + GROWS_FOR_MS {
            now_ms += GROWTH_STEP_MS_MAX;
            used.push(fill(now_ms));
        }
        assert!(used.is_sorted());
        let early = used[used.len() / 10];
        assert!(early > bound / 4 && early < bound / 2, "{early} of {bound}");
        assert_eq!(used.last(), Some(&bound));
    }
}
