//! OffsetCommit: what a client sends, and what of it is taken.
//!
//! Key invariant: a commit that the group refuses changes nothing; of one that it takes, each partition is judged by itself.

use std::sync::Arc;

use super::tombstones::Room;
use super::{TopicRef, kinds};
use crate::coordinator::group::{Groups, Turn};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::offsets::{OffsetKey, OffsetValue};
use crate::coordinator::{Actions, GroupError, GroupId};
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

/// The first version that tells a member of a group that is not there so.
const GROUP_NOT_FOUND_FROM: i16 = 9;

/// What a client commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Empty of a client that is no member.
    pub member_id: String,
    pub instance_id: Option<String>,
    /// The generation, or the member's epoch; negative of a client that is no member.
    pub generation: i32,
    /// Of the request: members of consumer groups must use 9 or later.
    pub version: i16,
    /// How long the client wants its offsets to be kept, in ms (OffsetCommit 2 to 4).
    pub retention_ms: Option<i64>,
    pub topics: Vec<CommitTopic>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTopic {
    pub topic: TopicRef,
    pub partitions: Vec<CommitPartition>,
}

/// What is committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPartition {
    pub partition: PartitionIndex,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// The client's own text; none and empty are the same.
    pub metadata: Option<Arc<str>>,
}

/// What became of each partition, in the order of the request: by topic, then by partition.
pub type Committed = Vec<Vec<Result<(), GroupError>>>;

/// A topic of a commit that exists.
struct Found {
    name: Arc<str>,
    id: TopicId,
    partitions: i32,
}

impl Groups {
    /// Commits offsets. An error of the group stands at every partition that exists; the others have their own. A group that
    /// is not there is made for a client that is no member.
    pub fn commit(
        &mut self,
        id: &GroupId,
        commit: Commit,
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> Committed {
        let found = self.find_topics(&commit, turn);
        let mut answers = topic_faults(&commit, &found);
        if answers.iter().flatten().all(Result::is_err) {
            return answers;
        }
        if let Err(refusal) = self.commit_found(id, &commit, (&found, &mut answers), turn, actions) {
            for answer in answers.iter_mut().flatten().filter(|answer| answer.is_ok()) {
                *answer = Err(refusal.clone());
            }
        }
        answers
    }

    /// The topics of a commit; before the group is looked at, as Kafka does, and with shared names.
    fn find_topics(&mut self, commit: &Commit, turn: &Turn<'_>) -> Vec<Result<Found, GroupError>> {
        let found = commit.topics.iter().map(|topic| {
            let image = topic.topic.find(turn.image)?;
            let partitions = i32::try_from(image.partitions.len()).unwrap_or(i32::MAX);
            Ok(Found { name: self.names.share(&image.name, Some(image.id)), id: image.id, partitions })
        });
        found.collect()
    }

    fn commit_found(
        &mut self,
        id: &GroupId,
        commit: &Commit,
        (found, answers): (&[Result<Found, GroupError>], &mut Committed),
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> Result<(), GroupError> {
        if self.get(id.as_str()).is_none() && commit.generation >= 0 {
            return Err(if commit.version >= GROUP_NOT_FOUND_FROM {
                GroupError::GroupIdNotFound(format!("Group {id} not found."))
            } else {
                GroupError::IllegalGeneration
            });
        }
        check_size(id, commit, found)?;
        let empty = self.names.empty();
        self.change(id, |group| {
            kinds::check_commit(id, &mut group.kind, turn, commit)?;
            let expires_at = commit.retention_ms.map(|ms| TimestampMs(turn.now.0.saturating_add(ms)));
            for ((topic, found), answers) in commit.topics.iter().zip(found).zip(answers) {
                let Ok(found) = found else { continue };
                for (partition, answer) in topic.partitions.iter().zip(answers) {
                    if answer.is_err() {
                        continue;
                    }
                    let metadata = partition.metadata.as_ref().filter(|text| !text.is_empty());
                    if metadata.is_some_and(|text| is_too_large(text, turn)) {
                        *answer = Err(GroupError::OffsetMetadataTooLarge);
                        continue;
                    }
                    let value = OffsetValue {
                        offset: partition.offset,
                        leader_epoch: partition.leader_epoch,
                        metadata: metadata.unwrap_or(&empty).clone(),
                        committed_at: turn.now,
                        expires_at,
                        topic_id: found.id,
                    };
                    group.offsets.put(&found.name, partition.partition, &value);
                    let key = OffsetKey {
                        group: id.clone(),
                        topic: found.name.clone(),
                        partition: partition.partition,
                    };
                    actions.records.push(GroupRecord::OffsetCommit(key, Some(value)));
                }
            }
            if cfg!(debug_assertions) {
                group.offsets.check_invariants();
            }
            Ok(())
        })
    }
}

/// What is wrong with each partition before the group is asked: its topic or itself is not there.
fn topic_faults(commit: &Commit, found: &[Result<Found, GroupError>]) -> Committed {
    let of_topic = |(topic, found): (&CommitTopic, &Result<Found, GroupError>)| {
        let of_partition = |partition: &CommitPartition| match found {
            Ok(found) if (0..found.partitions).contains(&partition.partition.get()) => Ok(()),
            Ok(_) => Err(GroupError::UnknownTopicOrPartition),
            Err(refusal) => Err(refusal.clone()),
        };
        topic.partitions.iter().map(of_partition).collect()
    };
    commit.topics.iter().zip(found).map(of_topic).collect()
}

/// The offsets of one commit are one batch.
fn check_size(id: &GroupId, commit: &Commit, found: &[Result<Found, GroupError>]) -> Result<(), GroupError> {
    let mut room = Room::default();
    for (topic, found) in commit.topics.iter().zip(found) {
        let Ok(found) = found else { continue };
        for partition in &topic.partitions {
            let metadata = partition.metadata.as_deref().unwrap_or_default();
            if !room.take(id, &found.name, metadata) {
                return Err(GroupError::InvalidCommitOffsetSize);
            }
        }
    }
    Ok(())
}

/// Kafka counts UTF-16 units, as Java's strings do.
fn is_too_large(metadata: &str, turn: &Turn<'_>) -> bool {
    let max = turn.settings.offsets.metadata_bytes_max as usize;
    // A text has at most as many units as bytes.
    metadata.len() > max && metadata.encode_utf16().count() > max
}
