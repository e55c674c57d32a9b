//! ShareGroupHeartbeat: joining, staying, leaving, and what a member is to work on.
//!
//! Key invariant: a member is answered with an epoch only together with the target of that epoch.

use std::collections::BTreeSet;

use super::request::{ShareHeartbeat, ShareHeartbeatAnswer};
use super::{Groups, Member, ShareGroup, Turn, assignor, by_topic};
use crate::coordinator::group::Kind;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::consumer::{MemberState, TargetMemberValue, TargetValue};
use crate::coordinator::records::share::{CurrentValue, MemberValue};
use crate::coordinator::{Actions, GroupError, GroupId, MemberId};
use crate::metadata::{Image, TOPIC_NAME_CHARS_MAX};
use crate::model::{PartitionIndex, TopicPartition};

/// The epoch of a member that joins.
const JOIN_EPOCH: i32 = 0;
/// The epoch of a member that leaves.
const LEAVE_EPOCH: i32 = -1;
/// Bytes of a member id, a rack or a client id; Kafka's clients send 22 to 36 for the first.
const TEXT_BYTES_MAX: usize = 1024;
/// Topics that one member may subscribe to.
const TOPICS_PER_MEMBER_MAX: usize = 10_000;

impl Groups {
    /// A heartbeat of a member of a share group; the first one joins, and makes the group if need be.
    pub fn share_heartbeat(
        &mut self,
        id: &GroupId,
        heartbeat: ShareHeartbeat,
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> Result<ShareHeartbeatAnswer, GroupError> {
        if heartbeat.says_more() {
            self.check_space(id, (&heartbeat.member_id, None), heartbeat.brings_bytes())?;
        }
        check(id, &heartbeat)?;
        let missing = self.get(id.as_str()).is_none_or(|group| group.is_nothing());
        if missing && heartbeat.member_epoch > JOIN_EPOCH {
            return Err(GroupError::GroupIdNotFound(format!("Share group {id} not found.")));
        }
        if missing && heartbeat.member_epoch == JOIN_EPOCH {
            return self.change(id, |group| {
                let mut new = ShareGroup::new(id.clone());
                let answer = new.on_heartbeat(heartbeat, turn, actions);
                if answer.is_ok() {
                    group.kind = Kind::Share(Box::new(new));
                }
                answer
            });
        }
        self.change_share(id, |group| match heartbeat.member_epoch {
            LEAVE_EPOCH => group.on_leave(&heartbeat.member_id, actions),
            _ => group.on_heartbeat(heartbeat, turn, actions),
        })
    }
}

impl ShareGroup {
    fn on_leave(
        &mut self,
        member_id: &str,
        actions: &mut Actions,
    ) -> Result<ShareHeartbeatAnswer, GroupError> {
        let id = MemberId::from(member_id);
        if !self.members.contains_key(&id) {
            return Err(self.unknown_member(member_id));
        }
        self.remove_members(std::slice::from_ref(&id), actions);
        Ok(ShareHeartbeatAnswer {
            member_id: id,
            member_epoch: LEAVE_EPOCH,
            heartbeat_interval_ms: 0,
            assignment: None,
            initialize: None,
        })
    }

    fn on_heartbeat(
        &mut self,
        heartbeat: ShareHeartbeat,
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> Result<ShareHeartbeatAnswer, GroupError> {
        let id = MemberId::from(heartbeat.member_id.as_str());
        self.admit(&id, heartbeat.member_epoch, turn)?;
        let full = heartbeat.member_epoch == JOIN_EPOCH || heartbeat.subscribed_topics.is_some();
        let subscribed = self.update_member(&id, heartbeat, actions);
        self.follow_metadata(subscribed, turn, actions);
        let initialize = self.begin_initializing(turn, actions);
        self.update_target(turn.image, actions);
        let changed = self.reconcile(&id, actions);
        let until = self.session_end(turn);
        self.sessions.set(id.clone(), until);
        let interval = turn.settings.share.heartbeat_ms;
        let member = self.members.get(&id);
        let assigned = member.filter(|_| full || changed).map(|member| by_topic(&member.assigned));
        Ok(ShareHeartbeatAnswer {
            member_epoch: member.map_or(0, |member| member.epoch),
            member_id: id,
            heartbeat_interval_ms: self.setting(turn, "share.heartbeat.interval.ms", interval),
            assignment: assigned,
            initialize,
        })
    }

    /// Whether a member with this epoch is heard. A member may join anew at any time: it has lost the answer, or itself.
    fn admit(&self, id: &MemberId, epoch: i32, turn: &Turn<'_>) -> Result<(), GroupError> {
        match self.members.get(id) {
            None if epoch != JOIN_EPOCH => Err(self.unknown_member(id.as_str())),
            None if self.members.len() >= turn.settings.share.members_max as usize => {
                let max = turn.settings.share.members_max;
                let text = format!("The share group has reached its maximum capacity of {max} members.");
                Err(GroupError::GroupMaxSizeReached(text))
            }
            Some(member) if epoch > member.epoch => Err(GroupError::FencedMemberEpoch(format!(
                "The share group member has a greater member epoch ({epoch}) than the one known by the group coordinator ({}). \
                 The member must abandon all its partitions and rejoin.",
                member.epoch
            ))),
            Some(member)
                if epoch != JOIN_EPOCH && epoch != member.epoch && epoch != member.previous_epoch =>
            {
                Err(GroupError::FencedMemberEpoch(format!(
                    "The share group member has a smaller member epoch ({epoch}) than the one known by the group coordinator \
                     ({}). The member must abandon all its partitions and rejoin.",
                    member.epoch
                )))
            }
            _ => Ok(()),
        }
    }

    /// Takes over what a member says of itself; tells whether what it subscribes to has changed.
    fn update_member(&mut self, id: &MemberId, heartbeat: ShareHeartbeat, actions: &mut Actions) -> bool {
        let is_new = !self.members.contains_key(id);
        let member = self.members.entry(id.clone()).or_default();
        let topics = heartbeat.subscribed_topics.map(|topics| {
            let distinct: BTreeSet<String> = topics.into_iter().collect();
            distinct.into_iter().collect()
        });
        let value = MemberValue {
            rack_id: heartbeat.rack_id.or_else(|| member.value.rack_id.clone()),
            client_id: heartbeat.client_id,
            client_host: heartbeat.client_host,
            subscribed_topics: topics.unwrap_or_else(|| member.value.subscribed_topics.clone()),
        };
        let subscribed = is_new || value.subscribed_topics != member.value.subscribed_topics;
        if is_new || value != member.value {
            self.set_value(id.clone(), value.clone());
            actions.records.push(GroupRecord::ShareMember(self.id.clone(), id.clone(), Some(value)));
        }
        subscribed
    }

    /// Begins a new epoch if subscriptions, or the topics that they name, have changed.
    fn follow_metadata(&mut self, subscribed: bool, turn: &Turn<'_>, actions: &mut Actions) {
        let seen = Some(turn.image.applied());
        if !subscribed && self.seen == seen {
            return;
        }
        self.seen = seen;
        self.forget_deleted_topics(turn.image, actions);
        let hash = self.hash_topics(turn.image);
        let unassigned = self.has_unassigned(turn.image);
        if subscribed || hash != self.metadata_hash || unassigned {
            self.metadata_hash = hash;
            self.bump_epoch(actions);
        }
    }

    /// Whether there is an initialized partition that somebody wants and nobody has.
    fn has_unassigned(&self, image: &Image) -> bool {
        let assigned: BTreeSet<&TopicPartition> = self.target.values().flatten().collect();
        let wanted = self.wanted(image);
        wanted.values().flatten().any(|partition| !assigned.contains(partition))
    }

    /// What each member could be assigned: the initialized partitions of the topics it names.
    pub(super) fn wanted(&self, image: &Image) -> assignor::Assignment {
        let of = |member: &Member| {
            let topics = member.value.subscribed_topics.iter().filter_map(|name| image.topic(name));
            let partitions = topics.flat_map(|topic| {
                let indexes = 0..topic.partitions.len() as i32;
                indexes.map(|index| TopicPartition { topic_id: topic.id, partition: PartitionIndex(index) })
            });
            partitions.filter(|partition| self.states.is_initialized(partition)).collect()
        };
        self.members.iter().map(|(id, member)| (id.clone(), of(member))).collect()
    }

    fn update_target(&mut self, image: &Image, actions: &mut Actions) {
        if self.target_epoch == self.epoch {
            return;
        }
        let target = assignor::assign(&self.wanted(image), &self.target);
        for (id, partitions) in &target {
            if self.target.get(id) != Some(partitions) {
                let value = TargetMemberValue { partitions: by_topic(partitions) };
                let (group, id) = (self.id.clone(), id.clone());
                actions.records.push(GroupRecord::ShareTargetMember(group, id, Some(value)));
            }
        }
        (self.target, self.target_epoch) = (target, self.epoch);
        let value = TargetValue { assignment_epoch: self.epoch };
        actions.records.push(GroupRecord::ShareTarget(self.id.clone(), Some(value)));
    }

    /// Gives a member its target; tells whether its partitions have changed.
    fn reconcile(&mut self, id: &MemberId, actions: &mut Actions) -> bool {
        let (Some(member), Some(target)) = (self.members.get_mut(id), self.target.get(id)) else {
            return false;
        };
        if member.epoch == self.target_epoch {
            return false;
        }
        let changed = member.assigned != *target;
        member.previous_epoch = member.epoch;
        member.epoch = self.target_epoch;
        member.assigned.clone_from(target);
        let value = CurrentValue {
            epoch: member.epoch,
            previous_epoch: member.previous_epoch,
            state: MemberState::Stable,
            assigned: by_topic(target),
        };
        actions.records.push(GroupRecord::ShareCurrent(self.id.clone(), id.clone(), Some(value)));
        changed
    }

    /// A number that changes with the subscribed topics and their partitions. FNV-1a; never 0, which stands for unknown.
    fn hash_topics(&self, image: &Image) -> i64 {
        let names: BTreeSet<&str> = self
            .members
            .values()
            .flat_map(|member| &member.value.subscribed_topics)
            .map(String::as_str)
            .collect();
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        for topic in names.into_iter().filter_map(|name| image.topic(name)) {
            add(topic.id.0.as_bytes());
            add(&(topic.partitions.len() as u64).to_be_bytes());
        }
        ((hash >> 1) as i64).max(1)
    }

    fn unknown_member(&self, id: &str) -> GroupError {
        GroupError::UnknownMemberId(format!("Member {id} is not a member of group {}.", self.id))
    }
}

/// Whether a heartbeat makes sense at all, in Kafka's order of checks.
fn check(id: &GroupId, heartbeat: &ShareHeartbeat) -> Result<(), GroupError> {
    let invalid = |text: &str| Err(GroupError::InvalidRequest(text.to_owned()));
    if heartbeat.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if id.as_str().trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if heartbeat.rack_id.as_ref().is_some_and(|rack| rack.trim().is_empty()) {
        return invalid("RackId can't be empty.");
    }
    if heartbeat.member_epoch < LEAVE_EPOCH {
        return invalid("MemberEpoch is invalid.");
    }
    let topics = heartbeat.subscribed_topics.as_deref();
    if heartbeat.member_epoch == JOIN_EPOCH && topics.is_none_or(<[String]>::is_empty) {
        return invalid("SubscribedTopicNames must be set in first request.");
    }
    let texts = [Some(&heartbeat.member_id), heartbeat.rack_id.as_ref(), Some(&heartbeat.client_id)];
    if texts.into_iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX) {
        return invalid("A text of the request is too long.");
    }
    let topics = topics.unwrap_or_default();
    if topics.len() > TOPICS_PER_MEMBER_MAX || topics.iter().any(|name| name.len() > TOPIC_NAME_CHARS_MAX) {
        return invalid("SubscribedTopicNames has too many or too long names.");
    }
    Ok(())
}
