//! Committed offsets of a group: commit, fetch, delete, expiry; and what goes by them: listing and deleting groups.
//!
//! Key invariant: an offset changes only by a commit that the group accepted; a fenced member changes nothing. What members a
//! group has is left to its kind; what this room asks of a kind stands in `kinds`.

mod commit;
mod delete;
mod expiry;
mod fetch;
mod kinds;
mod list;
mod names;
mod store;
mod tombstones;

pub use commit::{Commit, CommitPartition, CommitTopic, Committed};
pub use delete::{DeleteOffsets, DeletedOffsets, Deletion};
pub use expiry::Upkeep;
pub use fetch::{FetchOffsets, FetchTopic, FetchedPartition, FetchedTopic};
pub(super) use kinds::state_name;
pub use list::{GroupFilter, ListedGroup};
pub use names::TopicNames;
pub use store::{CommittedOffset, CommittedOffsets};
pub use tombstones::EVENT_BYTES_MAX;

use crate::coordinator::GroupError;
use crate::metadata::{Image, TopicImage};
use crate::model::TopicId;

/// A topic as a request names it: by id from OffsetCommit and OffsetFetch 10 on, by name before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicRef {
    Name(String),
    Id(TopicId),
}

impl TopicRef {
    /// The topic, if it exists.
    fn find<'a>(&self, image: &'a Image) -> Result<&'a TopicImage, GroupError> {
        match self {
            Self::Name(name) => image.topic(name).ok_or(GroupError::UnknownTopicOrPartition),
            Self::Id(id) => image.topic_by_id(*id).ok_or(GroupError::UnknownTopicId),
        }
        .map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests;
