//! Offsets that nobody needs any more, and groups that nothing is left of (KIP-211, KIP-496).
//!
//! Key invariant: an offset expires only after its retention, and never while a member is subscribed to its topic; a group
//! goes only when it has neither members nor offsets.

use std::sync::Arc;

use super::CommittedOffset;
use super::delete::{forget, push_tombstone};
use super::kinds::{self, RetentionFrom};
use crate::coordinator::group::{Group, Groups, Kind, Turn};
use crate::coordinator::{Actions, GroupId};
use crate::model::{PartitionIndex, TimestampMs};

/// Tombstones of one event: they are appended as one batch, which must stay well below `message.max.bytes`.
pub const TOMBSTONES_PER_TURN_MAX: usize = 4_096;

impl Groups {
    /// Expires offsets and groups: to be called each `offsets.retention.check.interval.ms`. Returns whether more is due: an
    /// event's records are one batch, so the caller asks again, after its own time, until nothing is.
    pub fn on_expiry_due(&mut self, turn: &Turn<'_>, actions: &mut Actions) -> bool {
        let due = self.groups.iter().filter(|(_, group)| is_due(group, turn));
        let mut due: Vec<GroupId> = due.map(|(id, _)| id.clone()).collect();
        // In an order of its own, so that the same events give the same records.
        due.sort_unstable();
        for id in &due {
            let room = TOMBSTONES_PER_TURN_MAX.saturating_sub(actions.records.len());
            if room == 0 || !self.change(id, |group| expire(id, group, (turn, room), actions)) {
                return true;
            }
        }
        self.names.sweep();
        false
    }
}

/// Whether anything of the group is to go.
fn is_due(group: &Group, turn: &Turn<'_>) -> bool {
    let Some(from) = kinds::retention_from(&group.kind) else { return false };
    is_gone(group) || expired(group, from, turn).next().is_some()
}

/// Whether a group has nothing that would keep it. Share groups keep themselves until they are deleted.
fn is_gone(group: &Group) -> bool {
    group.offsets.is_empty() && kinds::is_empty(&group.kind) && !matches!(group.kind, Kind::Share(_))
}

/// Expires up to `room` offsets of a group, and the group with the last of them. Whether that was all.
fn expire(id: &GroupId, group: &mut Group, (turn, room): (&Turn<'_>, usize), actions: &mut Actions) -> bool {
    let Some(from) = kinds::retention_from(&group.kind) else { return true };
    let mut gone: Vec<(Arc<str>, PartitionIndex)> =
        expired(group, from, turn).take(room.saturating_add(1)).collect();
    let all = gone.len() <= room;
    gone.truncate(room);
    // From the end, so that none is moved for the sake of another.
    for (topic, partition) in gone.iter().rev() {
        group.offsets.remove(topic, *partition);
        push_tombstone(id, topic, *partition, actions);
    }
    if is_gone(group) {
        forget(id, group, actions);
    }
    if cfg!(debug_assertions) {
        group.offsets.check_invariants();
    }
    all
}

/// The offsets of a group that have expired.
fn expired<'a>(
    group: &'a Group,
    from: RetentionFrom,
    turn: &'a Turn<'_>,
) -> impl Iterator<Item = (Arc<str>, PartitionIndex)> + 'a {
    let topics = group.offsets.topics().filter(|topic| !kinds::is_subscribed_to(&group.kind, topic));
    topics.flat_map(move |topic| {
        let of_topic = group.offsets.of_topic(topic);
        let expired = of_topic.filter(move |(_, offset)| has_expired(offset, from, turn));
        expired.map(move |(partition, _)| (topic.clone(), partition))
    })
}

fn has_expired(offset: &CommittedOffset<'_>, from: RetentionFrom, turn: &Turn<'_>) -> bool {
    if let Some(at) = offset.expires_at {
        return turn.now >= at;
    }
    let since: TimestampMs = match from {
        RetentionFrom::Commit => offset.committed_at,
        RetentionFrom::Since(since) => since,
    };
    turn.now.since(since) >= turn.settings.offsets.retention_ms
}
