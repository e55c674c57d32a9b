//! Server-side assignors (KIP-848): who is to have which partition, as pure functions of subscriptions, partition counts and
//! the previous target.
//!
//! Key invariant: each partition of a topic that anyone is subscribed to is with exactly one member, and that member is
//! subscribed to the topic. The same input gives the same output, on whatever broker.

mod assignment;
mod heterogeneous;
mod range;
mod uniform;

#[cfg(test)]
mod tests;

pub use assignment::Assignment;

use hashbrown::HashMap;

use crate::coordinator::{InstanceId, MemberId};
use crate::model::{PartitionIndex, TopicId};

/// A topic that somebody is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: u32,
}

/// A member as an assignor sees it.
#[derive(Clone, Copy, Debug)]
pub struct MemberSpec<'a> {
    pub id: &'a MemberId,
    pub instance_id: Option<&'a InstanceId>,
    /// Which of [`Spec::subscriptions`] is the member's.
    pub subscription: usize,
    /// What it was to have so far.
    pub target: Option<&'a Assignment>,
}

/// What is to be assigned to whom.
#[derive(Debug, Default)]
pub struct Spec<'a> {
    pub topics: Vec<Topic>,
    /// The distinct subscriptions: each a rising list of positions in `topics`.
    pub subscriptions: Vec<Vec<usize>>,
    pub members: Vec<MemberSpec<'a>>,
}

/// An assignor that members may ask for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Spreads all partitions evenly and moves as few as it can.
    Uniform,
    /// Gives each member a range of each topic, the same range of topics with equally many partitions.
    Range,
}

impl Assignor {
    /// The assignor of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// What each member is to have, in the order of `spec.members`.
    pub fn assign(self, spec: &Spec<'_>) -> Vec<Assignment> {
        match self {
            _ if spec.members.is_empty() => vec![],
            Self::Range => range::assign(spec),
            Self::Uniform if spec.subscriptions.len() == 1 => uniform::assign(spec),
            Self::Uniform => heterogeneous::assign(spec),
        }
    }
}

impl Spec<'_> {
    /// Members in the order in which assignors turn to them: static members by instance id, so that a replaced one keeps its
    /// place, then the others by member id.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        order.sort_unstable_by_key(|at| {
            let member = &self.members[*at];
            (member.instance_id.is_none(), member.instance_id, member.id)
        });
        order
    }

    /// The topics of a member's subscription.
    fn subscription(&self, member: usize) -> &[usize] {
        &self.subscriptions[self.members[member].subscription]
    }

    /// Where each topic stands in `topics`.
    fn positions(&self) -> HashMap<TopicId, usize> {
        self.topics.iter().enumerate().map(|(at, topic)| (topic.id, at)).collect()
    }

    /// What `member` was to have and still may: partitions that exist, of topics it is subscribed to.
    fn kept<'s>(
        &'s self,
        member: usize,
        positions: &'s HashMap<TopicId, usize>,
    ) -> impl Iterator<Item = Partition> + 's {
        let subscription = self.subscription(member);
        let target = self.members[member].target.into_iter().flat_map(Assignment::iter);
        target.filter_map(move |(id, at)| {
            let topic = *positions.get(&id)?;
            let index = u32::try_from(at.get()).ok()?;
            let valid = index < self.topics[topic].partitions && subscription.binary_search(&topic).is_ok();
            valid.then_some(Partition { topic, index })
        })
    }

    /// The assignment of these partitions.
    fn assignment(&self, partitions: &[Partition]) -> Assignment {
        partitions.iter().map(|at| (self.topics[at.topic].id, at.partition_index())).collect()
    }
}

/// A partition by the position of its topic in a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Partition {
    topic: usize,
    index: u32,
}

impl Partition {
    fn partition_index(self) -> PartitionIndex {
        // Counts come from topics, whose partitions are numbered with i32.
        PartitionIndex(i32::try_from(self.index).unwrap_or(i32::MAX))
    }
}
