//! What committed offsets depend on that each kind of group answers in its own way.
//!
//! Key invariant: the one place where the kinds differ for offsets; each function asks the kind and changes nothing but the
//! session of a member that commits.

// The kinds' own methods take precedence over these.
#[allow(unused_imports)]
use super::{Commit, FetchOffsets};
use crate::coordinator::group::{Kind, Turn};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::{Actions, GroupError, GroupId};
use crate::model::TimestampMs;

/// Whether the group takes this commit: from a member in its present generation or epoch, or without one from anybody while
/// the group has no members.
pub fn check_commit(
    id: &GroupId,
    kind: &mut Kind,
    turn: &Turn<'_>,
    commit: &Commit,
) -> Result<(), GroupError> {
    let Commit { member_id, instance_id, generation, version, .. } = commit;
    match kind {
        Kind::Simple if *generation < 0 => Ok(()),
        Kind::Simple => Err(GroupError::UnknownMemberId(format!("The group {id} has no members."))),
        Kind::Classic(group) => {
            group.validate_commit(member_id, instance_id.as_deref(), *generation, false)?;
            group.on_commit(turn, member_id);
            Ok(())
        }
        Kind::Consumer(group) => group.validate_commit(member_id, *generation, *version),
        Kind::Share(_) => Err(not_a_consumer_group(id)),
    }
}

/// Whether offsets may be read; `Ok(false)` reads as if there were none.
pub fn check_fetch(kind: &Kind, fetch: &FetchOffsets) -> Result<bool, GroupError> {
    match kind {
        Kind::Simple | Kind::Classic(_) => Ok(true),
        Kind::Consumer(group) => {
            group.validate_fetch(fetch.member_id.as_deref(), fetch.member_epoch)?;
            Ok(true)
        }
        Kind::Share(_) => Ok(false),
    }
}

/// Whether offsets may be deleted at all; topics that members are subscribed to are refused one by one.
pub fn check_delete_offsets(id: &GroupId, kind: &Kind) -> Result<(), GroupError> {
    match kind {
        Kind::Simple | Kind::Consumer(_) => Ok(()),
        Kind::Classic(group) if group.is_empty() || group.is_consumer_type() => Ok(()),
        Kind::Classic(_) => Err(GroupError::NonEmptyGroup),
        Kind::Share(_) => Err(not_a_consumer_group(id)),
    }
}

fn not_a_consumer_group(id: &GroupId) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {id} is not a consumer group."))
}

/// Whether a member reads the topic, or may do so for all that is known.
pub fn is_subscribed_to(kind: &Kind, topic: &str) -> bool {
    match kind {
        Kind::Simple | Kind::Share(_) => false,
        Kind::Classic(group) => group.is_subscribed_to(topic),
        Kind::Consumer(group) => group.is_subscribed_to(topic),
    }
}

/// Whether the group has no members.
pub fn is_empty(kind: &Kind) -> bool {
    match kind {
        Kind::Simple => true,
        Kind::Classic(group) => group.is_empty(),
        Kind::Consumer(group) => group.is_empty(),
        Kind::Share(group) => group.is_empty(),
    }
}

/// From when on the retention of an offset counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionFrom {
    Commit,
    /// Since the group has no members.
    Since(TimestampMs),
}

/// From when on the retention of a group's offsets counts; `None` if they do not expire in its present state. Topics that
/// members are subscribed to are not concerned.
pub fn retention_from(kind: &Kind) -> Option<RetentionFrom> {
    match kind {
        Kind::Simple | Kind::Consumer(_) => Some(RetentionFrom::Commit),
        Kind::Classic(group) if group.protocol_type().is_none() => Some(RetentionFrom::Commit),
        // Records of very old brokers do not say since when.
        Kind::Classic(group) if group.is_empty() => {
            Some(group.is_empty_since().map_or(RetentionFrom::Commit, RetentionFrom::Since))
        }
        Kind::Classic(group) => {
            let known = group.is_consumer_type() && group.subscribed_topics().is_some();
            (known && group.state_name() == "Stable").then_some(RetentionFrom::Commit)
        }
        Kind::Share(_) => None,
    }
}

/// The group's state as clients are told it.
pub fn state_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Simple => "Empty",
        Kind::Classic(group) => group.state_name(),
        Kind::Consumer(group) => group.state_name(),
        Kind::Share(group) => group.state_name(),
    }
}

/// The group's protocol type as clients are told it; a simple group has none.
pub fn protocol_type(kind: &Kind) -> &str {
    match kind {
        Kind::Simple => "",
        Kind::Classic(group) => group.protocol_type().unwrap_or_default(),
        Kind::Consumer(_) => "consumer",
        Kind::Share(_) => "share",
    }
}

/// The group's type as clients are told it; to Kafka a simple group is a classic one without members.
pub fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Simple | Kind::Classic(_) => "classic",
        Kind::Consumer(_) => "consumer",
        Kind::Share(_) => "share",
    }
}

/// The records that undo those of the group itself; its offsets have their own.
pub fn push_tombstones(id: &GroupId, kind: &Kind, actions: &mut Actions) {
    match kind {
        // A simple group may have a record of the classic group that it was.
        Kind::Simple => actions.records.push(GroupRecord::ClassicGroup(id.clone(), None)),
        Kind::Classic(group) => group.delete(actions),
        Kind::Consumer(group) => group.push_tombstones(id, actions),
        Kind::Share(group) => group.push_tombstones(id, actions),
    }
}
