//! Classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup. This file has the group itself, its states and its deadlines;
//! each event has a file of its own.
//!
//! Key invariant: within a generation each member has the assignment that the generation's leader gave it, and no member of an
//! earlier generation is heard. Every request that waits belongs to a member, and is answered when the member's wait ends or
//! the member goes. Offsets are left to `offsets`, durability to the runtime.

mod commit;
mod describe;
mod dispatch;
mod heartbeat;
mod invariants;
mod join;
mod leave;
mod member;
mod migrate;
mod rebalance;
mod record;
mod request;
mod roster;
mod subscription;
mod sync;

#[cfg(test)]
mod tests;

pub use describe::{DescribedGroup, DescribedMember};
pub use leave::{Leaving, Left};
pub use member::Member;
pub use migrate::Migrant;
pub use request::{JoinRequest, Joined, JoinedMember, SyncRequest, Synced};

use std::collections::BTreeSet;

use super::Turn;
use crate::coordinator::{Actions, GroupError, GroupId, MemberId, Timers};
use crate::model::TimestampMs;
use roster::Roster;

/// How long a JoinGroup of a member that is new may wait, in ms: such a member does not know its id and cannot send
/// heartbeats, so a client that went away is only noticed by this.
const NEW_MEMBER_JOIN_MS: i32 = 5 * 60 * 1_000;
/// How long a join phase in which nobody joined is put off at the least, in ms, whatever rebalance timeout members have.
const POSTPONE_MS_MIN: i32 = 1_000;

/// Where a group is in the life of a generation. A group that is dead is not in the map of groups any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No members; committed offsets may be left.
    Empty,
    /// Members are to join, or to join again.
    PreparingRebalance,
    /// All have joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// The assignment is there.
    Stable,
}

impl State {
    /// The name that clients see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What has a deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Due {
    /// The join phase ends with whoever has joined.
    Join,
    /// Members that joined and have not asked for their assignment are removed.
    Sync,
    /// A member, or an id that was given out and not used yet, is taken for gone.
    Session(MemberId),
}

/// The first join phase of a group that was empty: it is drawn out while members keep coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InitialDelay {
    delay_ms: i32,
    /// What is left of the rebalance timeout for further delays.
    remaining_ms: i32,
    member_came: bool,
}

/// A classic group.
#[derive(Debug)]
pub struct ClassicGroup {
    id: GroupId,
    state: State,
    /// When the group entered its state; unknown of groups in records of old brokers.
    since: Option<TimestampMs>,
    generation: i32,
    /// Kept when the last member goes, as Kafka does.
    protocol_type: Option<String>,
    /// What the members of this generation agreed on.
    protocol: Option<String>,
    roster: Roster,
    /// Only while a group that was empty prepares its first generation.
    initial: Option<InitialDelay>,
    timers: Timers<Due>,
    /// The topics of a `consumer` group whose subscriptions could be read.
    topics: Option<BTreeSet<String>>,
}

impl ClassicGroup {
    /// A group that nobody has joined yet.
    pub fn new(id: GroupId, now: TimestampMs) -> Self {
        Self {
            id,
            state: State::Empty,
            since: Some(now),
            generation: 0,
            protocol_type: None,
            protocol: None,
            roster: Roster::default(),
            initial: None,
            timers: Timers::default(),
            topics: None,
        }
    }

    /// Its id.
    pub fn id(&self) -> &GroupId {
        &self.id
    }

    /// Where it is in the life of its generation.
    pub fn state(&self) -> State {
        self.state
    }

    /// The state's name as clients see it.
    pub fn state_name(&self) -> &'static str {
        self.state.name()
    }

    /// The number of its generation: 0 before the first.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// `consumer`, `connect` or whatever else its members speak; `None` of a group that nobody has joined.
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// What the members of the generation agreed on.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The member that assigns.
    pub fn leader(&self) -> Option<&MemberId> {
        self.roster.leader()
    }

    /// Its members, in the order in which they came.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.roster.members()
    }

    /// The member of this id.
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.roster.member(id)
    }

    /// The id of the member that has this instance id.
    pub fn static_member(&self, instance_id: &str) -> Option<&MemberId> {
        self.roster.static_member(instance_id)
    }

    /// Bytes that its members brought, and of the ids that were given out.
    pub(super) fn brought_bytes(&self) -> usize {
        self.roster.brought_bytes()
    }

    /// Bytes that this member brought, or the one of this instance id.
    pub(super) fn brought_by(&self, id: &str, instance_id: Option<&str>) -> Option<usize> {
        self.roster.brought_by(id, instance_id)
    }

    /// Whether it has no members; such a group may be deleted.
    pub fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Since when it has no members; `None` also where that is not known.
    pub fn is_empty_since(&self) -> Option<TimestampMs> {
        if self.is_empty() { self.since } else { None }
    }

    /// When [`Self::on_time`] is to be called at the latest.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.timers.next()
    }

    /// Does what is due by now.
    pub fn on_time(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        // A deadline that is set lies after now, so this ends.
        while let Some(due) = self.timers.pop_due(turn.now) {
            match due {
                Due::Join => self.on_join_timeout(turn, actions),
                Due::Sync => self.on_sync_timeout(turn, actions),
                Due::Session(id) => self.on_session_timeout(turn, &id, actions),
            }
        }
        self.check_in_debug();
    }

    fn transition(&mut self, turn: &Turn<'_>, state: State) {
        self.state = state;
        self.since = Some(turn.now);
    }

    /// Sets a deadline, at least 1 ms from now.
    fn set_timer(&mut self, turn: &Turn<'_>, due: Due, in_ms: i32) {
        let at = turn.now.0.saturating_add(i64::from(in_ms.max(1)));
        self.timers.set(due, TimestampMs(at));
    }

    /// Expects a member's next heartbeat within its session timeout.
    fn renew_session(&mut self, turn: &Turn<'_>, id: &MemberId) {
        if let Some(timeout_ms) = self.roster.member(id.as_str()).map(|member| member.session_timeout_ms) {
            self.set_timer(turn, Due::Session(id.clone()), timeout_ms);
        }
    }

    /// Whether a member may speak: it is in the group, and its instance id is its own (KIP-345).
    fn validate_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<MemberId, GroupError> {
        if let Some(instance_id) = instance_id {
            let Some(known) = self.roster.static_member(instance_id) else {
                return Err(unknown_member(member_id, &self.id));
            };
            if known.as_str() != member_id {
                let text = format!("instance id {instance_id} is now that of another member");
                return Err(GroupError::FencedInstanceId(text));
            }
        }
        match self.roster.member(member_id) {
            Some(member) => Ok(member.id.clone()),
            None => Err(unknown_member(member_id, &self.id)),
        }
    }
}

/// What a member hears that the group does not know.
fn unknown_member(member_id: &str, group: &GroupId) -> GroupError {
    GroupError::UnknownMemberId(format!("member {member_id} is not in group {group}"))
}
