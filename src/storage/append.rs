//! Appending: an offset, a copy, a place in the index, and a kick to the flusher.
//!
//! Key invariant: an append either happened whole, in memory and in all bookkeeping, or not at all; it never waits. Whoever
//! needs it durable waits for that ([`Log::wait_durable`]).

use std::rc::Rc;

use super::batch_cache::Chunk;
use super::error::StorageError;
use super::log::{Appended, Log, State};
use super::segment::{Segment, Stage};
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::{BatchError, BatchHeader, patch_assigned};

impl Log {
    /// Appends one whole, validated batch: gives it the next offsets and `epoch`, copies it once, and has it written.
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
        let (last_offset, roll) = {
            let state = self.state.borrow();
            state.phase.check()?;
            let last = last_offset(state.bounds.end, &header)?;
            (last, self.must_roll(&state, &header, last, now))
        };
        if !self.store.disk().admit_bytes(batch.len() as u64) {
            return Err(StorageError::DiskFull);
        }
        if roll {
            self.roll();
        }
        let base_offset = self.take(batch, &header, epoch, now);
        self.kick();
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
            self.kick();
        }
        due
    }

    fn must_roll(&self, state: &State, header: &BatchHeader, last: Offset, now: TimestampMs) -> bool {
        let settings = self.settings.get();
        let active = state.active();
        active.is_full_for(u64::from(header.size_bytes), last, settings.segment_bytes)
            || active.index_is_full(settings.index_bytes)
            || active.is_due(now, settings.segment_ms)
            || active.is_outrun(header.max_timestamp, now, settings.segment_ms)
    }

    /// Ends the active segment, with the producer state that holds there, and begins the next.
    pub(super) fn roll(&self) {
        let snapshot = self.observer.producer_snapshot();
        let mut state = self.state.borrow_mut();
        let base = state.bounds.end;
        state.active_mut().stage = Stage::Rolled(snapshot);
        state.segments.push_back(Segment::new(base));
        state.check_invariants();
    }

    fn take(&self, batch: &[u8], header: &BatchHeader, epoch: LeaderEpoch, now: TimestampMs) -> Offset {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let base = state.bounds.end;
        let next = base.plus(i64::from(header.last_offset_delta) + 1);
        state.epochs.start(epoch, base);
        if state.epochs.entries().last().is_some_and(|latest| latest.start_offset == base) {
            state.on_disk.epochs_stale = true;
        }
        let (segment, position) = (state.active().base, state.active().size);
        let fits = |chunk: &&Rc<Chunk>| {
            chunk.segment == segment && chunk.next_offset() == base && chunk.has_room(batch.len())
        };
        let chunk = match state.chunks.back().filter(fits) {
            Some(chunk) => chunk.clone(),
            None => {
                let previous = state.chunks.back().map(Rc::as_ref);
                let at = (segment, position, base);
                let chunk = Chunk::after(self.store.cache(), previous, at, batch.len(), now);
                state.chunks.retain(|chunk| chunk.is_resident());
                state.chunks.push_back(chunk.clone());
                chunk
            }
        };
        chunk.append(batch, base, next, |copy| patch_assigned(copy, base, epoch));
        let interval = self.settings.get().index_interval_bytes;
        state.active_mut().note(header, base, now, interval);
        state.bounds.end = next;
        self.store.add_dirty(batch.len() as u64);
        state.check_invariants();
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
