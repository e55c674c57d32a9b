//! Tombstones, and how many fit into one event.
//!
//! Key invariant: an event's records are one batch, which must stay below the largest that the log takes, however long the
//! names are: what does not fit is left to the next event.

use std::sync::Arc;

use crate::coordinator::group::Group;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::offsets::OffsetKey;
use crate::coordinator::{Actions, GroupId};
use crate::model::PartitionIndex;

/// Bytes of the records of one event, as estimated: well below Kafka's default of `max.message.bytes`, 1 MiB.
pub const EVENT_BYTES_MAX: usize = 900_000;
/// What a record takes besides names and metadata.
const RECORD_FIXED_BYTES: usize = 80;

/// What still fits into an event.
#[derive(Debug)]
pub struct Room {
    bytes: usize,
    is_untouched: bool,
}

impl Default for Room {
    fn default() -> Self {
        Self { bytes: EVENT_BYTES_MAX, is_untouched: true }
    }
}

impl Room {
    /// Takes the room of a record of these texts; false if there is none. The first record always has room: one by itself is
    /// within the bounds of requests.
    pub fn take(&mut self, id: &GroupId, topic: &str, metadata: &str) -> bool {
        let bytes = RECORD_FIXED_BYTES + id.as_str().len() + topic.len() + metadata.len();
        let fits = self.is_untouched || bytes <= self.bytes;
        if fits {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.is_untouched = false;
        }
        fits
    }
}

/// Removes these offsets with tombstones, as many as there is room for. Whether that was all.
pub fn remove(
    id: &GroupId,
    group: &mut Group,
    gone: &[(Arc<str>, PartitionIndex)],
    room: &mut Room,
    actions: &mut Actions,
) -> bool {
    // From the end, so that no entry is moved for the sake of another.
    for (topic, partition) in gone.iter().rev() {
        if !room.take(id, topic, "") {
            return false;
        }
        group.offsets.remove(topic, *partition);
        push(id, topic, *partition, actions);
    }
    if cfg!(debug_assertions) {
        group.offsets.check_invariants();
    }
    true
}

/// The tombstone of one offset.
pub fn push(id: &GroupId, topic: &Arc<str>, partition: PartitionIndex, actions: &mut Actions) {
    let key = OffsetKey { group: id.clone(), topic: topic.clone(), partition };
    actions.records.push(GroupRecord::OffsetCommit(key, None));
}
