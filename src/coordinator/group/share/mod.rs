//! Share groups (KIP-932): their members and what they are assigned.
//!
//! Key invariants: a partition may be with several members; each subscribed partition whose state is initialized is with at
//! least one while there are members. Members take over their target at once, as nothing has to be given up first: a record's
//! lock, not the assignment, keeps it from others. What becomes of records is left to `coordinator::share`.

mod assignor;
mod heartbeat;
mod replay;
mod request;
mod states;

use std::collections::{BTreeMap, BTreeSet};

use super::space::bytes_of_share;
use super::{Group, Groups, Kind, Turn};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::consumer::{GroupValue, TopicPartitions};
use crate::coordinator::records::share::{MemberValue, NamedPartitions};
use crate::coordinator::{Actions, GroupError, GroupId, MemberId, Timers};
use crate::metadata::{ConfigResource, Image, LogId};
use crate::model::{TimestampMs, TopicId, TopicPartition};

pub use assignor::{Assignment, SIMPLE};
pub use request::{
    Initialize, ShareGroupDescription, ShareGroupState, ShareHeartbeat, ShareHeartbeatAnswer,
    ShareMemberDescription,
};
pub use states::OffsetChange;
use states::StatePartitions;

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    value: MemberValue,
    epoch: i32,
    previous_epoch: i32,
    assigned: BTreeSet<TopicPartition>,
}

impl Default for Member {
    fn default() -> Self {
        let value = MemberValue {
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            subscribed_topics: vec![],
        };
        Self { value, epoch: 0, previous_epoch: -1, assigned: BTreeSet::new() }
    }
}

/// A share group. Its id comes with its first record.
#[derive(Debug)]
pub struct ShareGroup {
    id: GroupId,
    epoch: i32,
    metadata_hash: i64,
    members: BTreeMap<MemberId, Member>,
    /// What all of them said of themselves.
    brought_bytes: usize,
    target_epoch: i32,
    target: Assignment,
    states: StatePartitions,
    /// When members are taken for lost. Not durable: a start gives each a whole session.
    sessions: Timers<MemberId>,
    /// The metadata that the subscriptions were last looked up in. Not durable.
    seen: Option<LogId>,
}

impl Default for ShareGroup {
    fn default() -> Self {
        Self {
            id: GroupId::from(""),
            epoch: 0,
            metadata_hash: 0,
            members: BTreeMap::new(),
            brought_bytes: 0,
            target_epoch: 0,
            target: Assignment::new(),
            states: StatePartitions::default(),
            sessions: Timers::default(),
            seen: None,
        }
    }
}

impl ShareGroup {
    fn new(id: GroupId) -> Self {
        Self { id, ..Self::default() }
    }

    /// When [`Self::on_time`] is to be called at the latest.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.sessions.next()
    }

    /// Removes the members whose sessions have ended.
    pub fn on_time(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        let mut lost = vec![];
        while let Some(member) = self.sessions.pop_due(turn.now) {
            lost.push(member);
        }
        self.remove_members(&lost, actions);
        self.check_invariants();
    }

    /// After the log was read: each member gets a whole session.
    pub fn on_loaded(&mut self, turn: &Turn<'_>, _actions: &mut Actions) {
        self.mend();
        let until = self.session_end(turn);
        for member in self.members.keys() {
            self.sessions.set(member.clone(), until);
        }
        self.check_invariants();
    }

    /// Where the group stands.
    pub fn state(&self) -> ShareGroupState {
        if self.members.is_empty() { ShareGroupState::Empty } else { ShareGroupState::Stable }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where the group stands, in Kafka's words.
    pub fn state_name(&self) -> &'static str {
        self.state().name()
    }

    /// The topics have changed: the next heartbeat looks what that means.
    pub fn on_metadata(&mut self, _turn: &Turn<'_>, _actions: &mut Actions) {
        self.seen = None;
    }

    /// Ends the durable life of a group without members.
    pub fn push_tombstones(&self, id: &GroupId, actions: &mut Actions) {
        actions.records.push(GroupRecord::ShareStatePartitions(id.clone(), None));
        actions.records.push(GroupRecord::ShareTarget(id.clone(), None));
        actions.records.push(GroupRecord::ShareGroup(id.clone(), None));
    }

    /// How many members there are.
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Bytes that its members brought.
    pub fn brought_bytes(&self) -> usize {
        self.brought_bytes
    }

    /// Bytes that this member brought.
    pub fn brought_by(&self, id: &str) -> Option<usize> {
        self.members.get(id).map(|member| bytes_of_share(&member.value))
    }

    /// Takes over what a member says of itself; one that is not there is made.
    fn set_value(&mut self, id: MemberId, value: MemberValue) {
        self.brought_bytes += bytes_of_share(&value);
        let member = self.members.entry(id).or_default();
        self.brought_bytes -= bytes_of_share(&member.value);
        member.value = value;
    }

    /// Takes a member out of the map.
    fn drop_member(&mut self, id: &MemberId) {
        if let Some(member) = self.members.remove(id) {
            self.brought_bytes -= bytes_of_share(&member.value);
        }
    }

    /// The group as operators see it.
    pub fn describe(&self, image: &Image) -> ShareGroupDescription {
        let describe = |(id, member): (&MemberId, &Member)| ShareMemberDescription {
            id: id.clone(),
            rack_id: member.value.rack_id.clone(),
            epoch: member.epoch,
            client_id: member.value.client_id.clone(),
            client_host: member.value.client_host.clone(),
            subscribed_topics: member.value.subscribed_topics.clone(),
            assignment: named(&member.assigned, image),
        };
        ShareGroupDescription {
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor: SIMPLE,
            members: self.members.iter().map(describe).collect(),
        }
    }

    fn remove_members(&mut self, members: &[MemberId], actions: &mut Actions) {
        let known: Vec<&MemberId> = members.iter().filter(|id| self.members.contains_key(*id)).collect();
        if known.is_empty() {
            return;
        }
        for id in known {
            self.drop_member(id);
            self.target.remove(id);
            self.sessions.cancel(id);
            let (group, id) = (self.id.clone(), id.clone());
            actions.records.push(GroupRecord::ShareCurrent(group.clone(), id.clone(), None));
            actions.records.push(GroupRecord::ShareTargetMember(group.clone(), id.clone(), None));
            actions.records.push(GroupRecord::ShareMember(group, id, None));
        }
        self.bump_epoch(actions);
    }

    fn bump_epoch(&mut self, actions: &mut Actions) {
        self.epoch = self.epoch.saturating_add(1);
        self.write_group(actions);
    }

    fn write_group(&self, actions: &mut Actions) {
        let value = GroupValue { epoch: self.epoch, metadata_hash: self.metadata_hash };
        actions.records.push(GroupRecord::ShareGroup(self.id.clone(), Some(value)));
    }

    fn session_end(&self, turn: &Turn<'_>) -> TimestampMs {
        let session_ms = self.setting(turn, "share.session.timeout.ms", turn.settings.share.session_ms);
        TimestampMs(turn.now.get().saturating_add(i64::from(session_ms)))
    }

    /// The group's own setting, or the broker's.
    fn setting(&self, turn: &Turn<'_>, name: &str, default: i32) -> i32 {
        let own = turn.image.config(&ConfigResource::Group(self.id.as_str().to_owned()));
        own.get(name).and_then(|value| value.trim().parse().ok()).unwrap_or(default)
    }

    /// Panics where the group contradicts itself; run after every event in debug builds.
    pub fn check_invariants(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        assert!(self.target_epoch <= self.epoch);
        assert!(self.target.keys().all(|id| self.members.contains_key(id)), "only members have targets");
        assert!(self.members.keys().all(|id| self.sessions.deadline(id).is_some()), "sessions end");
        assert_eq!(self.sessions.len(), self.members.len());
        let brought = self.members.values().map(|member| bytes_of_share(&member.value)).sum::<usize>();
        assert_eq!(self.brought_bytes, brought, "what members brought is kept");
        assert!(self.members.values().all(|member| member.epoch <= self.epoch));
    }
}

impl Groups {
    /// ShareGroupDescribe of one group.
    pub fn describe_share(&self, id: &str, image: &Image) -> Result<ShareGroupDescription, GroupError> {
        Ok(self.share(id)?.describe(image))
    }

    /// The group, if it is a share group.
    pub fn share(&self, id: &str) -> Result<&ShareGroup, GroupError> {
        match self.get(id).map(Group::kind) {
            Some(Kind::Share(group)) => Ok(group),
            Some(_) => Err(GroupError::GroupIdNotFound(format!("Group {id} is not a share group."))),
            None => Err(GroupError::GroupIdNotFound(format!("Group {id} not found."))),
        }
    }

    /// Changes a share group that is there.
    fn change_share<A>(
        &mut self,
        id: &GroupId,
        event: impl FnOnce(&mut ShareGroup) -> Result<A, GroupError>,
    ) -> Result<A, GroupError> {
        self.share(id.as_str())?;
        self.change(id, |group| match &mut group.kind {
            Kind::Share(group) => {
                let answer = event(group);
                group.check_invariants();
                answer
            }
            _ => Err(GroupError::GroupIdNotFound(format!("Group {id} is not a share group."))),
        })
    }
}

/// Partitions by topic.
fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<TopicPartitions> {
    let mut topics: Vec<TopicPartitions> = vec![];
    for TopicPartition { topic_id, partition } in partitions {
        match topics.last_mut() {
            Some(last) if last.topic_id == *topic_id => last.partitions.push(*partition),
            _ => topics.push(TopicPartitions { topic_id: *topic_id, partitions: vec![*partition] }),
        }
    }
    topics
}

/// Partitions one by one.
fn one_by_one(topics: &[TopicPartitions]) -> BTreeSet<TopicPartition> {
    let of = |topic: &TopicPartitions| {
        let topic_id = topic.topic_id;
        let partitions = topic.partitions.clone().into_iter();
        partitions.map(move |partition| TopicPartition { topic_id, partition })
    };
    topics.iter().flat_map(of).collect()
}

/// Partitions by topic, with the names of those topics that there are.
fn named(partitions: &BTreeSet<TopicPartition>, image: &Image) -> Vec<NamedPartitions> {
    let name = |id: TopicId| image.topic_by_id(id).map(|topic| topic.name.clone());
    let named = by_topic(partitions).into_iter().filter_map(|TopicPartitions { topic_id, partitions }| {
        Some(NamedPartitions { topic_id, topic: name(topic_id)?, partitions })
    });
    named.collect()
}

#[cfg(test)]
mod tests;
