//! A consumer group as ConsumerGroupDescribe tells it.
//!
//! Key invariant: topics that are gone are left out: they have no name any more.

use super::{ConsumerGroup, ConsumerGroupState};
use crate::coordinator::group::Turn;
use crate::coordinator::group::assignor::Assignment;
use crate::coordinator::records::consumer::MemberValue;
use crate::coordinator::records::share::NamedPartitions;
use crate::coordinator::{GroupId, MemberId};
use crate::metadata::Image;

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedConsumerGroup {
    pub id: GroupId,
    pub state: ConsumerGroupState,
    pub epoch: i32,
    pub target_epoch: i32,
    pub assignor: &'static str,
    pub members: Vec<DescribedMember>,
}

/// A member.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedMember {
    pub id: MemberId,
    pub epoch: i32,
    pub value: MemberValue,
    pub assigned: Vec<NamedPartitions>,
    pub target: Vec<NamedPartitions>,
}

impl ConsumerGroup {
    /// All of it.
    pub fn describe(&self, turn: &Turn<'_>) -> DescribedConsumerGroup {
        let members = self.members.iter().map(|(id, member)| DescribedMember {
            id: id.clone(),
            epoch: member.current.epoch,
            value: member.value.clone(),
            assigned: named(&member.current.assigned, turn.image),
            target: self.targets.get(id).map_or_else(Vec::new, |target| named(target, turn.image)),
        });
        DescribedConsumerGroup {
            id: self.id.clone(),
            state: self.state(),
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            assignor: self.assignor(turn.settings).name(),
            members: members.collect(),
        }
    }
}

fn named(assignment: &Assignment, image: &Image) -> Vec<NamedPartitions> {
    let topics = assignment.topics().filter_map(|(id, partitions)| {
        let topic = image.topic_by_id(id)?;
        let partitions = partitions.iter().copied().collect();
        Some(NamedPartitions { topic_id: id, topic: topic.name.clone(), partitions })
    });
    topics.collect()
}
