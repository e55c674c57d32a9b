//! Adding partitions to topics.
//!
//! Key invariant: a topic only ever grows, and new partitions get as many replicas as its first one has.

use super::{Mutation, PlanInputs, Planned, duplicates, placement};
use crate::metadata::{CHANGES_PER_REQUEST_MAX, Command, Image, PARTITIONS_MAX, Reason, Refusal};
use crate::model::{BrokerId, PartitionIndex};

/// Adds partitions to topics; the outcome has one entry per distinct name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    pub topics: Vec<MorePartitions>,
    /// Checks and answers as if partitions were added, without adding them.
    pub validate_only: bool,
}

/// A topic that is to have more partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MorePartitions {
    pub name: String,
    /// How many partitions the topic is to have in all.
    pub count: i32,
    /// The brokers of each new partition, or `None` to let the broker choose.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

impl Mutation for CreatePartitions {
    type Outcome = Vec<(String, Result<(), Refusal>)>;

    fn plan(self, image: &Image, _inputs: &mut PlanInputs<'_>) -> Result<Planned<Self::Outcome>, Refusal> {
        let repeated = duplicates(self.topics.iter().map(|topic| &topic.name));
        let mut commands = Vec::new();
        let mut outcome: Self::Outcome = Vec::with_capacity(self.topics.len());
        let mut added = 0;
        for name in &repeated {
            let refusal = Refusal::new(Reason::InvalidRequest, "Duplicate topic name.");
            outcome.push(((*name).clone(), Err(refusal)));
        }
        for topic in self.topics.iter().filter(|topic| !repeated.contains(&topic.name)) {
            let answer = plan_topic(image, topic, &mut added).map(|command| commands.push(command));
            outcome.push((topic.name.clone(), answer));
        }
        if self.validate_only {
            commands.clear();
        }
        Ok(Planned { commands, outcome })
    }
}

fn plan_topic(image: &Image, wanted: &MorePartitions, added: &mut usize) -> Result<Command, Refusal> {
    let topic = image.topic(&wanted.name).ok_or_else(|| Refusal::from(Reason::UnknownTopicOrPartition))?;
    let current = topic.partitions.len() as i32;
    if wanted.count == current {
        let message = format!("Topic already has {current} partition(s).");
        return Err(Refusal::new(Reason::InvalidPartitions, message));
    }
    if wanted.count < current {
        let message = format!(
            "The topic {} currently has {current} partition(s); {} would not be an increase.",
            wanted.name, wanted.count
        );
        return Err(Refusal::new(Reason::InvalidPartitions, message));
    }
    let additional = wanted.count - current;
    let count = additional.unsigned_abs() as usize;
    if let Some(assignments) = wanted.assignments.as_ref().filter(|given| given.len() != count) {
        let message = format!(
            "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
            assignments.len()
        );
        return Err(Refusal::new(Reason::InvalidReplicaAssignment, message));
    }
    *added = added.saturating_add(count);
    if *added > CHANGES_PER_REQUEST_MAX {
        let message = "Excessively large number of partitions per request.";
        return Err(Refusal::new(Reason::PolicyViolation, message));
    }
    if *added > PARTITIONS_MAX.saturating_sub(image.partition_count()) {
        let message = format!("This cluster holds at most {PARTITIONS_MAX} partitions.");
        return Err(Refusal::new(Reason::PolicyViolation, message));
    }
    let factor = topic.replication_factor();
    let replicas = match &wanted.assignments {
        Some(assignments) => {
            for brokers in assignments {
                placement::check_assignment(image, brokers, Some(factor.unsigned_abs().into()))?;
            }
            assignments.clone()
        }
        None => placement::place(image, current, additional, factor)
            .map_err(|fault| Refusal::new(Reason::InvalidReplicationFactor, fault))?,
    };
    Ok(Command::CreatePartitions { id: topic.id, first: PartitionIndex(current), replicas })
}
