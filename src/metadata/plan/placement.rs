//! Which brokers hold the replicas of new partitions.
//!
//! Key invariant: a placement names known brokers, each at most once per partition, and spreads leaders evenly.

use crate::metadata::{Image, Reason, Refusal};
use crate::model::BrokerId;

/// Places `partitions` partitions from `first` on with `factor` replicas each, the leader first.
///
/// Consecutive partitions start at consecutive brokers, and each replica goes to the broker after the one before.
pub(super) fn place(
    image: &Image,
    first: i32,
    partitions: i32,
    factor: i16,
) -> Result<Vec<Vec<BrokerId>>, String> {
    let brokers: Vec<BrokerId> = image.brokers().map(|broker| broker.id).collect();
    if factor <= 0 {
        return Err(format!("Invalid replication factor {factor}: the replication factor must be positive."));
    }
    if brokers.is_empty() {
        return Err("All brokers are currently fenced.".to_owned());
    }
    let wanted = usize::from(factor.unsigned_abs());
    if wanted > brokers.len() {
        return Err(format!(
            "The target replication factor of {factor} cannot be reached because only {} broker(s) are registered.",
            brokers.len()
        ));
    }
    let start = |partition: i32| partition.unsigned_abs() as usize % brokers.len();
    let one =
        |partition: i32| (0..wanted).map(|at| brokers[(start(partition) + at) % brokers.len()]).collect();
    Ok((first..first.saturating_add(partitions)).map(one).collect())
}

/// Checks the brokers that a client assigned to one partition; `factor` is what earlier partitions have.
pub(super) fn check_assignment(
    image: &Image,
    brokers: &[BrokerId],
    factor: Option<usize>,
) -> Result<(), Refusal> {
    let refuse = |what: String| {
        Err(Refusal::new(
            Reason::InvalidReplicaAssignment,
            format!("The manual partition assignment includes {what}"),
        ))
    };
    if brokers.is_empty() {
        return refuse("an empty replica list.".to_owned());
    }
    let mut sorted = brokers.to_vec();
    sorted.sort_unstable();
    let mut previous = None;
    for broker in sorted {
        if image.broker(broker).is_none() {
            return refuse(format!("broker {broker}, but no such broker is registered."));
        }
        if previous == Some(broker) {
            return refuse(format!("the broker {broker} more than once."));
        }
        previous = Some(broker);
    }
    match factor {
        Some(factor) if factor != brokers.len() => refuse(format!(
            "a partition with {} replica(s), but this is not consistent with previous partitions, which have {factor} \
             replica(s).",
            brokers.len()
        )),
        _ => Ok(()),
    }
}
