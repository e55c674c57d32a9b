//! The batch cache: how much memory the chunks of a shard may take, and which of them go first.
//!
//! Key invariant: a chunk is dropped for room only when all of it is in its segment's file. The bound is per shard; the oldest
//! go first, read ones get a second chance.
//!
//! Memory that was never used is dear, most of all in a virtual machine whose host must find each page, so the cache takes
//! little at first, and more for a reason (decision 0018): at once, up to a part of the bound, when a reader comes too late for
//! what a larger cache would still hold ([`BatchCache::want`]); else little by little.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use super::chunk::Chunk;
use crate::io::keep_free_chunks;
use crate::model::TimestampMs;

/// Taken as it is needed, within a share of the bound: what is written soon, and what readers at the tail are behind.
const TAKEN_AT_ONCE_BYTES: u64 = 64 << 20;
/// That share, as a divisor.
const TAKEN_AT_ONCE: u64 = 16;
/// The share of the bound that is taken at once for readers who are late, as a divisor.
const TAKEN_FOR_READERS: u64 = 4;
/// In how long as much as the bound is added, if the memory is wanted all the time.
const GROWS_FOR_MS: i64 = 300_000;
/// A pause in the wish for memory counts as no more than this.
const GROWTH_STEP_MS_MAX: i64 = 100;
/// Chunks that must stay and are met while room is made: then it is left for the next time.
const KEPT_LOOKS_MAX: usize = 64;

/// The bound on the chunks of one shard.
pub struct BatchCache {
    budget_bytes: u64,
    /// What of the bound may be used by now.
    allowed_bytes: Cell<u64>,
    /// When more was last wanted than was allowed.
    wanted_more: Cell<TimestampMs>,
    used_bytes: Cell<u64>,
    /// Memory of all chunks that were ever made.
    made_bytes: Cell<u64>,
    /// Oldest first; entries of chunks that are gone are dropped when met.
    chunks: RefCell<VecDeque<Weak<Chunk>>>,
}

impl BatchCache {
    /// A cache of at most `budget_bytes`, exceeded only by what is not in its file yet.
    pub fn new(budget_bytes: u64) -> Rc<Self> {
        Rc::new(Self {
            budget_bytes,
            allowed_bytes: Cell::new(TAKEN_AT_ONCE_BYTES.min(budget_bytes / TAKEN_AT_ONCE)),
            wanted_more: Cell::new(TimestampMs(0)),
            used_bytes: Cell::new(0),
            made_bytes: Cell::new(0),
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

    /// Notes that a chunk of so much memory is made; returns when that was, for [`Self::age_bytes`].
    pub(super) fn note_made(&self, memory_bytes: u64) -> u64 {
        self.made_bytes.set(self.made_bytes.get() + memory_bytes);
        self.made_bytes.get()
    }

    /// Memory of the chunks that were made after one: a cache of that size would just hold it.
    fn age_bytes(&self, chunk: &Chunk) -> u64 {
        self.made_bytes.get() - chunk.made_at_bytes()
    }

    /// Whether a chunk that was dropped is worth bringing back: the cache is as large as that, or would be for its readers.
    pub(super) fn remembers(&self, chunk: &Chunk) -> bool {
        self.age_bytes(chunk) < self.allowed_bytes.get().max(self.budget_bytes / TAKEN_FOR_READERS)
    }

    /// Someone reads a chunk that was dropped: from now on what is as old is kept, and a little more.
    pub(super) fn want(&self, chunk: &Chunk) {
        let age = self.age_bytes(chunk) + 2 * chunk.memory_bytes;
        let wanted = (age + age / 4).min(self.budget_bytes / TAKEN_FOR_READERS);
        self.allowed_bytes.set(self.allowed_bytes.get().max(wanted));
    }

    /// Counts a chunk's memory, and makes room for it.
    pub(super) fn admit(&self, chunk: &Rc<Chunk>) {
        self.set_used(self.used_bytes.get() + chunk.memory_bytes);
        self.make_room();
        let mut chunks = self.chunks.borrow_mut();
        chunks.push_back(Rc::downgrade(chunk));
        if chunks.len().is_multiple_of(1024) {
            chunks.retain(|chunk| chunk.strong_count() > 0);
        }
    }

    /// Counts a chunk's memory no longer.
    pub(super) fn dismiss(&self, chunk: &Chunk) {
        self.set_used(self.used_bytes.get() - chunk.memory_bytes);
    }

    /// What is allowed and not used is kept for reuse when it is freed.
    fn set_used(&self, bytes: u64) {
        self.used_bytes.set(bytes);
        keep_free_chunks(self.allowed_bytes.get().saturating_sub(bytes));
    }

    /// `memory_bytes` more are about to be used for what is new: allows a little more of the bound, if that is wanted.
    pub(super) fn grow(&self, memory_bytes: u64, now: TimestampMs) {
        let allowed = self.allowed_bytes.get();
        if self.used_bytes.get() + memory_bytes <= allowed || allowed >= self.budget_bytes {
            return;
        }
        let since_ms = now.since(self.wanted_more.replace(now)).clamp(0, GROWTH_STEP_MS_MAX);
        let more = u128::from(self.budget_bytes) * since_ms as u128 / GROWS_FOR_MS as u128;
        self.allowed_bytes.set(self.budget_bytes.min(allowed + more as u64));
    }

    /// Drops old written chunks until the rest fits, or too many in a row must stay: those are looked at last the next time.
    pub(super) fn make_room(&self) {
        let allowed = self.allowed_bytes.get();
        if self.used_bytes.get() <= allowed {
            return;
        }
        let mut chunks = self.chunks.borrow_mut();
        let mut looks = KEPT_LOOKS_MAX.min(2 * chunks.len());
        while self.used_bytes.get() > allowed && looks > 0 {
            let Some(weak) = chunks.pop_front() else { return };
            let Some(chunk) = weak.upgrade() else { continue };
            if !chunk.is_resident() {
                continue;
            }
            if chunk.take_touched() || !chunk.is_written() {
                chunks.push_back(weak);
                looks -= 1;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::POOLED_BYTES_LARGE;
    use crate::model::Offset;

    /// As much as if it were in its file.
    fn chunk(cache: &Rc<BatchCache>, now: TimestampMs) -> Rc<Chunk> {
        Chunk::after(cache, None, (Offset::ZERO, 0, Offset::ZERO), POOLED_BYTES_LARGE, now)
    }

    const CHUNK: u64 = POOLED_BYTES_LARGE as u64;
    const AT_ONCE: u64 = TAKEN_AT_ONCE_BYTES;
    const BOUND: u64 = TAKEN_AT_ONCE * AT_ONCE;

    #[test]
    fn a_little_is_taken_at_once_and_the_rest_over_minutes() {
        let cache = BatchCache::new(BOUND);
        let mut held = vec![];
        let mut fill = |now_ms: i64| {
            for _ in 0..BOUND / CHUNK {
                held.push(chunk(&cache, TimestampMs(now_ms)));
            }
            held.retain(|chunk| chunk.is_resident());
            cache.used_bytes()
        };
        let about_at_once = AT_ONCE..=AT_ONCE + CHUNK;
        assert!(about_at_once.contains(&fill(1_000_000)));
        // A long pause is no wish for memory.
        assert!(about_at_once.contains(&fill(9_000_000)));
        let mut now_ms = 9_000_000;
        let mut used = vec![];
        while now_ms < 9_000_000 + GROWS_FOR_MS {
            now_ms += GROWTH_STEP_MS_MAX;
            used.push(fill(now_ms));
        }
        assert!(used.is_sorted());
        let early = used[used.len() / 10];
        assert!(early > AT_ONCE && early < BOUND / 4, "{early} of {BOUND}");
        assert_eq!(used.last(), Some(&BOUND));
    }

    #[test]
    fn readers_who_are_late_have_it_grow_at_once_up_to_their_share() {
        let cache = BatchCache::new(BOUND);
        let now = TimestampMs(1_000_000);
        let made = |bytes: u64| (0..bytes / CHUNK).map(|_| chunk(&cache, now)).collect::<Vec<_>>();
        let share = BOUND / TAKEN_FOR_READERS;
        let first = made(2 * AT_ONCE);
        assert!(first[0].is_wanted_back());
        cache.want(&first[0]);
        let second = made(share);
        // A quarter more than the reader was behind.
        assert_eq!(cache.used_bytes() / CHUNK, (2 * AT_ONCE / CHUNK + 1) * 5 / 4);
        assert!(!first.iter().any(|chunk| chunk.is_wanted_back()), "they are older than a share");
        assert!(second[0].is_wanted_back());
        cache.want(&second[0]);
        let third = made(2 * share);
        assert_eq!(cache.used_bytes(), share);
        // What is in memory need not come back, and what is older would not be there.
        assert!(!third.iter().any(|chunk| chunk.is_wanted_back()));
    }

    #[test]
    fn little_chunks_make_room_for_large_ones_and_what_must_stay_is_not_looked_at_for_ever() {
        let cache = BatchCache::new(BOUND);
        let now = TimestampMs(1_000_000);
        let page = || Chunk::after(&cache, None, (Offset::ZERO, 0, Offset::ZERO), 100, now);
        let pages: Vec<_> = (0..2 * AT_ONCE / page().memory_bytes).map(|_| page()).collect();
        let about_at_once = AT_ONCE..=AT_ONCE + CHUNK;
        assert!(about_at_once.contains(&cache.used_bytes()));
        let large: Vec<_> = (0..AT_ONCE / CHUNK).map(|_| chunk(&cache, now)).collect();
        assert!(about_at_once.contains(&cache.used_bytes()));
        assert!(large.iter().all(|chunk| chunk.is_resident()));
        assert!(
            pages.iter().filter(|page| page.is_resident()).count() as u64 <= CHUNK / pages[0].memory_bytes
        );
        // Not in their file: none of them may go.
        let unwritten = |_| {
            let chunk = chunk(&cache, now);
            chunk.append(&[0; 100], Offset::ZERO, Offset(1), |_| {});
            chunk
        };
        let unwritten: Vec<_> = (0..2 * AT_ONCE / CHUNK).map(unwritten).collect();
        assert!(unwritten.iter().all(|chunk| chunk.is_resident()));
        assert!(!large.iter().any(|chunk| chunk.is_resident()));
        unwritten.iter().for_each(|chunk| chunk.set_written(100));
        cache.make_room();
        assert!(about_at_once.contains(&cache.used_bytes()));
    }
}
