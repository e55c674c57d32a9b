//! Moving replicas (KIP-455): only to where they are, until replication exists.
//!
//! Key invariant: what is accepted changes nothing, so there is no command.

use super::placement;
use crate::metadata::{Image, Reason, Refusal};
use crate::model::{BrokerId, PartitionIndex};

/// Checks that a partition may have these replicas; `None` asks to cancel a move that is under way.
pub fn check_reassignment(
    image: &Image,
    topic: &str,
    partition: PartitionIndex,
    replicas: Option<&[BrokerId]>,
) -> Result<(), Refusal> {
    let unknown =
        |what: String| Refusal::new(Reason::UnknownTopicOrPartition, format!("Unable to find {what}."));
    let found = image.topic(topic).ok_or_else(|| unknown(format!("a topic named {topic}")))?;
    let current =
        found.partition(partition).ok_or_else(|| unknown(format!("partition {topic}:{partition}")))?;
    let Some(replicas) = replicas else {
        return Err(Reason::NoReassignmentInProgress.into());
    };
    placement::check_assignment(image, replicas, None)?;
    if replicas == current.replicas {
        return Ok(());
    }
    let message = format!(
        "The replicas of {topic}-{partition} cannot move: this version does not replicate partitions."
    );
    Err(Refusal::new(Reason::InvalidReplicaAssignment, message))
}
