//! The records of `__consumer_offsets` and `__share_group_state`, in Kafka's own formats.
//!
//! Key invariant: what is encoded decodes to the same record, and Kafka 4.2 reads it. A record of a kind or version that is not
//! known is passed over with its key named, never an error of the whole partition. What records mean is left to the state
//! machines.

pub mod classic;
pub mod consumer;
pub mod offsets;
pub mod share;
pub mod share_state;

mod wire;

pub use wire::{RecordError, TEXT_BYTES_MAX};

use bytes::Bytes;

use classic::ClassicGroupValue;
use consumer::{GroupValue, OldPartitionMetadata, RegexValue, TargetMemberValue, TargetValue};
use offsets::{OffsetKey, OffsetValue};
use share::StatePartitionsValue;
use wire::{Reader, Writer};

use super::{GroupId, MemberId};

/// One record of `__consumer_offsets`: what it is about, and what holds now; `None` is a tombstone.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    OffsetCommit(offsets::OffsetKey, Option<offsets::OffsetValue>),
    ClassicGroup(GroupId, Option<classic::ClassicGroupValue>),
    ConsumerGroup(GroupId, Option<consumer::GroupValue>),
    /// Written by older brokers only; Kafka 4.2 writes tombstones where it finds such records.
    ConsumerPartitionMetadata(GroupId, Option<consumer::OldPartitionMetadata>),
    ConsumerMember(GroupId, MemberId, Option<consumer::MemberValue>),
    ConsumerTarget(GroupId, Option<consumer::TargetValue>),
    ConsumerTargetMember(GroupId, MemberId, Option<consumer::TargetMemberValue>),
    ConsumerCurrent(GroupId, MemberId, Option<consumer::CurrentValue>),
    /// The key is the group and the pattern.
    ConsumerRegex(GroupId, String, Option<consumer::RegexValue>),
    ShareGroup(GroupId, Option<consumer::GroupValue>),
    ShareMember(GroupId, MemberId, Option<share::MemberValue>),
    ShareTarget(GroupId, Option<consumer::TargetValue>),
    ShareTargetMember(GroupId, MemberId, Option<consumer::TargetMemberValue>),
    ShareCurrent(GroupId, MemberId, Option<share::CurrentValue>),
    ShareStatePartitions(GroupId, Option<share::StatePartitionsValue>),
}

/// Types of keys. Those of streams groups (17 to 23) are not read here.
mod kind {
    /// Of the brokers before 0.9; read only.
    pub(super) const OFFSET_COMMIT_OLD: i16 = 0;
    pub(super) const OFFSET_COMMIT: i16 = 1;
    pub(super) const CLASSIC_GROUP: i16 = 2;
    pub(super) const CONSUMER_GROUP: i16 = 3;
    pub(super) const CONSUMER_PARTITION_METADATA: i16 = 4;
    pub(super) const CONSUMER_MEMBER: i16 = 5;
    pub(super) const CONSUMER_TARGET: i16 = 6;
    pub(super) const CONSUMER_TARGET_MEMBER: i16 = 7;
    pub(super) const CONSUMER_CURRENT: i16 = 8;
    pub(super) const SHARE_MEMBER: i16 = 10;
    pub(super) const SHARE_GROUP: i16 = 11;
    pub(super) const SHARE_TARGET: i16 = 12;
    pub(super) const SHARE_TARGET_MEMBER: i16 = 13;
    pub(super) const SHARE_CURRENT: i16 = 14;
    pub(super) const SHARE_STATE_PARTITIONS: i16 = 15;
    pub(super) const CONSUMER_REGEX: i16 = 16;
}

impl GroupRecord {
    /// The key and the value, in the versions and bytes that Kafka 4.2 writes; no value is a tombstone. Fails if a name or
    /// another text is longer than [`TEXT_BYTES_MAX`].
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), RecordError> {
        let value = self.encode_value().transpose()?;
        Ok((self.encode_key()?, value))
    }

    fn encode_key(&self) -> Result<Bytes, RecordError> {
        let (kind, group, second) = match self {
            Self::OffsetCommit(key, _) => {
                let mut writer = Writer::key(kind::OFFSET_COMMIT);
                key.write(&mut writer);
                return writer.finish();
            }
            Self::ClassicGroup(group, _) => (kind::CLASSIC_GROUP, group, None),
            Self::ConsumerGroup(group, _) => (kind::CONSUMER_GROUP, group, None),
            Self::ConsumerPartitionMetadata(group, _) => (kind::CONSUMER_PARTITION_METADATA, group, None),
            Self::ConsumerMember(group, member, _) => (kind::CONSUMER_MEMBER, group, Some(member.as_str())),
            Self::ConsumerTarget(group, _) => (kind::CONSUMER_TARGET, group, None),
            Self::ConsumerTargetMember(group, member, _) => {
                (kind::CONSUMER_TARGET_MEMBER, group, Some(member.as_str()))
            }
            Self::ConsumerCurrent(group, member, _) => (kind::CONSUMER_CURRENT, group, Some(member.as_str())),
            Self::ConsumerRegex(group, regex, _) => (kind::CONSUMER_REGEX, group, Some(regex.as_str())),
            Self::ShareGroup(group, _) => (kind::SHARE_GROUP, group, None),
            Self::ShareMember(group, member, _) => (kind::SHARE_MEMBER, group, Some(member.as_str())),
            Self::ShareTarget(group, _) => (kind::SHARE_TARGET, group, None),
            Self::ShareTargetMember(group, member, _) => {
                (kind::SHARE_TARGET_MEMBER, group, Some(member.as_str()))
            }
            Self::ShareCurrent(group, member, _) => (kind::SHARE_CURRENT, group, Some(member.as_str())),
            Self::ShareStatePartitions(group, _) => (kind::SHARE_STATE_PARTITIONS, group, None),
        };
        let mut writer = Writer::key(kind);
        writer.text(group.as_str());
        if let Some(second) = second {
            writer.text(second);
        }
        writer.finish()
    }

    fn encode_value(&self) -> Option<Result<Bytes, RecordError>> {
        match self {
            Self::OffsetCommit(_, value) => value.as_ref().map(|value| value.encode()),
            Self::ClassicGroup(_, value) => value.as_ref().map(|value| value.encode()),
            Self::ConsumerGroup(_, value) => value.as_ref().map(|value| value.encode()),
            Self::ConsumerPartitionMetadata(_, value) => value.as_ref().map(|value| value.encode()),
            Self::ConsumerMember(_, _, value) => value.as_ref().map(|value| value.encode()),
            Self::ConsumerTarget(_, value) | Self::ShareTarget(_, value) => {
                value.as_ref().map(|value| value.encode())
            }
            Self::ConsumerTargetMember(_, _, value) | Self::ShareTargetMember(_, _, value) => {
                value.as_ref().map(|value| value.encode())
            }
            Self::ConsumerCurrent(_, _, value) => value.as_ref().map(|value| value.encode()),
            Self::ConsumerRegex(_, _, value) => value.as_ref().map(|value| value.encode()),
            Self::ShareGroup(_, value) => value.as_ref().map(|value| value.encode_share()),
            Self::ShareMember(_, _, value) => value.as_ref().map(|value| value.encode()),
            Self::ShareCurrent(_, _, value) => value.as_ref().map(|value| value.encode()),
            Self::ShareStatePartitions(_, value) => value.as_ref().map(|value| value.encode()),
        }
    }

    /// Reads a record of any version that Kafka has written; `None` if its key is of a type that is not known. What follows
    /// the last known field is not looked at.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, RecordError> {
        let (mut reader, kind) = Reader::key(key)?;
        let group = |reader: &mut Reader<'_>| reader.text().map(GroupId::from);
        let member = |reader: &mut Reader<'_>| reader.text().map(MemberId::from);
        let key = &mut reader;
        Ok(Some(match kind {
            kind::OFFSET_COMMIT_OLD | kind::OFFSET_COMMIT => {
                Self::OffsetCommit(OffsetKey::read(key)?, decoded(value, kind, OffsetValue::decode)?)
            }
            kind::CLASSIC_GROUP => {
                Self::ClassicGroup(group(key)?, decoded(value, kind, ClassicGroupValue::decode)?)
            }
            kind::CONSUMER_GROUP => {
                Self::ConsumerGroup(group(key)?, decoded(value, kind, GroupValue::decode)?)
            }
            kind::CONSUMER_PARTITION_METADATA => {
                Self::ConsumerPartitionMetadata(group(key)?, value.map(|_| OldPartitionMetadata))
            }
            kind::CONSUMER_MEMBER => Self::ConsumerMember(
                group(key)?,
                member(key)?,
                decoded(value, kind, consumer::MemberValue::decode)?,
            ),
            kind::CONSUMER_TARGET => {
                Self::ConsumerTarget(group(key)?, decoded(value, kind, TargetValue::decode)?)
            }
            kind::CONSUMER_TARGET_MEMBER => {
                let value = decoded(value, kind, TargetMemberValue::decode)?;
                Self::ConsumerTargetMember(group(key)?, member(key)?, value)
            }
            kind::CONSUMER_CURRENT => Self::ConsumerCurrent(
                group(key)?,
                member(key)?,
                decoded(value, kind, consumer::CurrentValue::decode)?,
            ),
            kind::CONSUMER_REGEX => {
                let value = decoded(value, kind, RegexValue::decode)?;
                Self::ConsumerRegex(group(key)?, key.text()?.to_owned(), value)
            }
            kind::SHARE_GROUP => {
                Self::ShareGroup(group(key)?, decoded(value, kind, GroupValue::decode_share)?)
            }
            kind::SHARE_MEMBER => Self::ShareMember(
                group(key)?,
                member(key)?,
                decoded(value, kind, share::MemberValue::decode)?,
            ),
            kind::SHARE_TARGET => Self::ShareTarget(group(key)?, decoded(value, kind, TargetValue::decode)?),
            kind::SHARE_TARGET_MEMBER => {
                let value = decoded(value, kind, TargetMemberValue::decode)?;
                Self::ShareTargetMember(group(key)?, member(key)?, value)
            }
            kind::SHARE_CURRENT => Self::ShareCurrent(
                group(key)?,
                member(key)?,
                decoded(value, kind, share::CurrentValue::decode)?,
            ),
            kind::SHARE_STATE_PARTITIONS => {
                Self::ShareStatePartitions(group(key)?, decoded(value, kind, StatePartitionsValue::decode)?)
            }
            _ => return Ok(None),
        }))
    }
}

/// The value if there is one.
fn decoded<T>(
    value: Option<&[u8]>,
    kind: i16,
    decode: fn(&[u8], i16) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    value.map(|bytes| decode(bytes, kind)).transpose()
}

#[cfg(test)]
mod tests;
