//! The journal's share of a log: what was acknowledged and had not reached a segment.
//!
//! Key invariant: a batch is taken exactly once, at the offset that it was given. Entries continue what is there, or lie within it;
//! where one begins beyond the end, acknowledged records are missing, unless all that is missing was deleted.

use super::Recovery;
use super::past::Past;
use crate::io::Clock;
use crate::model::Offset;
use crate::record::BatchHeader;
use crate::storage::LogSettings;
use crate::storage::append::Incoming;
use crate::storage::error::StorageError;
use crate::storage::journal::ReplayEntry;
use crate::storage::log::{Flow, State};
use crate::storage::recovery::Replay;
use crate::storage::segment::Segment;

impl Recovery<'_> {
    pub(super) async fn replay_journal(
        &mut self,
        state: &mut State,
        past: &Past,
    ) -> Result<(), StorageError> {
        for entry in past.appends.iter() {
            if entry.end <= state.bounds.end {
                continue;
            }
            if entry.offset > state.bounds.end {
                if entry.offset > past.log_start {
                    return Err(self.gap(state.bounds.end, entry.offset));
                }
                self.begin_at(state, entry.offset).await?;
            }
            self.take_entry(state, entry)?;
            glommio::yield_if_needed().await;
        }
        Ok(())
    }

    fn take_entry(&mut self, state: &mut State, entry: &ReplayEntry) -> Result<(), StorageError> {
        // Whether it is time for a new segment is for the next append to say.
        let settings = LogSettings { segment_ms: -1, ..self.settings };
        let clock = Clock::System.now();
        let mut rest = entry.body.clone();
        while !rest.is_empty() {
            let header = BatchHeader::parse_whole(&rest)?;
            let batch = rest.split_to(header.size_bytes as usize);
            if header.next_offset() <= state.bounds.end {
                continue;
            }
            if header.base_offset != state.bounds.end {
                return Err(self.gap(state.bounds.end, header.base_offset));
            }
            // The broker saw it at some time that was not later than now.
            let stated = header.max_timestamp;
            let now = if stated.0 >= 0 { stated.min(clock) } else { clock };
            let incoming = Incoming { batch: &batch, header: &header, epoch: header.leader_epoch, now };
            let last = header.next_offset().plus(-1);
            if state.must_roll(&incoming, last, &settings) {
                state.roll(None);
            }
            state.put(self.store.cache(), &incoming, settings.index_interval_bytes);
            state.bounds.durable_end = state.bounds.end;
            state.flow.durable_at = state.end_position();
            if header.base_offset >= self.replay_from {
                (self.replay)(Replay::Batch(header));
            }
        }
        Ok(())
    }

    /// Moves the log start to `start`; if all that there is lies below it, the log begins anew there.
    pub(super) async fn begin_at(&mut self, state: &mut State, start: Offset) -> Result<(), StorageError> {
        if state.bounds.end < start {
            let bases = state.segments.iter().rev().filter(|segment| segment.written > 0);
            let bases = bases.map(|segment| segment.base).collect();
            self.remove_segments(bases).await?;
            state.on_disk.torn = false;
            state.on_disk.reserved = false;
            let active = Segment::new(start);
            state.flow = Flow::at_rest(&active);
            state.segments = [active].into();
            state.chunks.clear();
            state.bounds.end = start;
            state.bounds.durable_end = start;
            state.bounds.written_end = start;
        }
        state.bounds.start = state.bounds.start.max(start).max(state.segments[0].base);
        state.bounds.start_asked = state.bounds.start;
        Ok(())
    }
}
