//! Appending: an offset, a copy, a place in the index, and a place in the committer's queue.
//!
//! Key invariant: an append either happened whole, in memory and in all bookkeeping, or not at all; it never waits. Whoever
//! needs it durable waits for that ([`Log::wait_durable`]).

use std::rc::Rc;

use super::batch_cache::BatchCache;
use super::chunk::Chunk;
use super::error::StorageError;
use super::log::{Appended, Log, LogSettings, State};
use super::segment::{Segment, Stage};
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::{BatchError, BatchHeader, patch_assigned};

/// A batch on its way into the log.
pub(super) struct Incoming<'a> {
    pub batch: &'a [u8],
    pub header: &'a BatchHeader,
    pub epoch: LeaderEpoch,
    pub now: TimestampMs,
}

impl Log {
    /// Appends one whole, validated batch: gives it the next offsets and `epoch`, copies it once, and has it made durable.
    ///
    /// Refuses a batch that is not exactly one, a full disk, a poisoned or closed log; then nothing has changed. The
    /// observer must not be borrowed mutably meanwhile: a roll asks it for the producer state before this batch.
    pub fn append(
        self: &Rc<Self>,
        batch: &[u8],
        epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<Appended, StorageError> {
        let header = whole_batch(batch)?;
        let settings = self.settings.get();
        let incoming = Incoming { batch, header: &header, epoch, now };
        let (last_offset, roll) = {
            let state = self.state.borrow();
            state.phase.check()?;
            let last = last_offset(state.bounds.end, &header)?;
            (last, state.must_roll(&incoming, last, &settings))
        };
        if !self.store.admit_bytes(batch.len() as u64) {
            return Err(StorageError::DiskFull);
        }
        if roll {
            self.roll();
        }
        let base_offset = {
            let mut state = self.state.borrow_mut();
            let base = state.put(self.store.cache(), &incoming, settings.index_interval_bytes);
            state.flow.undurable_bytes += batch.len() as u64;
            state.check_invariants();
            base
        };
        self.store.add_undurable(batch.len() as u64);
        self.commit_soon();
        Ok(Appended { base_offset, last_offset })
    }

    /// Starts a new segment if the active one is older than `segment.ms`. True if it did.
    pub fn roll_if_due(self: &Rc<Self>, now: TimestampMs) -> bool {
        let due = {
            let state = self.state.borrow();
            state.phase.check().is_ok() && state.active().is_due(now, self.settings.get().segment_ms)
        };
        if due {
            self.roll();
        }
        due
    }

    /// Ends the active segment, with the producer state that holds there, and begins the next.
    pub(super) fn roll(&self) {
        let snapshot = self.observer.producer_snapshot();
        let mut state = self.state.borrow_mut();
        state.roll(Some(snapshot));
        state.check_invariants();
        // The rolled segment is finished by the next checkpoint.
        self.store.note_committed();
    }
}

impl State {
    /// Whether a batch whose last offset is `last` must go to a new segment.
    pub(super) fn must_roll(&self, incoming: &Incoming<'_>, last: Offset, settings: &LogSettings) -> bool {
        let active = self.active();
        active.is_full_for(u64::from(incoming.header.size_bytes), last, settings.segment_bytes)
            || active.index_is_full(settings.index_bytes)
            || active.is_due(incoming.now, settings.segment_ms)
            || active.is_outrun(incoming.header.max_timestamp, incoming.now, settings.segment_ms)
    }

    /// Ends the active segment and begins the next.
    pub(super) fn roll(&mut self, snapshot: Option<bytes::Bytes>) {
        let base = self.bounds.end;
        self.active_mut().stage = Stage::Rolled(snapshot);
        self.segments.push_back(Segment::new(base));
        if self.flow.undurable_bytes == 0 {
            self.flow.durable_at = self.end_position();
        }
    }

    /// Copies a batch to the log's end and notes it; returns its base offset.
    pub(super) fn put(
        &mut self,
        cache: &Rc<BatchCache>,
        incoming: &Incoming<'_>,
        interval_bytes: u32,
    ) -> Offset {
        let Incoming { batch, header, epoch, now } = *incoming;
        let base = self.bounds.end;
        let next = base.plus(i64::from(header.last_offset_delta) + 1);
        self.epochs.start(epoch, base);
        if self.epochs.entries().last().is_some_and(|latest| latest.start_offset == base) {
            self.on_disk.epochs_stale = true;
        }
        let (segment, position) = (self.active().base, self.active().size);
        let fits = |chunk: &&Rc<Chunk>| {
            chunk.segment == segment && chunk.next_offset() == base && chunk.has_room(batch.len())
        };
        let chunk = match self.chunks.back().filter(fits) {
            Some(chunk) => chunk.clone(),
            None => {
                let previous = self.chunks.back().map(Rc::as_ref);
                let at = (segment, position, base);
                let chunk = Chunk::after(cache, previous, at, batch.len(), now);
                self.forget_dropped();
                self.chunks.push_back(chunk.clone());
                chunk
            }
        };
        chunk.append(batch, base, next, |copy| patch_assigned(copy, base, epoch));
        self.active_mut().note(header, base, now, interval_bytes);
        self.bounds.end = next;
        base
    }
}

/// The header of `batch`, if it is exactly one batch.
fn whole_batch(batch: &[u8]) -> Result<BatchHeader, StorageError> {
    let header = BatchHeader::parse_whole(batch)?;
    if header.size_bytes as usize != batch.len() {
        return Err(BatchError::Invalid("bytes follow the batch").into());
    }
    if header.last_offset_delta < 0 {
        return Err(BatchError::Invalid("the last offset delta is negative").into());
    }
    Ok(header)
}

fn last_offset(base: Offset, header: &BatchHeader) -> Result<Offset, StorageError> {
    let delta = i64::from(header.last_offset_delta);
    // One less than the largest, so that the log end offset exists too.
    match base.0.checked_add(delta) {
        Some(last) if last < i64::MAX => Ok(Offset(last)),
        _ => Err(StorageError::TooLarge("the partition has no offsets left")),
    }
}
