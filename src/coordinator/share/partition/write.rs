//! What has to be written to the share coordinator, and what waits for it.
//!
//! Key invariants: one write is under way at a time, and a write has everything that came up before it was taken; so each
//! acknowledgement waits for one write, and the coordinator sees events in their order.

use super::{SharePartition, State};
use crate::coordinator::share::StateBatch;
use crate::coordinator::share::batch::overlay;
use crate::model::Offset;

/// Names acknowledgements that wait to be written, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub u64);

/// What the share coordinator is to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub state_epoch: i32,
    pub leader_epoch: i32,
    /// Where the partition starts when this is written.
    pub start: Offset,
    /// Records from there on that are done with.
    pub done_records: i64,
    pub batches: Vec<StateBatch>,
}

/// Writes to come and the one under way.
#[derive(Debug, Default)]
pub(super) struct Writes {
    last_change: ChangeId,
    /// Nobody knows yet where the partition starts: a restart could find another place.
    start_unsaved: bool,
    unsaved: Vec<StateBatch>,
    /// Changes in the next write.
    waiting: Vec<ChangeId>,
    /// Changes in the write under way.
    under_way: Option<Vec<ChangeId>>,
}

impl Writes {
    pub fn new_change(&mut self) -> ChangeId {
        self.last_change = ChangeId(self.last_change.0 + 1);
        self.last_change
    }

    pub fn save_start(&mut self) {
        self.start_unsaved = true;
    }

    pub fn add(&mut self, batches: Vec<StateBatch>) {
        self.unsaved.extend(batches);
    }

    pub fn wait_for(&mut self, change: ChangeId) {
        self.waiting.push(change);
    }

    /// Whether a write, under way or to come, settles this change.
    pub fn knows(&self, change: ChangeId) -> bool {
        let under_way = self.under_way.iter().flatten();
        self.waiting.iter().chain(under_way).any(|known| *known == change)
    }
}

impl SharePartition {
    /// What is to be written next; `None` while a write is under way, or if there is nothing.
    pub fn take_write(&mut self) -> Option<Write> {
        let writes = &mut self.writes;
        let due = writes.start_unsaved || !writes.unsaved.is_empty() || !writes.waiting.is_empty();
        if writes.under_way.is_some() || !due {
            return None;
        }
        writes.start_unsaved = false;
        self.writes.under_way = Some(std::mem::take(&mut self.writes.waiting));
        let unsaved = std::mem::take(&mut self.writes.unsaved);
        let unfinished = self.spans.iter().find(|(_, span)| !span.state.will_be_terminal());
        let start = unfinished.map_or_else(|| self.end(), |(first, _)| first);
        let done = self.spans.iter().filter(|(first, span)| *first >= start && span.state.will_be_terminal());
        Some(Write {
            state_epoch: self.state_epoch,
            leader_epoch: self.leader_epoch,
            start,
            done_records: done.map(|(first, span)| span.last.since(first) + 1).sum(),
            batches: overlay(&[], &unsaved, start),
        })
    }

    /// The write that was taken has come to its end; returns the changes that waited for it. If it failed, their records are
    /// their members' again.
    pub fn on_written(&mut self, written: bool) -> Vec<ChangeId> {
        let Some(changes) = self.writes.under_way.take() else { return vec![] };
        let up_to = changes.last().copied().unwrap_or_default();
        let mut available_from = self.available_from;
        self.spans.update_all(|first, span| {
            let State::Settling { lock, to, change } = &span.state else { return };
            if *change > up_to {
                return;
            }
            span.state = if written { (*to).into() } else { State::Acquired(lock.clone()) };
            if span.state == State::Available {
                available_from = available_from.min(first);
            }
        });
        self.available_from = available_from;
        self.set_deadline();
        self.advance_start();
        self.check_invariants();
        changes
    }
}
