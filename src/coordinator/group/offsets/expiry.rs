//! Offsets that nobody needs any more, and groups that nothing is left of (KIP-211, KIP-496).
//!
//! Key invariant: an offset expires only after its retention, and never while a member is subscribed to its topic; a group
//! goes only when it has neither members nor offsets. The offsets of a topic go with the topic.

use std::sync::Arc;

use super::CommittedOffset;
use super::delete::forget;
use super::kinds::{self, RetentionFrom};
use super::tombstones::{self, Room};
use crate::coordinator::group::{Group, Groups, Kind, Turn};
use crate::coordinator::{Actions, GroupId};
use crate::metadata::Image;
use crate::model::{PartitionIndex, TimestampMs, TopicId};

/// When what is not asked for by a client is due.
#[derive(Debug, Default)]
pub struct Upkeep {
    expiry: Option<TimestampMs>,
    deleted_topics: Option<TimestampMs>,
}

/// What of a group is to go.
type Gone = Vec<(Arc<str>, PartitionIndex)>;

impl Groups {
    /// The groups are loaded: from now on offsets expire, and those of topics that are gone are forgotten.
    pub fn begin_upkeep(&mut self, turn: &Turn<'_>) {
        self.upkeep.expiry = Some(after_interval(turn));
        self.upkeep.deleted_topics = Some(turn.now);
    }

    /// The topics may have changed.
    pub fn on_topics_changed(&mut self, turn: &Turn<'_>) {
        self.upkeep.deleted_topics = Some(turn.now);
    }

    /// When [`Self::on_upkeep_due`] is to be called at the latest.
    pub fn upkeep_deadline(&self) -> Option<TimestampMs> {
        let Upkeep { expiry, deleted_topics } = self.upkeep;
        [expiry, deleted_topics].into_iter().flatten().min()
    }

    /// Does what is due by now, or some of it: then the deadline stays where it is, for another event.
    pub fn on_upkeep_due(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        let is_due = |at: Option<TimestampMs>| at.is_some_and(|at| at <= turn.now);
        if is_due(self.upkeep.deleted_topics) {
            if self.on_topics_deleted(turn, actions) {
                self.upkeep.deleted_topics = None;
            }
        } else if is_due(self.upkeep.expiry) && self.on_expiry_due(turn, actions) {
            self.upkeep.expiry = Some(after_interval(turn));
        }
    }

    /// Expires offsets and groups. Whether all that is due is done; if not, the caller asks again in another event.
    pub fn on_expiry_due(&mut self, turn: &Turn<'_>, actions: &mut Actions) -> bool {
        let due = self.ids_of(|group| is_due(group, turn));
        let mut room = Room::default();
        let all = due.iter().all(|id| self.change(id, |group| expire(id, group, turn, (&mut room, actions))));
        self.names.sweep();
        all
    }

    /// Forgets the offsets of topics that were deleted; those of a topic that has the name now stay. Whether all is done; if
    /// not, the caller asks again in another event.
    pub fn on_topics_deleted(&mut self, turn: &Turn<'_>, actions: &mut Actions) -> bool {
        let changed = self.names.changed(turn.image);
        let stale = |group: &Group| -> Gone { stale(group, &changed, turn.image).collect() };
        let mut room = Room::default();
        for id in self.ids_of(|group| stale_any(group, &changed, turn.image)) {
            let all = self.change(&id, |group| {
                let gone = stale(group);
                tombstones::remove(&id, group, &gone, &mut room, actions)
            });
            if !all {
                return false;
            }
        }
        self.names.look(turn.image);
        self.names.sweep();
        true
    }

    /// The groups that are concerned, in an order of their own, so that the same events give the same records.
    fn ids_of(&self, concerns: impl Fn(&Group) -> bool) -> Vec<GroupId> {
        let mut ids: Vec<GroupId> =
            self.iter().filter(|(_, group)| concerns(group)).map(|(id, _)| id.clone()).collect();
        ids.sort_unstable();
        ids
    }
}

fn after_interval(turn: &Turn<'_>) -> TimestampMs {
    TimestampMs(turn.now.0.saturating_add(turn.settings.offsets.check_interval_ms))
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

/// Expires offsets of a group, and the group with the last of them. Whether that was all.
fn expire(
    id: &GroupId,
    group: &mut Group,
    turn: &Turn<'_>,
    (room, actions): (&mut Room, &mut Actions),
) -> bool {
    let Some(from) = kinds::retention_from(&group.kind) else { return true };
    let gone: Gone = expired(group, from, turn).collect();
    if !tombstones::remove(id, group, &gone, room, actions) {
        return false;
    }
    if is_gone(group) {
        if !room.take(id, "", "") {
            return false;
        }
        forget(id, group, actions);
    }
    true
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

/// The offsets of a group that were committed for topics that are not these any more.
fn stale<'a>(
    group: &'a Group,
    changed: &'a [Arc<str>],
    image: &'a Image,
) -> impl Iterator<Item = (Arc<str>, PartitionIndex)> + 'a {
    let topics = group.offsets.topics().filter(|topic| changed.binary_search(topic).is_ok());
    topics.flat_map(move |topic| {
        let now = image.topic(topic).map(|topic| topic.id);
        let stale = group.offsets.of_topic(topic).filter(move |(_, offset)| is_stale(offset.topic_id, now));
        stale.map(move |(partition, _)| (topic.clone(), partition))
    })
}

fn stale_any(group: &Group, changed: &[Arc<str>], image: &Image) -> bool {
    stale(group, changed, image).next().is_some()
}

/// Records of older brokers do not tell the topic's id: only that there is no such topic shows that it is gone.
fn is_stale(committed: TopicId, now: Option<TopicId>) -> bool {
    now.is_none_or(|now| committed != TopicId::ZERO && committed != now)
}
