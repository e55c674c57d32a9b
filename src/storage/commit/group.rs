//! One group of the journal while it is put together, and what each log has for it.
//!
//! Key invariant: a log is in one group in flight at most, so its entry continues what of it is durable.

use std::rc::Rc;

use bytes::Bytes;
use futures_channel::oneshot;
use smallvec::SmallVec;

use crate::model::{LeaderEpoch, Offset};
use crate::storage::error::StorageError;
use crate::storage::journal::{
    EntryHeader, EntryKind, GroupBuilder, GroupId, entry_size_bytes, group_size_bytes,
};
use crate::storage::log::{self, Log, Position};
use crate::storage::store::JournalLimits;

/// An entry without records, and who waits for it.
pub(super) struct Mark {
    pub header: EntryHeader,
    pub answer: oneshot::Sender<Result<(), StorageError>>,
}

/// A log's part of a group.
pub(super) struct Pending {
    log: Rc<Log>,
    header: EntryHeader,
    /// Where the log's durable bytes end once the group is written.
    at: Position,
    parts: SmallVec<[Bytes; 2]>,
    pub bytes: usize,
}

/// What a log in the queue has for the committer.
pub(super) enum Offer {
    Nothing,
    /// It is in a group in flight; its turn comes after that.
    Busy,
    /// Too much for the journal.
    Bypass,
    Entry(Pending),
}

/// One group on its way.
pub(super) struct Group {
    pub entries: Vec<Pending>,
    pub marks: Vec<Mark>,
    /// Bytes that the entries take in it.
    pub entries_bytes: usize,
}

impl Group {
    /// With these marks, to which entries are added.
    pub fn of_marks(marks: Vec<Mark>) -> Self {
        Self { entries: vec![], entries_bytes: marks.len() * entry_size_bytes(0), marks }
    }

    /// Adds a log's entry. The log is busy until the group lands.
    pub fn add(&mut self, pending: Pending) {
        pending.log.state.borrow_mut().flow.committing = true;
        self.entries_bytes += entry_size_bytes(pending.bytes);
        self.entries.push(pending);
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.marks.is_empty()
    }

    /// Bytes that it takes in the journal.
    pub fn size_bytes(&self) -> usize {
        group_size_bytes(self.entries_bytes)
    }

    /// Writes the group into `bytes`; returns its checksum.
    pub fn fill(&self, bytes: &mut [u8], id: GroupId) -> u32 {
        let mut builder = GroupBuilder::new(bytes, id);
        for mark in &self.marks {
            builder.add::<Bytes>(&mark.header, &[]);
        }
        for entry in &self.entries {
            builder.add(&entry.header, &entry.parts);
        }
        builder.seal()
    }

    /// The group is not in flight any more, whatever became of it.
    pub fn land(&self) {
        for entry in &self.entries {
            entry.log.state.borrow_mut().flow.committing = false;
        }
    }

    /// The group is durable.
    pub fn answer(self) {
        for mark in self.marks {
            // Who no longer waits needs no answer.
            let _ = mark.answer.send(Ok(()));
        }
        for entry in self.entries {
            entry.log.durable(entry.header.end, entry.at);
        }
    }
}

impl Log {
    /// What this log has for the next group. It is out of the queue then, unless it is busy.
    pub(super) fn offer(self: &Rc<Self>, limits: &JournalLimits) -> Offer {
        let mut state = self.state.borrow_mut();
        if state.flow.committing {
            return Offer::Busy;
        }
        state.flow.queued = false;
        if state.flow.bypassing || state.flow.undurable_bytes == 0 || state.phase.check_writing().is_err() {
            return Offer::Nothing;
        }
        // Who waits does not wait for a flusher that writes other things, unless it is too much for a group.
        let may_bypass = !state.flow.flushing || state.exceeds_group(limits);
        if may_bypass && state.bypasses(limits) {
            return Offer::Bypass;
        }
        let catch_up = state.flow.undurable_bytes >= limits.bypass_bytes && !state.flow.full;
        if catch_up {
            // It comes faster than it should be written twice: it is bypassed once the segment is not far behind.
            state.flow.asked_to = state.flow.asked_to.max(state.bounds.durable_end);
        }
        let parts = state.undurable_parts();
        let bytes = parts.iter().map(Bytes::len).sum();
        debug_assert_eq!(bytes as u64, state.flow.undurable_bytes, "what is not durable is in memory");
        let header = EntryHeader {
            kind: EntryKind::Append,
            place: self.place.in_journal(),
            epoch: state.epochs.latest().unwrap_or(LeaderEpoch::UNKNOWN),
            offset: state.bounds.durable_end,
            end: state.bounds.end,
        };
        let pending = Pending { log: self.clone(), header, at: state.end_position(), parts, bytes };
        drop(state);
        if catch_up {
            self.kick();
        }
        Offer::Entry(pending)
    }
}

impl log::State {
    /// Whether what is not durable goes to its segment: there is much of it, and little before it that would have to be written
    /// first; or it is too much for a group of the journal.
    pub(in crate::storage) fn bypasses(&self, limits: &JournalLimits) -> bool {
        let undurable_bytes = self.flow.undurable_bytes;
        let is_near = || self.unwritten_bytes().saturating_sub(undurable_bytes) <= limits.behind_bytes_max;
        self.exceeds_group(limits) || (undurable_bytes >= limits.bypass_bytes && is_near())
    }

    /// Whether what is not durable is too much for a group of the journal.
    fn exceeds_group(&self, limits: &JournalLimits) -> bool {
        self.flow.undurable_bytes > limits.group_bytes_max as u64
    }

    /// The batches that are not durable, in order.
    fn undurable_parts(&self) -> SmallVec<[Bytes; 2]> {
        let from = self.flow.durable_at;
        let after = |segment: Offset| if segment == from.segment { from.bytes } else { 0 };
        let mut parts: SmallVec<[Bytes; 2]> = self
            .chunks
            .iter()
            .rev()
            .take_while(|chunk| chunk.segment >= from.segment)
            .map_while(|chunk| chunk.bytes(after(chunk.segment), u64::MAX))
            .map(|(_, bytes)| bytes)
            .collect();
        parts.reverse();
        parts
    }
}
